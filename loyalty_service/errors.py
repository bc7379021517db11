"""Loyalty's errors: SQLSTATE ↔ gRPC code ↔ reason, in one place."""

from __future__ import annotations

import uuid

import asyncpg
import grpc

from chassis.errors import Resource, ServiceError

DOMAIN = "loyalty.casino"

IDEMPOTENCY_KEY_CONFLICT = "IDEMPOTENCY_KEY_CONFLICT"
PLAYER_NOT_FOUND = "PLAYER_NOT_FOUND"
POINTS_OUT_OF_RANGE = "POINTS_OUT_OF_RANGE"

# The states our SQL raises (class LY), and the one of PostgreSQL's that has a
# meaning of ours: 22003, a number that does not fit in 64 bits. LY001, a context
# that is incomplete, is a fault of this service and stays INTERNAL.
_BY_SQLSTATE = {
    "LY002": (
        grpc.StatusCode.ALREADY_EXISTS,
        IDEMPOTENCY_KEY_CONFLICT,
        "the idempotency key was used for another request; nothing was written",
    ),
    "22003": (
        grpc.StatusCode.OUT_OF_RANGE,
        POINTS_OUT_OF_RANGE,
        "the points or the balance would not fit in 64 bits; nothing was written",
    ),
}


def from_postgres(error: asyncpg.PostgresError) -> ServiceError | None:
    """The error a caller sees for a SQLSTATE of ours; None for any other."""
    known = _BY_SQLSTATE.get(error.sqlstate or "")
    if known is None:
        return None
    code, reason, text = known
    # LY002 names the entry that holds the key.
    metadata = {"entryId": error.detail} if error.sqlstate == "LY002" and error.detail else {}
    return ServiceError(code, reason, text, metadata=metadata)


def player_not_found(player_id: uuid.UUID) -> ServiceError:
    """NOT_FOUND, the same for a player of another casino and for one who never was."""
    return ServiceError(
        grpc.StatusCode.NOT_FOUND,
        PLAYER_NOT_FOUND,
        f"player {player_id} has no points in this casino",
        metadata={"playerId": str(player_id)},
        resource=Resource("player", str(player_id)),
    )
