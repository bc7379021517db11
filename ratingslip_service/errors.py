"""RatingSlip's errors: SQLSTATE ↔ gRPC code ↔ reason, in one place."""

from __future__ import annotations

import dataclasses
import uuid

import asyncpg
import grpc

from chassis.errors import FieldViolation, Resource, ServiceError

DOMAIN = "ratingslip.casino"
RECOVERY_RPC = "casino.ratingslip.v1.RatingSlipService/RecoverSlipLoyalty"

RATING_SLIP_NOT_FOUND = "RATING_SLIP_NOT_FOUND"
SLIP_NOT_CLOSED = "SLIP_NOT_CLOSED"
PARTIAL_COMPLETION = "PARTIAL_COMPLETION"
LOYALTY_UNAVAILABLE = "LOYALTY_UNAVAILABLE"
LOYALTY_REFUSED = "LOYALTY_REFUSED"

# A caller who waits this long finds most short outages of Loyalty over.
LOYALTY_RETRY_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class _Known:
    code: grpc.StatusCode
    reason: str
    text: str


# The states our SQL raises (class RS). RS001, a context that is incomplete, is a fault
# of this service and stays INTERNAL; RS002 is `rating_slip_not_found`.
_BY_SQLSTATE = {
    "RS003": _Known(
        grpc.StatusCode.ALREADY_EXISTS,
        "IDEMPOTENCY_KEY_CONFLICT",
        "the idempotency key was used for another request; nothing was changed",
    ),
    "RS004": _Known(
        grpc.StatusCode.FAILED_PRECONDITION, "SLIP_NOT_OPEN", "the slip is paused or closed"
    ),
    "RS005": _Known(
        grpc.StatusCode.FAILED_PRECONDITION, "SLIP_NOT_PAUSED", "the slip is open or closed"
    ),
    "RS006": _Known(grpc.StatusCode.FAILED_PRECONDITION, "SLIP_CLOSED", "the slip is closed"),
    "RS007": _Known(
        grpc.StatusCode.ALREADY_EXISTS, "VISIT_HAS_ACTIVE_SLIP", "the visit has an active slip"
    ),
    "RS008": _Known(
        grpc.StatusCode.ALREADY_EXISTS, "SEAT_HAS_ACTIVE_SLIP", "the seat has an active slip"
    ),
    "RS009": _Known(
        grpc.StatusCode.INVALID_ARGUMENT,
        "EVENT_TIME_OUT_OF_ORDER",
        "the time lies before the slip's last event",
    ),
    "RS010": _Known(
        grpc.StatusCode.INVALID_ARGUMENT, "EVENT_TIME_IN_FUTURE", "the time lies in the future"
    ),
    "RS011": _Known(
        grpc.StatusCode.INVALID_ARGUMENT,
        "START_TIME_TOO_OLD",
        "the start lies more than 48 hours back",
    ),
    "RS012": _Known(
        grpc.StatusCode.INVALID_ARGUMENT, "CURRENCY_MISMATCH", "the slip is in another currency"
    ),
}
# These name the slip that stands in the way.
_NAMES_A_SLIP = frozenset({"RS003", "RS007", "RS008"})


def from_postgres(error: asyncpg.PostgresError) -> ServiceError | None:
    """The error a caller sees for a SQLSTATE of ours; None for any other."""
    state = error.sqlstate or ""
    if state == "RS002":
        return rating_slip_not_found(error.detail or "")
    known = _BY_SQLSTATE.get(state)
    if known is None:
        return None
    slip_id = error.detail if state in _NAMES_A_SLIP and error.detail else ""
    field = error.column_name
    text = f"{known.text} ({slip_id or field})" if slip_id or field else known.text
    return ServiceError(
        known.code,
        known.reason,
        text,
        metadata={"slipId": slip_id} if slip_id else {},
        violations=[FieldViolation(field, known.text)] if field else (),
    )


def rating_slip_not_found(rating_slip_id: uuid.UUID | str) -> ServiceError:
    """NOT_FOUND, the same for a slip of another casino and for one that never was."""
    return ServiceError(
        grpc.StatusCode.NOT_FOUND,
        RATING_SLIP_NOT_FOUND,
        f"there is no rating slip {rating_slip_id} in this casino",
        metadata={"slipId": str(rating_slip_id)},
        resource=Resource("rating_slip", str(rating_slip_id)),
    )


def slip_not_closed(rating_slip_id: uuid.UUID) -> ServiceError:
    """FAILED_PRECONDITION: only a closed slip can be recovered."""
    return ServiceError(
        grpc.StatusCode.FAILED_PRECONDITION,
        SLIP_NOT_CLOSED,
        f"rating slip {rating_slip_id} is not closed; complete it first",
        metadata={"slipId": str(rating_slip_id)},
    )


def partial_completion(
    rating_slip_id: uuid.UUID, correlation_id: str, cause: str, *, final: bool
) -> ServiceError:
    """The slip is closed and its points are not credited.

    `cause` is Loyalty's reason. `final` says that no retry can help: FAILED_PRECONDITION
    instead of UNAVAILABLE.
    """
    code = grpc.StatusCode.FAILED_PRECONDITION if final else grpc.StatusCode.UNAVAILABLE
    advice = "someone must look" if final else f"call {RECOVERY_RPC} to finish it"
    return ServiceError(
        code,
        PARTIAL_COMPLETION,
        f"rating slip {rating_slip_id} is closed, but its points are not credited ({cause}); "
        f"{advice}; correlation {correlation_id}",
        metadata={
            "slipId": str(rating_slip_id),
            "recoveryRpc": RECOVERY_RPC,
            "loyaltyReason": cause,
        },
        retry_after_seconds=None if final else LOYALTY_RETRY_SECONDS,
    )


def cause_of(error: ServiceError) -> str:
    """Why a `partial_completion` has no points; of any other error its own reason."""
    return error.metadata.get("loyaltyReason", error.reason)


def is_final(error: ServiceError) -> bool:
    """Whether a `partial_completion` is one that no retry can help."""
    return error.code is grpc.StatusCode.FAILED_PRECONDITION


def loyalty_unavailable(rating_slip_id: uuid.UUID, cause: str) -> ServiceError:
    """UNAVAILABLE with RetryInfo: Loyalty could not say what a slip would earn.

    `cause` is Loyalty's reason, or the name of the gRPC code.
    """
    return ServiceError(
        grpc.StatusCode.UNAVAILABLE,
        LOYALTY_UNAVAILABLE,
        f"Loyalty cannot be asked about rating slip {rating_slip_id} ({cause})",
        metadata={"slipId": str(rating_slip_id), "loyaltyReason": cause},
        retry_after_seconds=LOYALTY_RETRY_SECONDS,
    )


def loyalty_refused(rating_slip_id: uuid.UUID, cause: str) -> ServiceError:
    """FAILED_PRECONDITION: Loyalty would never credit the slip; `cause` is its reason."""
    return ServiceError(
        grpc.StatusCode.FAILED_PRECONDITION,
        LOYALTY_REFUSED,
        f"Loyalty would refuse rating slip {rating_slip_id} for good ({cause})",
        metadata={"slipId": str(rating_slip_id), "loyaltyReason": cause},
    )
