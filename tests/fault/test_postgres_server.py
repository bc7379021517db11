"""The database server fails as it says, keeps what it acknowledged, and comes back where it was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.databases import LOYALTY, Connection, Databases, TestDatabase, connected
from tests.fault.postgres_server import PostgresServer, Shutdown
from tests.integration.patience import eventually

# Far longer than the test takes: only a signal ends it.
A_LONG_SLEEP_SECONDS = 60
# What a client gets whose connection was ended; the third is asyncpg's for one that has
# been told so and is not closed yet.
GONE = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)
# Enough that one is under way when it goes down.
COMMITS = 200


@pytest.fixture
async def database(fault_databases: Databases) -> AsyncIterator[TestDatabase]:
    async with fault_databases.migrated(LOYALTY) as made:
        yield made


@pytest.fixture
async def sleeper(database: TestDatabase) -> AsyncIterator[asyncio.Task[str]]:
    """A service's connection that is inside a function, and will be for long."""
    async with connected(database.superuser_url) as superuser:
        await superuser.execute(
            "CREATE FUNCTION loyalty.sleep_long() RETURNS void LANGUAGE sql"
            f" AS 'SELECT pg_sleep({A_LONG_SLEEP_SECONDS})'"
        )
    connection: Connection = await asyncpg.connect(database.service_url)
    task = asyncio.create_task(connection.execute("SELECT loyalty.sleep_long()"))
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    connection.terminate()


@pytest.mark.parametrize("shutdown", Shutdown)
async def test_what_was_acknowledged_is_there_after_it_went_down(
    shutdown: Shutdown, fault_postgres: PostgresServer, database: TestDatabase
) -> None:
    written: list[int] = []
    connection: Connection = await asyncpg.connect(database.superuser_url)
    await connection.execute("CREATE TABLE public.number (value integer)")

    async def write() -> None:
        for number in range(COMMITS * 1_000):
            await connection.execute("INSERT INTO public.number VALUES ($1)", number)
            written.append(number)

    async def enough() -> bool:
        return len(written) >= COMMITS

    writing = asyncio.create_task(write())
    await eventually(enough, "commits are acknowledged")
    await fault_postgres.restart(shutdown)
    with pytest.raises(GONE):
        await writing

    async with connected(database.superuser_url) as superuser:
        rows = await superuser.fetch("SELECT value FROM public.number ORDER BY value")
    found = [row["value"] for row in rows]
    # The last one may have been written and not acknowledged.
    assert found[: len(written)] == written
    assert len(found) <= len(written) + 1


async def test_while_it_is_down_nobody_gets_in(
    fault_postgres: PostgresServer, database: TestDatabase
) -> None:
    async with fault_postgres.down(Shutdown.IMMEDIATE):
        with pytest.raises(OSError):
            await asyncpg.connect(database.service_url)
    async with connected(database.service_url) as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_a_backend_is_terminated_inside_the_function_that_was_named(
    fault_postgres: PostgresServer, database: TestDatabase, sleeper: asyncio.Task[str]
) -> None:
    async with connected(database.service_url) as bystander:
        await bystander.fetch("SELECT 1")
        await fault_postgres.terminate_backend(database, "sleep_long")

        with pytest.raises(GONE):
            await sleeper
        assert await bystander.fetchval("SELECT 1") == 1


async def test_a_killed_backend_takes_all_others_along(
    fault_postgres: PostgresServer, database: TestDatabase, sleeper: asyncio.Task[str]
) -> None:
    async with connected(database.service_url) as bystander:
        await bystander.fetch("SELECT 1")
        await fault_postgres.kill_backend(database, inside="sleep_long")

        with pytest.raises(GONE):
            await sleeper
        with pytest.raises(GONE):
            await bystander.fetchval("SELECT 1")
    async with connected(database.service_url) as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_a_read_only_database_reads_and_does_not_write(
    fault_postgres: PostgresServer, database: TestDatabase
) -> None:
    enrol = (
        "SELECT loyalty.enrol_casino"
        "(gen_random_uuid(), gen_random_uuid(), 'scheduler', 'read-only')"
    )
    async with fault_postgres.read_only(database):
        async with connected(database.service_url) as connection:
            assert await connection.fetchval("SELECT 1") == 1
            with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                await connection.fetchval(enrol)
    async with connected(database.service_url) as connection:
        assert await connection.fetchval(enrol) is True
