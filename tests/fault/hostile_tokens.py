"""Tokens that no identity provider issues: claims and headers of any type, rightly signed.

What an honest library would refuse to sign is signed by hand. Which tokens a service
may take is said by `may_be_taken`, independently of the services.
"""

from __future__ import annotations

import base64
import functools
import json
import math
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from hypothesis import strategies as st

from deploy.local.identity import LOYALTY_AUDIENCE, RATINGSLIP_AUDIENCE, STAFF_ISSUER, SigningKey
from tests.fault.hostile_values import TEXTS, FromNow, Value, whole_numbers
from tests.integration.casino import new_id

STAFF_ROLES = ("dealer", "cashier", "pit_boss", "admin")
LIFETIME_SECONDS = 3_600
# Twice what a service allows for, to be on no edge of it.
CLOCK_DIFFERENCE_SECONDS = 10
LONGEST_TEXT_CHARACTERS = 600
# Beyond what fits into a float.
BEYOND_FLOATS = 10**400
# Deeper than Python's parser of JSON goes.
TOO_DEEP = 3_000

_CLAIMS = ("iss", "aud", "exp", "sub", "casino_id", "role", "act", "iat", "nbf", "jti", "x")
_HEADERS = ("alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x5c", "zip", "cty", "enc")
_MISSING = "missing"
_SHORT_TEXTS = tuple(text for text in TEXTS if len(text) <= LONGEST_TEXT_CHARACTERS)
_PLAIN_VALUES: tuple[Value, ...] = (
    *(None, True, False, 0, 1, -1, 0.5, 2**63, BEYOND_FLOATS, -BEYOND_FLOATS, "9" * 400, "1e9"),
    *(float("inf"), float("-inf"), float("nan"), 1e300, "", " ", "null", "0"),
    # JSON can say what UTF-8 cannot.
    *("\ud800", "\udfff\ud800", "\0", "a\nb", "x" * LONGEST_TEXT_CHARACTERS),
    *([], {}, [[]], [{}], [None], {"sub": None}, {"": {}}),
)
_CLAIM_VALUES: tuple[Value, ...] = (
    _MISSING,
    *_PLAIN_VALUES,
    *(FromNow(seconds) for seconds in (-(10**9), -60, -1, 60, 10**9, 10**15)),
    *(STAFF_ISSUER, [STAFF_ISSUER], LOYALTY_AUDIENCE, [LOYALTY_AUDIENCE, 7], "loyalty"),
    *(*STAFF_ROLES, "service", "scheduler", "owner", "ADMIN", ["admin"], "admin "),
    *("1b671a64-40d5-491e-99b0-da01ff1f3341", "1B671A64-40D5-491E-99B0-DA01FF1F3341"),
    *("{1b671a64-40d5-491e-99b0-da01ff1f3341}", "1b671a64", "١" * 32, "-" * 36),
    *({"sub": 7}, {"sub": ""}, {"sub": "a"}, {"sub": "a\nb"}, {"sub": "a", "act": {"sub": 7}}),
)


class Token(NamedTuple):
    """How a token differs from a good one; `damage` is done when it is signed."""

    claims: Mapping[str, Value]
    headers: Mapping[str, Value]
    # The payload itself, in place of claims.
    payload: bytes | None
    damage: str

    @property
    def is_untouched(self) -> bool:
        """Whether it is a good token."""
        return not (self.claims or self.headers or self.damage) and self.payload is None


@functools.cache
def tokens() -> st.SearchStrategy[Token]:
    """Good tokens with other claims and headers, other payloads, and damaged ones."""
    claim_changes = st.lists(
        st.tuples(st.sampled_from(_CLAIMS), st.sampled_from(_CLAIM_VALUES) | _json_values()),
        min_size=1,
        max_size=2,
    ).map(dict)
    header_changes = st.dictionaries(
        st.sampled_from(_HEADERS), _header_values(), max_size=2
    ).filter(lambda headers: headers.get("crit") != _MISSING)
    nothing = st.just(dict[str, Value]())
    whole = st.sampled_from(sorted(_DAMAGE)) | st.just("")
    claimed = st.builds(Token, claim_changes, nothing, st.none(), st.just(""))
    return st.one_of(
        *(claimed, claimed, claimed),
        st.builds(Token, nothing, header_changes, st.none(), st.just("")),
        st.builds(Token, nothing, nothing, st.none(), whole),
        st.builds(Token, nothing, nothing, _payloads(), st.just("")),
        st.builds(Token, claim_changes, header_changes, st.none() | _payloads(), whole),
    )


def one_claim_wrong() -> list[Token]:
    """Every claim with every value that it may be wrong by, one at a time."""
    return [Token({name: value}, {}, None, "") for name in _CLAIMS for value in _CLAIM_VALUES]


def signed(token: Token, key: SigningKey, casino_id: str) -> str:
    """The token as it is sent, signed by the key that staff tokens are signed by."""
    headers = _changed({"alg": "EdDSA", "kid": key.key_id, "typ": "JWT"}, token.headers)
    payload = token.payload
    if payload is None:
        payload = json.dumps(_changed(good_claims(casino_id), token.claims)).encode()
    content = f"{_encoded(json.dumps(headers).encode())}.{_encoded(payload)}"
    signature = key.private_key.sign(content.encode())
    return _damaged(f"{content}.{_encoded(signature)}", token.damage)


def good_claims(casino_id: str) -> dict[str, Any]:
    """What an identity provider says of an administrator."""
    return {
        "iss": STAFF_ISSUER,
        "aud": [RATINGSLIP_AUDIENCE, LOYALTY_AUDIENCE],
        "exp": int(time.time()) + LIFETIME_SECONDS,
        "sub": new_id(),
        "casino_id": casino_id,
        "role": "admin",
    }


def may_be_taken(token: Token) -> bool:
    """Whether a service may let this token in: no flaw that any reader of it would see."""
    if token.damage or token.payload is not None:
        return False
    if not _has_good_headers(token.headers):
        return False
    claims, now = _changed(good_claims(new_id()), token.claims), time.time()
    audience, act = claims.get("aud"), claims.get("act")
    return (
        claims.get("iss") == STAFF_ISSUER
        and (isinstance(audience, str | list) and len(audience) > 0)
        and _seconds(claims.get("exp")) > now - CLOCK_DIFFERENCE_SECONDS
        and _seconds(claims.get("nbf", 0)) < now + CLOCK_DIFFERENCE_SECONDS
        and _seconds(claims.get("iat", 0)) < now + CLOCK_DIFFERENCE_SECONDS
        and isinstance(claims.get("sub"), str)
        and isinstance(claims.get("casino_id"), str)
        and claims.get("role") in STAFF_ROLES
        and (act is None or (isinstance(act, dict) and isinstance(act.get("sub"), str)))
    )


def _has_good_headers(headers: Mapping[str, Value]) -> bool:
    """Whether they name our key and nothing that we would have to understand and do not."""
    # The one thing that may be critical is that the payload is encoded as it always is.
    is_critical_known = headers.get("crit", ["b64"]) == ["b64"]
    return (
        not {"alg", "kid"} & set(headers) and is_critical_known and headers.get("b64") is not False
    )


def _seconds(value: Value) -> float:
    """A moment as a number, or as text that is one; not a number for anything else."""
    if isinstance(value, int):
        return float(max(min(value, 10**100), -(10**100)))
    try:
        return float(value) if isinstance(value, float | str) else math.nan
    except ValueError:
        return math.nan


def _json_values() -> st.SearchStrategy[Value]:
    plain = st.one_of(
        st.sampled_from(_PLAIN_VALUES),
        whole_numbers(-(2**63), 2**63),
        st.floats(),
        st.sampled_from(_SHORT_TEXTS),
    )
    return st.recursive(
        plain,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["sub", "act", "x", ""]), inner, max_size=2)
        ),
        max_leaves=5,
    )


def _header_values() -> st.SearchStrategy[Value]:
    algorithms = st.sampled_from(["none", "None", "HS256", "RS256", "ES256", "eddsa", ["EdDSA"]])
    lists = st.sampled_from([["b64"], [["b64"]], ["x"], [], {"b64": True}])
    return st.just(_MISSING) | _json_values() | algorithms | lists


def _payloads() -> st.SearchStrategy[bytes]:
    known = [b"", b"null", b"7", b"[]", b'""', b"{", b"\xff\xfe", b"[" * TOO_DEEP, b"9" * 5_000]
    return st.sampled_from(known) | st.binary(max_size=30)


# What is done to a token in its three parts.
_DAMAGE: Mapping[str, Any] = {
    "no signature": lambda token: token.rpartition(".")[0] + ".",
    "two parts": lambda token: token.rpartition(".")[0],
    "four parts": lambda token: token + ".x",
    "no parts": lambda _: "garbage",
    "dots": lambda _: "." * 500,
    "half": lambda token: token[: len(token) // 2],
    "turned round": lambda token: token[::-1],
    "padded": lambda token: token + "===",
    "another character": lambda token: (
        token[:-10] + ("A" if token[-10] != "A" else "B") + token[-9:]
    ),
    "a blank inside": lambda token: token[:40] + " " + token[40:],
    "no base64": lambda token: "!" + token,
    "twice": lambda token: f"{token} {token}",
}


def _damaged(token: str, damage: str) -> str:
    return str(_DAMAGE[damage](token)) if damage else token


def _changed(usual: Mapping[str, Any], changes: Mapping[str, Value]) -> dict[str, Any]:
    merged = {**usual, **changes}
    return {
        name: time.time() + value.seconds if isinstance(value, FromNow) else value
        for name, value in merged.items()
        if value != _MISSING
    }


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
