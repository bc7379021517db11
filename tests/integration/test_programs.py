"""A casino's terms: read, replaced version by version, and paid by."""

from __future__ import annotations

import asyncio
import datetime
import json
from typing import Any

import grpc
import pytest
from google.type import timeofday_pb2
from grpc import StatusCode

from casino.loyalty.v1 import loyalty_pb2
from tests.databases import Connection
from tests.integration.casino import (
    HOUR,
    MINUTE,
    POINTS_OF_AN_HOUR,
    Casino,
    ago,
    complete,
    later,
    new_id,
    read_entries,
    start,
    timestamp,
)
from tests.integration.clients import Client, Refusal
from tests.integration.identity import Identity
from tests.integration.services import Pair

CONFLICT = (StatusCode.ABORTED, "PROGRAM_VERSION_CONFLICT")
TOO_EARLY = (StatusCode.INVALID_ARGUMENT, "EFFECTIVE_TIME_TOO_EARLY")
AT_ONCE = 50
DAY = 24 * HOUR

DEFAULT_TERMS = loyalty_pb2.LoyaltyTerms(
    points_per_unit="10",
    rounding=loyalty_pb2.ROUNDING_FLOOR,
    tiers=[
        loyalty_pb2.ProgramTier(name="BRONZE", lifetime_start=0, multiplier="1"),
        loyalty_pb2.ProgramTier(name="SILVER", lifetime_start=1_000, multiplier="1.25"),
        loyalty_pb2.ProgramTier(name="GOLD", lifetime_start=5_000, multiplier="1.5"),
        loyalty_pb2.ProgramTier(name="PLATINUM", lifetime_start=20_000, multiplier="2"),
    ],
    overdraw_floor=-5_000,
    time_zone="UTC",
    gaming_day_start=timeofday_pb2.TimeOfDay(hours=6),
)
# As far from the default as terms may be.
OTHER_TERMS = loyalty_pb2.LoyaltyTerms(
    points_per_unit="100000",
    rounding=loyalty_pb2.ROUNDING_CEIL,
    tiers=[
        loyalty_pb2.ProgramTier(name="_", lifetime_start=0, multiplier="0"),
        loyalty_pb2.ProgramTier(name="N" * 32, lifetime_start=2**63 - 1, multiplier="0.0001"),
    ],
    overdraw_floor=-(2**63) + 1,
    time_zone="America/Argentina/ComodRivadavia",
    gaming_day_start=timeofday_pb2.TimeOfDay(hours=23, minutes=59),
)


@pytest.fixture
def admin(casino: Casino) -> Client:
    return casino.for_role("admin")


def new_update(base_version: int = 0, **changes: Any) -> loyalty_pb2.UpdateLoyaltyProgramRequest:
    """The next version on this base; changes of `LoyaltyTerms` go into the default's."""
    effective_time = changes.pop("effective_time", None)
    terms = loyalty_pb2.LoyaltyTerms()
    terms.CopyFrom(DEFAULT_TERMS)
    for field, value in changes.items():
        setattr(terms, field, value)
    return loyalty_pb2.UpdateLoyaltyProgramRequest(
        base_version=base_version, terms=terms, effective_time=effective_time
    )


async def update(
    admin: Client, request: loyalty_pb2.UpdateLoyaltyProgramRequest
) -> loyalty_pb2.UpdateLoyaltyProgramResponse:
    return await admin.call(admin.points.UpdateLoyaltyProgram, request)


async def refused(admin: Client, request: loyalty_pb2.UpdateLoyaltyProgramRequest) -> Refusal:
    return await admin.refusal(admin.points.UpdateLoyaltyProgram, request)


async def read(
    reader: Client, time: datetime.datetime | None = None
) -> loyalty_pb2.GetLoyaltyProgramResponse:
    request = loyalty_pb2.GetLoyaltyProgramRequest(time=timestamp(time) if time else None)
    return await reader.call(reader.points.GetLoyaltyProgram, request)


async def test_a_casino_nobody_has_configured_has_version_0_the_products_default(
    casino: Casino,
) -> None:
    default = loyalty_pb2.GetLoyaltyProgramResponse(
        program=loyalty_pb2.LoyaltyProgram(version=0, terms=DEFAULT_TERMS), newest_version=0
    )

    for role in ("cashier", "pit_boss", "admin", "service"):
        assert await read(casino.for_role(role)) == default


async def test_an_update_is_the_next_version_and_is_in_force_at_once(
    casino: Casino, admin: Client
) -> None:
    first = await update(admin, new_update(0))
    second = await update(
        admin, loyalty_pb2.UpdateLoyaltyProgramRequest(base_version=1, terms=OTHER_TERMS)
    )

    program = second.program
    assert (first.program.version, program.version) == (1, 2)
    assert not first.is_existing and not second.is_existing
    assert (first.program.terms, program.terms) == (DEFAULT_TERMS, OTHER_TERMS)
    assert program.effective_time == program.create_time
    assert program.created_by_staff_id == casino.staff_id("admin")
    assert await read(admin) == loyalty_pb2.GetLoyaltyProgramResponse(
        program=program, newest_version=2
    )


async def test_a_slip_that_was_started_before_is_paid_by_the_old_version(
    casino: Casino, boss: Client, admin: Client
) -> None:
    old_slip = await start(boss)
    await update(admin, new_update(points_per_unit="20"))
    new_start = timestamp(ago(datetime.timedelta(0)))
    new_slip = await start(boss, start_time=new_start)

    old = await complete(boss, old_slip)
    new = await complete(boss, new_slip, end_time=new_slip.start_time)

    assert old.loyalty.points_delta == POINTS_OF_AN_HOUR
    assert new.loyalty.points_delta == 0
    paid_by = {
        entry.rating_slip_id: (entry.metadata["programVersion"], entry.metadata["pointsPerUnit"])
        for entry in await read_entries(boss)
    }
    assert paid_by == {old_slip.rating_slip_id: ("0", "10"), new_slip.rating_slip_id: ("1", "20")}


async def test_a_version_of_the_future_is_the_newest_but_not_in_force_yet(admin: Client) -> None:
    moment = ago(-DAY)

    answer = await update(admin, new_update(points_per_unit="20", effective_time=timestamp(moment)))

    assert answer.program.effective_time == timestamp(moment)
    in_force = {
        when: ((await read(admin, time)).program.version, (await read(admin, time)).newest_version)
        for when, time in (
            ("now", None),
            ("just before", moment - datetime.timedelta(microseconds=1)),
            ("at that time", moment),
            ("long after", moment + 1000 * DAY),
        )
    }
    assert in_force == {
        "now": (0, 1),
        "just before": (0, 1),
        "at that time": (1, 1),
        "long after": (1, 1),
    }


async def test_the_same_request_again_answers_with_the_version_it_has_written(
    casino: Casino, admin: Client, loyalty_sql: Connection
) -> None:
    for base, effective_time in ((0, None), (1, timestamp(ago(-HOUR)))):
        request = new_update(base, points_per_unit="1.50", effective_time=effective_time)
        first = await update(admin, request)
        request.terms.points_per_unit = "1.5"
        again = await update(admin, request)

        assert (first.is_existing, again.is_existing) == (False, True)
        assert again.program == first.program

    assert (await read(admin)).newest_version == 2
    assert len(await audit_rows(loyalty_sql, casino)) == 2


@pytest.mark.parametrize(
    ("base", "change"),
    [
        (0, {"points_per_unit": "11"}),
        (0, {"effective_time": timestamp(ago(-HOUR))}),
        (2, {}),
        (7, {}),
        (2**31 - 2, {}),
    ],
)
async def test_an_update_on_another_base_is_refused_and_names_the_newest_version(
    base: int, change: dict[str, Any], admin: Client
) -> None:
    await update(admin, new_update(0))

    refusal = await refused(admin, new_update(base, **change))

    assert refusal.kind == CONFLICT
    assert refusal.metadata["currentVersion"] == "1"
    assert (await read(admin)).newest_version == 1


async def test_the_same_terms_by_somebody_else_are_another_update(
    casino: Casino, identity: Identity, admin: Client
) -> None:
    colleague = casino.with_token(identity.staff_token("admin", casino.id, new_id()))
    await update(colleague, new_update(0))

    assert (await refused(admin, new_update(0))).kind == CONFLICT


async def test_a_version_cannot_come_into_force_in_the_past_or_before_the_one_before_it(
    admin: Client,
) -> None:
    past = await refused(admin, new_update(0, effective_time=timestamp(ago(MINUTE))))
    tomorrow = timestamp(ago(-DAY))
    await update(admin, new_update(0, effective_time=tomorrow))
    refusals = [
        await refused(admin, new_update(1, effective_time=effective_time))
        for effective_time in (None, timestamp(ago(-HOUR)), tomorrow)
    ]

    for refusal in (past, *refusals):
        assert refusal.kind == TOO_EARLY
        assert refusal.fields == ("effective_time",)
        assert refusal.metadata["earliestTime"] in refusal.message
    # At the earliest time that is named it can.
    earliest = datetime.datetime.fromisoformat(refusals[0].metadata["earliestTime"])
    assert timestamp(earliest) == later(tomorrow, datetime.timedelta(microseconds=1))
    answer = await update(admin, new_update(1, effective_time=timestamp(earliest)))
    assert answer.program.version == 2


async def test_every_version_leaves_one_row_in_the_audit_trail(
    casino: Casino, admin: Client, loyalty_sql: Connection
) -> None:
    request = new_update(0, points_per_unit="20")
    await admin.call(admin.points.UpdateLoyaltyProgram, request, correlation_id="a-better-offer")
    await refused(admin, new_update(0))

    (row,) = await audit_rows(loyalty_sql, casino)

    assert (row["action"], row["role"]) == ("update_loyalty_program", "admin")
    assert str(row["staff_id"]) == casino.staff_id("admin")
    assert (row["player_id"], row["correlation_id"]) == (None, "a-better-offer")
    before, after = json.loads(row["before"]), json.loads(row["after"])
    assert (before["version"], before["points_per_unit"]) == (0, 10)
    assert (after["version"], after["points_per_unit"]) == (1, 20)
    assert after["tiers"] == before["tiers"]


async def test_of_fifty_updates_at_once_on_one_base_one_is_written(
    casino: Casino, admin: Client, loyalty_sql: Connection
) -> None:
    async def attempt(number: int) -> str:
        try:
            await update(admin, new_update(0, points_per_unit=str(number)))
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "OK"

    outcomes = await asyncio.gather(*(attempt(number) for number in range(AT_ONCE)))

    assert sorted(outcomes) == ["ABORTED"] * (AT_ONCE - 1) + ["OK"]
    newest = await read(admin)
    assert newest.newest_version == 1
    assert newest.program.terms.points_per_unit == str(outcomes.index("OK"))
    assert len(await audit_rows(loyalty_sql, casino)) == 1


async def test_of_fifty_equal_updates_at_once_one_is_new(
    casino: Casino, admin: Client, loyalty_sql: Connection
) -> None:
    answers = await asyncio.gather(*(update(admin, new_update(0)) for _ in range(AT_ONCE)))

    assert sorted(answer.is_existing for answer in answers) == [False] + [True] * (AT_ONCE - 1)
    assert [answer.program for answer in answers] == [answers[0].program] * AT_ONCE
    assert len(await audit_rows(loyalty_sql, casino)) == 1


async def test_a_version_is_its_own_casinos_only(
    pair: Pair, identity: Identity, casino: Casino, admin: Client
) -> None:
    other = Casino(pair, identity).for_role("admin")
    await update(admin, new_update(0, points_per_unit="20"))

    assert (await read(other)).newest_version == 0
    assert (await update(other, new_update(0, points_per_unit="30"))).program.version == 1
    assert (await read(admin)).program.terms.points_per_unit == "20"


async def test_everything_that_is_wrong_with_the_terms_is_named_at_once(admin: Client) -> None:
    request = loyalty_pb2.UpdateLoyaltyProgramRequest(
        base_version=-1,
        terms=loyalty_pb2.LoyaltyTerms(
            points_per_unit="-1",
            tiers=[
                loyalty_pb2.ProgramTier(name="low", lifetime_start=5, multiplier="x"),
                loyalty_pb2.ProgramTier(name="LOW", lifetime_start=5, multiplier="1"),
                loyalty_pb2.ProgramTier(name="LOW", lifetime_start=6, multiplier="1"),
            ],
            overdraw_floor=1,
        ),
    )

    refusal = await refused(admin, request)

    assert refusal.fields == (
        "base_version",
        "terms.points_per_unit",
        "terms.rounding",
        "terms.tiers[0].name",
        "terms.tiers[0].lifetime_start",
        "terms.tiers[0].multiplier",
        "terms.tiers[1].lifetime_start",
        "terms.tiers[2].name",
        "terms.overdraw_floor",
        "terms.time_zone",
        "terms.gaming_day_start",
    )


async def audit_rows(superuser: Connection, casino: Casino) -> list[Any]:
    return await superuser.fetch(
        "SELECT * FROM loyalty.loyalty_audit WHERE casino_id = $1 ORDER BY recorded_time",
        casino.id,
    )
