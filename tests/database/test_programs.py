"""Which version of a casino's program prices a play, and which day an entry belongs to."""

from __future__ import annotations

import dataclasses
import datetime
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from fractions import Fraction

import pytest

from chassis.context import Role
from chassis.errors import ServiceError
from loyalty_service.ledger import Ledger
from loyalty_service.program import ProgramTier, ProgramUpdate, Terms
from tests.database.accruals import (
    PLAY_START,
    Row,
    SlipCredit,
    accrue,
    calling,
    insert_player,
    insert_program,
    metadata_of,
    opened_ledger,
)
from tests.database.clock import set_clock, stop_clock
from tests.database.entries import RedemptionRequest, RewardRequest, send
from tests.databases import Connection, TestDatabase
from tests.reference import Tier

DAY = datetime.timedelta(days=1)
MICROSECOND = datetime.timedelta(microseconds=1)
# Twice the default's points, tiers of another kind, and no overdraw.
TERMS = Terms(
    points_per_unit=Decimal(20),
    rounding="nearest",
    tiers=[ProgramTier("PEARL", 0, Decimal(1)), ProgramTier("RUBY", 100, Decimal("1.5"))],
    overdraw_floor=0,
    time_zone="Pacific/Auckland",
    gaming_day_start=datetime.time(4, 30),
)


@pytest.fixture
async def ledger(loyalty_database: TestDatabase) -> AsyncIterator[Ledger]:
    async with opened_ledger(loyalty_database, 2) as ledger:
        yield ledger


async def update(ledger: Ledger, casino_id: uuid.UUID, asked: ProgramUpdate) -> Row:
    """Sends it as the service does; raises `ServiceError`."""
    with calling(casino_id, casino_id, Role.ADMIN):
        return dict(await ledger.update_loyalty_program(asked))


async def test_the_program_in_force_when_play_began_pays(
    loyalty_service_role: Connection, superuser: Connection
) -> None:
    credit = SlipCredit()
    changes = PLAY_START, PLAY_START + datetime.timedelta(days=1)
    for version, (moment, rate) in enumerate(zip(changes, ("7", "20"), strict=True), start=1):
        await insert_program(
            superuser,
            credit.casino_id,
            version=version,
            effective_time=moment,
            points_per_unit=rate,
        )

    microsecond = datetime.timedelta(microseconds=1)
    paid = []
    # The play of each slip but the last runs on into the next version.
    for start in (changes[0] - microsecond, changes[0], changes[1] - microsecond, changes[1]):
        slip = dataclasses.replace(
            credit.for_another_slip(), player_id=uuid.uuid4(), start_time=start
        )
        entry = await accrue(loyalty_service_role, slip)
        paid.append((metadata_of(entry)["programVersion"], entry["points_delta"]))

    assert paid == [("0", 1050), ("1", 735), ("1", 735), ("2", 2100)]


async def test_the_program_in_force_now_says_which_tier_results(
    loyalty_service_role: Connection, superuser: Connection
) -> None:
    credit = SlipCredit()
    ladder = [Tier("PEARL", 0, Fraction(3)), Tier("RUBY", 2_000, Fraction(5))]
    await insert_program(
        superuser,
        credit.casino_id,
        effective_time=PLAY_START + datetime.timedelta(days=1),
        tiers=ladder,
    )
    await insert_player(superuser, credit.casino_id, credit.player_id, lifetime_points=1_000)

    entry = await accrue(loyalty_service_role, credit)

    # The play was in the days of SILVER, at 1.25.
    assert (entry["points_delta"], entry["lifetime_after"]) == (1312, 2312)
    assert (entry["tier_after"], entry["tier_progress_percent"]) == ("RUBY", 100)


async def test_a_version_of_the_future_rules_everything_from_its_moment_on(
    ledger: Ledger, superuser: Connection
) -> None:
    casino_id, player_id = uuid.uuid4(), uuid.uuid4()
    # Four in the afternoon in Auckland, where it is winter.
    change = PLAY_START + datetime.timedelta(hours=8)
    await stop_clock(superuser, change - DAY)
    await update(ledger, casino_id, ProgramUpdate(0, TERMS, change))

    seen = {}
    for moment in (change - MICROSECOND, change):
        await set_clock(superuser, moment)
        credit = SlipCredit(casino_id, player_id, start_time=moment)
        paid = await send(ledger, credit)
        with calling(casino_id, casino_id):
            standing = await ledger.get_player_loyalty(player_id)
            program = await ledger.get_loyalty_program(None)
        assert standing is not None
        seen[moment] = (
            program["version"],
            (metadata_of(paid)["programVersion"], paid["points_delta"], paid["tier_after"]),
            (standing["tier"], standing["next_tier"]),
            paid["gaming_day"],
        )

    # 1050 of BRONZE, then twice that in RUBY: 1050 points were enough for it already.
    assert seen == {
        change - MICROSECOND: (
            0,
            ("0", 1050, "SILVER"),
            ("SILVER", "GOLD"),
            datetime.date(2024, 6, 1),
        ),
        change: (1, ("1", 3150, "RUBY"), ("RUBY", ""), datetime.date(2024, 6, 2)),
    }


async def test_the_overdraw_floor_is_the_one_in_force_now(
    ledger: Ledger, superuser: Connection
) -> None:
    casino_id, player_id = uuid.uuid4(), uuid.uuid4()
    await stop_clock(superuser, PLAY_START)
    await update(ledger, casino_id, ProgramUpdate(0, TERMS, PLAY_START + DAY))
    await send(ledger, RewardRequest(casino_id=casino_id, player_id=player_id, points=10))

    def overdraw(points: int) -> RedemptionRequest:
        return RedemptionRequest(
            casino_id=casino_id, player_id=player_id, points=points, allow_overdraw=True
        )

    assert (await send(ledger, overdraw(11)))["balance_after"] == -1
    await set_clock(superuser, PLAY_START + DAY)
    with pytest.raises(ServiceError, match="OVERDRAW_EXCEEDS_CAP"):
        await send(ledger, overdraw(1))


async def test_a_version_may_come_into_force_at_this_very_moment_and_no_earlier(
    ledger: Ledger, superuser: Connection
) -> None:
    casino_id = uuid.uuid4()
    await stop_clock(superuser, PLAY_START)

    for too_early in (PLAY_START - MICROSECOND, PLAY_START - DAY):
        with pytest.raises(ServiceError, match="EFFECTIVE_TIME_TOO_EARLY") as refused:
            await update(ledger, casino_id, ProgramUpdate(0, TERMS, too_early))
        assert refused.value.metadata == {"earliestTime": "2024-06-01T20:00:00.000000Z"}

    first = await update(ledger, casino_id, ProgramUpdate(0, TERMS, PLAY_START))
    assert first["effective_time"] == first["created_time"] == PLAY_START
    # Two versions cannot begin at one moment, even when none was asked for.
    with pytest.raises(ServiceError, match="EFFECTIVE_TIME_TOO_EARLY") as refused:
        await update(ledger, casino_id, ProgramUpdate(1, TERMS, None))
    assert refused.value.metadata == {"earliestTime": "2024-06-01T20:00:00.000001Z"}


async def test_what_was_asked_for_now_is_not_what_was_asked_for_later(
    ledger: Ledger, superuser: Connection
) -> None:
    casino_id = uuid.uuid4()
    await stop_clock(superuser, PLAY_START)
    await update(ledger, casino_id, ProgramUpdate(0, TERMS, PLAY_START + DAY))

    again = await update(ledger, casino_id, ProgramUpdate(0, TERMS, PLAY_START + DAY))
    with pytest.raises(ServiceError, match="PROGRAM_VERSION_CONFLICT"):
        await update(ledger, casino_id, ProgramUpdate(0, TERMS, None))

    assert again["is_existing"]


@pytest.mark.parametrize(
    ("time_zone", "moment", "day"),
    [
        ("UTC", "2026-06-01T05:59:59.999999Z", "2026-05-31"),
        ("UTC", "2026-06-01T06:00:00Z", "2026-06-01"),
        ("America/New_York", "2026-06-02T09:59:59.999999Z", "2026-06-01"),
        ("America/New_York", "2026-06-02T10:00:00Z", "2026-06-02"),
        ("Asia/Kolkata", "2026-06-01T00:29:59.999999Z", "2026-05-31"),
        ("Asia/Kolkata", "2026-06-01T00:30:00Z", "2026-06-01"),
        # In the night when clocks go forward, and when they go back: six on the wall.
        ("America/New_York", "2026-03-08T09:59:59.999999Z", "2026-03-07"),
        ("America/New_York", "2026-03-08T10:00:00Z", "2026-03-08"),
        ("America/New_York", "2026-11-01T10:59:59.999999Z", "2026-10-31"),
        ("America/New_York", "2026-11-01T11:00:00Z", "2026-11-01"),
    ],
)
async def test_a_gaming_day_begins_at_six_in_the_casinos_own_time(
    superuser: Connection, time_zone: str, moment: str, day: str
) -> None:
    casino_id = uuid.uuid4()
    await insert_program(superuser, casino_id, time_zone=time_zone)

    for session_time_zone in ("UTC", "Pacific/Auckland"):
        await superuser.execute(f"SET TIME ZONE '{session_time_zone}'")
        found = await superuser.fetchval(
            "SELECT loyalty.gaming_day(p, $2::text::timestamptz)"
            " FROM loyalty.loyalty_program AS p WHERE p.casino_id = $1",
            casino_id,
            moment,
        )
        assert found == datetime.date.fromisoformat(day)


async def test_an_entry_belongs_to_the_gaming_day_it_was_recorded_in(
    loyalty_service_role: Connection, superuser: Connection
) -> None:
    credit = SlipCredit()
    # Fourteen hours ahead of UTC: elsewhere it is another day most of the time.
    await insert_program(superuser, credit.casino_id, time_zone="Pacific/Kiritimati")

    entry = await accrue(loyalty_service_role, credit)

    ahead = datetime.timezone(datetime.timedelta(hours=14))
    local = entry["recorded_time"].astimezone(ahead) - datetime.timedelta(hours=6)
    assert entry["gaming_day"] == local.date()
    assert entry["effective_time"] == credit.play.end_time
