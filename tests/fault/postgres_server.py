"""What can be done to a real database server: stop it, crash it, kill one of its processes.

Owns a cluster of its own, on a port that survives restarts, and every way in which it
fails. It must not know what the databases hold, nor who is connected.

    async with running_postgres_server() as server:
        await server.restart(Shutdown.IMMEDIATE)
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import enum
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg

from deploy.local.postgres import PostgresCluster, wheel_bin_directory
from deploy.local.processes import free_port
from tests.databases import BIN_DIRECTORY_VARIABLE, Connection, TestDatabase, connected
from tests.integration.patience import eventually

# What was acknowledged must survive the death of every process: it is in the system's
# files when the commit returns. Only fsync stays off, which is for the death of the machine.
HONEST_SETTINGS = {"synchronous_commit": "on", "full_page_writes": "on"}


class Shutdown(enum.Enum):
    """How the server goes down."""

    # In good order: transactions are rolled back, connections are told, all is written.
    FAST = signal.SIGINT
    # At once, with no word to anyone; the next start recovers from the log.
    IMMEDIATE = signal.SIGQUIT
    # The parent is killed, and its children notice by themselves.
    KILLED = signal.SIGKILL


class PostgresServer:
    """A cluster that tests may maltreat. Every method returns when what it says is done."""

    def __init__(
        self, cluster: PostgresCluster, programs: Path, executor: concurrent.futures.Executor
    ) -> None:
        self.cluster = cluster
        # The directory of psql, pg_dump and their like, of the server's version.
        self.programs = programs
        # Starting and stopping blocks, and meanwhile the proxies and the clients must go
        # on. One thread does it all: Linux takes its end for the end of a process's parent.
        self._executor = executor

    async def start(self) -> None:
        """Starts it, on the port it always has; recovers first if it crashed."""
        if not self.cluster.is_running():
            await self._in_thread(self._start)

    async def stop(self, shutdown: Shutdown = Shutdown.FAST) -> None:
        """Takes it down, and returns when it is gone; it stays down until `start`."""
        process_id = self.cluster.process_id
        os.kill(process_id, shutdown.value)
        await self._in_thread(self.cluster.stop)

    async def restart(self, shutdown: Shutdown = Shutdown.FAST) -> None:
        """Takes it down and starts it again at once."""
        await self.stop(shutdown)
        await self.start()

    @contextlib.asynccontextmanager
    async def down(self, shutdown: Shutdown = Shutdown.FAST) -> AsyncIterator[None]:
        """It is down while the block lasts."""
        await self.stop(shutdown)
        try:
            yield
        finally:
            await self.start()

    @contextlib.asynccontextmanager
    async def superuser(self, database: str = "postgres") -> AsyncIterator[Connection]:
        """A superuser's connection."""
        async with connected(self.cluster.superuser_url(database)) as connection:
            yield connection

    async def backends(self, database: TestDatabase, *, inside: str = "") -> list[int]:
        """The process IDs of a database's connections, those of superusers left out.

        With `inside`, only those that execute the SQL function of this name.
        """
        async with self.superuser() as superuser:
            rows = await superuser.fetch(
                """
                SELECT a.pid
                FROM pg_stat_activity AS a
                WHERE a.datname = $1
                    AND a.usename = $2
                    AND ($3 = '' OR a.state = 'active' AND strpos(a.query, '.' || $3 || '(') > 0)
                """,
                database_name(database),
                database.service.service_role,
                inside,
            )
        return [row["pid"] for row in rows]

    async def terminate_backend(self, database: TestDatabase, inside: str) -> int:
        """Has the server end one connection while it executes this SQL function.

        Waits until there is one, and until it is gone; returns its process ID.
        """
        (process_id, *_) = await eventually(
            lambda: self.backends(database, inside=inside), f"somebody is inside {inside}"
        )
        await self._terminate([process_id])
        return process_id

    async def terminate_backends(self, database: TestDatabase) -> None:
        """Has the server end all of the service's connections to a database."""
        await self._terminate(await self.backends(database))

    async def kill_backend(self, database: TestDatabase, inside: str = "") -> int:
        """Kills one of a service's backends with SIGKILL, as the kernel does out of memory.

        PostgreSQL then ends all others and recovers; returns when it has. Returns the process ID.
        """
        (process_id, *_) = await eventually(
            lambda: self.backends(database, inside=inside), "the service is connected"
        )
        os.kill(process_id, signal.SIGKILL)
        await eventually(lambda: self._is_reborn_without(process_id), "the server has recovered")
        return process_id

    @contextlib.asynccontextmanager
    async def read_only(self, database: TestDatabase) -> AsyncIterator[None]:
        """A database refuses to write while the block lasts, as a standby does."""
        await self._set_read_only(database, "on")
        try:
            yield
        finally:
            await self._set_read_only(database, "off")

    async def _set_read_only(self, database: TestDatabase, word: str) -> None:
        name = database_name(database)
        async with self.superuser() as superuser:
            await superuser.execute(
                f"ALTER DATABASE {name} SET default_transaction_read_only = {word}"
            )
        # It holds for new connections only.
        await self.terminate_backends(database)

    async def _terminate(self, process_ids: list[int]) -> None:
        async with self.superuser() as superuser:
            await superuser.execute(
                "SELECT pg_terminate_backend(p) FROM unnest($1::int[]) AS p", process_ids
            )

            async def are_gone() -> bool:
                left = await superuser.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY ($1)", process_ids
                )
                return bool(left == 0)

            await eventually(are_gone, "the backends are gone")

    async def _is_reborn_without(self, process_id: int) -> bool:
        try:
            async with self.superuser() as superuser:
                return not await superuser.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE pid = $1", process_id
                )
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False

    def _start(self) -> None:
        # One that crashed has left its lock with us.
        self.cluster.stop()
        self.cluster.start()

    async def _in_thread(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._executor, work)


def database_name(database: TestDatabase) -> str:
    """A test database's name in its cluster."""
    return database.superuser_url.rpartition("/")[2]


@contextlib.asynccontextmanager
async def running_postgres_server() -> AsyncIterator[PostgresServer]:
    """A new server, of the version TEST_POSTGRES_BIN says; deleted at the end."""
    named = os.environ.get(BIN_DIRECTORY_VARIABLE)
    programs = Path(named) if named else wheel_bin_directory()
    with tempfile.TemporaryDirectory(prefix="casino-fault-") as directory:
        with concurrent.futures.ThreadPoolExecutor(1, "postgres") as executor:
            cluster = PostgresCluster(
                Path(directory) / "cluster",
                bin_directory=programs,
                port=free_port(),
                durable=False,
                settings=HONEST_SETTINGS,
            )
            server = PostgresServer(cluster, programs, executor)
            try:
                await server.start()
                yield server
            finally:
                cluster.delete()
