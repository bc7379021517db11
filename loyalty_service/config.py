"""The Loyalty service's settings: `LOYALTY_…` variables."""

from __future__ import annotations

from chassis.config import ServiceSettings


class LoyaltySettings(ServiceSettings):
    """What Loyalty is told beyond every service's settings."""

    environment_prefix = "LOYALTY_"

    listen_address: str = "127.0.0.1:50051"

    # Who signs the tokens of calling services, and a file or URL with the public
    # keys. Only this issuer may give the role `service`, and it may give no other.
    service_token_issuer: str
    service_jwks: str
