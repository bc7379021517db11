"""Rows of the ledger as messages of the contract."""

from __future__ import annotations

import json

import asyncpg

from casino.loyalty.v1 import loyalty_pb2
from chassis import wire

_REASON_PREFIX = "LEDGER_REASON_"


def reason_word(reason: loyalty_pb2.LedgerReason.ValueType) -> str | None:
    """The ledger's word for a reason; None when it is not set."""
    if reason == loyalty_pb2.LEDGER_REASON_UNSPECIFIED:
        return None
    return loyalty_pb2.LedgerReason.Name(reason).removeprefix(_REASON_PREFIX).lower()


def encode_entry(row: asyncpg.Record) -> loyalty_pb2.LedgerEntry:
    """A row of `loyalty.loyalty_ledger`."""
    return loyalty_pb2.LedgerEntry(
        entry_id=str(row["id"]),
        entry_number=row["entry_number"],
        player_id=str(row["player_id"]),
        points_delta=row["points_delta"],
        reason=loyalty_pb2.LedgerReason.Value(_REASON_PREFIX + row["reason"].upper()),
        source_kind=row["source_kind"],
        source_id=str(row["source_id"]),
        rating_slip_id=wire.optional_uuid(row["rating_slip_id"]),
        visit_id=wire.optional_uuid(row["visit_id"]),
        campaign_id=wire.optional_uuid(row["campaign_id"]),
        staff_id=str(row["staff_id"]),
        acting_service=row["acting_service"] or "",
        correlation_id=row["correlation_id"],
        idempotency_key=row["idempotency_key"],
        reversed_entry_id=wire.optional_uuid(row["reversed_entry_id"]),
        balance_before=row["balance_before"],
        balance_after=row["balance_after"],
        lifetime_before=row["lifetime_before"],
        lifetime_after=row["lifetime_after"],
        tier_before=row["tier_before"],
        tier_after=row["tier_after"],
        note=row["note"],
        gaming_day=wire.date_to_proto(row["gaming_day"]),
        recorded_time=wire.datetime_to_timestamp(row["recorded_time"]),
        effective_time=wire.datetime_to_timestamp(row["effective_time"]),
        metadata=json.loads(row["metadata"]),
    )


def encode_accrual(row: asyncpg.Record) -> loyalty_pb2.AccruePointsFromSlipResponse:
    """A result of `loyalty.accrue_points_from_slip`."""
    return loyalty_pb2.AccruePointsFromSlipResponse(
        entry=encode_entry(row),
        lifetime_points=row["lifetime_after"],
        tier_progress_percent=row["tier_progress_percent"],
        is_existing=row["is_existing"],
    )


def encode_player(row: asyncpg.Record) -> loyalty_pb2.PlayerLoyalty:
    """A row of `loyalty.get_player_loyalty`."""
    return loyalty_pb2.PlayerLoyalty(
        player_id=str(row["player_id"]),
        current_balance=row["current_balance"],
        lifetime_points=row["lifetime_points"],
        tier=row["tier"],
        tier_progress_percent=row["progress_percent"],
        next_tier=row["next_tier"],
        points_to_next_tier=row["points_to_next"],
        entry_count=row["entry_count"],
        create_time=wire.datetime_to_timestamp(row["created_time"]),
        update_time=wire.datetime_to_timestamp(row["updated_time"]),
    )
