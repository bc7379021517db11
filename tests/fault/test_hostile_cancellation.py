"""Callers who give up at any moment: whatever was begun for them ends, and at once.

What was only prepared has begun a transaction, too, which no statement would end.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import uuid
from collections.abc import AsyncIterator, Coroutine, Generator
from decimal import Decimal
from typing import Any

from opentelemetry.metrics import NoOpMeter
from opentelemetry.trace import NoOpTracer

from chassis.context import Call, Caller, Deadline, Role, enter_call, leave_call
from chassis.database import Database
from loyalty_service import errors
from loyalty_service.ledger import Ledger
from loyalty_service.program import ProgramTier, ProgramUpdate, Terms
from tests.databases import Connection, TestDatabase, connected
from tests.fault.hostile_fixtures import require_idle
from tests.integration.patience import PATIENCE_SECONDS

# There are far fewer places to wait at; it is only there so that the test ends.
MOST_WAITS = 100
# To connect, to prepare, to learn a type and to execute: with less it was no call.
LEAST_WAITS = 4


class GivenUp:
    """Awaits a coroutine and gives it up at the n-th wait, when what it waits for has come.

    Before that moment there is something to cancel, and after it the next step is taken.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any], at_wait: int) -> None:
        self._coroutine = coroutine
        self._left = at_wait

    def __await__(self) -> Generator[Any, Any, bool]:
        steps = self._coroutine.__await__()
        failure: BaseException | None = None
        while True:
            try:
                awaited = steps.send(None) if failure is None else steps.throw(failure)
            except StopIteration:
                return False
            except asyncio.CancelledError:
                return True
            try:
                failure = None
                yield awaited
            except BaseException as error:
                failure = error
            self._left -= 1
            if self._left == 0:
                failure = asyncio.CancelledError()


@contextlib.asynccontextmanager
async def new_connections(database: TestDatabase) -> AsyncIterator[Ledger]:
    """The product's own ledger, which has prepared no statement yet."""
    connections = Database(
        database.service_url,
        schema="loyalty",
        pool_size=1,
        tracer=NoOpTracer(),
        meter=NoOpMeter("tests"),
        error_mapping=errors.from_postgres,
    )
    await connections.open()
    caller = Caller(uuid.uuid4(), uuid.uuid4(), Role.ADMIN)
    entered = enter_call(Call("Update", "given-up", Deadline.after(PATIENCE_SECONDS), caller))
    try:
        yield Ledger(connections)
    finally:
        leave_call(entered)
        await connections.close()


def new_program() -> ProgramUpdate:
    """An update whose types a connection has to ask for first."""
    terms = Terms(
        points_per_unit=Decimal(10),
        rounding="floor",
        tiers=[ProgramTier("BLUE", 0, Decimal(1))],
        overdraw_floor=0,
        time_zone="UTC",
        gaming_day_start=datetime.time(6),
    )
    return ProgramUpdate(0, terms, None)


async def given_up(database: TestDatabase, superuser: Connection, at_wait: int) -> bool:
    """Gives up a call at the n-th wait; whether there was one."""
    async with new_connections(database) as ledger:
        has_struck = await GivenUp(ledger.update_loyalty_program(new_program()), at_wait)
        await require_idle(superuser)
        # With one connection in the pool it is the same one.
        assert await ledger.get_player_loyalty(uuid.uuid4()) is None
    return has_struck


async def test_a_call_given_up_at_any_moment_leaves_no_transaction_behind(
    loyalty_database: TestDatabase,
) -> None:
    async with connected(loyalty_database.superuser_url) as superuser:
        for at_wait in range(1, MOST_WAITS):
            if not await given_up(loyalty_database, superuser, at_wait):
                break

    assert LEAST_WAITS < at_wait < MOST_WAITS - 1
