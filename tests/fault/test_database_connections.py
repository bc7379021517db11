"""Services with a single connection each: its answer is lost, all wait for it, it freezes.

A service never asks twice for what it cannot know, tells whoever waits in vain to come
back, and gets another connection for one that is as good as lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from casino.ratingslip.v1 import ratingslip_pb2
from deploy.local.proxy import Mode
from tests.databases import LOYALTY, RATINGSLIP, Databases, Service
from tests.fault.database_calls import (
    DATABASE_BUSY,
    DATABASE_UNAVAILABLE,
    Requests,
    open_slip_of_a_known_player,
)
from tests.fault.history import History
from tests.fault.invariants import require_invariants
from tests.fault.pool_checks import require_whole_pool
from tests.fault.postgres_server import PostgresServer
from tests.fault.service_checks import ask
from tests.fault.stage import Stage, raised_stage
from tests.integration.casino import new_id, new_redemption, new_reward, new_slip
from tests.integration.clients import Client, Kind, Refusal, read_refusal
from tests.integration.identity import Identity
from tests.integration.locks import held_player, held_slip
from tests.integration.patience import eventually

# What is lost with a connection, and who waits for it, is certain when there is only one.
ONE_CONNECTION = {
    "loyalty": {"LOYALTY_DATABASE_POOL_SIZE": "1"},
    "ratingslip": {"RATINGSLIP_DATABASE_POOL_SIZE": "1"},
}
# How a write that is asked for once may be refused, and how often it is there. Its own
# answer was lost only in the second case: services ask the database for more than that.
TOLD_OF_A_WRITE = [(None, 1), (DATABASE_UNAVAILABLE, 1), (DATABASE_UNAVAILABLE, 0)]
# While one of them has the only connection, the others wait for it. The second may get it
# at the last moment; the later ones cannot.
CALLERS = 4
NO_CONNECTION = "no database connection came free"


@pytest.fixture(scope="module")
async def stage(
    tmp_path_factory: pytest.TempPathFactory,
    fault_postgres: PostgresServer,
    fault_databases: Databases,
    fault_identity: Identity,
) -> AsyncIterator[Stage]:
    # One for all: each leaves it with its connections.
    directory = tmp_path_factory.mktemp("stage")
    async with raised_stage(
        directory, fault_postgres, fault_databases, fault_identity, **ONE_CONNECTION
    ) as raised:
        yield raised


@pytest.mark.parametrize("service", [LOYALTY, RATINGSLIP], ids=str)
async def test_a_write_whose_answer_is_lost_is_not_done_again_by_the_service(
    stage: Stage, service: Service
) -> None:
    casino = stage.casino()
    proxy = stage.loyalty_database_proxy
    if service is RATINGSLIP:
        proxy = stage.ratingslip_database_proxy

    async def is_told_and_there() -> bool:
        # A new one each time: a limit counts what one member of staff gives.
        boss, player_id = casino.somebody("pit_boss"), new_id()
        # The first write on a connection has a reply before its answer.
        assert await outcome_of_a_write(boss, service, new_id()) is None
        proxy.drop_next_reply()
        kind = await outcome_of_a_write(boss, service, player_id)
        await proxy.switch(Mode.PASS)
        told = kind, await written_count(stage, service, player_id)
        assert told in TOLD_OF_A_WRITE
        return told == (DATABASE_UNAVAILABLE, 1)

    await eventually(is_told_and_there, "the answer of a write is lost")
    await require_invariants(stage, History())


async def test_without_a_free_connection_callers_are_told_to_come_back_and_then_can(
    stage: Stage,
) -> None:
    casino = stage.casino()
    boss = casino.for_role("pit_boss")
    slip = await open_slip_of_a_known_player(boss)
    redemption = new_redemption(player_id=slip.player_id)
    pause = ratingslip_pb2.PauseRatingSlipRequest(rating_slip_id=slip.rating_slip_id)
    calls: Requests = [
        (boss.points.RedeemPoints, redemption),
        (boss.slips.PauseRatingSlip, pause),
    ]
    async with (
        held_player(stage.databases[LOYALTY].superuser_url, casino.id, slip.player_id),
        held_slip(stage.databases[RATINGSLIP].superuser_url, casino.id, slip.rating_slip_id),
    ):
        for refusals in await asyncio.gather(
            *(refused_together(boss, method, request) for method, request in calls)
        ):
            assert {refusal.kind for refusal in refusals} == {DATABASE_BUSY}
            assert all(refusal.retry_after_seconds for refusal in refusals)
            assert any(NO_CONNECTION in refusal.message for refusal in refusals)

    for method, request in calls:
        await boss.call(method, request)
    for service in (LOYALTY, RATINGSLIP):
        await require_whole_pool(stage, service)
    await require_invariants(stage, History())


async def test_a_connection_whose_backend_is_frozen_is_replaced(stage: Stage) -> None:
    casino = stage.casino()
    boss = casino.for_role("pit_boss")
    stuck = await open_slip_of_a_known_player(boss)
    other = await open_slip_of_a_known_player(boss)
    redemption = new_redemption(player_id=stuck.player_id)
    url = stage.databases[LOYALTY].superuser_url
    with contextlib.ExitStack() as frozen:
        async with held_player(url, casino.id, stuck.player_id) as player:
            call = boss.send(boss.points.RedeemPoints, redemption)
            await player.awaited()
            (process_id,) = await stage.postgres.backends(
                stage.databases[LOYALTY], inside="redeem_points"
            )
            frozen.enter_context(frozen_process(process_id))
        call.cancel()

        # There was only this one connection, and it is as good as lost.
        await ask(boss, boss.points.RedeemPoints, new_redemption(player_id=other.player_id))

    await require_whole_pool(stage, LOYALTY)
    await require_invariants(stage, History())


async def outcome_of_a_write(boss: Client, service: Service, player_id: str) -> Kind | None:
    """How a new player's first write is refused, or None when it is not."""
    try:
        if service is LOYALTY:
            await boss.call(boss.points.IssueManualReward, new_reward(player_id=player_id))
        else:
            await boss.call(boss.slips.StartRatingSlip, new_slip(player_id=player_id))
    except grpc.aio.AioRpcError as error:
        return read_refusal(error).kind
    return None


async def written_count(stage: Stage, service: Service, player_id: str) -> int:
    """How often a service has written something for a player."""
    table = {LOYALTY: "loyalty.loyalty_ledger", RATINGSLIP: "ratingslip.rating_slip"}[service]
    async with stage.superuser(service) as superuser:
        count: int = await superuser.fetchval(
            f"SELECT count(*) FROM {table} WHERE player_id = $1", player_id
        )
    return count


async def refused_together(boss: Client, method: Any, request: Message) -> list[Refusal]:
    """How several calls at once are refused, none of which brings a deadline."""
    return await asyncio.gather(
        *(boss.refusal(method, request, deadline_seconds=None) for _ in range(CALLERS))
    )


@contextlib.contextmanager
def frozen_process(process_id: int) -> Iterator[None]:
    """A process that keeps its connections and does nothing while the block lasts."""
    os.kill(process_id, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process_id, signal.SIGCONT)
