"""The last guard: what the database refuses the services' own roles, whatever the context.

Who may write what is in `test_role_policies.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.database.rows import ONE_A_CASINO, WRITING_ROLE, staff_of
from tests.database.seeded import (
    CORRELATION_ID,
    FORBIDDEN,
    OURS,
    THEIRS,
    Seeded,
    casinos_seen,
    context,
    insert_refusal,
    refusal,
    seeded_database,
)
from tests.databases import Databases, Service

# PostgreSQL's words: the setting was never set; it is set, but empty.
NEVER_SET = asyncpg.UndefinedObjectError.sqlstate
EMPTY = asyncpg.InvalidTextRepresentationError.sqlstate
DUPLICATE = asyncpg.UniqueViolationError.sqlstate
# What our own SQL says of an incomplete context.
INCOMPLETE = {"loyalty": "LY001", "ratingslip": "RS001"}


@pytest.fixture
async def seeded(databases: Databases, service: Service) -> AsyncIterator[Seeded]:
    async with seeded_database(databases, service) as made:
        yield made


async def test_without_a_context_reading_is_an_error(seeded: Seeded) -> None:
    async def read(table: str) -> str | None:
        return await refusal(seeded, f"SELECT count(*) FROM {seeded.name(table)}")

    assert {table: await read(table) for table in seeded.tables} == dict.fromkeys(
        seeded.tables, NEVER_SET
    )
    # A connection that had a context in an earlier transaction.
    async with context(seeded, OURS):
        pass
    assert {table: await read(table) for table in seeded.tables} == dict.fromkeys(
        seeded.tables, EMPTY
    )


async def test_without_a_context_writing_is_an_error(seeded: Seeded) -> None:
    refused = {table: await insert_refusal(seeded, table, OURS) for table in seeded.tables}
    changed = {
        table: await refusal(seeded, f"UPDATE {seeded.name(table)} SET casino_id = casino_id")
        for table in seeded.changeable
    }

    assert refused == {
        table: NEVER_SET if table in seeded.writable else FORBIDDEN for table in seeded.tables
    }
    assert changed == dict.fromkeys(seeded.changeable, NEVER_SET)


async def test_a_casino_reads_its_own_rows_and_no_others(seeded: Seeded) -> None:
    async with context(seeded, OURS):
        seen = {table: await casinos_seen(seeded, table) for table in seeded.tables}

    assert seen == {table: [OURS] for table in seeded.tables}


async def test_a_casino_writes_its_own_rows_and_no_others(seeded: Seeded) -> None:
    theirs, ours = {}, {}
    for table in seeded.writable:
        async with context(seeded, OURS, role=WRITING_ROLE[table]):
            theirs[table] = await insert_refusal(seeded, table, THEIRS)
            ours[table] = await insert_refusal(seeded, table, OURS)

    assert theirs == dict.fromkeys(seeded.writable, FORBIDDEN)
    assert ours == {
        table: DUPLICATE if table in ONE_A_CASINO else None for table in seeded.writable
    }


async def test_a_casino_changes_its_own_rows_and_no_others(seeded: Seeded) -> None:
    for table in seeded.changeable:
        name = seeded.name(table)
        async with context(seeded, OURS, role=WRITING_ROLE[table]):
            everything = await seeded.connection.execute(f"UPDATE {name} SET casino_id = casino_id")
            by_name = await seeded.connection.execute(
                f"UPDATE {name} SET casino_id = casino_id WHERE casino_id = $1", THEIRS
            )
            given_away = await refusal(seeded, f"UPDATE {name} SET casino_id = $1", THEIRS)
        assert (everything, by_name, given_away) == ("UPDATE 1", "UPDATE 0", FORBIDDEN)


async def test_a_context_ends_with_its_transaction(seeded: Seeded) -> None:
    table = seeded.tables[0]
    statement = f"SELECT count(*) FROM {seeded.name(table)}"

    async with context(seeded, OURS):
        assert await casinos_seen(seeded, table) == [OURS]
    assert await refusal(seeded, statement) == EMPTY
    with contextlib.suppress(asyncpg.DivisionByZeroError):
        async with context(seeded, OURS):
            await seeded.connection.execute("SELECT 1 / 0")
    assert await refusal(seeded, statement) == EMPTY
    async with context(seeded, THEIRS):
        assert await casinos_seen(seeded, table) == [THEIRS]
    # As the service does: one statement, and no transaction around it.
    await seeded.connection.execute(
        f"SELECT {seeded.service.name}.set_context($1, $1, 'admin', 'c')", OURS
    )
    assert await refusal(seeded, statement) == EMPTY


async def test_every_function_refuses_an_incomplete_context(seeded: Seeded) -> None:
    complete = (OURS, staff_of(OURS), "admin", CORRELATION_ID)
    # By position: casino, staff, role (the last is none of ours), correlation ID.
    incomplete = ((0, None), (1, None), (2, None), (2, ""), (2, "owner"), (3, None), (3, ""))
    # Every argument after the context is NULL: it must not matter yet.
    functions = await seeded.connection.fetch(
        """
        SELECT p.proname AS name, format('SELECT %s.%I($1, $2, $3, $4%s)', $1::text, p.proname,
            (SELECT string_agg(', NULL::' || t.type::regtype, '' ORDER BY t.position)
            FROM unnest(p.proargtypes) WITH ORDINALITY AS t (type, position)
            WHERE t.position > 4)) AS call
        FROM pg_proc AS p
        WHERE p.pronamespace = $1::text::regnamespace
            AND p.proargnames[1:4]
                = ARRAY['p_casino_id', 'p_staff_id', 'p_role', 'p_correlation_id']
        """,
        seeded.service.name,
    )

    refused = {
        (function["name"], position, value): await refusal(
            seeded, function["call"], *complete[:position], value, *complete[position + 1 :]
        )
        for function in functions
        for position, value in incomplete
    }

    assert len(functions) >= 4
    assert refused == dict.fromkeys(refused, INCOMPLETE[seeded.service.name])
