"""Who exists in the demo casinos, and the keys and tokens that prove it.

Stands in for a casino's identity provider: it signs staff tokens and publishes the
public keys as JWKS files. It knows no service; a service sees only tokens and keys.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.local.state import write_private

STAFF_ISSUER = "https://identity.casino.localhost"
SERVICE_ISSUER = "https://ratingslip.casino.localhost"
RATINGSLIP_AUDIENCE = "ratingslip.casino"
LOYALTY_AUDIENCE = "loyalty.casino"

DEMO_CASINO_ID = "ca510000-0000-4000-8000-000000000001"
OTHER_CASINO_ID = "ca510000-0000-4000-8000-000000000002"
# One member of staff per role; each works for one casino.
STAFF_IDS: Mapping[str, str] = {
    "dealer": "57aff000-0000-4000-8000-000000000001",
    "cashier": "57aff000-0000-4000-8000-000000000002",
    "pit_boss": "57aff000-0000-4000-8000-000000000003",
    "admin": "57aff000-0000-4000-8000-000000000004",
}
OTHER_CASINO_ADMIN_ID = "57aff000-0000-4000-8000-000000000005"

# Long enough that a stack left running for a month still answers; fresh at each up.
DEMO_TOKEN_LIFETIME = datetime.timedelta(days=30)
# 256 bits; the services ask for at least 32 characters.
SECRET_BYTES = 32


class SigningKey:
    """An Ed25519 key pair, named by its thumbprint (RFC 7638)."""

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self.private_key = private_key
        public = private_key.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw
        )
        required = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(public)}
        canonical = json.dumps(required, sort_keys=True, separators=(",", ":"))
        self.key_id = _base64url(hashlib.sha256(canonical.encode()).digest())
        self._public_jwk = {**required, "kid": self.key_id, "alg": "EdDSA", "use": "sig"}

    @classmethod
    def generate(cls) -> Self:
        """A new key pair."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load_or_create(cls, path: Path) -> Self:
        """The key pair in a PEM file, which is made, closed to others, when it is missing.

        Raises:
            ValueError: the file holds no Ed25519 private key.
        """
        if not path.exists():
            key = cls.generate()
            write_private(path, key.private_pem())
            return key
        try:
            private_key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except ValueError:
            private_key = None
        if not isinstance(private_key, Ed25519PrivateKey):
            raise ValueError(f"{path} holds no Ed25519 private key; delete it to have one made")
        return cls(private_key)

    def private_pem(self) -> str:
        """The private key as PKCS #8 in PEM, unencrypted."""
        return self.private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public key as a JSON Web Key Set (RFC 7517)."""
        return {"keys": [dict(self._public_jwk)]}

    def write_jwks(self, path: Path) -> None:
        """Publishes the public key as a JWKS file."""
        write_private(path, json.dumps(self.jwks(), indent=2) + "\n")


class StaffTokens:
    """Signs staff tokens as the casino's identity provider would."""

    def __init__(
        self,
        key: SigningKey,
        *,
        issuer: str = STAFF_ISSUER,
        audiences: tuple[str, ...] = (RATINGSLIP_AUDIENCE, LOYALTY_AUDIENCE),
    ) -> None:
        self._key = key
        self._issuer = issuer
        self._audiences = list(audiences)

    def mint(
        self,
        role: str,
        *,
        casino_id: str = DEMO_CASINO_ID,
        staff_id: str | None = None,
        lifetime: datetime.timedelta = DEMO_TOKEN_LIFETIME,
        claims: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
    ) -> str:
        """A signed token for one member of staff.

        Args:
            role: the `role` claim, such as `pit_boss`.
            casino_id: the casino the token is good for.
            staff_id: who it names; the role's member of staff by default.
            lifetime: from now to its expiry.
            claims: added to or put in place of the usual ones; None leaves one out.
                With these a test makes the tokens that must be refused.
            headers: the same for the header, such as another `kid`.
        """
        now = datetime.datetime.now(datetime.UTC)
        usual = {
            "iss": self._issuer,
            "aud": self._audiences,
            "iat": now,
            "exp": now + lifetime,
            "sub": staff_id or STAFF_IDS[role],
            "casino_id": casino_id,
            "role": role,
        }
        return jwt.encode(
            _merged(usual, claims),
            self._key.private_key,
            algorithm="EdDSA",
            headers=_merged({"kid": self._key.key_id}, headers),
        )


class Keyring:
    """The keys of one stack, made once and kept in a directory closed to others."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.staff = SigningKey.load_or_create(directory / "staff.pem")
        self.ratingslip_key_file = directory / "ratingslip.pem"
        self.ratingslip = SigningKey.load_or_create(self.ratingslip_key_file)
        self.staff_jwks_file = directory / "staff.jwks.json"
        self.staff.write_jwks(self.staff_jwks_file)
        self.ratingslip_jwks_file = directory / "ratingslip.jwks.json"
        self.ratingslip.write_jwks(self.ratingslip_jwks_file)

    def page_token_key(self, service: str) -> str:
        """The secret by which a service recognises its own page tokens."""
        path = self._directory / f"{service}_page_token.key"
        if not path.exists():
            write_private(path, secrets.token_urlsafe(SECRET_BYTES))
        return path.read_text()


def write_demo_tokens(tokens: StaffTokens, directory: Path) -> None:
    """Writes one token file per role of the demo casino, and one admin of the other casino."""
    for role in STAFF_IDS:
        write_private(directory / f"{role}.jwt", tokens.mint(role))
    other_admin = tokens.mint("admin", casino_id=OTHER_CASINO_ID, staff_id=OTHER_CASINO_ADMIN_ID)
    write_private(directory / "other_casino_admin.jwt", other_admin)


def _merged(usual: Mapping[str, Any], changes: Mapping[str, Any] | None) -> dict[str, Any]:
    merged = {**usual, **(changes or {})}
    return {name: value for name, value in merged.items() if value is not None}


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
