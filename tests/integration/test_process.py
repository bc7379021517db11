"""A running service: how it ends, what it does without its database, and what limits a call."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Mapping

import pytest
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc

from casino.ratingslip.v1 import ratingslip_pb2
from deploy.local.processes import LOOPBACK, free_port
from deploy.local.proxy import Mode, TcpProxy
from tests.databases import LOYALTY, RATINGSLIP, Service, TestDatabase
from tests.integration.casino import (
    POINTS_OF_AN_HOUR,
    Casino,
    an_hour_of,
    complete,
    new_accrual,
    new_slip,
    read_slip,
    start,
)
from tests.integration.clients import Client
from tests.integration.locks import held_player, held_slip
from tests.integration.patience import PATIENCE_SECONDS
from tests.integration.services import Launcher, Pair, ServiceProcess

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
async def known(boss: Client) -> ratingslip_pb2.RatingSlip:
    """A closed slip, whose player has a row in Loyalty that can be held."""
    slip = await start(boss)
    return (await complete(boss, slip)).rating_slip


@contextlib.asynccontextmanager
async def watched(service: ServiceProcess) -> AsyncIterator[asyncio.Task[None]]:
    """While it lasts, a task that ends when the service says that it is NOT_SERVING."""
    stub = health_pb2_grpc.HealthStub(service.channel)
    request = health_pb2.HealthCheckRequest()
    watch = stub.Watch(request, timeout=PATIENCE_SECONDS)  # type: ignore[attr-defined]
    first = await watch.read()
    assert first.status == SERVING

    async def not_serving() -> None:
        while (await watch.read()).status != NOT_SERVING:
            pass
        watch.cancel()

    task = asyncio.create_task(not_serving())
    try:
        yield task
    finally:
        task.cancel()
        watch.cancel()


@contextlib.asynccontextmanager
async def through_proxy(database_url: str) -> AsyncIterator[tuple[TcpProxy, str]]:
    """A proxy in front of PostgreSQL, and the URL that leads through it."""
    server = database_url.rpartition("@")[2].partition("/")[0]
    async with TcpProxy(server) as proxy:
        yield proxy, database_url.replace(server, proxy.address)


async def require_health_follows(service: ServiceProcess, proxy: TcpProxy) -> None:
    """However the database goes away, health says so, and says when it is back."""
    for mode, status in (
        (proxy.mode, NOT_SERVING),
        (Mode.PASS, SERVING),
        (Mode.REFUSE, NOT_SERVING),
        (Mode.PASS, SERVING),
        (Mode.STALL, NOT_SERVING),
        (Mode.PASS, SERVING),
    ):
        await proxy.switch(mode)
        await service.health_becomes(status)


async def test_a_close_under_way_is_finished_before_the_service_ends(
    casino: Casino,
    known: ratingslip_pb2.RatingSlip,
    pair: Pair,
    launcher: Launcher,
    pair_databases: Mapping[Service, TestDatabase],
) -> None:
    ratingslip = await launcher.ratingslip(pair.loyalty.address)
    boss = casino.for_role("pit_boss", ratingslip=ratingslip)
    slip = await start(boss, player_id=known.player_id)
    url = pair_databases[LOYALTY].superuser_url
    async with held_player(url, casino.id, slip.player_id) as player:
        close = asyncio.create_task(complete(boss, slip))
        await player.awaited()
        async with watched(ratingslip) as not_serving:
            ratingslip.send_signal(signal.SIGTERM)
            await not_serving

    assert (await close).loyalty.points_delta > 0
    assert await ratingslip.ended() == 0


async def test_a_health_watch_does_not_hold_up_the_end(pair: Pair, launcher: Launcher) -> None:
    # Far longer than the test waits: only the watch could use it up.
    ratingslip = await launcher.ratingslip(pair.loyalty.address, RATINGSLIP_DRAIN_GRACE_MS="300000")
    stub = health_pb2_grpc.HealthStub(ratingslip.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest())  # type: ignore[attr-defined]
    assert (await watch.read()).status == SERVING

    ratingslip.send_signal(signal.SIGTERM)

    assert await ratingslip.ended() == 0


async def test_a_close_whose_caller_has_gone_is_finished_before_the_service_ends(
    casino: Casino,
    known: ratingslip_pb2.RatingSlip,
    pair: Pair,
    launcher: Launcher,
    pair_databases: Mapping[Service, TestDatabase],
) -> None:
    ratingslip = await launcher.ratingslip(pair.loyalty.address)
    boss = casino.for_role("pit_boss", ratingslip=ratingslip)
    slip = await start(boss, player_id=known.player_id)
    url = pair_databases[LOYALTY].superuser_url
    async with held_player(url, casino.id, slip.player_id) as player:
        close = boss.send(boss.slips.CompleteRatingSlip, an_hour_of(slip))
        await player.awaited()
        close.cancel()
        async with watched(ratingslip) as not_serving:
            ratingslip.send_signal(signal.SIGTERM)
            await not_serving

    assert await ratingslip.ended() == 0
    closed = await read_slip(casino.for_role("pit_boss"), slip.rating_slip_id)
    assert closed.loyalty_state == ratingslip_pb2.LOYALTY_STATE_ACCRUED


async def test_an_accrual_under_way_is_finished_before_loyalty_ends(
    casino: Casino,
    known: ratingslip_pb2.RatingSlip,
    launcher: Launcher,
    pair_databases: Mapping[Service, TestDatabase],
) -> None:
    loyalty = await launcher.loyalty()
    ratingslip = await launcher.ratingslip(loyalty.address)
    boss = casino.for_role("pit_boss", ratingslip=ratingslip)
    slip = await start(boss, player_id=known.player_id)
    url = pair_databases[LOYALTY].superuser_url
    async with held_player(url, casino.id, slip.player_id) as player:
        close = asyncio.create_task(complete(boss, slip))
        await player.awaited()
        async with watched(loyalty) as not_serving:
            loyalty.send_signal(signal.SIGTERM)
            await not_serving

    assert (await close).loyalty.points_delta > 0
    assert await loyalty.ended() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_service_ends_in_good_order(
    number: signal.Signals, pair: Pair, launcher: Launcher
) -> None:
    services = await asyncio.gather(launcher.loyalty(), launcher.ratingslip(pair.loyalty.address))

    for service in services:
        service.send_signal(number)

    assert [await service.ended() for service in services] == [0, 0]


async def test_health_follows_the_database_from_before_it_is_there(
    casino: Casino, launcher: Launcher, pair_databases: Mapping[Service, TestDatabase]
) -> None:
    async with (
        through_proxy(pair_databases[LOYALTY].service_url) as (loyaltys, loyalty_url),
        through_proxy(pair_databases[RATINGSLIP].service_url) as (ratingslips, ratingslip_url),
    ):
        await loyaltys.switch(Mode.REFUSE)
        await ratingslips.switch(Mode.REFUSE)
        loyalty = await launcher.start(LOYALTY, LOYALTY_DATABASE_URL=loyalty_url)
        address = (await loyalty.listening()).address
        ratingslip = await launcher.start(
            RATINGSLIP,
            RATINGSLIP_DATABASE_URL=ratingslip_url,
            RATINGSLIP_LOYALTY_ADDRESS=address,
        )
        boss = casino.for_role("pit_boss", ratingslip=await ratingslip.listening())
        service = casino.for_role("service", loyalty=loyalty)

        refusals = [
            await boss.refusal(boss.slips.StartRatingSlip, new_slip()),
            await service.refusal(service.points.AccruePointsFromSlip, new_accrual()),
        ]

        for refusal in refusals:
            assert refusal.kind == (StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
            assert refusal.retry_after_seconds
        await asyncio.gather(
            require_health_follows(ratingslip, ratingslips),
            require_health_follows(loyalty, loyaltys),
        )
        assert (await complete(boss, await start(boss))).loyalty.points_delta > 0


async def test_a_call_without_a_deadline_has_the_services_own(
    casino: Casino,
    launcher: Launcher,
    pair: Pair,
    pair_databases: Mapping[Service, TestDatabase],
) -> None:
    # Much shorter than the wait for a lock, which would end the call otherwise.
    ratingslip = await launcher.ratingslip(
        pair.loyalty.address, RATINGSLIP_DEFAULT_DEADLINE_MS="300"
    )
    boss = casino.for_role("pit_boss", ratingslip=ratingslip)
    slip = await start(boss)
    url = pair_databases[RATINGSLIP].superuser_url
    async with held_slip(url, casino.id, slip.rating_slip_id) as row:
        refusal = await boss.refusal(
            boss.slips.CompleteRatingSlip, an_hour_of(slip), deadline_seconds=None
        )
        # The statement is ended behind the answer's back.
        await row.given_up()

    assert refusal.kind == (StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    untouched = await read_slip(boss, slip.rating_slip_id)
    assert untouched.status == ratingslip_pb2.SLIP_STATUS_OPEN


async def test_a_lock_that_is_held_too_long_is_told_as_busy_and_the_log_knows_why(
    casino: Casino,
    boss: Client,
    pair: Pair,
    pair_databases: Mapping[Service, TestDatabase],
) -> None:
    slip = await start(boss)
    url = pair_databases[RATINGSLIP].superuser_url
    async with held_slip(url, casino.id, slip.rating_slip_id):
        refusal = await boss.refusal(boss.slips.CompleteRatingSlip, an_hour_of(slip))

    assert refusal.kind == (StatusCode.UNAVAILABLE, "DATABASE_BUSY")
    assert refusal.retry_after_seconds
    # lock_not_available
    call = await pair.ratingslip.log.event("rpc", correlation_id=refusal.correlation_id)
    assert call["db.response.status_code"] == "55P03"
    assert (await complete(boss, slip)).loyalty.points_delta > 0


async def test_a_collector_that_is_not_there_changes_nothing(
    casino: Casino, launcher: Launcher
) -> None:
    nowhere = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{LOOPBACK}:{free_port()}",
        # Every span is on its way at once.
        "OTEL_BSP_SCHEDULE_DELAY": "1",
    }
    loyalty = await launcher.loyalty(**nowhere)
    ratingslip = await launcher.ratingslip(loyalty.address, **nowhere)
    boss = casino.for_role("pit_boss", ratingslip=ratingslip)

    closed = [await complete(boss, await start(boss)) for _ in range(3)]

    assert all(answer.loyalty.points_delta == POINTS_OF_AN_HOUR for answer in closed)
    for service in (ratingslip, loyalty):
        service.send_signal(signal.SIGTERM)
        assert await service.ended() == 0
