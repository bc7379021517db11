"""The telemetry events of RatingSlip, one function each: a queue may one day replace the body."""

from __future__ import annotations

import logging

import asyncpg

from ratingslip_service.errors import RECOVERY_RPC

# Lists the slips that someone must look at, with its filter by loyalty state.
REFUSED_SLIPS_RPC = "casino.ratingslip.v1.RatingSlipService/ListRatingSlips"

_telemetry = logging.getLogger("loyalty_telemetry")
_logger = logging.getLogger("ratingslip")


def rating_slip_completed(slip: asyncpg.Record) -> None:
    """Says that a slip was closed and its points are in the ledger."""
    _telemetry.info(
        "RATING_SLIP_COMPLETED",
        extra={
            "player_id": str(slip["player_id"]),
            "points": slip["loyalty_points_delta"],
            "tier": slip["loyalty_tier_after"],
            "session_id": str(slip["id"]),
        },
    )


def slip_completion_failed(slip: asyncpg.Record, cause: str) -> None:
    """Says that a slip closed without its points, and what to type next."""
    _logger.error(
        "slip_completion_failed",
        extra={
            "rating_slip_id": str(slip["id"]),
            "close_correlation_id": slip["close_correlation_id"],
            "error": cause,
            "recovery_needed": True,
            "next_command": f'grpcurl … -d \'{{"rating_slip_id": "{slip["id"]}"}}\' '
            f"$RATINGSLIP {RECOVERY_RPC}",
        },
    )


def slip_refused(slip: asyncpg.Record) -> None:
    """Says that Loyalty refused a closed slip for good, so that someone must look."""
    _logger.error(
        "slip_refused",
        extra={
            "rating_slip_id": str(slip["id"]),
            "close_correlation_id": slip["close_correlation_id"],
            "error": slip["loyalty_refusal_reason"],
            "next_command": 'grpcurl … -d \'{"loyalty_state": "LOYALTY_STATE_REFUSED"}\' '
            f"$RATINGSLIP {REFUSED_SLIPS_RPC}",
        },
    )
