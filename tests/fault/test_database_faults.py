"""The database goes away while clients are at work, takes no writes, or loses an answer.

Of each fault: what callers are told, that nothing acknowledged is lost, and that the
services go on by themselves, with all of their connections.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import grpc
import pytest
from grpc_health.v1 import health_pb2

from tests.databases import LOYALTY, RATINGSLIP, Databases, Service
from tests.fault.conftest import NewStage
from tests.fault.database_calls import (
    DATABASE_UNAVAILABLE,
    open_slip_of_a_known_player,
    reads,
    require_told_unavailable,
    writes,
)
from tests.fault.history import History
from tests.fault.invariants import require_invariants
from tests.fault.postgres_server import PostgresServer, Shutdown
from tests.fault.proxy import Mode
from tests.fault.service_checks import ask
from tests.fault.stage import Stage, raised_stage
from tests.fault.under_load import under_load
from tests.integration.casino import (
    new_id,
    new_reward,
    new_slip,
)
from tests.integration.clients import Client, Kind, read_refusal
from tests.integration.identity import Identity
from tests.integration.patience import eventually
from tests.integration.recovery import RETRY_CAN_HELP, refused_close, require_pending

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
# Whatever a service writes, it also writes here.
ROWS = {LOYALTY: "loyalty.loyalty_ledger", RATINGSLIP: "ratingslip.rating_slip_event"}
# Of several connections, nobody could say on which one the answer comes.
ONE_CONNECTION = {
    "loyalty": {"LOYALTY_DATABASE_POOL_SIZE": "1"},
    "ratingslip": {"RATINGSLIP_DATABASE_POOL_SIZE": "1"},
}

# How a write that is asked for once may be refused, and how often it is there. Its own
# answer was lost only in the second case: services ask the database for more than that.
TOLD_OF_A_WRITE = [(None, 1), (DATABASE_UNAVAILABLE, 1), (DATABASE_UNAVAILABLE, 0)]

Fault: TypeAlias = Callable[[Stage], Awaitable[object]]


@pytest.fixture(scope="module")
async def stage(
    tmp_path_factory: pytest.TempPathFactory,
    fault_postgres: PostgresServer,
    fault_databases: Databases,
    fault_identity: Identity,
) -> AsyncIterator[Stage]:
    # One for all faults: whoever has survived one must survive the next.
    directory = tmp_path_factory.mktemp("stage")
    async with raised_stage(directory, fault_postgres, fault_databases, fault_identity) as raised:
        yield raised


async def server_restarts_in_good_order(stage: Stage) -> None:
    await stage.postgres.restart(Shutdown.FAST)


async def server_restarts_immediately(stage: Stage) -> None:
    await stage.postgres.restart(Shutdown.IMMEDIATE)


async def postmaster_is_killed(stage: Stage) -> None:
    await stage.postgres.restart(Shutdown.KILLED)


async def one_backend_is_killed(stage: Stage) -> None:
    await stage.postgres.kill_backend(stage.databases[LOYALTY])


FAULTS: tuple[Fault, ...] = (
    server_restarts_in_good_order,
    server_restarts_immediately,
    postmaster_is_killed,
    one_backend_is_killed,
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_a_restart_under_load_loses_nothing_and_the_services_go_on_by_themselves(
    stage: Stage, fault: Fault
) -> None:
    async with under_load(stage):
        await fault(stage)


async def test_while_the_database_is_down_health_and_every_call_say_so(stage: Stage) -> None:
    boss = stage.casino().for_role("pit_boss")
    slip = await open_slip_of_a_known_player(boss)

    async with under_load(stage), stage.postgres.down():
        await stage.loyalty.health_becomes(NOT_SERVING)
        await stage.ratingslip.health_becomes(NOT_SERVING)
        for service in (LOYALTY, RATINGSLIP):
            for method, request in (*writes(boss, service, slip), *reads(boss, service, slip)):
                await require_told_unavailable(boss, method, request)


@pytest.mark.parametrize("service", [LOYALTY, RATINGSLIP], ids=str)
async def test_a_read_only_database_is_read_and_every_write_is_told_to_come_back(
    stage: Stage, service: Service
) -> None:
    boss = stage.casino().for_role("pit_boss")
    slip = await open_slip_of_a_known_player(boss)

    async with under_load(stage), stage.postgres.read_only(stage.databases[service]):
        before = await row_count(stage, service)
        for method, request in writes(boss, service, slip):
            await require_told_unavailable(boss, method, request)
        if service is LOYALTY:
            close = await refused_close(boss, slip)
            assert close.kind == RETRY_CAN_HELP
            assert close.metadata["loyaltyReason"] == "DATABASE_UNAVAILABLE"
            await require_pending(boss, slip)
        for method, request in reads(boss, service, slip):
            await ask(boss, method, request)
        assert await row_count(stage, service) == before


@pytest.mark.parametrize("service", [LOYALTY, RATINGSLIP], ids=str)
async def test_a_write_whose_answer_is_lost_is_not_done_again_by_the_service(
    new_stage: NewStage, service: Service
) -> None:
    async with new_stage(**ONE_CONNECTION) as stage:
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


async def row_count(stage: Stage, service: Service) -> int:
    """How much a service has written."""
    async with stage.superuser(service) as superuser:
        count: int = await superuser.fetchval(f"SELECT count(*) FROM {ROWS[service]}")
    return count
