"""The real ledger for a test that is not asynchronous, with a clock that the test moves.

with workbench(database, moment) as bench:
    entry = bench.run(redeem_points_as_service(bench.ledger, request))
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import uuid
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from chassis.errors import ServiceError
from loyalty_service.ledger import Ledger
from tests.database.accruals import Row, opened_ledger
from tests.database.clock import set_clock, stop_clock
from tests.databases import Connection, TestDatabase, connected

T = TypeVar("T")


class Contents(NamedTuple):
    """Every balance and every entry of some casinos, in any order."""

    players: list[Row]
    entries: list[Row]


@dataclasses.dataclass(frozen=True)
class Workbench:
    """A ledger, a superuser's connection to its database, and a loop to use them in."""

    loop: asyncio.AbstractEventLoop
    ledger: Ledger
    superuser: Connection

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Does it now."""
        # Not the runner's own way, which handles signals anew each time: that takes longer
        # than the call.
        return self.loop.run_until_complete(work)

    def outcome(self, call: Coroutine[Any, Any, Row]) -> Row:
        """What a call answers, or the reason and the facts of its refusal."""
        try:
            return self.run(call)
        except ServiceError as error:
            return {"reason": error.reason, "metadata": dict(error.metadata)}

    def set_clock(self, moment: datetime.datetime) -> None:
        """Says what time it is."""
        self.run(set_clock(self.superuser, moment))

    def contents(self, casino_ids: Sequence[uuid.UUID]) -> Contents:
        """What these casinos hold."""
        return self.run(self._contents(casino_ids))

    async def _contents(self, casino_ids: Sequence[uuid.UUID]) -> Contents:
        players = await self.superuser.fetch(
            "SELECT * FROM loyalty.player_loyalty WHERE casino_id = ANY($1)", casino_ids
        )
        entries = await self.superuser.fetch(
            "SELECT * FROM loyalty.loyalty_ledger WHERE casino_id = ANY($1)", casino_ids
        )
        return Contents([dict(row) for row in players], [dict(row) for row in entries])


@contextlib.contextmanager
def workbench(database: TestDatabase, moment: datetime.datetime) -> Iterator[Workbench]:
    """A workbench with an event loop of its own, which leaves the session's alone."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        resources = contextlib.AsyncExitStack()
        try:
            superuser = runner.run(resources.enter_async_context(connected(database.superuser_url)))
            ledger = runner.run(resources.enter_async_context(opened_ledger(database, pool_size=1)))
            runner.run(stop_clock(superuser, moment))
            yield Workbench(runner.get_loop(), ledger, superuser)
        finally:
            runner.run(resources.aclose())
