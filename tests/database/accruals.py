"""Accruals for tests of the SQL: a request, the ways to send it, and rows to start from.

`accrue` sends it over a given connection, so that a test decides what runs when;
`accrue_as_service` sends it as the service does, with its pool and its retries.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import json
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from opentelemetry import metrics, trace

from chassis.context import Call, Caller, Deadline, Role, enter_call, leave_call
from chassis.database import Database
from chassis.idempotency import fingerprint
from loyalty_service import errors
from loyalty_service.ledger import Attribution, Ledger
from loyalty_service.play import Play
from tests.databases import Connection, TestDatabase
from tests.reference import (
    DEFAULT_POINTS_PER_UNIT,
    DEFAULT_ROUNDING,
    DEFAULT_TIERS,
    Terms,
    Tier,
)

# Nobody waits for these calls but the test, which has a limit of its own.
DEADLINE_SECONDS = 60.0
# A slow machine may take longer to open fifty at once than a call may wait for one.
OPENED_AT_ONCE = 10
ACTING_SERVICE = "https://ratingslip.example"

PLAY_START = datetime.datetime(2024, 6, 1, 20, 0, tzinfo=datetime.UTC)
# Long before any play.
PROGRAM_START = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)

# An hour of blackjack at 100, which gives 1050 points to BRONZE.
HOUR_OF_PLAY = Terms("100", "1.5", "70", "3600")
HOUR_OF_PLAY_POINTS = 1050

Row = dict[str, Any]

# A reward for what was earned, and a correction for what else makes the balance.
_OPEN_ACCOUNT = """
CREATE OR REPLACE FUNCTION pg_temp.open_account(
    p_casino_id uuid, p_player_id uuid, p_earned bigint, p_corrected numeric
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    entry  loyalty.loyalty_ledger;
BEGIN
    PERFORM loyalty.create_player(p_casino_id, p_player_id);
    FOR entry.reason, entry.points_delta IN VALUES
        ('manual_reward', p_earned), ('adjustment', p_corrected)
    LOOP
        CONTINUE WHEN entry.points_delta = 0;
        entry.staff_id := p_player_id;
        entry.correlation_id := 'opening';
        entry.idempotency_key := concat_ws('-', 'opening', p_player_id, entry.reason);
        entry.fingerprint := sha256('');
        entry.source_kind := 'staff';
        entry.source_id := p_player_id;
        PERFORM loyalty.append_entry(
            loyalty.lock_player(p_casino_id, p_player_id), entry,
            CASE entry.reason WHEN 'manual_reward' THEN p_earned ELSE 0 END
        );
    END LOOP;
END
$$
"""
_ACCRUE = """
    SELECT (r.entry).*, r.is_existing FROM loyalty.accrue_points_from_slip(
        $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18
    ) AS r
"""


@dataclasses.dataclass(frozen=True)
class SlipCredit:
    """One request: the same fields are the same request, whoever sends it."""

    casino_id: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)
    player_id: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)
    rating_slip_id: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)
    visit_id: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)
    staff_id: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)
    terms: Terms = HOUR_OF_PLAY
    start_time: datetime.datetime = PLAY_START
    # The slip's ID when it is empty.
    idempotency_key: str = ""

    @property
    def key(self) -> str:
        return self.idempotency_key or str(self.rating_slip_id)

    @property
    def fingerprint(self) -> bytes:
        return fingerprint(
            "AccruePointsFromSlip", self.player_id, self.rating_slip_id, self.visit_id, *self.play
        )

    @property
    def play(self) -> Play:
        return Play(
            average_bet=Decimal(self.terms.average_bet),
            currency_code="USD",
            house_edge_percent=Decimal(self.terms.house_edge_percent),
            decisions_per_hour=int(self.terms.decisions_per_hour),
            point_multiplier=Decimal(self.terms.point_multiplier),
            duration_seconds=int(self.terms.duration_seconds),
            start_time=self.start_time,
            end_time=self.start_time + datetime.timedelta(seconds=int(self.terms.duration_seconds)),
        )

    def for_another_slip(self) -> SlipCredit:
        """The same play by the same player, on another slip."""
        return dataclasses.replace(self, rating_slip_id=uuid.uuid4())


async def accrue(connection: Connection, credit: SlipCredit) -> Row:
    """Sends it once; raises what PostgreSQL raises."""
    row = await connection.fetchrow(
        _ACCRUE,
        credit.casino_id,
        credit.staff_id,
        Role.SERVICE.value,
        "correlation-1",
        ACTING_SERVICE,
        credit.key,
        credit.fingerprint,
        credit.player_id,
        credit.rating_slip_id,
        credit.visit_id,
        *credit.play,
    )
    assert row is not None
    return dict(row)


async def accrue_as_service(ledger: Ledger, credit: SlipCredit) -> Row:
    """Sends it as the service does; raises `ServiceError`."""
    with calling(credit.casino_id, credit.staff_id):
        row = await ledger.accrue_points_from_slip(
            Attribution(ACTING_SERVICE, credit.key, credit.fingerprint),
            credit.player_id,
            credit.rating_slip_id,
            credit.visit_id,
            credit.play,
        )
    return dict(row)


@contextlib.contextmanager
def calling(casino_id: uuid.UUID, staff_id: uuid.UUID, role: Role = Role.SERVICE) -> Iterator[None]:
    """Puts a call by this caller around whatever the service would do for one."""
    acting_service = ACTING_SERVICE if role is Role.SERVICE else None
    caller = Caller(casino_id, staff_id, role, acting_service)
    token = enter_call(Call("test", "correlation-1", Deadline.after(DEADLINE_SECONDS), caller))
    try:
        yield
    finally:
        leave_call(token)


async def _read_nothing(ledger: Ledger) -> None:
    with calling(uuid.uuid4(), uuid.uuid4()):
        assert await ledger.get_player_loyalty(uuid.uuid4()) is None


@contextlib.asynccontextmanager
async def opened_ledger(database: TestDatabase, pool_size: int) -> AsyncIterator[Ledger]:
    """The service's own way to its ledger."""
    pool = Database(
        database.service_url,
        schema="loyalty",
        pool_size=pool_size,
        tracer=trace.NoOpTracer(),
        meter=metrics.NoOpMeter("test"),
        error_mapping=errors.from_postgres,
    )
    await pool.open()
    try:
        ledger = Ledger(pool)
        for connections in range(OPENED_AT_ONCE, pool_size, OPENED_AT_ONCE):
            # Calls under way at once each hold a connection of their own.
            await asyncio.gather(*(_read_nothing(ledger) for _ in range(connections)))
        yield ledger
    finally:
        await pool.close()


def metadata_of(entry: Row) -> Mapping[str, str]:
    """An entry's inputs."""
    metadata: Mapping[str, str] = json.loads(entry["metadata"])
    return metadata


async def insert_program(
    superuser: Connection,
    casino_id: uuid.UUID,
    *,
    version: int = 1,
    effective_time: datetime.datetime = PROGRAM_START,
    points_per_unit: str = DEFAULT_POINTS_PER_UNIT,
    rounding: str = DEFAULT_ROUNDING,
    tiers: Sequence[Tier] = DEFAULT_TIERS,
    overdraw_floor: int = -5000,
    time_zone: str = "UTC",
    gaming_day_start: datetime.time = datetime.time(6),
) -> None:
    """Gives a casino a program version."""
    await superuser.execute(
        """
        INSERT INTO loyalty.loyalty_program (
            casino_id, version, effective_time, points_per_unit, rounding, tiers,
            overdraw_floor, time_zone, gaming_day_start, created_time, created_by_staff_id
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $3, $1)
        """,
        casino_id,
        version,
        effective_time,
        Decimal(points_per_unit),
        rounding,
        [(tier.name, tier.lifetime_start, _decimal(tier)) for tier in tiers],
        overdraw_floor,
        time_zone,
        gaming_day_start,
    )


async def insert_player(
    superuser: Connection,
    casino_id: uuid.UUID,
    player_id: uuid.UUID,
    *,
    lifetime_points: int,
    current_balance: int | None = None,
) -> None:
    """Gives a player a standing, with the entries that explain it.

    Balance and lifetime points agree by default.
    """
    balance = lifetime_points if current_balance is None else current_balance
    await superuser.execute(_OPEN_ACCOUNT)
    await superuser.execute(
        "SELECT pg_temp.open_account($1, $2, $3, $4)",
        casino_id,
        player_id,
        lifetime_points,
        balance - lifetime_points,
    )


async def entries_of(superuser: Connection, casino_id: uuid.UUID) -> list[Row]:
    """A casino's entries, oldest first for each player."""
    rows = await superuser.fetch(
        "SELECT * FROM loyalty.loyalty_ledger WHERE casino_id = $1"
        " ORDER BY player_id, entry_number",
        casino_id,
    )
    return [dict(row) for row in rows]


async def players_of(superuser: Connection, casino_id: uuid.UUID) -> list[Row]:
    """A casino's players."""
    rows = await superuser.fetch(
        "SELECT * FROM loyalty.player_loyalty WHERE casino_id = $1 ORDER BY player_id", casino_id
    )
    return [dict(row) for row in rows]


def _decimal(tier: Tier) -> Decimal:
    return Decimal(tier.multiplier.numerator) / Decimal(tier.multiplier.denominator)
