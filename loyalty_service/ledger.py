"""The ledger in PostgreSQL: one method for each SQL function, and nothing else names one.

The verified context goes in front of the arguments in `chassis.database`. It must
not know a proto message, a role or a gRPC code.
"""

from __future__ import annotations

import datetime
import uuid
from typing import NamedTuple

import asyncpg

from chassis.database import Database
from loyalty_service.play import Play


class EntryFilter(NamedTuple):
    """Which entries a list holds; None does not filter. In the SQL function's order."""

    player_id: uuid.UUID | None
    reason: str | None
    rating_slip_id: uuid.UUID | None
    visit_id: uuid.UUID | None
    campaign_id: uuid.UUID | None
    staff_id: uuid.UUID | None
    correlation_id: str | None
    recorded_from: datetime.datetime | None
    recorded_before: datetime.datetime | None


class EntryPosition(NamedTuple):
    """A row's place in the list: its number for one player, time and ID for a casino."""

    entry_number: int | None = None
    recorded_time: datetime.datetime | None = None
    entry_id: uuid.UUID | None = None


class Ledger:
    """Calls the ledger's SQL functions. Every method raises `ServiceError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def accrue_points_from_slip(
        self,
        acting_service: str | None,
        idempotency_key: str,
        fingerprint: bytes,
        player_id: uuid.UUID,
        rating_slip_id: uuid.UUID,
        visit_id: uuid.UUID,
        play: Play,
    ) -> asyncpg.Record:
        """The slip's entry, with `is_existing`.

        Raises IDEMPOTENCY_KEY_CONFLICT, POINTS_OUT_OF_RANGE.
        """
        rows = await self._database.fetch(
            "accrue_points_from_slip",
            "(r.entry).*, r.is_existing",
            acting_service,
            idempotency_key,
            fingerprint,
            player_id,
            rating_slip_id,
            visit_id,
            *play,
        )
        return rows[0]

    async def get_player_loyalty(self, player_id: uuid.UUID) -> asyncpg.Record | None:
        """The player's standing; None when no entry was ever written."""
        rows = await self._database.fetch("get_player_loyalty", "r.*", player_id)
        return rows[0] if rows else None

    async def list_ledger_entries(
        self, row_limit: int, after: EntryPosition, entry_filter: EntryFilter
    ) -> list[asyncpg.Record]:
        """At most `row_limit` entries after a position, newest first."""
        return await self._database.fetch(
            "list_ledger_entries",
            "r.*",
            row_limit,
            *after,
            *entry_filter,
        )
