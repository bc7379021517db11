"""The slips in PostgreSQL: one method for each SQL function, and nothing else names one.

The verified context goes in front of the arguments in `chassis.database`. It must
not know a proto message, a role or a gRPC code. Every row is one of
`ratingslip.rating_slip` with `play_seconds`, and `is_existing` after a change.
"""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from typing import NamedTuple

import asyncpg

from chassis.database import Database

# What a change, a reading and a preview select of a function's result.
_CHANGED = "(r.slip).*, r.play_seconds, r.is_existing"
_READ = "(r.slip).*, r.play_seconds"
_PREVIEWED = f"{_READ}, r.frozen_average_bet, r.frozen_duration_seconds, r.frozen_end_time"


class NewSlip(NamedTuple):
    """What a slip begins with, in the SQL function's order."""

    player_id: uuid.UUID
    visit_id: uuid.UUID
    table_id: uuid.UUID
    seat_number: int
    average_bet: Decimal
    currency_code: str
    game_name: str
    house_edge_percent: Decimal
    decisions_per_hour: int
    point_multiplier: Decimal
    start_time: datetime.datetime | None


class Amount(NamedTuple):
    """An amount of money; both parts None when there is none."""

    value: Decimal | None = None
    currency_code: str | None = None


class Accrual(NamedTuple):
    """What Loyalty answered, in the SQL function's order."""

    entry_id: uuid.UUID
    points_delta: int
    balance_after: int
    lifetime_points: int
    tier_before: str
    tier_after: str
    tier_progress_percent: int


class Attempt(NamedTuple):
    """An attempt to credit a slip's points: its trace, and how long Loyalty took.

    In the SQL functions' order.
    """

    trace_parent: str
    loyalty_call_ms: int


class FailedAttempt(NamedTuple):
    """Why an attempt did not credit the points: the gRPC code's name, and the reason."""

    code: str
    reason: str


class IdempotencyKey(NamedTuple):
    """A caller's key and its request's fingerprint; both None without a key."""

    key: str | None
    fingerprint: bytes | None


class SlipFilter(NamedTuple):
    """Which slips a list holds; None does not filter. In the SQL function's order."""

    status: str | None
    loyalty_state: str | None
    player_id: uuid.UUID | None
    table_id: uuid.UUID | None
    started_from: datetime.datetime | None
    started_before: datetime.datetime | None


class SlipPosition(NamedTuple):
    """A row's place in the list."""

    created_time: datetime.datetime | None = None
    rating_slip_id: uuid.UUID | None = None


class EventFilter(NamedTuple):
    """Which events a list holds; None does not filter. In the SQL function's order."""

    rating_slip_id: uuid.UUID | None
    correlation_id: str | None
    trace_id: str | None


class EventPosition(NamedTuple):
    """An event's place in the list."""

    recorded_time: datetime.datetime | None = None
    rating_slip_id: uuid.UUID | None = None
    event_number: int | None = None


class Slips:
    """Calls the slips' SQL functions. Every method raises `ServiceError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def start_rating_slip(self, key: IdempotencyKey, slip: NewSlip) -> asyncpg.Record:
        """The opened slip."""
        rows = await self._database.fetch(
            "start_rating_slip",
            _CHANGED,
            *key,
            *slip,
        )
        return rows[0]

    async def pause_rating_slip(
        self,
        key: IdempotencyKey,
        rating_slip_id: uuid.UUID,
        event_time: datetime.datetime | None,
    ) -> asyncpg.Record:
        """The slip with its clock stopped."""
        rows = await self._database.fetch(
            "pause_rating_slip",
            _CHANGED,
            *key,
            rating_slip_id,
            event_time,
        )
        return rows[0]

    async def resume_rating_slip(
        self,
        key: IdempotencyKey,
        rating_slip_id: uuid.UUID,
        event_time: datetime.datetime | None,
    ) -> asyncpg.Record:
        """The slip with its clock running."""
        rows = await self._database.fetch(
            "resume_rating_slip",
            _CHANGED,
            *key,
            rating_slip_id,
            event_time,
        )
        return rows[0]

    async def update_average_bet(
        self,
        key: IdempotencyKey,
        rating_slip_id: uuid.UUID,
        average_bet: Amount,
        event_time: datetime.datetime | None,
    ) -> asyncpg.Record:
        """The slip with its new average bet."""
        rows = await self._database.fetch(
            "update_average_bet",
            _CHANGED,
            *key,
            rating_slip_id,
            *average_bet,
            event_time,
        )
        return rows[0]

    async def complete_rating_slip(
        self,
        trace_parent: str,
        rating_slip_id: uuid.UUID,
        end_time: datetime.datetime | None,
        average_bet: Amount,
        chips_taken: Amount,
    ) -> asyncpg.Record:
        """The closed slip, committed; `is_existing` when it was closed before."""
        rows = await self._database.fetch(
            "complete_rating_slip",
            _CHANGED,
            trace_parent,
            rating_slip_id,
            end_time,
            *average_bet,
            *chips_taken,
        )
        return rows[0]

    async def record_accrual(
        self, attempt: Attempt, rating_slip_id: uuid.UUID, accrual: Accrual
    ) -> asyncpg.Record:
        """The slip with its points; the first answer that was recorded stays."""
        rows = await self._database.fetch(
            "record_accrual",
            _CHANGED,
            *attempt,
            rating_slip_id,
            *accrual,
        )
        return rows[0]

    async def record_refusal(
        self, attempt: Attempt, rating_slip_id: uuid.UUID, failed: FailedAttempt
    ) -> asyncpg.Record:
        """The slip, REFUSED, unless its points arrived in the meantime."""
        rows = await self._database.fetch(
            "record_refusal",
            _CHANGED,
            *attempt,
            rating_slip_id,
            *failed,
        )
        return rows[0]

    async def record_failure(
        self, attempt: Attempt, rating_slip_id: uuid.UUID, failed: FailedAttempt
    ) -> None:
        """Remembers why an attempt failed; the slip stays as it is."""
        await self._database.fetch(
            "record_failure",
            "r",
            *attempt,
            rating_slip_id,
            *failed,
        )

    async def list_casinos_with_due_slips(self, row_limit: int) -> list[uuid.UUID]:
        """At most `row_limit` casinos whose slips are due for recovery; asked by no casino."""
        rows = await self._database.fetch(
            "list_casinos_with_due_slips",
            "r.casino_id",
            row_limit,
        )
        return [row["casino_id"] for row in rows]

    async def claim_due_slip(self) -> list[asyncpg.Record]:
        """The slip that is overdue longest in the caller's casino, or nothing.

        Whoever claims it is alone with it until its next attempt is due.
        """
        return await self._database.fetch("claim_due_slip", _READ)

    async def count_unsettled_slips(self) -> list[asyncpg.Record]:
        """PENDING and REFUSED slips of every casino, counted, each with the age of its oldest;
        asked by no casino.
        """
        return await self._database.fetch("count_unsettled_slips", "r.*")

    async def preview_slip_points(
        self,
        rating_slip_id: uuid.UUID,
        end_time: datetime.datetime | None,
        average_bet: Amount,
    ) -> asyncpg.Record:
        """The slip as of now, and in `frozen_…` what a close would freeze, or has frozen."""
        rows = await self._database.fetch(
            "preview_slip_points",
            _PREVIEWED,
            rating_slip_id,
            end_time,
            *average_bet,
        )
        return rows[0]

    async def get_rating_slip(self, rating_slip_id: uuid.UUID) -> asyncpg.Record | None:
        """The slip as of now; None when the casino has no such slip."""
        rows = await self._database.fetch(
            "get_rating_slip",
            _READ,
            rating_slip_id,
        )
        return rows[0] if rows else None

    async def list_rating_slips(
        self, row_limit: int, after: SlipPosition, slip_filter: SlipFilter
    ) -> list[asyncpg.Record]:
        """At most `row_limit` slips after a position, the newest created first."""
        return await self._database.fetch(
            "list_rating_slips",
            _READ,
            row_limit,
            *after,
            *slip_filter,
        )

    async def list_slip_events(
        self, row_limit: int, after: EventPosition, event_filter: EventFilter
    ) -> list[asyncpg.Record]:
        """At most `row_limit` events after a position, the oldest recorded first.

        Each is a row of `ratingslip.rating_slip_event` with its slip's `currency_code`.
        """
        return await self._database.fetch(
            "list_slip_events",
            "(r.event).*, r.currency_code",
            row_limit,
            *after,
            *event_filter,
        )
