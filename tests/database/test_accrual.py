"""The accrual holds whatever happens at the same time: one entry, one chain, no points lost."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections.abc import AsyncIterator, Sequence
from fractions import Fraction
from typing import TypeVar

import pytest

from chassis.errors import ServiceError
from tests.database.accruals import (
    HOUR_OF_PLAY,
    HOUR_OF_PLAY_POINTS,
    Row,
    SlipCredit,
    accrue,
    accrue_as_service,
    entries_of,
    insert_player,
    insert_program,
    metadata_of,
    opened_ledger,
    players_of,
)
from tests.database.waiting import until_it_waits_for_a_lock
from tests.databases import Connection, TestDatabase, connected
from tests.reference import DEFAULT_TIERS, Terms, points_of_entry, standing

CALLERS = 50
# Enough to climb from BRONZE to PLATINUM on the way.
SLIPS_OF_ONE_PLAYER = 40
LARGEST_BIGINT = 2**63 - 1

T = TypeVar("T")


@pytest.fixture
async def other_service_role(loyalty_database: TestDatabase) -> AsyncIterator[Connection]:
    async with connected(loyalty_database.service_url) as connection:
        yield connection


# One slip, one entry.


async def test_the_same_slip_fifty_times_at_once_gives_one_entry(
    loyalty_database: TestDatabase, superuser: Connection
) -> None:
    credit = SlipCredit()

    async with opened_ledger(loyalty_database, pool_size=CALLERS) as ledger:
        answers = await asyncio.gather(*(accrue_as_service(ledger, credit) for _ in range(CALLERS)))

    entry = only(await entries_of(superuser, credit.casino_id))
    assert [_without(answer, "is_existing") for answer in answers] == [entry] * CALLERS
    assert sorted(answer["is_existing"] for answer in answers) == [False] + [True] * (CALLERS - 1)
    assert _totals(only(await players_of(superuser, credit.casino_id))) == (
        HOUR_OF_PLAY_POINTS,
        HOUR_OF_PLAY_POINTS,
        1,
    )


async def test_a_slip_claimed_for_fifty_players_at_once_pays_one_of_them(
    loyalty_database: TestDatabase, superuser: Connection
) -> None:
    """No lock is shared here: the natural key alone decides, and the losers find its entry."""
    credit = SlipCredit()
    claims = [dataclasses.replace(credit, player_id=uuid.uuid4()) for _ in range(CALLERS)]
    claims = [dataclasses.replace(each, idempotency_key=f"key-{each.player_id}") for each in claims]

    async with opened_ledger(loyalty_database, pool_size=CALLERS) as ledger:
        answers = await asyncio.gather(*(accrue_as_service(ledger, each) for each in claims))

    entry = only(await entries_of(superuser, credit.casino_id))
    assert {answer["id"] for answer in answers} == {entry["id"]}
    # Nor do the losers leave an empty balance behind.
    player = only(await players_of(superuser, credit.casino_id))
    assert player["player_id"] == entry["player_id"]


async def test_who_comes_second_to_a_slip_waits_and_gets_the_first_ones_entry(
    loyalty_service_role: Connection, other_service_role: Connection, superuser: Connection
) -> None:
    credit = SlipCredit()

    async with loyalty_service_role.transaction():
        first = await accrue(loyalty_service_role, credit)
        second = asyncio.create_task(accrue(other_service_role, credit))
        await until_it_waits_for_a_lock(second, superuser)

    assert await second == {**first, "is_existing": True}


async def test_when_the_first_ones_transaction_fails_the_second_writes_the_entry(
    loyalty_service_role: Connection, other_service_role: Connection, superuser: Connection
) -> None:
    credit = SlipCredit()

    first = loyalty_service_role.transaction()
    await first.start()
    await accrue(loyalty_service_role, credit)
    second = asyncio.create_task(accrue(other_service_role, credit))
    await until_it_waits_for_a_lock(second, superuser)
    await first.rollback()

    assert (await second)["is_existing"] is False
    assert only(await entries_of(superuser, credit.casino_id))["id"] == (await second)["id"]


async def test_who_finds_the_slip_paid_to_another_player_leaves_no_empty_balance(
    loyalty_database: TestDatabase,
    loyalty_service_role: Connection,
    other_service_role: Connection,
    superuser: Connection,
) -> None:
    """The entry appears after the late caller looked for it and before it has its player's row."""
    paid = SlipCredit()
    late = dataclasses.replace(paid, player_id=uuid.uuid4(), idempotency_key="late")

    async with opened_ledger(loyalty_database, pool_size=1) as ledger:
        holds_row = loyalty_service_role.transaction()
        await holds_row.start()
        await accrue(
            loyalty_service_role,
            dataclasses.replace(late.for_another_slip(), idempotency_key="never committed"),
        )
        answer = asyncio.create_task(accrue_as_service(ledger, late))
        await until_it_waits_for_a_lock(answer, superuser)
        entry = await accrue(other_service_role, paid)
        await holds_row.rollback()

        assert await answer == {**entry, "is_existing": True}
    assert only(await players_of(superuser, paid.casino_id))["player_id"] == paid.player_id


async def test_another_key_for_the_same_slip_gives_the_first_entry_as_it_was(
    loyalty_service_role: Connection, superuser: Connection
) -> None:
    credit = SlipCredit()
    first = await accrue(loyalty_service_role, credit)
    await accrue(loyalty_service_role, credit.for_another_slip())
    before = await _contents(superuser, credit)

    for player_id in (credit.player_id, uuid.uuid4()):
        again = dataclasses.replace(credit, idempotency_key="another", player_id=player_id)
        assert await accrue(loyalty_service_role, again) == {**first, "is_existing": True}

    assert first["balance_after"] == HOUR_OF_PLAY_POINTS
    assert await _contents(superuser, credit) == before


async def test_the_same_request_again_gets_the_original_result_after_other_credits(
    loyalty_service_role: Connection,
) -> None:
    credit = SlipCredit(idempotency_key="chosen by the caller")
    first = await accrue(loyalty_service_role, credit)
    await accrue(
        loyalty_service_role, dataclasses.replace(credit.for_another_slip(), idempotency_key="")
    )

    assert await accrue(loyalty_service_role, credit) == {**first, "is_existing": True}


# A key is bound to its request.


async def test_a_key_used_for_another_request_is_a_conflict_and_writes_nothing(
    loyalty_database: TestDatabase, superuser: Connection
) -> None:
    credit = SlipCredit(idempotency_key="once")
    others = (
        dataclasses.replace(credit, terms=dataclasses.replace(HOUR_OF_PLAY, average_bet="101")),
        credit.for_another_slip(),
        # A player nobody has seen: not even an empty balance may appear.
        dataclasses.replace(credit.for_another_slip(), player_id=uuid.uuid4()),
    )

    async with opened_ledger(loyalty_database, pool_size=1) as ledger:
        entry = await accrue_as_service(ledger, credit)
        before = await _contents(superuser, credit)
        for other in others:
            with pytest.raises(ServiceError) as refused:
                await accrue_as_service(ledger, other)
            assert refused.value.reason == "IDEMPOTENCY_KEY_CONFLICT"
            assert refused.value.metadata == {"entryId": str(entry["id"])}

    assert await _contents(superuser, credit) == before


async def test_two_requests_that_race_for_one_key_end_in_one_entry_and_one_conflict(
    loyalty_database: TestDatabase, superuser: Connection
) -> None:
    """They are of different players, so that neither waits for the other's lock."""
    credit = SlipCredit(idempotency_key="once")
    other = dataclasses.replace(credit.for_another_slip(), player_id=uuid.uuid4())

    async with opened_ledger(loyalty_database, pool_size=2) as ledger:
        results = await asyncio.gather(
            accrue_as_service(ledger, credit),
            accrue_as_service(ledger, other),
            return_exceptions=True,
        )

    refused = only([each for each in results if isinstance(each, BaseException)])
    assert isinstance(refused, ServiceError)
    assert refused.reason == "IDEMPOTENCY_KEY_CONFLICT"
    assert len(await entries_of(superuser, credit.casino_id)) == 1
    assert len(await players_of(superuser, credit.casino_id)) == 1


async def test_a_key_belongs_to_its_casino(
    loyalty_service_role: Connection, superuser: Connection
) -> None:
    credit = SlipCredit(idempotency_key="once")
    elsewhere = dataclasses.replace(credit, casino_id=uuid.uuid4())

    for each in (credit, elsewhere):
        assert (await accrue(loyalty_service_role, each))["is_existing"] is False


# A refused call writes nothing.


@pytest.mark.parametrize(
    ("lifetime_points", "current_balance"),
    [(0, LARGEST_BIGINT - HOUR_OF_PLAY_POINTS + 1), (LARGEST_BIGINT - HOUR_OF_PLAY_POINTS + 1, 0)],
    ids=["balance", "lifetime"],
)
async def test_a_total_beyond_64_bits_is_refused_and_writes_nothing(
    loyalty_database: TestDatabase,
    superuser: Connection,
    lifetime_points: int,
    current_balance: int,
) -> None:
    # Half the bet, because the lifetime points may double the rate.
    halved = dataclasses.replace(HOUR_OF_PLAY, average_bet="50") if lifetime_points else None
    credit = SlipCredit(terms=halved or HOUR_OF_PLAY)
    await insert_player(
        superuser,
        credit.casino_id,
        credit.player_id,
        lifetime_points=lifetime_points,
        current_balance=current_balance,
    )

    await _assert_out_of_range(loyalty_database, superuser, credit)

    # One point less would have fitted: the refusal is exact.
    await superuser.execute("TRUNCATE loyalty.player_loyalty CASCADE")
    await insert_player(
        superuser,
        credit.casino_id,
        credit.player_id,
        lifetime_points=max(lifetime_points - 1, 0),
        current_balance=max(current_balance - 1, 0),
    )
    async with connected(loyalty_database.service_url) as connection:
        entry = await accrue(connection, credit)
    assert LARGEST_BIGINT in (entry["balance_after"], entry["lifetime_after"])


async def test_points_beyond_64_bits_are_refused_and_leave_no_trace_of_the_player(
    loyalty_database: TestDatabase, superuser: Connection
) -> None:
    terms = Terms("10000000", "100", "10000", "31622400", points_per_unit="100000")
    assert terms.points(Fraction(1)) > LARGEST_BIGINT
    credit = SlipCredit(terms=terms)
    await insert_program(superuser, credit.casino_id, points_per_unit=credit.terms.points_per_unit)

    await _assert_out_of_range(loyalty_database, superuser, credit)

    assert await _contents(superuser, credit) == ([], [])


# Several credits of one player.


@pytest.mark.parametrize("first_commits", [True, False], ids=["commits", "rolls back"])
@pytest.mark.parametrize("is_new", [True, False], ids=["new player", "known player"])
async def test_two_credits_of_a_player_at_once_both_succeed_and_the_second_waits(
    loyalty_service_role: Connection,
    other_service_role: Connection,
    superuser: Connection,
    is_new: bool,
    first_commits: bool,
) -> None:
    credit = SlipCredit()
    if not is_new:
        await accrue(loyalty_service_role, credit.for_another_slip())

    first = loyalty_service_role.transaction()
    await first.start()
    await accrue(loyalty_service_role, credit)
    second = asyncio.create_task(accrue(other_service_role, credit.for_another_slip()))
    await until_it_waits_for_a_lock(second, superuser)
    await (first.commit() if first_commits else first.rollback())

    written = 1 + first_commits + (not is_new)
    assert (await second)["entry_number"] == written
    entries = await entries_of(superuser, credit.casino_id)
    assert [each["entry_number"] for each in entries] == list(range(1, written + 1))
    assert only(await players_of(superuser, credit.casino_id))["entry_count"] == written


async def test_credits_of_one_player_at_once_form_one_chain_without_gaps(
    loyalty_database: TestDatabase, superuser: Connection
) -> None:
    first = SlipCredit()
    credits = [first.for_another_slip() for _ in range(SLIPS_OF_ONE_PLAYER)]

    async with opened_ledger(loyalty_database, pool_size=SLIPS_OF_ONE_PLAYER) as ledger:
        answers = await asyncio.gather(*(accrue_as_service(ledger, each) for each in credits))

    entries = await entries_of(superuser, first.casino_id)
    assert not any(answer["is_existing"] for answer in answers)
    assert [each["entry_number"] for each in entries] == list(range(1, SLIPS_OF_ONE_PLAYER + 1))
    balance = lifetime = 0
    for entry in entries:
        held = standing(lifetime).tier
        assert entry["balance_before"] == balance
        assert entry["lifetime_before"] == lifetime
        assert entry["tier_before"] == held.name
        # The rate is that of the tier which this very chain had reached.
        assert Fraction(metadata_of(entry)["tierMultiplier"]) == held.multiplier
        assert entry["points_delta"] == points_of_entry(metadata_of(entry))
        balance, lifetime = entry["balance_after"], entry["lifetime_after"]
        assert balance == lifetime == entry["balance_before"] + entry["points_delta"]
        assert entry["tier_after"] == standing(lifetime).tier.name
    assert entries[-1]["tier_after"] == DEFAULT_TIERS[-1].name
    player = only(await players_of(superuser, first.casino_id))
    assert _totals(player) == (balance, lifetime, SLIPS_OF_ONE_PLAYER)
    assert player["tier"] == entries[-1]["tier_after"]


def only(found: Sequence[T]) -> T:
    """The one thing that was found."""
    assert len(found) == 1
    return found[0]


async def _contents(superuser: Connection, credit: SlipCredit) -> tuple[list[Row], list[Row]]:
    """All that a casino holds."""
    entries = await entries_of(superuser, credit.casino_id)
    return entries, await players_of(superuser, credit.casino_id)


def _totals(player: Row) -> tuple[int, int, int]:
    return player["current_balance"], player["lifetime_points"], player["entry_count"]


def _without(row: Row, column: str) -> Row:
    return {name: value for name, value in row.items() if name != column}


async def _assert_out_of_range(
    database: TestDatabase, superuser: Connection, credit: SlipCredit
) -> None:
    before = await _contents(superuser, credit)
    async with opened_ledger(database, pool_size=1) as ledger:
        with pytest.raises(ServiceError) as refused:
            await accrue_as_service(ledger, credit)
    assert refused.value.reason == "POINTS_OUT_OF_RANGE"
    assert await _contents(superuser, credit) == before
