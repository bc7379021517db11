"""The Loyalty service's settings: `LOYALTY_…` variables."""

from __future__ import annotations

import pydantic

from chassis.config import ServiceSettings


class LoyaltySettings(ServiceSettings):
    """What Loyalty is told beyond every service's settings."""

    environment_prefix = "LOYALTY_"

    listen_address: str = "127.0.0.1:50051"

    # Who signs the tokens of calling services, and a file or URL with the public
    # keys. Only this issuer may give the role `service`, and it may give no other.
    service_token_issuer: str
    service_jwks: str

    # How often an instance looks for drift checks that are due. They are daily: a minute
    # more is nothing, and the question is one small read.
    drift_poll_seconds: float = pydantic.Field(default=60, gt=0, le=3600)

    # Where replicas count manual rewards together; each on its own when unset.
    rate_limit_redis_url: str | None = pydantic.Field(default=None, pattern="^rediss?://")
