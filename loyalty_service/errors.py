"""Loyalty's errors: SQLSTATE ↔ gRPC code ↔ reason, in one place."""

from __future__ import annotations

import json
import uuid
from typing import NamedTuple

import asyncpg
import grpc

from chassis.context import Role
from chassis.errors import (
    FieldViolation,
    Resource,
    ServiceError,
    invalid_request,
    unavailable,
)

DOMAIN = "loyalty.casino"

# When a limiter that cannot be asked may be there again.
LIMITER_RETRY_SECONDS = 1.0


class _Known(NamedTuple):
    code: grpc.StatusCode
    reason: str
    # A sentence for people; {names} are those of the metadata.
    text: str
    # The kind of thing it is about, and where the metadata names it.
    resource: tuple[str, str] | None = None
    # The field of the request that is to blame.
    field: str = ""


# The states our SQL raises (class LY), whose DETAIL is the metadata as JSON, and the one
# of PostgreSQL's that has a meaning of ours: 22003, a number that does not fit in 64
# bits. LY001, a context that is incomplete, is a fault of this service and stays
# INTERNAL.
_BY_SQLSTATE = {
    "LY002": _Known(
        grpc.StatusCode.ALREADY_EXISTS,
        "IDEMPOTENCY_KEY_CONFLICT",
        "the idempotency key was used for another request, whose entry is {entryId}; "
        "nothing was written",
    ),
    "LY003": _Known(
        grpc.StatusCode.NOT_FOUND,
        "PLAYER_NOT_FOUND",
        "player {playerId} has no points in this casino",
        resource=("player", "playerId"),
    ),
    "LY004": _Known(
        grpc.StatusCode.FAILED_PRECONDITION,
        "INSUFFICIENT_BALANCE",
        "the balance is {balance} points, and {points} were asked for",
    ),
    "LY005": _Known(
        grpc.StatusCode.FAILED_PRECONDITION,
        "OVERDRAW_EXCEEDS_CAP",
        "{points} points off a balance of {balance} go below the floor of {overdrawFloor}",
    ),
    "LY006": _Known(
        grpc.StatusCode.NOT_FOUND,
        "ENTRY_NOT_FOUND",
        "there is no ledger entry {entryId} in this casino",
        resource=("ledger_entry", "entryId"),
    ),
    "LY007": _Known(
        grpc.StatusCode.FAILED_PRECONDITION,
        "NOT_REVERSIBLE",
        "entry {entryId} is a reversal, which cannot be reversed",
    ),
    "LY008": _Known(
        grpc.StatusCode.FAILED_PRECONDITION,
        "SLIP_NOT_ACCRUED",
        "rating slip {slipId} has no base accrual for this player that stands",
    ),
    "LY009": _Known(
        grpc.StatusCode.FAILED_PRECONDITION,
        "PROMOTION_WITHOUT_POINTS",
        "{basePoints} points times {multiplier} give nothing more",
    ),
    "LY010": _Known(
        grpc.StatusCode.ABORTED,
        "PROGRAM_VERSION_CONFLICT",
        "the newest version of the program is {currentVersion}; read it and try again",
    ),
    "LY011": _Known(
        grpc.StatusCode.INVALID_ARGUMENT,
        "EFFECTIVE_TIME_TOO_EARLY",
        "a new version can come into force from {earliestTime} on",
        field="effective_time",
    ),
    "LY013": _Known(
        grpc.StatusCode.FAILED_PRECONDITION,
        "LEDGER_NOT_INTACT",
        "the ledger of player {playerId} does not verify from entry {entryNumber} on",
    ),
    # Not final for a close: once the balance is repaired, the slip gets its points.
    "LY014": _Known(
        grpc.StatusCode.DATA_LOSS,
        "BALANCE_DRIFTED",
        "the balance of player {playerId} is not what the ledger says, and nothing more is "
        "written until ReconcileBalance has repaired it",
    ),
    "22003": _Known(
        grpc.StatusCode.OUT_OF_RANGE,
        "POINTS_OUT_OF_RANGE",
        "the points or the balance would not fit in 64 bits; nothing was written",
    ),
}


# LY012: of all that is checked, only the database knows which time zones there are.
_UNKNOWN_TIME_ZONE = FieldViolation("terms.time_zone", "is not a time zone of the IANA database")


def from_postgres(error: asyncpg.PostgresError) -> ServiceError | None:
    """The error a caller sees for a SQLSTATE of ours; None for any other."""
    state = error.sqlstate or ""
    if state == "LY012":
        return invalid_request([_UNKNOWN_TIME_ZONE])
    known = _BY_SQLSTATE.get(state)
    if known is None:
        return None
    metadata = json.loads(error.detail) if state.startswith("LY") and error.detail else {}
    return _error(known, metadata)


def player_not_found(player_id: uuid.UUID) -> ServiceError:
    """NOT_FOUND, the same for a player of another casino and for one who never was."""
    return _error(_BY_SQLSTATE["LY003"], {"playerId": str(player_id)})


def adjustment_not_authorized(role: Role) -> ServiceError:
    """PERMISSION_DENIED: only an administrator takes points by hand."""
    return ServiceError(
        grpc.StatusCode.PERMISSION_DENIED,
        "ADJUSTMENT_NOT_AUTHORIZED",
        f"role {role.value} may not take points by hand",
        metadata={"role": role.value},
    )


def overdraw_not_authorized(role: Role) -> ServiceError:
    """PERMISSION_DENIED: who may redeem may not always let a player overdraw."""
    return ServiceError(
        grpc.StatusCode.PERMISSION_DENIED,
        "OVERDRAW_NOT_AUTHORIZED",
        f"role {role.value} may not allow an overdraw",
        metadata={"role": role.value},
    )


def rate_limit_exceeded(limit: str, retry_after_seconds: float) -> ServiceError:
    """RESOURCE_EXHAUSTED with RetryInfo: the same call is let in after the delay."""
    return ServiceError(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "RATE_LIMIT_EXCEEDED",
        f"no more than {limit} by one staff member",
        metadata={"limit": limit},
        retry_after_seconds=retry_after_seconds,
    )


def rate_limiter_unavailable() -> ServiceError:
    """UNAVAILABLE: a limiter that cannot be asked lets nobody through."""
    return unavailable(
        "RATE_LIMITER_UNAVAILABLE", "the rate limiter cannot be asked", LIMITER_RETRY_SECONDS
    )


def _error(known: _Known, metadata: dict[str, str]) -> ServiceError:
    text = known.text.format(**metadata)
    return ServiceError(
        known.code,
        known.reason,
        text,
        metadata=metadata,
        violations=[FieldViolation(known.field, text)] if known.field else (),
        resource=Resource(known.resource[0], metadata[known.resource[1]])
        if known.resource
        else None,
    )
