"""The service's own short-lived tokens, which name the staff member it acts for.

RFC 8693: `sub` is the staff member on whose behalf the call is made, `act` is the party
that makes it, which is this service.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import time
import uuid

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from chassis.context import Role

ALGORITHM = "EdDSA"
ACTOR_NAME = "ratingslip"
# Long enough for a call and its retries, short enough that a stolen one is of no use.
LIFETIME_SECONDS = 120
# A cached token is used while it has this long to live.
LEAST_REMAINING_SECONDS = 60
# One entry for each staff member who closes or previews slips; signing again costs little.
CACHE_ENTRIES = 1_000


@dataclasses.dataclass(frozen=True)
class SigningKey:
    """The service's private key and the ID under which others find its public half."""

    private_key: Ed25519PrivateKey
    key_id: str

    @classmethod
    def from_file(cls, path: pathlib.Path, key_id: str) -> SigningKey:
        """Reads a PEM file; raises `OSError`, or `ValueError` when it is no Ed25519 key."""
        text = path.read_bytes()
        try:
            key = load_pem_private_key(text, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ValueError(
                f"{path} does not hold a private key in PEM without password"
            ) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError(f"{path} does not hold an Ed25519 private key")
        return cls(key, key_id)


class ServiceTokens:
    """Issues tokens with role `service` for one audience."""

    def __init__(self, key: SigningKey, *, issuer: str, audience: str) -> None:
        self._key = key
        self._issuer = issuer
        self._audience = audience
        self._issued: collections.OrderedDict[tuple[uuid.UUID, uuid.UUID], tuple[float, str]] = (
            collections.OrderedDict()
        )

    def acting_for(self, casino_id: uuid.UUID, staff_id: uuid.UUID) -> str:
        """A token that acts for a staff member of a casino."""
        known = self._issued.get((casino_id, staff_id))
        if known is not None:
            remaining = known[0] - time.time()
            # One that lives longer than any was signed before the clock was set back.
            if LEAST_REMAINING_SECONDS <= remaining <= LIFETIME_SECONDS:
                return known[1]
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
            "sub": str(staff_id),
            "act": {"sub": ACTOR_NAME},
            "casino_id": str(casino_id),
            "role": Role.SERVICE.value,
        }
        token = jwt.encode(
            claims,
            self._key.private_key,
            algorithm=ALGORITHM,
            headers={"kid": self._key.key_id},
        )
        self._issued[casino_id, staff_id] = (float(now + LIFETIME_SECONDS), token)
        self._issued.move_to_end((casino_id, staff_id))
        while len(self._issued) > CACHE_ENTRIES:
            self._issued.popitem(last=False)
        return token
