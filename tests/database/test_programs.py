"""Which version of a casino's program prices a play, and which day an entry belongs to."""

from __future__ import annotations

import dataclasses
import datetime
import uuid
from fractions import Fraction

import pytest

from tests.database.accruals import (
    PLAY_START,
    SlipCredit,
    accrue,
    insert_player,
    insert_program,
    metadata_of,
)
from tests.databases import Connection
from tests.reference import Tier


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
