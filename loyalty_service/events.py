"""The telemetry events of Loyalty, one function each: a queue may one day replace the body."""

from __future__ import annotations

import logging

from casino.loyalty.v1 import loyalty_pb2

_logger = logging.getLogger("loyalty_telemetry")


def points_update_requested(entry: loyalty_pb2.LedgerEntry, *, is_existing: bool) -> None:
    """Says that somebody asked for points to move, and which entry came of it."""
    _logger.info(
        "POINTS_UPDATE_REQUESTED",
        extra={
            "player_id": entry.player_id,
            "reason": loyalty_pb2.LedgerReason.Name(entry.reason),
            "points": entry.points_delta,
            "tier": entry.tier_after,
            "session_id": entry.rating_slip_id,
            "is_existing": is_existing,
        },
    )
