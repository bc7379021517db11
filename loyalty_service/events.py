"""The telemetry events of Loyalty, one function each: a queue may one day replace the body."""

from __future__ import annotations

import logging

from casino.loyalty.v1 import loyalty_pb2

_logger = logging.getLogger("loyalty_telemetry")


def points_update_requested(response: loyalty_pb2.AccruePointsFromSlipResponse) -> None:
    """Says that a slip asked for its points, and what it got."""
    entry = response.entry
    _logger.info(
        "POINTS_UPDATE_REQUESTED",
        extra={
            "player_id": entry.player_id,
            "points": entry.points_delta,
            "tier": entry.tier_after,
            "session_id": entry.rating_slip_id,
            "is_existing": response.is_existing,
        },
    )
