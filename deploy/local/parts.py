"""What a stack is made of, put together once for all who own one.

    PostgreSQL · a trace sink and the server that answers for its traces · Loyalty · RatingSlip

Owns the order in which they start, how they are joined, and what is published about them.
Who starts a stack, how long it lives and what becomes of a part that ends is for its
owner to know: the supervisor, or the rehearsal.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
from collections.abc import AsyncIterator, Callable, Mapping

from deploy.local.identity import (
    DEMO_CASINO_ID,
    OTHER_CASINO_ID,
    Keyring,
    StaffTokens,
    write_demo_tokens,
)
from deploy.local.locks import FileLock
from deploy.local.postgres import PostgresCluster
from deploy.local.processes import ProcessError, free_port
from deploy.local.services import (
    LOYALTY,
    RATINGSLIP,
    SERVING_TIMEOUT_SECONDS,
    Database,
    Service,
    ServiceError,
    ServiceProcess,
    Telemetry,
    loyalty_environment,
    prepare_database,
    ratingslip_environment,
    until_serving,
)
from deploy.local.state import StackFacts, StateDirectory
from deploy.local.trace_query import trace_query_server
from deploy.local.trace_sink import TraceSink

POSTGRES_CHECK_INTERVAL_SECONDS = 0.2
LOG_NAMES = ("supervisor", "postgres", LOYALTY.name, RATINGSLIP.name)


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the services listen, and by which way RatingSlip reaches Loyalty."""

    # host:port
    ratingslip: str
    loyalty: str
    # Loyalty's own address, unless something stands in between.
    way_to_loyalty: str
    # Environment variables of RatingSlip's beyond the usual ones.
    ratingslip_changes: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Parts:
    """The parts of a stack that runs."""

    state: StateDirectory
    keyring: Keyring
    cluster: PostgresCluster
    loyalty: ServiceProcess
    ratingslip: ServiceProcess
    # URLs: spans go to the first, and the second is asked for them.
    trace_endpoint: str
    trace_query_endpoint: str

    async def until_one_ends(self) -> None:
        """Waits until a part ends, and raises `ProcessError` with its name."""
        watches = [
            asyncio.create_task(self.loyalty.until_ended()),
            asyncio.create_task(self.ratingslip.until_ended()),
            asyncio.create_task(self._until_postgres_ends()),
        ]
        try:
            finished, _ = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for watch in watches:
                watch.cancel()
        await finished.pop()

    def publish(self) -> StackFacts:
        """Writes down all that a client needs: tokens, and the facts in `stack.json`."""
        write_demo_tokens(StaffTokens(self.keyring.staff), self.state.tokens)
        facts = StackFacts(
            ratingslip=self.ratingslip.address,
            loyalty=self.loyalty.address,
            ratingslip_metrics=self.ratingslip.telemetry.metrics_url,
            loyalty_metrics=self.loyalty.telemetry.metrics_url,
            ratingslip_database_url=self.ratingslip.database.superuser_url,
            loyalty_database_url=self.loyalty.database.superuser_url,
            casino_id=DEMO_CASINO_ID,
            other_casino_id=OTHER_CASINO_ID,
            trace_endpoint=self.trace_endpoint,
            trace_query_endpoint=self.trace_query_endpoint,
            traces_file=str(self.state.traces_file),
            logs_directory=str(self.state.logs),
            tokens_directory=str(self.state.tokens),
            supervisor_process_id=os.getpid(),
        )
        facts.write(self.state.stack_file)
        return facts

    async def _until_postgres_ends(self) -> None:
        while self.cluster.is_running():  # noqa: ASYNC110 - it was started without the loop
            await asyncio.sleep(POSTGRES_CHECK_INTERVAL_SECONDS)
        raise ProcessError("PostgreSQL ended by itself", self.state.log_file("postgres"))


@contextlib.asynccontextmanager
async def running_parts(
    state: StateDirectory,
    layout: Layout,
    processes_lock: FileLock,
    on_progress: Callable[[str], None],
) -> AsyncIterator[Parts]:
    """All parts, serving; however the block ends, they are stopped in the opposite order.

    Every process holds `processes_lock` for as long as it lives.

    Raises:
        ProcessError: a part did not start.
    """
    keyring = Keyring(state.keys)
    async with contextlib.AsyncExitStack() as running:
        sink = await running.enter_async_context(TraceSink(state.traces_file))
        trace_query_endpoint = running.enter_context(trace_query_server(state.traces_file))
        cluster = PostgresCluster(state.postgres, log_file=state.log_file("postgres"))
        on_progress("starting PostgreSQL")
        running.callback(cluster.stop)
        # Not in a thread: Linux takes the end of that thread for our end.
        cluster.start()
        on_progress("bringing the databases up to date")
        builder = _Builder(state, keyring, cluster, sink.endpoint, processes_lock)
        parts = Parts(
            state,
            keyring,
            cluster,
            await builder.loyalty(layout),
            await builder.ratingslip(layout),
            sink.endpoint,
            trace_query_endpoint,
        )
        on_progress("starting the services")
        for process in (parts.loyalty, parts.ratingslip):
            running.push_async_callback(process.stop)
            await process.start()
        await _until_all_serve(parts)
        running.callback(state.stack_file.unlink, missing_ok=True)
        yield parts


def empty_logs(state: StateDirectory) -> None:
    """Begins every log anew: what the last run wrote would be taken for this one's."""
    for name in LOG_NAMES:
        state.log_file(name).write_bytes(b"")


class _Builder:
    """Prepares a service: its database, its schema, its environment."""

    def __init__(
        self,
        state: StateDirectory,
        keyring: Keyring,
        cluster: PostgresCluster,
        trace_endpoint: str,
        processes_lock: FileLock,
    ) -> None:
        self._state = state
        self._keyring = keyring
        self._cluster = cluster
        self._trace_endpoint = trace_endpoint
        self._processes_lock = processes_lock

    async def loyalty(self, layout: Layout) -> ServiceProcess:
        """Loyalty, migrated and not yet started."""
        database = await prepare_database(self._cluster, LOYALTY)
        environment = loyalty_environment(database, self._keyring, layout.loyalty)
        return await self._migrated(LOYALTY, layout.loyalty, database, environment)

    async def ratingslip(self, layout: Layout) -> ServiceProcess:
        """RatingSlip, migrated and not yet started."""
        database = await prepare_database(self._cluster, RATINGSLIP)
        environment = ratingslip_environment(
            database, self._keyring, layout.ratingslip, layout.way_to_loyalty
        )
        environment |= layout.ratingslip_changes
        return await self._migrated(RATINGSLIP, layout.ratingslip, database, environment)

    async def _migrated(
        self, service: Service, listen_address: str, database: Database, environment: dict[str, str]
    ) -> ServiceProcess:
        process = ServiceProcess(
            service,
            listen_address,
            database,
            environment,
            Telemetry(self._trace_endpoint, free_port()),
            self._state.log_file(service.name),
            self._processes_lock,
        )
        await process.migrate()
        return process


async def _until_all_serve(parts: Parts) -> None:
    """Waits until both services serve; raises `ProcessError` when a part ends, or none serves."""
    ended = asyncio.create_task(parts.until_one_ends())
    serving = asyncio.create_task(_until_both_serve(parts))
    try:
        await asyncio.wait(
            {ended, serving}, timeout=SERVING_TIMEOUT_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        if ended.done():
            await ended
        if not serving.done():
            raise ServiceError(
                f"the services did not serve within {SERVING_TIMEOUT_SECONDS:.0f} seconds",
                parts.ratingslip.log_file,
            )
        await serving
    finally:
        ended.cancel()
        serving.cancel()


async def _until_both_serve(parts: Parts) -> None:
    await asyncio.gather(
        until_serving(parts.loyalty.address), until_serving(parts.ratingslip.address)
    )
