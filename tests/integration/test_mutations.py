"""What holds for every RPC that moves points: once for each key, and nothing when it is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest
from grpc import StatusCode

from casino.loyalty.v1 import loyalty_pb2
from tests.integration.casino import (
    MINUTE,
    Casino,
    complete,
    later,
    new_accrual,
    new_id,
    new_promotion,
    new_redemption,
    new_reversal,
    new_reward,
    read_entries,
    start,
)
from tests.integration.clients import Client, Refusal

CONFLICT = (StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_KEY_CONFLICT")
CALLS_AT_ONCE = 50
KEY = "key"
LARGEST_POINTS = 2**63 - 1


class Mutation(NamedTuple):
    """One RPC that moves points, and requests of it about a player who has points."""

    role: str
    # With any key: about an entry of the player's, where it names one.
    request: Callable[[str, loyalty_pb2.LedgerEntry], Any]
    # Changes one fact of such a request.
    differ: Callable[[Any], None]
    # Makes it one that is refused.
    spoil: Callable[[Any], None]


def a_longer_play(request: Any) -> None:
    request.play.duration_seconds += 60
    request.play.end_time.CopyFrom(later(request.play.end_time, MINUTE))


def no_play(request: Any) -> None:
    request.play.decisions_per_hour = 0


def more_points(request: Any) -> None:
    request.points += 1


def far_too_many_points(request: Any) -> None:
    request.points = LARGEST_POINTS


def a_larger_bonus(request: Any) -> None:
    request.bonus_points += 1


def far_too_large_a_bonus(request: Any) -> None:
    request.bonus_points = LARGEST_POINTS


def another_reason(request: Any) -> None:
    request.reason += ", again"


def an_unknown_entry(request: Any) -> None:
    request.entry_id = new_id()


MUTATIONS: Mapping[str, Mutation] = {
    "AccruePointsFromSlip": Mutation(
        "service",
        lambda player_id, entry: new_accrual(player_id=player_id),
        a_longer_play,
        no_play,
    ),
    "IssueManualReward": Mutation(
        "admin",
        lambda player_id, entry: new_reward(player_id=player_id),
        more_points,
        far_too_many_points,
    ),
    "RedeemPoints": Mutation(
        "cashier",
        lambda player_id, entry: new_redemption(player_id=player_id),
        more_points,
        far_too_many_points,
    ),
    "ApplyPromotion": Mutation(
        "pit_boss",
        lambda player_id, entry: new_promotion(player_id=player_id),
        a_larger_bonus,
        far_too_large_a_bonus,
    ),
    "ReverseEntry": Mutation(
        "admin",
        lambda player_id, entry: new_reversal(entry.entry_id),
        another_reason,
        an_unknown_entry,
    ),
}


class Prepared(NamedTuple):
    """A mutation about a player with one entry, and who reads that player's ledger."""

    rpc: str
    mutation: Mutation
    client: Client
    request: Any
    reader: Client
    player_id: str

    async def entries(self) -> list[loyalty_pb2.LedgerEntry]:
        return await read_entries(self.reader, player_id=self.player_id)

    async def do(self) -> Any:
        return await self.client.call(getattr(self.client.points, self.rpc), self.request)

    async def refusal(self) -> Refusal:
        return await self.client.refusal(getattr(self.client.points, self.rpc), self.request)


@pytest.fixture(params=MUTATIONS)
async def prepared(request: pytest.FixtureRequest, casino: Casino, boss: Client) -> Prepared:
    mutation = MUTATIONS[request.param]
    slip = (await complete(boss, await start(boss))).rating_slip
    (entry,) = await read_entries(boss, player_id=slip.player_id)
    client = casino.for_role(mutation.role)
    message = mutation.request(slip.player_id, entry)
    message.idempotency_key = KEY
    return Prepared(request.param, mutation, client, message, boss, slip.player_id)


async def test_a_replay_answers_with_the_original_as_it_was_and_says_so(
    prepared: Prepared, casino: Casino
) -> None:
    first = await prepared.do()
    service = casino.for_role("service")
    later_credit = new_accrual(player_id=prepared.player_id)
    await service.call(service.points.AccruePointsFromSlip, later_credit)
    before = await prepared.entries()

    second = await prepared.do()

    assert (first.is_existing, second.is_existing) == (False, True)
    second.is_existing = False
    assert second == first
    assert await prepared.entries() == before


async def test_another_request_under_the_key_is_refused_and_names_the_entry(
    prepared: Prepared,
) -> None:
    first = await prepared.do()
    before = await prepared.entries()
    prepared.mutation.differ(prepared.request)

    refusal = await prepared.refusal()

    assert refusal.kind == CONFLICT
    assert refusal.metadata["entryId"] == first.entry.entry_id
    assert first.entry.entry_id in refusal.message
    assert await prepared.entries() == before


async def test_the_key_belongs_to_one_rpc_too(prepared: Prepared, casino: Casino) -> None:
    first = await prepared.do()
    cashier = casino.for_role("cashier")
    redemption = new_redemption(player_id=prepared.player_id, points=1, idempotency_key=KEY)

    refusal = await cashier.refusal(cashier.points.RedeemPoints, redemption)

    assert refusal.kind == CONFLICT
    assert refusal.metadata["entryId"] == first.entry.entry_id


async def test_a_refused_call_writes_nothing_and_leaves_the_key_free(prepared: Prepared) -> None:
    before = await prepared.entries()
    good = type(prepared.request)()
    good.CopyFrom(prepared.request)
    prepared.mutation.spoil(prepared.request)
    refusal = await prepared.refusal()
    assert refusal.code in (
        StatusCode.INVALID_ARGUMENT,
        StatusCode.OUT_OF_RANGE,
        StatusCode.FAILED_PRECONDITION,
        StatusCode.NOT_FOUND,
    )
    assert await prepared.entries() == before

    answer = await prepared._replace(request=good).do()

    assert not answer.is_existing


async def test_fifty_at_once_write_one_entry_and_none_fails(
    prepared: Prepared, casino: Casino
) -> None:
    entry_count = len(await prepared.entries())
    # Colleagues who all do the same: one of them alone would meet the limit on rewards.
    callers = [casino.somebody(prepared.mutation.role) for _ in range(CALLS_AT_ONCE)]

    answers = await asyncio.gather(
        *(caller.call(getattr(caller.points, prepared.rpc), prepared.request) for caller in callers)
    )

    assert [answer.is_existing for answer in answers].count(False) == 1
    newest, *older = await prepared.entries()
    assert len(older) == entry_count
    assert all(answer.entry == newest for answer in answers)
