"""The Loyalty service's settings: `LOYALTY_…` variables."""

from __future__ import annotations

import pydantic_settings

from chassis.config import ServiceSettings

ENVIRONMENT_PREFIX = "LOYALTY_"


class LoyaltySettings(ServiceSettings):
    """What Loyalty is told beyond every service's settings."""

    model_config = pydantic_settings.SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, frozen=True)

    # Who signs the tokens of calling services, and a file or URL with the public
    # keys. Only this issuer may give the role `service`, and it may give no other.
    service_token_issuer: str
    service_jwks: str
