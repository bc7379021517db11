"""The database accepts everything and answers nothing: calls end by their own deadlines.

Neither a call that is under way, nor one that still connects, nor a caller who gives up may
be kept by it, and afterwards the connections are all there.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import pytest
from grpc import StatusCode
from opentelemetry.metrics import NoOpMeter
from opentelemetry.trace import NoOpTracer

import chassis.database
from chassis.context import Call, Caller, Deadline, Role, enter_call, leave_call
from chassis.database import Database
from chassis.errors import ServiceError
from deploy.local.processes import LOOPBACK
from deploy.local.proxy import Mode, TcpProxy
from ratingslip_service import errors
from ratingslip_service.slips import Amount, Slips
from tests.databases import LOYALTY, RATINGSLIP, Databases, Service
from tests.fault.database_calls import open_slip_of_a_known_player, reads, writes
from tests.fault.history import History
from tests.fault.invariants import require_invariants
from tests.fault.postgres_server import PostgresServer
from tests.fault.service_checks import ask
from tests.fault.stage import Stage, raised_stage
from tests.fault.under_load import under_load
from tests.integration.casino import Casino, an_hour_of, new_id, start
from tests.integration.identity import Identity
from tests.integration.locks import held_slip
from tests.integration.patience import PATIENCE_SECONDS
from tests.integration.recovery import RETRY_CAN_HELP

DEADLINE_EXCEEDED = (StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
# What a call has that brings no deadline: shorter than every limit that could end it first.
SHORT_DEADLINES = {
    "loyalty": {"LOYALTY_DEFAULT_DEADLINE_MS": "1000"},
    "ratingslip": {"RATINGSLIP_DEFAULT_DEADLINE_MS": "1000"},
}
# The clients' own, so that they meet the hole more than once.
SHORT_DEADLINE_SECONDS = 1.0
# Deadlines that end at every fraction of a millisecond; all of them meet the opening.
CALLS_AT_ONCE = 100
SHORTEST_DEADLINE_MS = 50.0
DEADLINE_STEP_MS = 1.3
# Longer than any test: what waits for it waits for ever.
NEVER_SECONDS = 1_000_000.0

Work: TypeAlias = Coroutine[Any, Any, set[str]]


@pytest.fixture(scope="module")
async def stage(
    tmp_path_factory: pytest.TempPathFactory,
    fault_postgres: PostgresServer,
    fault_databases: Databases,
    fault_identity: Identity,
) -> AsyncIterator[Stage]:
    # One for all: whoever has survived one hole must survive the next.
    directory = tmp_path_factory.mktemp("stage")
    async with raised_stage(
        directory, fault_postgres, fault_databases, fault_identity, **SHORT_DEADLINES
    ) as raised:
        yield raised


@pytest.mark.parametrize("service", [LOYALTY, RATINGSLIP], ids=str)
async def test_calls_into_a_black_hole_end_at_their_deadline_and_others_are_answered(
    stage: Stage, service: Service
) -> None:
    boss = stage.casino().for_role("pit_boss")
    slip = await open_slip_of_a_known_player(boss)
    closing = await open_slip_of_a_known_player(boss)
    other, proxy = RATINGSLIP, stage.loyalty_database_proxy
    if service is RATINGSLIP:
        other, proxy = LOYALTY, stage.ratingslip_database_proxy

    calls = (*writes(boss, service, slip), *reads(boss, service, slip))
    async with under_load(stage, deadline_seconds=SHORT_DEADLINE_SECONDS):
        await proxy.switch(Mode.STALL)
        async with asyncio.timeout(PATIENCE_SECONDS):
            refusals = await asyncio.gather(
                *(
                    # The service itself must end it: this caller would wait for ever.
                    boss.refusal(method, request, deadline_seconds=None)
                    for method, request in calls
                )
            )
        assert {refusal.kind for refusal in refusals} == {DEADLINE_EXCEEDED}
        for method, request in reads(boss, other, slip):
            await ask(boss, method, request)
        if service is LOYALTY:
            close = await boss.refusal(
                boss.slips.CompleteRatingSlip, an_hour_of(closing), deadline_seconds=None
            )
            assert close.kind == RETRY_CAN_HELP
        await proxy.switch(Mode.PASS)


def test_a_deadline_that_passes_before_there_is_a_connection_is_told_as_one() -> None:
    # The services' own loop, whose timers may be up to a millisecond early.
    uvloop = pytest.importorskip("uvloop")
    with socket.create_server((LOOPBACK, 0), backlog=CALLS_AT_ONCE) as silent:
        work = reasons_of_calls(f"{LOOPBACK}:{silent.getsockname()[1]}")
        # Beside the tests' own loop, which is this thread's.
        with ThreadPoolExecutor(1) as executor:
            reasons = executor.submit(run_on, uvloop.new_event_loop, work).result()

    assert reasons == {"DEADLINE_EXCEEDED"}


async def reasons_of_calls(address: str) -> set[str]:
    """How calls with short deadlines are refused when the database does not answer there."""

    async def reason_of_call(number: int) -> str:
        deadline = Deadline.after((SHORTEST_DEADLINE_MS + number * DEADLINE_STEP_MS) / 1000)
        with pytest.raises(ServiceError) as caught, in_a_call(new_id(), new_id(), deadline):
            await database.fetch("get_rating_slip", "r.id")
        return caught.value.reason

    url = f"postgresql://{RATINGSLIP.service_role}@{address}/{RATINGSLIP}"
    async with opened_database(url, pool_size=CALLS_AT_ONCE) as database:
        return set(await asyncio.gather(*map(reason_of_call, range(CALLS_AT_ONCE))))


def run_on(loop_factory: Callable[[], asyncio.AbstractEventLoop], work: Work) -> set[str]:
    """Runs something to its end on a loop of its own."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(work)


async def test_who_gives_up_does_not_wait_for_the_connection_to_come_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only the black hole, and no limit, decides when the connection comes back.
    monkeypatch.setattr(chassis.database, "POOL_WAIT_SECONDS", NEVER_SECONDS)
    monkeypatch.setattr(chassis.database, "RELEASE_TIMEOUT_SECONDS", NEVER_SECONDS)
    casino = stage.casino()
    slip = await start(casino.for_role("pit_boss"))
    slip_id = uuid.UUID(slip.rating_slip_id)
    async with TcpProxy(stage.ratingslip_database_proxy.upstream) as proxy:
        async with slips_of(stage, casino, proxy) as slips:
            url = stage.databases[RATINGSLIP].superuser_url
            async with held_slip(url, casino.id, slip.rating_slip_id) as row:
                close = asyncio.create_task(
                    slips.complete_rating_slip("", slip_id, None, Amount(), Amount())
                )
                await row.awaited()
                await proxy.switch(Mode.STALL)

                close.cancel()
                ended, _ = await asyncio.wait([close], timeout=PATIENCE_SECONDS)
                assert ended, "the caller waits for its connection"

                await proxy.switch(Mode.PASS)
                # The only connection of the pool is free again, though the row is not.
                async with asyncio.timeout(PATIENCE_SECONDS):
                    found = await slips.get_rating_slip(slip_id)
            assert found is not None
            assert found["status"] == "OPEN"
    await require_invariants(stage, History())


@contextlib.asynccontextmanager
async def slips_of(stage: Stage, casino: Casino, proxy: TcpProxy) -> AsyncIterator[Slips]:
    """The product's own way to a casino's slips, in this process, on a single connection."""
    url = stage.databases[RATINGSLIP].service_url.replace(proxy.upstream, proxy.address)
    endless = Deadline.after(NEVER_SECONDS)
    async with opened_database(url, pool_size=1) as database:
        with in_a_call(casino.id, casino.staff_id("pit_boss"), endless):
            yield Slips(database)


@contextlib.asynccontextmanager
async def opened_database(url: str, pool_size: int) -> AsyncIterator[Database]:
    """The product's own way to RatingSlip's database, in this process."""
    database = Database(
        url,
        schema=RATINGSLIP.name,
        pool_size=pool_size,
        tracer=NoOpTracer(),
        meter=NoOpMeter("tests"),
        error_mapping=errors.from_postgres,
    )
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@contextlib.contextmanager
def in_a_call(casino_id: str, staff_id: str, deadline: Deadline) -> Iterator[None]:
    """What the interceptor would have made of a pit boss's call."""
    caller = Caller(uuid.UUID(casino_id), uuid.UUID(staff_id), Role.PIT_BOSS)
    entered = enter_call(Call("CompleteRatingSlip", "in-a-black-hole", deadline, caller))
    try:
        yield
    finally:
        leave_call(entered)
