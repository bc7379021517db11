"""The hash chain, recomputed without the database: what an auditor would do with an export.

A row is a ledger row as asyncpg reads it. This file must not call any SQL.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import uuid
from collections.abc import Iterable
from typing import Any

from tests.database.accruals import Row

# Stands before a player's first entry.
FIRST_HASH = bytes(32)
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MICROSECOND = datetime.timedelta(microseconds=1)

# What the hash covers, in this order.
_HASHED = (
    *("casino_id", "id", "player_id", "entry_number"),
    *("points_delta", "balance_before", "balance_after", "lifetime_before", "lifetime_after"),
    *("tier_before", "tier_after", "tier_progress_percent"),
    *("reason", "source_kind", "source_id", "rating_slip_id", "visit_id", "campaign_id"),
    *("reversed_entry_id", "staff_id", "acting_service", "correlation_id", "idempotency_key"),
    *("fingerprint", "note", "metadata", "gaming_day", "recorded_time", "effective_time"),
)


def entry_hash(row: Row) -> bytes:
    """The hash that a row must have, by its content and its `previous_hash`."""
    content = jsonb_text([_hashed(column, row[column]) for column in _HASHED])
    return hashlib.sha256(row["previous_hash"] + content.encode()).digest()


def assert_chained(entries: Iterable[Row]) -> None:
    """One player's entries, oldest first, are numbered and chained from the first one on."""
    previous_hash, balance, lifetime = FIRST_HASH, 0, 0
    for number, entry in enumerate(entries, start=1):
        assert entry["entry_number"] == number
        assert entry["previous_hash"] == previous_hash
        assert entry["hash"] == entry_hash(entry)
        assert (entry["balance_before"], entry["lifetime_before"]) == (balance, lifetime)
        assert entry["balance_after"] == balance + entry["points_delta"]
        previous_hash = entry["hash"]
        balance, lifetime = entry["balance_after"], entry["lifetime_after"]


def jsonb_text(value: object) -> str:
    """JSON as PostgreSQL prints a jsonb: short keys before long ones, then by their bytes."""
    return json.dumps(_in_jsonb_order(value), ensure_ascii=False)


def _in_jsonb_order(value: object) -> object:
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: (len(key.encode()), key.encode()))
        return {key: _in_jsonb_order(value[key]) for key in keys}
    if isinstance(value, list):
        return [_in_jsonb_order(each) for each in value]
    return value


def _hashed(column: str, value: Any) -> object:
    if column == "metadata":
        return json.loads(value)
    match value:
        case bytes():
            return value.hex()
        case datetime.datetime():
            return (value - EPOCH) // MICROSECOND
        case datetime.date() | uuid.UUID():
            return str(value)
        case _:
            return value
