"""Points by hand: once for a slip, once for a reward, once a day for the same words."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import uuid

import pytest

from loyalty_service.ledger import Ledger
from tests.database.accruals import (
    HOUR_OF_PLAY_POINTS,
    Row,
    SlipCredit,
    entries_of,
    insert_program,
    opened_ledger,
    players_of,
)
from tests.database.clock import set_clock, stop_clock
from tests.database.contents import nothing_written, refused
from tests.database.entries import RewardRequest, issue_manual_reward_as_service, send
from tests.databases import Connection, TestDatabase

CALLERS_OF_EACH = 50

CREDIT = SlipCredit()
# Pays for the very slip, in points that its accrual would not give.
RECOVERY = RewardRequest(
    casino_id=CREDIT.casino_id,
    player_id=CREDIT.player_id,
    rating_slip_id=CREDIT.rating_slip_id,
    points=777,
)
# The same for somebody else: a slip is one, whoever is paid for it.
RECOVERY_OF_ANOTHER = dataclasses.replace(RECOVERY, player_id=uuid.uuid4())

MICROSECOND = datetime.timedelta(microseconds=1)
DAY = datetime.timedelta(days=1)


# A slip is paid once: by its accrual, or by a reward in its place.


@pytest.mark.parametrize("recovery", [RECOVERY, RECOVERY_OF_ANOTHER], ids=["own", "another's"])
@pytest.mark.parametrize("accrual_is_first", [True, False], ids=["accrual first", "reward first"])
async def test_whichever_pays_a_slip_first_is_what_the_other_gets(
    ledger: Ledger, superuser: Connection, accrual_is_first: bool, recovery: RewardRequest
) -> None:
    first, second = (CREDIT, recovery) if accrual_is_first else (recovery, CREDIT)

    written = await send(ledger, first)

    assert written["is_existing"] is False
    async with nothing_written(superuser):
        for again in (second, dataclasses.replace(second, idempotency_key="another")):
            assert await send(ledger, again) == {**written, "is_existing": True}


@pytest.mark.parametrize("recovery", [RECOVERY, RECOVERY_OF_ANOTHER], ids=["own", "another's"])
async def test_accruals_and_rewards_that_race_for_a_slip_write_one_entry_that_all_get(
    loyalty_database: TestDatabase, superuser: Connection, recovery: RewardRequest
) -> None:
    calls = [request for _ in range(CALLERS_OF_EACH) for request in (CREDIT, recovery)]

    async with opened_ledger(loyalty_database, pool_size=CALLERS_OF_EACH) as ledger:
        answers = await asyncio.gather(*(send(ledger, request) for request in calls))

    (entry,) = await entries_of(superuser, CREDIT.casino_id)
    assert {answer["id"] for answer in answers} == {entry["id"]}
    assert [answer["is_existing"] for answer in answers].count(False) == 1
    (player,) = await players_of(superuser, CREDIT.casino_id)
    assert player["current_balance"] == entry["points_delta"] in (777, HOUR_OF_PLAY_POINTS)


async def test_a_second_reward_for_a_slip_is_another_request_under_the_slips_key(
    ledger: Ledger, superuser: Connection
) -> None:
    """With a key of its own it would get the first entry; so its figures are not lost silently."""
    entry = await send(ledger, RECOVERY)

    async with refused(superuser, "IDEMPOTENCY_KEY_CONFLICT", entryId=entry["id"]):
        await send(ledger, dataclasses.replace(RECOVERY, points=778))


# The key of a reward whose caller brought none.


@pytest.mark.parametrize(
    ("reward_id", "rating_slip_id", "key"),
    [
        (uuid.UUID(int=1), None, f"reward_{uuid.UUID(int=1)}"),
        (uuid.UUID(int=1), uuid.UUID(int=2), f"reward_{uuid.UUID(int=1)}"),
        (None, uuid.UUID(int=2), f"recovery_{uuid.UUID(int=2)}"),
    ],
    ids=["reward", "reward for a slip", "slip"],
)
@pytest.mark.parametrize("days", [0, 1], ids=["today", "tomorrow"])
async def test_a_reward_or_a_slip_gives_the_key_for_ever(
    ledger: Ledger,
    superuser: Connection,
    reward_id: uuid.UUID | None,
    rating_slip_id: uuid.UUID | None,
    key: str,
    days: int,
) -> None:
    moment = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
    await stop_clock(superuser, moment)
    request = RewardRequest(reward_id=reward_id, rating_slip_id=rating_slip_id)

    entry = await send(ledger, request)

    assert entry["idempotency_key"] == key
    await set_clock(superuser, moment + days * DAY)
    by_somebody_else = dataclasses.replace(request, staff_id=uuid.uuid4())
    assert await send(ledger, by_somebody_else) == {**entry, "is_existing": True}


async def test_without_a_key_the_same_reward_by_the_same_person_is_one_a_day(
    ledger: Ledger, superuser: Connection
) -> None:
    request = RewardRequest()
    others = [
        dataclasses.replace(request, player_id=uuid.uuid4()),
        dataclasses.replace(request, staff_id=uuid.uuid4()),
        dataclasses.replace(request, points=request.points + 1),
        dataclasses.replace(request, points=-request.points),
        dataclasses.replace(request, note=f"{request.note}, twice"),
        dataclasses.replace(request, idempotency_key="meant as a second one"),
    ]

    for each in (request, *others):
        entry = await issue_manual_reward_as_service(ledger, each)
        assert entry["is_existing"] is False
        async with nothing_written(superuser):
            again = await issue_manual_reward_as_service(ledger, each)
            assert again == {**entry, "is_existing": True}


@pytest.mark.parametrize(
    ("time_zone", "day_starts"),
    [
        ("UTC", "2026-06-01T06:00:00+00:00"),
        # Six in the morning there; the first is the evening before in UTC.
        ("Pacific/Kiritimati", "2026-05-31T16:00:00+00:00"),
        ("America/New_York", "2026-06-01T10:00:00+00:00"),
    ],
)
async def test_without_a_key_the_same_reward_is_a_new_one_when_the_casinos_next_day_begins(
    ledger: Ledger, superuser: Connection, time_zone: str, day_starts: str
) -> None:
    request = RewardRequest()
    start = datetime.datetime.fromisoformat(day_starts)
    await insert_program(superuser, request.casino_id, time_zone=time_zone)
    await stop_clock(superuser, start - DAY)

    numbers = []
    for moment in (start - DAY, start - MICROSECOND, start, start + DAY - MICROSECOND, start + DAY):
        await set_clock(superuser, moment)
        entry = await issue_manual_reward_as_service(ledger, request)
        numbers.append((entry["entry_number"], entry["is_existing"]))

    assert numbers == [(1, False), (1, True), (2, False), (2, True), (3, False)]
    days = [entry["gaming_day"].isoformat() for entry in await _entries(superuser, request)]
    assert days == ["2026-05-31", "2026-06-01", "2026-06-02"]


async def test_a_key_of_the_callers_own_is_not_bound_to_a_day(
    ledger: Ledger, superuser: Connection
) -> None:
    moment = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
    await stop_clock(superuser, moment)
    request = RewardRequest(idempotency_key="once and for all")
    entry = await issue_manual_reward_as_service(ledger, request)

    await set_clock(superuser, moment + 400 * DAY)

    again = await issue_manual_reward_as_service(ledger, request)
    assert again == {**entry, "is_existing": True}


# What it moves.


async def test_a_reward_counts_for_the_tier_and_an_adjustment_does_not(
    ledger: Ledger, superuser: Connection
) -> None:
    given = await issue_manual_reward_as_service(ledger, RewardRequest(points=1_500))
    assert (given["reason"], given["tier_after"]) == ("manual_reward", "SILVER")

    taken = await issue_manual_reward_as_service(
        ledger,
        RewardRequest(casino_id=given["casino_id"], player_id=given["player_id"], points=-9_000),
    )

    # No floor holds for a correction, and nobody loses a tier by it.
    assert (taken["reason"], taken["balance_after"]) == ("adjustment", -7_500)
    assert (taken["lifetime_after"], taken["tier_after"]) == (1_500, "SILVER")
    (player,) = await players_of(superuser, given["casino_id"])
    assert (player["current_balance"], player["lifetime_points"]) == (-7_500, 1_500)


async def test_there_is_nothing_to_correct_for_a_player_nobody_has_seen(
    ledger: Ledger, superuser: Connection
) -> None:
    adjustment = RewardRequest(points=-1)
    elsewhere = await send(ledger, RewardRequest(player_id=adjustment.player_id))

    async with refused(superuser, "PLAYER_NOT_FOUND", playerId=elsewhere["player_id"]):
        await issue_manual_reward_as_service(ledger, adjustment)


async def _entries(superuser: Connection, request: RewardRequest) -> list[Row]:
    return await entries_of(superuser, request.casino_id)
