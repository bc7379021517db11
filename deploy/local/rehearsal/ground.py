"""The stack that faults are made on: the parts of `make up`, and a proxy between the services.

    RatingSlip ──▶ proxy ──▶ Loyalty

Owns what can be done to it: Loyalty stopped and started, replies lost, SQL as a superuser. It
must not know what any of it is done for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping

import asyncpg

from deploy.local.parts import Layout, Parts, empty_logs, running_parts
from deploy.local.postgres import PostgresCluster
from deploy.local.processes import free_port
from deploy.local.proxy import TcpProxy
from deploy.local.services import (
    LOYALTY,
    SERVING_TIMEOUT_SECONDS,
    Service,
    ServiceError,
    ServiceProcess,
    address,
    until_serving,
)
from deploy.local.state import StackFacts, StateDirectory
from deploy.local.tenure import Tenure

# The recoverer takes up a slip after five seconds, which is less than a person reads one
# step in: it would mend behind the rehearsal's back what is to be found and mended by hand.
WITHOUT_RECOVERY = {"RATINGSLIP_RECOVERY_POLL_SECONDS": "3600"}


class Ground:
    """A stack that serves, and what can be done to it."""

    def __init__(self, parts: Parts, facts: StackFacts, proxy: TcpProxy) -> None:
        self.facts = facts
        self.state = parts.state
        # Between RatingSlip and Loyalty.
        self.proxy = proxy
        self._parts = parts

    async def stop_loyalty(self) -> None:
        """Ends Loyalty's process in good order."""
        await self._parts.loyalty.stop()

    async def start_loyalty(self) -> None:
        """Starts Loyalty again, where it was, unless it runs; returns when it serves."""
        await _started(self._parts.loyalty)

    async def restart_ratingslip(self, changes: Mapping[str, str]) -> None:
        """Ends RatingSlip and starts it with other environment variables, as a rollout would."""
        ratingslip = self._parts.ratingslip
        await ratingslip.stop()
        ratingslip.configure(changes)
        await _started(ratingslip)

    def stop_postgres(self) -> None:
        """Takes the database server of both services down, in good order."""
        self._parts.cluster.stop()

    def start_postgres(self) -> None:
        """Starts it again, where it was."""
        # Not in a thread: Linux takes the end of that thread for our end.
        self._parts.cluster.start()

    @contextlib.asynccontextmanager
    async def superuser(self, service: Service) -> AsyncIterator[asyncpg.Connection]:
        """A connection to a service's database that no policy holds back."""
        is_loyalty = service is LOYALTY
        url = self.facts.loyalty_database_url if is_loyalty else self.facts.ratingslip_database_url
        connection = await asyncpg.connect(url)
        try:
            yield connection
        finally:
            await connection.close()


async def _started(service: ServiceProcess) -> None:
    """Starts a service unless it runs; raises `ServiceError` when it does not serve."""
    if not service.is_running:
        await service.start()
    try:
        async with asyncio.timeout(SERVING_TIMEOUT_SECONDS):
            await until_serving(service.address)
    except TimeoutError:
        raise ServiceError(
            f"{service.service.title} did not serve again", service.log_file
        ) from None


@contextlib.asynccontextmanager
async def prepared_ground(
    state: StateDirectory, on_progress: Callable[[str], None] = lambda _: None
) -> AsyncIterator[Ground]:
    """A stack of this process's own on `state`, which ends with the block.

    Its databases are deleted then, if they were made for it.

    Raises:
        DirectoryTaken: a stack runs on `state`.
        ProcessError: a part of the stack did not start.
    """
    tenure = Tenure(state)
    cluster = PostgresCluster(state.postgres)
    is_new = not cluster.is_made()
    try:
        empty_logs(state)
        loyalty = address(free_port())
        async with TcpProxy(loyalty) as proxy:
            layout = Layout(address(free_port()), loyalty, proxy.address, WITHOUT_RECOVERY)
            async with running_parts(state, layout, tenure.processes_lock, on_progress) as parts:
                yield Ground(parts, parts.publish(), proxy)
    finally:
        if is_new:
            # What was broken here is of no use to anybody.
            cluster.delete()
        tenure.end()
