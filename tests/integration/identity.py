"""Tokens of the tests' casinos: one identity provider for staff, one issuer for services.

It signs whatever it is asked for; what a service accepts is the tests' business.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.local.identity import (
    LOYALTY_AUDIENCE,
    RATINGSLIP_AUDIENCE,
    SERVICE_ISSUER,
    STAFF_ISSUER,
    Keyring,
    StaffTokens,
)

# What a service's token says about who made the call.
ACTING_SERVICE = "ratingslip"

__all__ = [
    "ACTING_SERVICE",
    "LOYALTY_AUDIENCE",
    "RATINGSLIP_AUDIENCE",
    "SERVICE_ISSUER",
    "STAFF_ISSUER",
    "Identity",
]


class Identity:
    """The issuers both services trust, with their keys in a directory."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, exist_ok=True)
        self.keyring = Keyring(directory)
        self._staff = StaffTokens(self.keyring.staff)
        self._services = StaffTokens(
            self.keyring.ratingslip, issuer=SERVICE_ISSUER, audiences=(LOYALTY_AUDIENCE,)
        )

    def staff_token(self, role: str, casino_id: str, staff_id: str, **changes: Any) -> str:
        """A token of the staff issuer; `changes` are those of `StaffTokens.mint`."""
        return self._staff.mint(role, casino_id=casino_id, staff_id=staff_id, **changes)

    def service_token(
        self,
        casino_id: str,
        staff_id: str,
        *,
        role: str = "service",
        claims: Mapping[str, Any] | None = None,
    ) -> str:
        """A token of the service issuer, on behalf of a staff member."""
        usual = {"act": {"sub": ACTING_SERVICE}}
        return self._services.mint(
            role, casino_id=casino_id, staff_id=staff_id, claims={**usual, **(claims or {})}
        )
