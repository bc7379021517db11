"""Cancelled at each await of the close, and of what goes on behind it: the points come once."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import inspect
import itertools
import pathlib
import uuid
from collections.abc import AsyncIterator, Coroutine, Generator, Iterator
from typing import Any

import asyncpg
import pytest
from opentelemetry.metrics import NoOpMeter
from opentelemetry.trace import NoOpTracer

from casino.ratingslip.v1 import ratingslip_pb2
from chassis import client, tls
from chassis.context import Call, Caller, Deadline, Role, enter_call, leave_call
from chassis.database import Database
from ratingslip_service import close, errors
from ratingslip_service.close import SlipCloser
from ratingslip_service.loyalty import IDEMPOTENT_METHODS, LoyaltyClient
from ratingslip_service.service_token import ServiceTokens, SigningKey
from ratingslip_service.slips import Amount, Slips
from tests.databases import RATINGSLIP
from tests.fault.history import History
from tests.fault.invariants import require_invariants
from tests.fault.stage import Stage
from tests.integration.casino import (
    HOUR,
    POINTS_OF_AN_HOUR,
    Casino,
    complete,
    read_entries,
    read_slip,
    start,
)
from tests.integration.clients import Client
from tests.integration.identity import LOYALTY_AUDIENCE, SERVICE_ISSUER, Identity
from tests.integration.patience import PATIENCE_SECONDS, eventually

# A close waits at far fewer places; it is only there so that the test ends.
MOST_SUSPENSIONS = 100
# For the commit, for its own task, for Loyalty and for the record: with less it is no close.
LEAST_SUSPENSIONS = 4
# Later than any suspension: the close is left alone.
NEVER = 1_000_000
OPEN, CLOSED = ratingslip_pb2.SLIP_STATUS_OPEN, ratingslip_pb2.SLIP_STATUS_CLOSED


class Cancellation:
    """Cancels whichever task of the close comes to the n-th of all their suspensions."""

    def __init__(self, at_suspension: int) -> None:
        self._at_suspension = at_suspension
        self.suspensions = 0

    @property
    def has_struck(self) -> bool:
        """Whether there was an n-th suspension."""
        return self.suspensions >= self._at_suspension

    async def follow(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Awaits a coroutine, counting how often it is suspended."""
        return await _Followed(coroutine, self)

    def suspend(self) -> None:
        """The current task is about to wait."""
        self.suspensions += 1
        if self.suspensions == self._at_suspension:
            task = asyncio.current_task()
            assert task is not None
            # The task then cancels what it is about to wait for, as it does for any caller.
            task.cancel()

    @contextlib.contextmanager
    def following_tasks(self) -> Iterator[None]:
        """While it lasts, the tasks that the close starts are followed as well."""
        loop = asyncio.get_running_loop()

        def new_task(
            loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
        ) -> asyncio.Task[Any]:
            if coroutine.cr_code.co_filename == close.__file__:
                coroutine = self.follow(coroutine)
            return asyncio.Task(coroutine, loop=loop, **options)

        loop.set_task_factory(new_task)
        try:
            yield
        finally:
            loop.set_task_factory(None)


class _Followed:
    """Awaits a coroutine step by step."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], cancellation: Cancellation) -> None:
        self._coroutine = coroutine
        self._cancellation = cancellation

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._coroutine.__await__()
        failure: BaseException | None = None
        while True:
            try:
                awaited = steps.send(None) if failure is None else steps.throw(failure)
            except StopIteration as end:
                return end.value
            self._cancellation.suspend()
            failure = None
            try:
                yield awaited
            except BaseException as error:
                failure = error


@contextlib.asynccontextmanager
async def closer_of(stage: Stage, identity: Identity) -> AsyncIterator[SlipCloser]:
    """The product's own closer in this process, on the stage's database and Loyalty."""
    tracer, meter = NoOpTracer(), NoOpMeter("tests")
    # A connection that a cancellation loses would be missed at once.
    database = Database(
        stage.databases[RATINGSLIP].service_url,
        schema="ratingslip",
        pool_size=1,
        tracer=tracer,
        meter=meter,
        error_mapping=errors.from_postgres,
    )
    channel = client.RenewedChannel(
        lambda: client.open_channel(
            stage.loyalty_proxy.address,
            credentials=None,
            idempotent_methods=IDEMPOTENT_METHODS,
            tracer=tracer,
            meter=meter,
        ),
        tls.WatchedFiles(),
    )
    keyring = identity.keyring
    key = SigningKey.from_file(keyring.ratingslip_key_file, keyring.ratingslip.key_id)
    tokens = ServiceTokens(key, issuer=SERVICE_ISSUER, audience=LOYALTY_AUDIENCE)
    await database.open()
    try:
        yield SlipCloser(Slips(database), LoyaltyClient(channel, tokens), tracer, meter)
    finally:
        await channel.close()
        await database.close()


async def cancelled_close(
    closer: SlipCloser, casino: Casino, slip: ratingslip_pb2.RatingSlip, at_suspension: int
) -> Cancellation:
    """Closes a slip as the servicer does, and cancels at the n-th suspension."""
    cancellation = Cancellation(at_suspension)
    staff_id = uuid.UUID(casino.staff_id("pit_boss"))
    call = Call(
        method="CompleteRatingSlip",
        correlation_id=f"cancelled-{at_suspension}",
        deadline=Deadline.after(PATIENCE_SECONDS),
        caller=Caller(uuid.UUID(casino.id), staff_id, Role.PIT_BOSS),
    )
    end_time = slip.start_time.ToDatetime(datetime.UTC) + HOUR
    entered = enter_call(call)
    try:
        with cancellation.following_tasks():
            work = closer.complete(uuid.UUID(slip.rating_slip_id), end_time, Amount(), Amount())
            task = asyncio.ensure_future(cancellation.follow(work))
            await asyncio.wait([task])
            await closer.drain()
    finally:
        leave_call(entered)
    assert cancellation.has_struck or task.exception() is None
    return cancellation


async def accrued(boss: Client, slip: ratingslip_pb2.RatingSlip) -> None:
    """Returns when the slip has its points, for which nobody asks."""

    async def reached() -> bool:
        found = await read_slip(boss, slip.rating_slip_id)
        return found.loyalty_state == ratingslip_pb2.LOYALTY_STATE_ACCRUED

    await eventually(reached, "the slip has its points")


async def nothing_goes_on() -> bool:
    """Whether no task of the product's or its driver's is left in this process."""
    files = [
        getattr(getattr(task.get_coro(), "cr_code", None), "co_filename", "")
        for task in asyncio.all_tasks()
    ]
    packages = {
        pathlib.Path(inspect.getfile(package)).parent for package in (close, client, asyncpg)
    }
    return not any(package in pathlib.Path(file).parents for file in files for package in packages)


@pytest.mark.parametrize("is_connected", [False, True], ids=["connecting", "connected"])
async def test_cancelled_at_any_await_a_close_has_happened_or_not_and_is_paid_once(
    stage: Stage, fault_identity: Identity, *, is_connected: bool
) -> None:
    casino = stage.casino()
    boss = casino.for_role("pit_boss")
    left: list[int] = []
    for at_suspension in itertools.count(1):
        assert at_suspension < MOST_SUSPENSIONS
        slip = await start(boss)
        async with closer_of(stage, fault_identity) as closer:
            if is_connected:
                await cancelled_close(closer, casino, await start(boss), NEVER)
            cancellation = await cancelled_close(closer, casino, slip, at_suspension)
            # The closer's only connection to the database is still good for a close.
            await cancelled_close(closer, casino, await start(boss), NEVER)
            await eventually(nothing_goes_on, "no task of the close or its database is left")
        found = await read_slip(boss, slip.rating_slip_id)
        if not cancellation.has_struck:
            assert found.loyalty_state == ratingslip_pb2.LOYALTY_STATE_ACCRUED
            break
        left.append(found.status)
        if found.status == OPEN:
            await complete(boss, slip)
        await accrued(boss, slip)
        (entry,) = await read_entries(boss, player_id=slip.player_id)
        assert entry.points_delta == POINTS_OF_AN_HOUR

    assert len(left) >= LEAST_SUSPENSIONS
    # Some came after the commit; before it there is little else to wait for than a connection.
    assert CLOSED in left
    assert is_connected or OPEN in left
    await require_invariants(stage, History())
