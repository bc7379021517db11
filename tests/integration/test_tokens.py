"""Every bad token is UNAUTHENTICATED, with one answer for every flaw, and before any SQL."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from grpc import StatusCode
from grpc_health.v1 import health_pb2

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from deploy.local.identity import SigningKey
from deploy.local.traces import wait_for_trace
from tests.integration.casino import Casino, new_id
from tests.integration.clients import Client, Headers, Refusal, read_refusal
from tests.integration.identity import LOYALTY_AUDIENCE, RATINGSLIP_AUDIENCE, Identity
from tests.integration.patience import PATIENCE_SECONDS, eventually
from tests.integration.services import Pair, health_of

MISSING, INVALID, EXPIRED = "TOKEN_MISSING", "TOKEN_INVALID", "TOKEN_EXPIRED"
# Deeper than Python's parser of JSON goes.
NESTING = 3_000


class Forger:
    """Makes tokens that are good but for one thing."""

    def __init__(self, casino: Casino, identity: Identity) -> None:
        self._casino = casino
        self._key = identity.keyring.staff

    def token(
        self, *, claims: Mapping[str, Any] | None = None, headers: Mapping[str, Any] | None = None
    ) -> str:
        """Well signed, with other claims or headers; None leaves one out."""
        return self._casino.token("admin", claims=claims, headers=headers)

    def service_token(self, act: object) -> str:
        """A service's, with another `act`; None leaves it out."""
        return self._casino.token("service", claims={"act": act})

    def lasting(self, lifetime: datetime.timedelta) -> str:
        """Well signed, and good for this long from now."""
        return self._casino.token("admin", lifetime=lifetime)

    def altered(
        self, *, claims: Mapping[str, Any] | None = None, header: Mapping[str, Any] | None = None
    ) -> str:
        """Changed after it was signed."""
        parts = self.token().split(".")
        for number, changes in ((0, header), (1, claims)):
            content = json.loads(decoded(parts[number]))
            parts[number] = encoded(json.dumps({**content, **(changes or {})}))
        return ".".join(parts)

    def unsigned(self) -> str:
        """With `alg` none, which signs nothing."""
        return self.altered(header={"alg": "none"}).rpartition(".")[0] + "."

    def hmac_signed(self, secret: bytes) -> str:
        """With the public key taken for a shared secret."""
        signed = self.altered(header={"alg": "HS256"}).rpartition(".")[0]
        signature = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
        return f"{signed}.{encoded(signature)}"

    def foreign(self) -> str:
        """Signed by a stranger under the name of the right key."""
        claims = jwt.decode(self.token(), options={"verify_signature": False})
        stranger = SigningKey.generate().private_key
        return jwt.encode(claims, stranger, "EdDSA", headers={"kid": self._key.key_id})

    def public_pem(self) -> bytes:
        return self._key.private_key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def public_raw(self) -> bytes:
        return self._key.private_key.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw
        )


def encoded(content: str | bytes) -> str:
    raw = content.encode() if isinstance(content, str) else content
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def nested(header: str) -> str:
    return f"{encoded(header)}.{encoded('[' * NESTING)}.{encoded('signature')}"


# What stands in `authorization`, and the reason both services refuse it with.
Flaw = tuple[Callable[[Forger], list[str]], str]
BAD_AUTHORIZATIONS: dict[str, Flaw] = {
    "no token": (lambda _: [], MISSING),
    "nothing in the header": (lambda _: [""], MISSING),
    "not a bearer": (lambda _: ["Basic YWRtaW46YWRtaW4="], MISSING),
    "no scheme": (lambda f: [f.token()], MISSING),
    "two tokens": (lambda f: [f"Bearer {f.token()}"] * 2, MISSING),
}
BAD_TOKENS: dict[str, tuple[Callable[[Forger], str], str]] = {
    "garbage": (lambda _: "garbage", INVALID),
    "garbage in three parts": (lambda _: "a.b.c", INVALID),
    "no object": (lambda f: f"{encoded('7')}.{encoded('7')}.{encoded('7')}", INVALID),
    "a payload nested too deep": (lambda f: nested('{"alg": "EdDSA", "kid": "k"}'), INVALID),
    "a header nested too deep": (lambda f: nested("[" * NESTING), INVALID),
    "alg none": (lambda f: f.unsigned(), INVALID),
    "alg none, with a signature": (lambda f: f.altered(header={"alg": "none"}), INVALID),
    "HMAC with the public key in PEM": (lambda f: f.hmac_signed(f.public_pem()), INVALID),
    "HMAC with the public key as it is": (lambda f: f.hmac_signed(f.public_raw()), INVALID),
    "another algorithm's name": (lambda f: f.altered(header={"alg": "RS256"}), INVALID),
    "a key of its own": (lambda f: f.altered(header={"jwk": {"kty": "OKP"}}), INVALID),
    "a stranger's signature": (lambda f: f.foreign(), INVALID),
    "half a signature": (lambda f: f.token()[:-40], INVALID),
    "an altered payload": (lambda f: f.altered(claims={"casino_id": new_id()}), INVALID),
    "an unknown key": (lambda f: f.token(headers={"kid": "unknown"}), INVALID),
    "no key named": (lambda f: f.token(headers={"kid": None}), INVALID),
    "no audience of ours": (lambda f: f.token(claims={"aud": "cage.casino"}), INVALID),
    "an issuer nobody knows": (lambda f: f.token(claims={"iss": "https://else"}), INVALID),
    "expired": (lambda f: f.lasting(datetime.timedelta(hours=-1)), EXPIRED),
    "expired and altered": (lambda f: f.altered(claims={"exp": 1}), INVALID),
    "not valid yet": (lambda f: f.token(claims={"nbf": 32_503_680_000}), INVALID),
    "an expiry that is no time": (lambda f: f.token(claims={"exp": "tomorrow"}), INVALID),
    "an expiry that no clock shows": (lambda f: f.token(claims={"exp": 10**400}), INVALID),
    "no iss": (lambda f: f.token(claims={"iss": None}), INVALID),
    "no aud": (lambda f: f.token(claims={"aud": None}), INVALID),
    "no exp": (lambda f: f.token(claims={"exp": None}), INVALID),
    "no sub": (lambda f: f.token(claims={"sub": None}), INVALID),
    "no casino_id": (lambda f: f.token(claims={"casino_id": None}), INVALID),
    "no role": (lambda f: f.token(claims={"role": None}), INVALID),
    "a casino that is no UUID": (lambda f: f.token(claims={"casino_id": "casino"}), INVALID),
    "a casino that is no text": (lambda f: f.token(claims={"casino_id": 7}), INVALID),
    "an empty casino": (lambda f: f.token(claims={"casino_id": ""}), INVALID),
    "a sub that is no UUID": (lambda f: f.token(claims={"sub": "nobody"}), INVALID),
    "a role nobody knows": (lambda f: f.token(claims={"role": "owner"}), INVALID),
    "several roles": (lambda f: f.token(claims={"role": ["admin"]}), INVALID),
    "an act that is no object": (lambda f: f.token(claims={"act": "cage"}), INVALID),
}
BAD_SERVICE_TOKENS: dict[str, Callable[[Forger], str]] = {
    "no act": lambda f: f.service_token(None),
    "an act that is no object": lambda f: f.service_token("ratingslip"),
    "an act that names nobody": lambda f: f.service_token({}),
    "an act with an empty name": lambda f: f.service_token({"sub": ""}),
    "an act with a name of two lines": lambda f: f.service_token({"sub": "rating\nslip"}),
}


def bearer(make: Callable[[Forger], str]) -> Callable[[Forger], list[str]]:
    return lambda forger: [f"Bearer {make(forger)}"]


FLAWS: dict[str, Flaw] = {
    **BAD_AUTHORIZATIONS,
    **{name: (bearer(make), reason) for name, (make, reason) in BAD_TOKENS.items()},
}


@pytest.fixture
def forger(casino: Casino, identity: Identity) -> Forger:
    return Forger(casino, identity)


@pytest.fixture
def nobody(casino: Casino) -> Client:
    """Who sends no token but what a test puts into the headers."""
    return casino.with_token(None)


async def refusals(
    nobody: Client, authorizations: list[str], correlation_id: str
) -> tuple[Refusal, Refusal]:
    """How RatingSlip and Loyalty refuse a call with these `authorization` headers."""
    headers: Headers = [("authorization", value) for value in authorizations]
    return (
        await nobody.refusal(
            nobody.slips.ListRatingSlips,
            ratingslip_pb2.ListRatingSlipsRequest(),
            headers=headers,
            correlation_id=correlation_id,
        ),
        await nobody.refusal(
            nobody.points.ListLedgerEntries,
            loyalty_pb2.ListLedgerEntriesRequest(),
            headers=headers,
            correlation_id=correlation_id,
        ),
    )


@pytest.mark.parametrize("flaw", FLAWS)
async def test_a_bad_token_is_unauthenticated_and_both_services_say_why(
    flaw: str, forger: Forger, nobody: Client
) -> None:
    make, reason = FLAWS[flaw]

    for refusal in await refusals(nobody, make(forger), correlation_id=new_id()):
        assert refusal.kind == (StatusCode.UNAUTHENTICATED, reason)


async def test_a_bad_token_is_refused_before_any_sql(
    forger: Forger, nobody: Client, traces_file: Path
) -> None:
    correlation_ids = {flaw: new_id() for flaw in FLAWS}
    for flaw, correlation_id in correlation_ids.items():
        await refusals(nobody, FLAWS[flaw][0](forger), correlation_id)

    for flaw, correlation_id in correlation_ids.items():
        spans = await wait_for_trace(
            traces_file,
            correlation_id,
            lambda spans: len([span for span in spans if span.kind == "SERVER"]) == 2,
            PATIENCE_SECONDS,
        )
        # A step of a call ends, and is filed, before the call itself.
        assert [span.kind for span in spans] == ["SERVER", "SERVER"], flaw


async def test_every_invalid_token_gets_the_same_answer(forger: Forger, nobody: Client) -> None:
    answers = set()
    for make, reason in FLAWS.values():
        if reason == INVALID:
            refusal, _ = await refusals(nobody, make(forger), correlation_id=new_id())
            answers.add(refusal.text_without())

    # A forger learns nothing from it.
    assert len(answers) == 1


async def test_a_token_for_one_service_is_of_no_use_at_the_other(
    forger: Forger, nobody: Client
) -> None:
    for audience, loyalty_lets_in in ((LOYALTY_AUDIENCE, True), (RATINGSLIP_AUDIENCE, False)):
        headers = [("authorization", f"Bearer {forger.token(claims={'aud': audience})}")]
        slips = nobody.slips.ListRatingSlips, ratingslip_pb2.ListRatingSlipsRequest()
        points = nobody.points.ListLedgerEntries, loyalty_pb2.ListLedgerEntriesRequest()

        if loyalty_lets_in:
            refusal = await nobody.refusal(*slips, headers=headers)
            await nobody.call(*points, headers=headers)
        else:
            refusal = await nobody.refusal(*points, headers=headers)
            await nobody.call(*slips, headers=headers)

        assert refusal.kind == (StatusCode.UNAUTHENTICATED, INVALID)


@pytest.mark.parametrize("flaw", BAD_SERVICE_TOKENS)
async def test_a_service_that_does_not_say_who_acts_is_refused(
    flaw: str, forger: Forger, nobody: Client
) -> None:
    headers = [("authorization", f"Bearer {BAD_SERVICE_TOKENS[flaw](forger)}")]

    refusal = await nobody.refusal(
        nobody.points.AccruePointsFromSlip,
        loyalty_pb2.AccruePointsFromSlipRequest(),
        headers=headers,
    )

    assert refusal.kind == (StatusCode.UNAUTHENTICATED, INVALID)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_a_good_token_is_let_in_however_its_scheme_is_written(
    scheme: str, forger: Forger, nobody: Client
) -> None:
    headers = [("authorization", f"{scheme} {forger.token()}")]

    await nobody.call(
        nobody.slips.ListRatingSlips, ratingslip_pb2.ListRatingSlipsRequest(), headers=headers
    )


async def test_a_token_that_was_let_in_is_refused_once_it_has_expired(
    forger: Forger, nobody: Client
) -> None:
    # It is over already, within what the clocks of two machines may differ.
    headers = [("authorization", f"Bearer {forger.lasting(datetime.timedelta(seconds=-2))}")]
    request = ratingslip_pb2.ListRatingSlipsRequest()
    await nobody.call(nobody.slips.ListRatingSlips, request, headers=headers)

    async def refused() -> Refusal | None:
        try:
            await nobody.call(nobody.slips.ListRatingSlips, request, headers=headers)
        except grpc.aio.AioRpcError as error:
            return read_refusal(error)
        return None

    refusal = await eventually(refused, "the token expires")

    assert refusal.kind == (StatusCode.UNAUTHENTICATED, EXPIRED)


async def test_health_answers_without_a_token(pair: Pair) -> None:
    for service, name in (
        (pair.ratingslip, "casino.ratingslip.v1.RatingSlipService"),
        (pair.loyalty, "casino.loyalty.v1.LoyaltyService"),
    ):
        assert await health_of(service.channel) == health_pb2.HealthCheckResponse.SERVING
        assert await health_of(service.channel, name) == health_pb2.HealthCheckResponse.SERVING
