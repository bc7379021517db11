"""Every mutation, asked for again and again, or under a key that is taken: one entry.

Each kind of request is made for a player of its own, so that callers who ask for
different things share no lock, and the key alone decides between them.
"""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest

from chassis.errors import ServiceError
from loyalty_service.ledger import Ledger
from tests.database.accruals import Row, SlipCredit, entries_of, opened_ledger, players_of
from tests.database.contents import nothing_written, refused
from tests.database.entries import (
    NOTE,
    PromotionRequest,
    RedemptionRequest,
    Request,
    ReversalRequest,
    RewardRequest,
    send,
)
from tests.databases import Connection, TestDatabase

CALLERS = 50
# What each player is given before, where there has to be something.
OPENING_POINTS = 1_000
MOST_POINTS = 2**63 - 1

CASINO_ID = uuid.UUID("8a7f3b52-51c1-4a0e-9d1c-1f7b6f1d2e01")
STAFF_ID = uuid.UUID("8a7f3b52-51c1-4a0e-9d1c-1f7b6f1d2e02")


def of_player(kind: str, number: int) -> uuid.UUID:
    """The ID of something that is one player's."""
    return uuid.uuid5(CASINO_ID, f"{kind} {number}")


def accrual(number: int) -> SlipCredit:
    """Of the player's own slip."""
    return SlipCredit(
        casino_id=CASINO_ID,
        player_id=of_player("player", number),
        rating_slip_id=of_player("slip", number),
        visit_id=of_player("visit", number),
        staff_id=STAFF_ID,
    )


def reward(
    number: int,
    points: int = 100,
    rating_slip_id: uuid.UUID | None = None,
    reward_id: uuid.UUID | None = None,
) -> RewardRequest:
    """Points by hand."""
    return RewardRequest(
        casino_id=CASINO_ID,
        player_id=of_player("player", number),
        points=points,
        rating_slip_id=rating_slip_id,
        reward_id=reward_id,
        staff_id=STAFF_ID,
    )


def redemption(
    number: int, points: int = 100, *, allow_overdraw: bool = False
) -> RedemptionRequest:
    """Spending."""
    return RedemptionRequest(
        casino_id=CASINO_ID,
        player_id=of_player("player", number),
        points=points,
        allow_overdraw=allow_overdraw,
        staff_id=STAFF_ID,
        idempotency_key=f"spent-{number}",
    )


def promotion(
    number: int, source: str = "player", multiplier: str | None = None
) -> PromotionRequest:
    """A campaign's bonus, or a multiple of the player's own slip."""
    return PromotionRequest(
        casino_id=CASINO_ID,
        player_id=of_player("player", number),
        campaign_id=of_player("campaign", 0),
        rating_slip_id=of_player("slip", number) if source == "slip" else None,
        visit_id=of_player("visit", number) if source == "visit" else None,
        multiplier=multiplier,
        staff_id=STAFF_ID,
    )


class Mutation(NamedTuple):
    """A kind of request: how it is made for a player, and what must have been written before."""

    name: str
    # It is given the entry that `before` has written, if any.
    request: Callable[[int, Row], Request]
    before: Callable[[int], Request] | None = None
    # It is done once, whatever the key.
    has_natural_key: bool = False

    def __str__(self) -> str:
        return self.name


def opening(number: int) -> RewardRequest:
    """Something to spend, to correct or to take back."""
    return dataclasses.replace(reward(number, OPENING_POINTS), note="an opening balance")


MUTATIONS = (
    Mutation("accrual", lambda number, _: accrual(number), has_natural_key=True),
    Mutation("reward of the day", lambda number, _: reward(number)),
    Mutation("reward", lambda number, _: reward(number, reward_id=of_player("reward", number))),
    Mutation(
        "reward for a slip",
        lambda number, _: reward(number, rating_slip_id=of_player("slip", number)),
        has_natural_key=True,
    ),
    Mutation("adjustment", lambda number, _: reward(number, -100), opening),
    Mutation("redemption", lambda number, _: redemption(number), opening),
    Mutation(
        "overdraw",
        lambda number, _: redemption(number, OPENING_POINTS + 100, allow_overdraw=True),
        opening,
    ),
    Mutation("promotion of a player", lambda number, _: promotion(number), has_natural_key=True),
    Mutation(
        "promotion of a visit", lambda number, _: promotion(number, "visit"), has_natural_key=True
    ),
    Mutation(
        "promotion of a slip", lambda number, _: promotion(number, "slip"), has_natural_key=True
    ),
    Mutation(
        "multiplied slip",
        lambda number, _: promotion(number, "slip", "2"),
        accrual,
        has_natural_key=True,
    ),
    Mutation(
        "reversal",
        lambda _, entry: ReversalRequest(entry["id"], CASINO_ID, NOTE, STAFF_ID),
        opening,
        has_natural_key=True,
    ),
)
# One point below the floor, after a reward of one.
OVERDRAW_BEYOND_FLOOR = redemption(0, 5_002, allow_overdraw=True)

for_every_mutation = pytest.mark.parametrize("mutation", MUTATIONS, ids=str)


@for_every_mutation
async def test_fifty_times_the_same_at_once_is_one_entry_and_no_error(
    loyalty_database: TestDatabase, superuser: Connection, mutation: Mutation
) -> None:
    async with opened_ledger(loyalty_database, pool_size=CALLERS) as ledger:
        (request,) = await requests_of(ledger, mutation, 1)
        before = await entries_of(superuser, CASINO_ID)
        answers = await asyncio.gather(*(send(ledger, request) for _ in range(CALLERS)))

    *earlier, entry = await entries_of(superuser, CASINO_ID)
    assert earlier == before
    assert [without(answer, "is_existing") for answer in answers] == [entry] * CALLERS
    assert [answer["is_existing"] for answer in answers].count(False) == 1
    (player,) = await players_of(superuser, CASINO_ID)
    assert player["current_balance"] == entry["balance_after"]
    assert player["entry_count"] == entry["entry_number"]


@pytest.mark.parametrize("mutation", [each for each in MUTATIONS if each.has_natural_key], ids=str)
async def test_fifty_keys_at_once_for_what_is_done_once_are_one_entry(
    loyalty_database: TestDatabase, superuser: Connection, mutation: Mutation
) -> None:
    async with opened_ledger(loyalty_database, pool_size=CALLERS) as ledger:
        (request,) = await requests_of(ledger, mutation, 1)
        before = await entries_of(superuser, CASINO_ID)
        answers = await asyncio.gather(
            *(
                send(ledger, dataclasses.replace(request, idempotency_key=f"key-{number}"))
                for number in range(CALLERS)
            )
        )

    *earlier, entry = await entries_of(superuser, CASINO_ID)
    assert earlier == before
    assert [without(answer, "is_existing") for answer in answers] == [entry] * CALLERS
    assert [answer["is_existing"] for answer in answers].count(False) == 1


@for_every_mutation
async def test_fifty_different_requests_under_one_key_at_once_are_one_entry_and_conflicts(
    loyalty_database: TestDatabase, superuser: Connection, mutation: Mutation
) -> None:
    async with opened_ledger(loyalty_database, pool_size=CALLERS) as ledger:
        requests = [
            dataclasses.replace(request, idempotency_key="one for all")
            for request in await requests_of(ledger, mutation, CALLERS)
        ]
        before = await entries_of(superuser, CASINO_ID)
        outcomes = await asyncio.gather(
            *(send(ledger, request) for request in requests), return_exceptions=True
        )

    entries = await entries_of(superuser, CASINO_ID)
    (entry,) = [each for each in entries if each["idempotency_key"] == "one for all"]
    assert [each for each in entries if each != entry] == before
    answers = [each for each in outcomes if isinstance(each, dict)]
    assert answers == [{**entry, "is_existing": False}]
    conflict = ("IDEMPOTENCY_KEY_CONFLICT", {"entryId": str(entry["id"])})
    assert refusals(outcomes) == [conflict] * (CALLERS - 1)
    # Nor has anybody who lost a balance of nothing.
    written_for = {each["player_id"] for each in entries}
    assert {each["player_id"] for each in await players_of(superuser, CASINO_ID)} == written_for


@for_every_mutation
async def test_a_replay_gets_the_original_result_whatever_came_after(
    ledger: Ledger, superuser: Connection, mutation: Mutation
) -> None:
    (request,) = await requests_of(ledger, mutation, 1)
    entry = await send(ledger, request)
    await send(ledger, dataclasses.replace(reward(0, 4_321), note="an evening later"))

    async with nothing_written(superuser):
        assert await send(ledger, request) == {**entry, "is_existing": True}


@for_every_mutation
async def test_a_taken_key_is_a_conflict_also_where_the_same_thing_was_done_before(
    ledger: Ledger, superuser: Connection, mutation: Mutation
) -> None:
    """The caller must learn that these figures were not used, and which ones were."""
    (request,) = await requests_of(ledger, mutation, 1)
    taken = await send(ledger, dataclasses.replace(reward(0, 5), idempotency_key="taken"))
    await send(ledger, request)

    async with refused(superuser, "IDEMPOTENCY_KEY_CONFLICT", entryId=taken["id"]):
        await send(ledger, dataclasses.replace(request, idempotency_key="taken"))


@pytest.mark.parametrize(
    ("before", "refused_request", "reason", "in_between"),
    [
        ([reward(0, MOST_POINTS)], accrual(0), "POINTS_OUT_OF_RANGE", "reversal"),
        ([reward(0, MOST_POINTS)], opening(0), "POINTS_OUT_OF_RANGE", "reversal"),
        ([], reward(0, -100), "PLAYER_NOT_FOUND", opening(0)),
        ([], redemption(0), "PLAYER_NOT_FOUND", opening(0)),
        ([reward(0, 99)], redemption(0), "INSUFFICIENT_BALANCE", opening(0)),
        ([reward(0, 1)], OVERDRAW_BEYOND_FLOOR, "OVERDRAW_EXCEEDS_CAP", opening(0)),
        ([reward(0, MOST_POINTS)], promotion(0), "POINTS_OUT_OF_RANGE", "reversal"),
        ([], promotion(0, "slip", "2"), "SLIP_NOT_ACCRUED", accrual(0)),
    ],
    ids=[
        "accrual over the brim",
        "reward over the brim",
        "adjustment of nobody",
        "redemption of nobody",
        "redemption of too much",
        "overdraw of too much",
        "promotion over the brim",
        "multiple of nothing",
    ],
)
async def test_a_refused_call_leaves_its_key_free(
    ledger: Ledger,
    superuser: Connection,
    before: Sequence[Request],
    refused_request: Request,
    reason: str,
    in_between: Request | str,
) -> None:
    request = dataclasses.replace(refused_request, idempotency_key="once refused")
    entries = [await send(ledger, each) for each in before]
    async with nothing_written(superuser):
        with pytest.raises(ServiceError) as caught:
            await send(ledger, request)
    assert caught.value.reason == reason

    if isinstance(in_between, str):
        in_between = ReversalRequest(entries[0]["id"], CASINO_ID)
    await send(ledger, in_between)

    entry = await send(ledger, request)
    assert (entry["is_existing"], entry["idempotency_key"]) == (False, "once refused")


async def requests_of(ledger: Ledger, mutation: Mutation, count: int) -> list[Request]:
    """As many different requests, each for a player of its own who is ready for it."""
    ready: list[Row] = [{}] * count
    if mutation.before is not None:
        ready = await asyncio.gather(
            *(send(ledger, mutation.before(number)) for number in range(count))
        )
    return [mutation.request(number, entry) for number, entry in enumerate(ready)]


def refusals(outcomes: Sequence[Row | BaseException]) -> list[tuple[str, dict[str, str]]]:
    """The reason and the facts of each call that was refused; raises any other error."""
    found = []
    for outcome in outcomes:
        if isinstance(outcome, ServiceError):
            found.append((outcome.reason, dict(outcome.metadata)))
        elif isinstance(outcome, BaseException):
            raise outcome
    return found


def without(row: Row, column: str) -> Row:
    """A row but for one column."""
    return {name: value for name, value in row.items() if name != column}
