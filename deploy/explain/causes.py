"""What can be the matter: the causes, and what a verdict says. Knows no rule and no evidence."""

from __future__ import annotations

import dataclasses
import enum

SAGA_RECOVERY = "docs/runbooks/saga-recovery.md"
CORRELATION_TRACING = "docs/runbooks/correlation-tracing.md"
DRIFT = "docs/runbooks/drift.md"
KEY_ROTATION = "docs/runbooks/key-rotation.md"
DATABASE_FAILOVER = "docs/runbooks/database-failover.md"


class Cause(enum.StrEnum):
    """Why a case is as it is."""

    # The points are in the ledger, and nothing went wrong on the way.
    PAID = "PAID"
    # They are there now, and some attempts had failed.
    PAID_LATE = "PAID_LATE"
    # The slip is not closed, so no points are due.
    IN_PLAY = "IN_PLAY"
    # Loyalty does not answer now.
    LOYALTY_UNREACHABLE = "LOYALTY_UNREACHABLE"
    # It did not answer an attempt, and does now.
    LOYALTY_WAS_AWAY = "LOYALTY_WAS_AWAY"
    # Loyalty wrote the points, and RatingSlip does not know it.
    REPLY_LOST = "REPLY_LOST"
    # Loyalty's database was too slow: a lock, a statement or the pool was waited for too long.
    DATABASE_SLOW = "DATABASE_SLOW"
    # Loyalty could not reach its database.
    DATABASE_AWAY = "DATABASE_AWAY"
    # The player's balance is not what the ledger says, so nothing more is written.
    BALANCE_DRIFTED = "BALANCE_DRIFTED"
    # Loyalty refuses RatingSlip's own token.
    SERVICE_TOKEN_REJECTED = "SERVICE_TOKEN_REJECTED"  # noqa: S105 - a word, no secret
    # Loyalty said no for good.
    REFUSED = "REFUSED"
    # The slip is closed, and no attempt has ended yet that anybody recorded.
    WAITING = "WAITING"
    # Attempts fail for a reason that has no rule of its own here.
    ATTEMPT_FAILED = "ATTEMPT_FAILED"
    # Points moved under this ID, and no slip is part of it.
    LEDGER_ONLY = "LEDGER_ONLY"
    # A call failed before it changed anything; its trace tells.
    CALL_FAILED = "CALL_FAILED"
    # Nothing was found.
    UNKNOWN_ID = "UNKNOWN_ID"
    # RatingSlip could not be asked.
    RATINGSLIP_UNREACHABLE = "RATINGSLIP_UNREACHABLE"
    # The token may not read, so there is nothing to judge by.
    NOT_PERMITTED = "NOT_PERMITTED"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What to tell: `afterwards` finishes the case once the next command has mended its cause."""

    cause: Cause
    sentence: str
    next_command: str
    afterwards: str = ""
    runbook: str = ""
