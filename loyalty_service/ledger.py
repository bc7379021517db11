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
from loyalty_service.manual_reward import ManualReward
from loyalty_service.play import Play
from loyalty_service.program import ProgramUpdate
from loyalty_service.promotion import Promotion
from loyalty_service.redemption import Redemption

# What every function that writes an entry answers with.
_ENTRY = "(r.entry).*, r.is_existing"
_PROGRAM = "(r.program).*"


class Attribution(NamedTuple):
    """Under which key an entry is written, and which service asks on whose behalf.

    `fingerprint` tells two requests under one key apart. In the SQL functions' order.
    """

    acting_service: str | None
    idempotency_key: str | None
    fingerprint: bytes


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


class ChainPosition(NamedTuple):
    """Where a verification goes on: with a player's entries after a number.

    Without a player it begins anew, or is at its end.
    """

    player_id: uuid.UUID | None
    entry_number: int


class Ledger:
    """Calls the ledger's SQL functions. Every method raises `ServiceError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def accrue_points_from_slip(
        self,
        attribution: Attribution,
        player_id: uuid.UUID,
        rating_slip_id: uuid.UUID,
        visit_id: uuid.UUID,
        play: Play,
    ) -> asyncpg.Record:
        """The slip's entry, with `is_existing`.

        Raises IDEMPOTENCY_KEY_CONFLICT, POINTS_OUT_OF_RANGE, BALANCE_DRIFTED.
        """
        rows = await self._database.fetch(
            "accrue_points_from_slip",
            _ENTRY,
            *attribution,
            player_id,
            rating_slip_id,
            visit_id,
            *play,
        )
        return rows[0]

    async def issue_manual_reward(
        self, attribution: Attribution, reward: ManualReward
    ) -> asyncpg.Record:
        """The reward's or the correction's entry, with `is_existing`.

        Raises PLAYER_NOT_FOUND, IDEMPOTENCY_KEY_CONFLICT, POINTS_OUT_OF_RANGE, BALANCE_DRIFTED.
        """
        rows = await self._database.fetch("issue_manual_reward", _ENTRY, *attribution, *reward)
        return rows[0]

    async def redeem_points(
        self, attribution: Attribution, redemption: Redemption
    ) -> asyncpg.Record:
        """The redemption's entry, with `is_existing`.

        Raises PLAYER_NOT_FOUND, INSUFFICIENT_BALANCE, OVERDRAW_EXCEEDS_CAP,
        IDEMPOTENCY_KEY_CONFLICT, BALANCE_DRIFTED.
        """
        rows = await self._database.fetch("redeem_points", _ENTRY, *attribution, *redemption)
        return rows[0]

    async def apply_promotion(
        self, attribution: Attribution, promotion: Promotion
    ) -> asyncpg.Record:
        """The promotion's entry, with `is_existing`.

        Raises SLIP_NOT_ACCRUED, PROMOTION_WITHOUT_POINTS, IDEMPOTENCY_KEY_CONFLICT,
        POINTS_OUT_OF_RANGE, BALANCE_DRIFTED.
        """
        rows = await self._database.fetch("apply_promotion", _ENTRY, *attribution, *promotion)
        return rows[0]

    async def reverse_entry(
        self, attribution: Attribution, entry_id: uuid.UUID, note: str
    ) -> asyncpg.Record:
        """The compensating entry, with `is_existing`.

        Raises ENTRY_NOT_FOUND, NOT_REVERSIBLE, IDEMPOTENCY_KEY_CONFLICT,
        POINTS_OUT_OF_RANGE, BALANCE_DRIFTED.
        """
        rows = await self._database.fetch("reverse_entry", _ENTRY, *attribution, entry_id, note)
        return rows[0]

    async def suggest_points(
        self, player_id: uuid.UUID, rating_slip_id: uuid.UUID | None, play: Play
    ) -> asyncpg.Record:
        """What a play would earn, or has earned; raises POINTS_OUT_OF_RANGE."""
        rows = await self._database.fetch("suggest_points", "r.*", player_id, rating_slip_id, *play)
        return rows[0]

    async def get_player_loyalty(self, player_id: uuid.UUID) -> asyncpg.Record | None:
        """The player's standing; None when no entry was ever written."""
        rows = await self._database.fetch("get_player_loyalty", "r.*", player_id)
        return rows[0] if rows else None

    async def check_balance_drift(
        self,
        player_id: uuid.UUID | None,
        after: uuid.UUID | None,
        player_limit: int,
        entry_limit: int,
    ) -> asyncpg.Record:
        """One batch of players, or one player, compared with the entries; findings are audited."""
        rows = await self._database.fetch(
            "check_balance_drift", "r.*", player_id, after, player_limit, entry_limit
        )
        return rows[0]

    async def reconcile_balance(self, player_id: uuid.UUID, reason: str) -> asyncpg.Record:
        """Sets what is cached for a player to what the entries say; the standing now.

        Raises PLAYER_NOT_FOUND, LEDGER_NOT_INTACT.
        """
        rows = await self._database.fetch("reconcile_balance", "r.*", player_id, reason)
        return rows[0]

    async def enrol_casino(self) -> bool:
        """Puts the caller's casino on the schedule of drift checks; whether it is new there."""
        rows = await self._database.fetch("enrol_casino", "r")
        return bool(rows[0]["r"])

    async def list_due_drift_checks(self, row_limit: int) -> list[uuid.UUID]:
        """The casinos whose drift check is due and free, for the scheduler alone."""
        rows = await self._database.fetch("list_due_drift_checks", "r", row_limit)
        return [row["r"] for row in rows]

    async def claim_drift_check(self, holder: uuid.UUID, lease: datetime.timedelta) -> bool:
        """Takes the due check of the caller's casino; whether it was free."""
        rows = await self._database.fetch("claim_drift_check", "r", holder, lease)
        return bool(rows[0]["r"])

    async def finish_drift_check(self, holder: uuid.UUID) -> bool:
        """Gives the check back, done; whether it was still the holder's."""
        rows = await self._database.fetch("finish_drift_check", "r", holder)
        return bool(rows[0]["r"])

    async def verify_ledger(
        self,
        player_id: uuid.UUID | None,
        position: ChainPosition,
        entry_limit: int,
        break_limit: int,
    ) -> asyncpg.Record:
        """What was verified of one player or of the casino, and where to go on."""
        rows = await self._database.fetch(
            "verify_ledger", "r.*", player_id, *position, entry_limit, break_limit
        )
        return rows[0]

    async def get_loyalty_program(self, moment: datetime.datetime | None) -> asyncpg.Record:
        """The version in force at a moment, or now, with `newest_version`."""
        rows = await self._database.fetch(
            "get_loyalty_program", f"{_PROGRAM}, r.newest_version", moment
        )
        return rows[0]

    async def update_loyalty_program(self, update: ProgramUpdate) -> asyncpg.Record:
        """The next version, with `is_existing`.

        Raises PROGRAM_VERSION_CONFLICT, EFFECTIVE_TIME_TOO_EARLY, and INVALID_REQUEST for
        a time zone that the database does not know.
        """
        rows = await self._database.fetch(
            "update_loyalty_program",
            f"{_PROGRAM}, r.is_existing",
            update.base_version,
            *update.terms,
            update.effective_time,
        )
        return rows[0]

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
