"""The last guard: what the database refuses the services' own roles.

Every table holds one row of casino OURS and one of casino THEIRS. Everything runs as
the role the service connects as.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import uuid
from collections.abc import AsyncIterator, Awaitable

import asyncpg
import pytest

from tests.database.rows import WRITING_ROLE, insert, insert_first_rows, row, staff_of
from tests.databases import LOYALTY, RATINGSLIP, Connection, Databases, Service, connected

OURS = uuid.UUID("00000000-0000-4000-8000-00000000000a")
THEIRS = uuid.UUID("00000000-0000-4000-8000-00000000000b")
ROLES = ("dealer", "cashier", "pit_boss", "admin", "service")
CORRELATION_ID = "correlation-1"

# PostgreSQL's words: the setting was never set; it is set, but empty; not permitted.
NEVER_SET = asyncpg.UndefinedObjectError.sqlstate
EMPTY = asyncpg.InvalidTextRepresentationError.sqlstate
FORBIDDEN = asyncpg.InsufficientPrivilegeError.sqlstate
# What our own SQL says of an incomplete context.
INCOMPLETE = {"loyalty": "LY001", "ratingslip": "RS001"}

# Who may write which reason into the ledger.
LEDGER_MATRIX = """
                  dealer  cashier  pit_boss  admin  service
    base_accrual     .       .         .       .      yes
    manual_reward    .       .        yes     yes      .
    promotion        .       .        yes     yes      .
    redemption       .      yes       yes     yes      .
    adjustment       .       .         .      yes      .
    reversal         .       .         .      yes      .
"""
# Who may open, change and write the history of a rating slip.
SLIP_MATRIX = """
                  dealer  cashier  pit_boss  admin  service
    open             .       .        yes     yes      .
    change           .       .        yes     yes      .
    record           .       .        yes     yes      .
"""


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


@pytest.fixture
async def seeded(databases: Databases, service: Service) -> AsyncIterator[Seeded]:
    async with seeded_database(databases, service) as made:
        yield made


@pytest.fixture
async def ledger(databases: Databases) -> AsyncIterator[Seeded]:
    async with seeded_database(databases, LOYALTY) as made:
        yield made


@pytest.fixture
async def slips(databases: Databases) -> AsyncIterator[Seeded]:
    async with seeded_database(databases, RATINGSLIP) as made:
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
    async with context(seeded, OURS):
        theirs = {table: await insert_refusal(seeded, table, THEIRS) for table in seeded.writable}
        ours = {table: await insert_refusal(seeded, table, OURS) for table in seeded.writable}

    assert theirs == dict.fromkeys(seeded.writable, FORBIDDEN)
    assert ours == dict.fromkeys(seeded.writable, None)


async def test_a_casino_changes_its_own_rows_and_no_others(seeded: Seeded) -> None:
    for table in seeded.changeable:
        name = seeded.name(table)
        async with context(seeded, OURS):
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


async def test_the_ledger_takes_each_reason_from_the_roles_that_may_write_it(
    ledger: Seeded,
) -> None:
    reasons: dict[str, dict[str, object]] = {
        "base_accrual": {},
        "manual_reward": {},
        "promotion": {},
        "redemption": {"points_delta": -100, "balance_after": -100, "lifetime_after": 0},
        "adjustment": {"points_delta": 100, "balance_after": 100, "lifetime_after": 0},
        "reversal": {"reversed_entry_id": row("loyalty_ledger", OURS, 1)["id"]},
    }
    found: dict[tuple[str, str], str | None] = {}
    for reason, role in itertools.product(reasons, ROLES):
        async with context(ledger, OURS, role=role):
            found[reason, role] = await insert_refusal(
                ledger, "loyalty_ledger", OURS, reason=reason, **reasons[reason]
            )

    assert found == matrix(LEDGER_MATRIX)


async def test_the_ledger_takes_no_other_reason_and_nothing_in_anothers_name(
    ledger: Seeded,
) -> None:
    async with context(ledger, OURS, role="service"):
        assert await insert_refusal(ledger, "loyalty_ledger", OURS) is None
        assert (
            await insert_refusal(ledger, "loyalty_ledger", OURS, staff_id=uuid.uuid4()) == FORBIDDEN
        )
    for role in ROLES:
        async with context(ledger, OURS, role=role):
            assert await insert_refusal(ledger, "loyalty_ledger", OURS, reason="gift") == FORBIDDEN


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE loyalty.loyalty_ledger SET note = 'changed'",
        "UPDATE loyalty.loyalty_ledger SET points_delta = points_delta",
        "DELETE FROM loyalty.loyalty_ledger",
        "TRUNCATE loyalty.loyalty_ledger",
        "UPDATE loyalty.loyalty_audit SET after = '{}'",
        "DELETE FROM loyalty.loyalty_audit",
        "TRUNCATE loyalty.loyalty_audit",
    ],
)
async def test_nobody_changes_or_removes_what_was_written(ledger: Seeded, statement: str) -> None:
    refused = {}
    for role in ROLES:
        async with context(ledger, OURS, role=role):
            refused[role] = await refusal(ledger, statement)

    assert refused == dict.fromkeys(ROLES, FORBIDDEN)


async def test_slips_are_opened_changed_and_recorded_by_the_roles_that_may(slips: Seeded) -> None:
    found: dict[tuple[str, str], str | None] = {}
    for role in ROLES:
        async with context(slips, OURS, role=role):
            found["open", role] = await insert_refusal(slips, "rating_slip", OURS)
            found["change", role] = await refusal(
                slips, "UPDATE ratingslip.rating_slip SET seat_number = 2"
            )
            found["record", role] = await insert_refusal(slips, "rating_slip_event", OURS)

    assert found == matrix(SLIP_MATRIX)


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
            role or WRITING_ROLE[seeded.service.name],
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
    """The SQLSTATE that a casino's second row is refused with, or None."""
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


def matrix(text: str) -> dict[tuple[str, str], str | None]:
    """A matrix as the refusals it promises, by line and role."""
    head, *lines = (line.split() for line in text.strip().splitlines())
    return {
        (name, role): None if cell == "yes" else FORBIDDEN
        for name, *cells in lines
        for role, cell in zip(head, cells, strict=True)
    }
