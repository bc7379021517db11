"""The RatingSlip service's settings: `RATINGSLIP_…` variables."""

from __future__ import annotations

import pathlib
from typing import Self

import pydantic

from chassis.config import ServiceSettings, require_loopback


class RatingSlipSettings(ServiceSettings):
    """What RatingSlip is told beyond every service's settings."""

    environment_prefix = "RATINGSLIP_"

    listen_address: str = "127.0.0.1:50052"

    # Loyalty's host:port; the authority that signed its certificate; and our own
    # certificate and key where it asks for one.
    loyalty_address: str
    loyalty_authority_file: pathlib.Path | None = None
    loyalty_certificate_file: pathlib.Path | None = None
    loyalty_private_key_file: pathlib.Path | None = None
    # The audience of Loyalty's tokens; and whose name and Ed25519 key (PEM) sign the
    # service's own.
    loyalty_token_audience: str
    service_token_issuer: str
    service_token_key_file: pathlib.Path
    service_token_key_id: str

    # How often each replica looks for slips that closed without points.
    recovery_poll_seconds: float = pydantic.Field(default=1.0, ge=0.05, le=3_600)

    @pydantic.model_validator(mode="after")
    def _loyalty_is_safe(self) -> Self:
        if (self.loyalty_certificate_file is None) != (self.loyalty_private_key_file is None):
            raise ValueError("loyalty_certificate_file and loyalty_private_key_file go together")
        if self.loyalty_authority_file is None and not self.allow_insecure:
            require_loopback("loyalty_address", self.loyalty_address)
        return self
