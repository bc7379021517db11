"""Verifies bearer tokens and turns their claims into a `Caller`.

Every refusal is UNAUTHENTICATED and happens before any SQL. This file must not know
which role may call what; each service has its own table for that.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import re
import time
import uuid
from collections.abc import Sequence
from typing import Any

import grpc
import jwt

from chassis.context import Caller, Role
from chassis.errors import ServiceError
from chassis.jwks import KeySource

# Clocks of two machines that keep time differ by less.
CLOCK_LEEWAY_SECONDS = 5
# A verified token is trusted this long without another look at its key, which
# bounds how long a withdrawn key still works.
CACHE_SECONDS = 60.0
# One entry for each staff member at work in a large group, many times over.
CACHE_ENTRIES = 10_000

_BEARER = "bearer "
_SERVICE_NAME = re.compile(r"[A-Za-z0-9._:/-]{1,128}", re.ASCII)
_REQUIRED_CLAIMS = ["iss", "aud", "exp", "sub", "casino_id", "role"]


@dataclasses.dataclass(frozen=True)
class TrustedIssuer:
    """Who may sign tokens, with which keys, and which roles it may give.

    Staff and services have different issuers, so that a service's key can never
    make an administrator.
    """

    name: str
    keys: KeySource
    roles: frozenset[Role]


STAFF_ROLES = frozenset({Role.DEALER, Role.CASHIER, Role.PIT_BOSS, Role.ADMIN})
SERVICE_ROLES = frozenset({Role.SERVICE})


class TokenVerifier:
    """Verifies tokens of the trusted issuers that are meant for `audience`."""

    def __init__(self, issuers: Sequence[TrustedIssuer], audience: str) -> None:
        self._issuers = {issuer.name: issuer for issuer in issuers}
        self._audience = audience
        self._verified: collections.OrderedDict[bytes, tuple[float, Caller]] = (
            collections.OrderedDict()
        )

    async def verify(self, authorization: str | None) -> Caller:
        """The caller behind an `authorization` header.

        Raises UNAUTHENTICATED with reason TOKEN_MISSING, TOKEN_EXPIRED or TOKEN_INVALID.
        """
        if authorization is None or authorization[: len(_BEARER)].lower() != _BEARER:
            raise _unauthenticated("TOKEN_MISSING", "a bearer token is required")
        token = authorization[len(_BEARER) :].strip()
        digest = hashlib.sha256(token.encode()).digest()
        known = self._verified.get(digest)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        claims, issuer = await self._verified_claims(token)
        caller = _caller(claims, issuer)
        self._remember(digest, _expiry_seconds(claims), caller)
        return caller

    async def _verified_claims(self, token: str) -> tuple[dict[str, Any], TrustedIssuer]:
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            # Read without trust, only to choose whose keys must verify it.
            claimed = jwt.decode(token, options={"verify_signature": False}).get("iss")
        except jwt.PyJWTError:
            raise _invalid() from None
        issuer = self._issuers.get(claimed) if isinstance(claimed, str) else None
        if issuer is None or not isinstance(key_id, str):
            raise _invalid()
        key = await issuer.keys.find(key_id)
        if key is None:
            raise _invalid()
        try:
            claims = jwt.decode(
                token,
                key=key,
                algorithms=[key.algorithm_name],
                audience=self._audience,
                issuer=issuer.name,
                leeway=CLOCK_LEEWAY_SECONDS,
                options={"require": _REQUIRED_CLAIMS},
            )
        except jwt.ExpiredSignatureError:
            raise _unauthenticated("TOKEN_EXPIRED", "the token has expired") from None
        except (jwt.PyJWTError, ValueError, TypeError):
            raise _invalid() from None
        return claims, issuer

    def _remember(self, digest: bytes, expires: float, caller: Caller) -> None:
        lifetime = min(CACHE_SECONDS, expires + CLOCK_LEEWAY_SECONDS - time.time())
        self._verified[digest] = (time.monotonic() + lifetime, caller)
        self._verified.move_to_end(digest)
        while len(self._verified) > CACHE_ENTRIES:
            self._verified.popitem(last=False)


def _expiry_seconds(claims: dict[str, Any]) -> float:
    try:
        return float(claims["exp"])
    except OverflowError:
        # JSON has numbers that are later than any clock can show.
        raise _invalid() from None


def _caller(claims: dict[str, Any], issuer: TrustedIssuer) -> Caller:
    try:
        role = Role(claims["role"])
        casino_id = uuid.UUID(claims["casino_id"])
        staff_id = uuid.UUID(claims["sub"])
    except (ValueError, AttributeError, TypeError):
        raise _invalid() from None
    acting_service = _acting_service(claims.get("act"))
    if role not in issuer.roles or (role is Role.SERVICE and acting_service is None):
        raise _invalid()
    return Caller(casino_id, staff_id, role, acting_service)


def _acting_service(act: object) -> str | None:
    """The current actor of RFC 8693, section 4.1: the outermost `act` names it."""
    if act is None:
        return None
    name = act.get("sub") if isinstance(act, dict) else None
    if not isinstance(name, str) or _SERVICE_NAME.fullmatch(name) is None:
        raise _invalid()
    return name


def _invalid() -> ServiceError:
    # One answer for every flaw: a forger learns nothing from it.
    return _unauthenticated("TOKEN_INVALID", "the token is not valid here")


def _unauthenticated(reason: str, text: str) -> ServiceError:
    return ServiceError(grpc.StatusCode.UNAUTHENTICATED, reason, text)
