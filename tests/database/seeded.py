"""A database with one row of casino OURS and one of casino THEIRS in each table, and how to try it.

Everything runs as the role the service connects as. It must not know who may do what.
"""

from __future__ import annotations

import contextlib
import dataclasses
import uuid
from collections.abc import AsyncIterator, Awaitable

import asyncpg

from tests.database.rows import insert, insert_first_rows, row, staff_of
from tests.databases import Connection, Databases, Service, connected

OURS = uuid.UUID("00000000-0000-4000-8000-00000000000a")
THEIRS = uuid.UUID("00000000-0000-4000-8000-00000000000b")
# A casino that has no row anywhere.
NEWCOMER = uuid.UUID("00000000-0000-4000-8000-00000000000c")
# For what every role may do.
ANY_ROLE = "admin"
CORRELATION_ID = "correlation-1"

# PostgreSQL's word for what is not permitted.
FORBIDDEN = asyncpg.InsufficientPrivilegeError.sqlstate


@dataclasses.dataclass(frozen=True)
class Seeded:
    """A database with a row for each casino in each table."""

    service: Service
    tables: list[str]
    # Tables by what the service's role may do to them.
    writable: list[str]
    changeable: list[str]
    connection: Connection

    def name(self, table: str) -> str:
        return f"{self.service.name}.{table}"


@contextlib.asynccontextmanager
async def seeded_database(databases: Databases, service: Service) -> AsyncIterator[Seeded]:
    async with (
        databases.migrated(service) as database,
        connected(database.superuser_url) as superuser,
        connected(database.service_url) as connection,
    ):
        tables = await superuser.fetch(
            """
            SELECT c.relname AS name,
                has_table_privilege($2, c.oid, 'INSERT') AS is_writable,
                has_table_privilege($2, c.oid, 'UPDATE') AS is_changeable
            FROM pg_class AS c
            WHERE c.relnamespace = $1::text::regnamespace AND c.relkind = 'r'
                AND c.relname <> 'schema_migration'
            """,
            service.name,
            service.service_role,
        )
        names = [table["name"] for table in tables]
        for casino_id in (OURS, THEIRS):
            await insert_first_rows(superuser, service, names, casino_id)
        yield Seeded(
            service,
            names,
            [table["name"] for table in tables if table["is_writable"]],
            [table["name"] for table in tables if table["is_changeable"]],
            connection,
        )


@contextlib.asynccontextmanager
async def context(
    seeded: Seeded, casino_id: uuid.UUID, role: str | None = None
) -> AsyncIterator[None]:
    """A transaction in a casino's name."""
    async with seeded.connection.transaction():
        await seeded.connection.execute(
            f"SELECT {seeded.service.name}.set_context($1, $2, $3, $4)",
            casino_id,
            staff_of(casino_id),
            role or ANY_ROLE,
            CORRELATION_ID,
        )
        yield


async def casinos_seen(seeded: Seeded, table: str) -> list[uuid.UUID]:
    """Whose rows a table shows, one for each row."""
    rows = await seeded.connection.fetch(f"SELECT casino_id FROM {seeded.name(table)}")
    return [found["casino_id"] for found in rows]


async def insert_refusal(
    seeded: Seeded, table: str, casino_id: uuid.UUID, **changed: object
) -> str | None:
    """The SQLSTATE that a casino's second row is refused with, or None.

    Of a table with one row for each casino, that row may be left as it is.
    """
    values = row(table, casino_id, 2)
    attempt = insert(seeded.connection, seeded.service, table, values, **changed)
    return await _refusal_of(seeded.connection, attempt)


async def refusal(seeded: Seeded, statement: str, *arguments: object) -> str | None:
    """The SQLSTATE that a statement is refused with, or None."""
    return await _refusal_of(seeded.connection, seeded.connection.fetch(statement, *arguments))


async def _refusal_of(connection: Connection, attempt: Awaitable[object]) -> str | None:
    """Waits for an attempt inside a transaction that is taken back."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await attempt
    except asyncpg.PostgresError as error:
        return error.sqlstate
    finally:
        await transaction.rollback()
    return None
