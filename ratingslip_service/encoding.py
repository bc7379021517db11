"""Rows of the slips as messages of the contract."""

from __future__ import annotations

import asyncpg

from casino.ratingslip.v1 import ratingslip_pb2
from chassis import wire
from ratingslip_service.preview import PreviewedSlip

_STATUS_PREFIX = "SLIP_STATUS_"
_LOYALTY_STATE_PREFIX = "LOYALTY_STATE_"
_EVENT_KIND_PREFIX = "SLIP_EVENT_KIND_"


def status_word(status: ratingslip_pb2.SlipStatus.ValueType) -> str | None:
    """The table's word for a status; None when it is not set."""
    if status == ratingslip_pb2.SLIP_STATUS_UNSPECIFIED:
        return None
    return ratingslip_pb2.SlipStatus.Name(status).removeprefix(_STATUS_PREFIX)


def loyalty_state_word(state: ratingslip_pb2.LoyaltyState.ValueType) -> str | None:
    """The table's word for a loyalty state; None when it is not set."""
    if state == ratingslip_pb2.LOYALTY_STATE_UNSPECIFIED:
        return None
    return ratingslip_pb2.LoyaltyState.Name(state).removeprefix(_LOYALTY_STATE_PREFIX)


def encode_slip(row: asyncpg.Record) -> ratingslip_pb2.RatingSlip:
    """A row of `ratingslip.rating_slip` with `play_seconds`."""
    currency = row["currency_code"]
    chips = row["chips_taken"]
    return ratingslip_pb2.RatingSlip(
        rating_slip_id=str(row["id"]),
        player_id=str(row["player_id"]),
        visit_id=str(row["visit_id"]),
        table_id=str(row["table_id"]),
        seat_number=row["seat_number"],
        average_bet=wire.decimal_to_money(row["average_bet"], currency),
        game_settings=ratingslip_pb2.GameSettings(
            game_name=row["game_name"],
            house_edge_percent=wire.decimal_text(row["house_edge_percent"]),
            decisions_per_hour=row["decisions_per_hour"],
            point_multiplier=wire.decimal_text(row["point_multiplier"]),
        ),
        status=ratingslip_pb2.SlipStatus.Value(_STATUS_PREFIX + row["status"]),
        loyalty_state=ratingslip_pb2.LoyaltyState.Value(
            _LOYALTY_STATE_PREFIX + row["loyalty_state"]
        ),
        start_time=wire.datetime_to_timestamp(row["start_time"]),
        last_event_time=wire.datetime_to_timestamp(row["last_event_time"]),
        end_time=wire.optional_timestamp(row["end_time"]),
        duration_seconds=row["play_seconds"],
        chips_taken=None if chips is None else wire.decimal_to_money(chips, currency),
        started_by_staff_id=str(row["started_by_staff_id"]),
        closed_by_staff_id=wire.optional_uuid(row["closed_by_staff_id"]),
        close_correlation_id=row["close_correlation_id"] or "",
        loyalty_entry_id=wire.optional_uuid(row["loyalty_entry_id"]),
        loyalty_refusal_reason=row["loyalty_refusal_reason"] or "",
        create_time=wire.datetime_to_timestamp(row["created_time"]),
        update_time=wire.datetime_to_timestamp(row["updated_time"]),
        recovery_attempt_count=row["recovery_attempt_count"],
        next_recovery_time=wire.optional_timestamp(row["next_recovery_time"]),
    )


def encode_event(row: asyncpg.Record) -> ratingslip_pb2.SlipEvent:
    """A row of `ratingslip.rating_slip_event` with `currency_code`."""
    return ratingslip_pb2.SlipEvent(
        rating_slip_id=str(row["rating_slip_id"]),
        event_number=row["event_number"],
        kind=ratingslip_pb2.SlipEventKind.Value(_EVENT_KIND_PREFIX + row["kind"].upper()),
        event_time=wire.datetime_to_timestamp(row["event_time"]),
        record_time=wire.datetime_to_timestamp(row["recorded_time"]),
        staff_id=str(row["staff_id"]),
        role=row["role"] or "",
        correlation_id=row["correlation_id"],
        trace_id=row["trace_id"] or "",
        idempotency_key=row["idempotency_key"] or "",
        average_bet=wire.decimal_to_money(row["average_bet"], row["currency_code"]),
        reason=row["reason"] or "",
        code=row["code"] or "",
        loyalty_call_ms=row["loyalty_call_ms"] or 0,
    )


def encode_preview(preview: PreviewedSlip) -> ratingslip_pb2.PreviewSlipPointsResponse:
    """A row of `preview_slip_points`, and what Loyalty says it would earn."""
    suggestion = preview.suggestion
    return ratingslip_pb2.PreviewSlipPointsResponse(
        rating_slip=encode_slip(preview.slip),
        points=suggestion.points,
        duration_seconds=preview.slip["frozen_duration_seconds"],
        as_of_time=wire.datetime_to_timestamp(preview.slip["frozen_end_time"]),
        loyalty_entry_id=wire.optional_uuid(suggestion.entry_id),
        tier=suggestion.tier,
        tier_after=suggestion.tier_after,
    )


def encode_loyalty_result(
    row: asyncpg.Record, *, is_existing: bool
) -> ratingslip_pb2.LoyaltyResult:
    """What Loyalty answered, as stored with an accrued slip."""
    return ratingslip_pb2.LoyaltyResult(
        entry_id=str(row["loyalty_entry_id"]),
        points_delta=row["loyalty_points_delta"],
        balance_after=row["loyalty_balance_after"],
        lifetime_points=row["loyalty_lifetime_points"],
        tier_before=row["loyalty_tier_before"],
        tier_after=row["loyalty_tier_after"],
        tier_progress_percent=row["loyalty_tier_progress_percent"],
        is_existing=is_existing,
    )
