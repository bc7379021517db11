"""The database goes away while clients are at work, or takes no writes.

Of each fault: what callers are told, that nothing acknowledged is lost, and that the
services go on by themselves, with all of their connections.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import pytest
from grpc_health.v1 import health_pb2

from tests.databases import LOYALTY, RATINGSLIP, Databases, Service
from tests.fault.database_calls import (
    open_slip_of_a_known_player,
    reads,
    require_told_unavailable,
    writes,
)
from tests.fault.postgres_server import PostgresServer, Shutdown
from tests.fault.service_checks import ask
from tests.fault.stage import Stage, raised_stage
from tests.fault.under_load import under_load
from tests.integration.identity import Identity
from tests.integration.recovery import RETRY_CAN_HELP, refused_close, require_pending

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
# Whatever a service writes, it also writes here.
ROWS = {LOYALTY: "loyalty.loyalty_ledger", RATINGSLIP: "ratingslip.rating_slip_event"}
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


async def row_count(stage: Stage, service: Service) -> int:
    """How much a service has written."""
    async with stage.superuser(service) as superuser:
        count: int = await superuser.fetchval(f"SELECT count(*) FROM {ROWS[service]}")
    return count
