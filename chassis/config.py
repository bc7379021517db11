"""Settings from the environment, checked whole before anything starts.

Owns what every service needs; each service adds its own fields and its prefix in a
subclass. It must not know what any of the values is used for.
"""

from __future__ import annotations

import ipaddress
import pathlib
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import pydantic

# A shorter secret could be guessed offline from a single page token.
LEAST_SECRET_CHARACTERS = 32


class ConfigurationError(Exception):
    """The environment is incomplete or wrong; the message lists every variable."""


class ServiceSettings(pydantic.BaseModel):
    """What both services are told. A variable is the prefix and the field in capitals."""

    model_config = pydantic.ConfigDict(frozen=True)
    environment_prefix: ClassVar[str]

    # PostgreSQL, as the service's own role.
    database_url: str
    database_pool_size: int = pydantic.Field(default=10, ge=1, le=200)
    # host:port to serve on; loopback only, unless TLS or allow_insecure says otherwise.
    listen_address: str
    # Who signs staff tokens, for whom, and a file or URL with the public keys.
    token_issuer: str
    token_audience: str
    jwks: str
    # Signs page tokens; the same for every replica.
    page_token_key: str = pydantic.Field(min_length=LEAST_SECRET_CHARACTERS)
    # Server certificate and key in PEM, and the clients' authority for mutual TLS.
    tls_certificate_file: pathlib.Path | None = None
    tls_private_key_file: pathlib.Path | None = None
    tls_client_authority_file: pathlib.Path | None = None
    # Plain text on other than loopback addresses, said in so many words.
    allow_insecure: bool = False
    # The deadline of a call that brings none.
    default_deadline_ms: int = pydantic.Field(default=5_000, ge=100, le=60_000)
    # How long calls under way may still run after SIGTERM.
    drain_grace_ms: int = pydantic.Field(default=10_000, ge=0, le=300_000)
    log_level: str = pydantic.Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")

    @pydantic.model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_certificate_file is None) != (self.tls_private_key_file is None):
            raise ValueError("tls_certificate_file and tls_private_key_file go together")
        if self.tls_client_authority_file and not self.tls_certificate_file:
            raise ValueError("tls_client_authority_file needs a server certificate")
        return self

    @pydantic.model_validator(mode="after")
    def _insecure_is_meant(self) -> Self:
        if not self.tls_certificate_file and not self.allow_insecure:
            require_loopback("listen_address", self.listen_address)
        return self

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Reads and checks the settings; an empty variable counts as unset.

        Raises `ConfigurationError` with every flaw.
        """
        prefix = cls.environment_prefix
        fields = {f"{prefix}{name}".upper(): name for name in cls.model_fields}
        flaws = [
            f"{name}: is not a setting of this service"
            for name in sorted(environment)
            if name.startswith(prefix) and name not in {*fields, _migration_variable(prefix)}
        ]
        given = {
            field: environment[name] for name, field in fields.items() if environment.get(name)
        }
        try:
            settings = cls.model_validate(given)
        except pydantic.ValidationError as error:
            flaws += [_flaw(prefix, each) for each in error.errors()]
        if flaws:
            raise ConfigurationError("\n".join(flaws))
        return settings


def migration_database_url(prefix: str, environment: Mapping[str, str]) -> str:
    """The owner's database URL for `migrate`; raises `ConfigurationError` when missing."""
    name = _migration_variable(prefix)
    if not environment.get(name):
        raise ConfigurationError(f"{name}: is required (the database, as the owner's role)")
    return environment[name]


def require_loopback(field: str, address: str) -> None:
    """Raises `ValueError` when a plain-text address leaves this machine."""
    if not is_loopback(address):
        raise ValueError(
            f"{field} {address} is not a loopback address: configure TLS, or set "
            "ALLOW_INSECURE=true to use plain text on it"
        )


def is_loopback(address: str) -> bool:
    """Whether a host:port names this machine only."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _migration_variable(prefix: str) -> str:
    return f"{prefix}MIGRATION_DATABASE_URL"


def _flaw(prefix: str, error: Any) -> str:
    name = "".join(str(part) for part in error["loc"]).upper()
    reason = "is required" if error["type"] == "missing" else error["msg"]
    return f"{prefix}{name}: {reason}" if name else f"{prefix}…: {reason}"
