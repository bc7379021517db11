"""Migrations: applied once whoever starts them, refused when they do not fit.

Each test works on its own copy of Loyalty's SQL files, which it may change.
"""

from __future__ import annotations

import asyncio
import pathlib
import shutil
from collections.abc import AsyncIterator

import asyncpg
import pytest

from chassis.migrate import Schema, SchemaError, applied_query, check_schema, migrate
from tests.database.schema_dump import dump_schema
from tests.databases import LOYALTY, Connection, Databases, TestDatabase, connected

INSTANCES = 6
FIRST_MIGRATION = "migrations/0001_ledger.sql"
# A function of a single line, which the service calls with its own rights.
FUNCTION = "functions/gaming_day.sql"
SECURITY = "security.sql"
MIGRATIONS = {file.name for file in LOYALTY.schema().migrations}
# One that nobody has written yet.
NEXT_NUMBER = len(MIGRATIONS) + 1
NEXT_MIGRATION = f"migrations/{NEXT_NUMBER:04}_more.sql"


class Files:
    """A service's SQL files, to be changed."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory

    def schema(self) -> Schema:
        """The files as they stand now."""
        return Schema(LOYALTY.name, self._directory)

    def write(self, name: str, text: str) -> None:
        """Adds a file."""
        (self._directory / name).write_text(text, encoding="utf-8")

    def append(self, name: str, text: str) -> None:
        """Changes a file."""
        path = self._directory / name
        path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")

    def replace(self, name: str, old: str, new: str) -> None:
        """Changes a file in the middle."""
        text = (self._directory / name).read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new))


@pytest.fixture
def files(tmp_path: pathlib.Path) -> Files:
    directory = tmp_path / "sql"
    shutil.copytree(LOYALTY.sql_directory, directory)
    return Files(directory)


@pytest.fixture
async def empty_database(databases: Databases) -> AsyncIterator[TestDatabase]:
    async with databases.empty(LOYALTY) as database:
        yield database


@pytest.fixture
async def superuser(empty_database: TestDatabase) -> AsyncIterator[Connection]:
    async with connected(empty_database.superuser_url) as connection:
        yield connection


async def test_of_several_instances_that_start_at_once_one_applies_everything(
    empty_database: TestDatabase, files: Files, superuser: Connection
) -> None:
    schema = files.schema()

    applied = await asyncio.gather(
        *(migrate(schema, empty_database.owner_url) for _ in range(INSTANCES))
    )

    everything = [file.name for file in schema.files]
    assert sorted(applied) == [[]] * (INSTANCES - 1) + [everything]
    assert await _applied(superuser, schema) == {file.name: file.checksum for file in schema.files}


async def test_migrating_again_changes_nothing(
    empty_database: TestDatabase, files: Files, superuser: Connection
) -> None:
    await migrate(files.schema(), empty_database.owner_url)
    record = "SELECT * FROM loyalty.schema_migration ORDER BY name"
    before = await superuser.fetch(record)

    assert await migrate(files.schema(), empty_database.owner_url) == []
    assert await superuser.fetch(record) == before


async def test_a_new_migration_is_applied_with_the_grants_that_follow_it(
    empty_database: TestDatabase, files: Files, superuser: Connection
) -> None:
    await migrate(files.schema(), empty_database.owner_url)
    files.write(NEXT_MIGRATION, "CREATE TABLE loyalty.more (casino_id uuid);")

    assert await migrate(files.schema(), empty_database.owner_url) == [
        NEXT_MIGRATION,
        SECURITY,
    ]
    assert await superuser.fetchval("SELECT 'loyalty.more'::regclass IS NOT NULL")


async def test_an_applied_migration_that_was_changed_is_refused(
    empty_database: TestDatabase, files: Files, superuser: Connection
) -> None:
    await migrate(files.schema(), empty_database.owner_url)
    before = await dump_schema(superuser, LOYALTY.name)
    files.append(FIRST_MIGRATION, "CREATE TABLE loyalty.afterthought (casino_id uuid);")
    files.append(FUNCTION, "-- Not to be applied either.\n")

    with pytest.raises(SchemaError, match=FIRST_MIGRATION):
        await migrate(files.schema(), empty_database.owner_url)

    assert await dump_schema(superuser, LOYALTY.name) == before


async def test_a_changed_function_is_applied_again_and_keeps_its_grants(
    empty_database: TestDatabase, files: Files, superuser: Connection
) -> None:
    await migrate(files.schema(), empty_database.owner_url)
    before = await dump_schema(superuser, LOYALTY.name)
    files.replace(FUNCTION, "gaming_day_start", "gaming_day_start - interval '1 hour'")

    assert await migrate(files.schema(), empty_database.owner_url) == [FUNCTION, SECURITY]

    after = await dump_schema(superuser, LOYALTY.name)
    grants = "\n-- Grants"
    assert after.partition(grants)[0] != before.partition(grants)[0]
    assert after.partition(grants)[2] == before.partition(grants)[2]
    async with connected(empty_database.service_url) as service:
        assert await service.fetchval(
            "SELECT loyalty.gaming_day(loyalty.default_program($1), now()) IS NOT NULL",
            "00000000-0000-0000-0000-000000000001",
        )


@pytest.mark.parametrize(
    ("old", "new"),
    [(") RETURNS date", ") RETURNS timestamp"), ("p_time", "p_moment")],
    ids=["another result", "another name of a parameter"],
)
async def test_a_function_that_cannot_be_replaced_is_made_anew(
    old: str, new: str, empty_database: TestDatabase, files: Files, superuser: Connection
) -> None:
    await migrate(files.schema(), empty_database.owner_url)
    files.replace(FUNCTION, old, new)

    assert await migrate(files.schema(), empty_database.owner_url) == [FUNCTION, SECURITY]

    assert new.split()[-1] in await superuser.fetchval(
        "SELECT pg_get_functiondef('loyalty.gaming_day'::regproc)"
    )
    async with connected(empty_database.service_url) as service:
        assert await service.fetchval(
            "SELECT loyalty.gaming_day(loyalty.default_program($1), now()) IS NOT NULL",
            "00000000-0000-0000-0000-000000000001",
        )


async def test_a_failed_migration_leaves_nothing_behind_and_can_be_mended(
    empty_database: TestDatabase, files: Files, superuser: Connection
) -> None:
    files.write(NEXT_MIGRATION, "CREATE TABLE loyalty.more (casino_id uuid); SELECT 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(files.schema(), empty_database.owner_url)
    assert set(await _applied(superuser, files.schema())) == MIGRATIONS
    assert await superuser.fetchval("SELECT to_regclass('loyalty.more')") is None

    files.write(NEXT_MIGRATION, "CREATE TABLE loyalty.more (casino_id uuid);")
    await migrate(files.schema(), empty_database.owner_url)

    check_schema(files.schema(), await _applied(superuser, files.schema()))


async def test_a_database_newer_than_the_service_is_refused(
    empty_database: TestDatabase, files: Files, superuser: Connection
) -> None:
    older = files.schema()
    files.write(NEXT_MIGRATION, "CREATE TABLE loyalty.more (casino_id uuid);")
    await migrate(files.schema(), empty_database.owner_url)
    applied = await _applied(superuser, files.schema())

    with pytest.raises(SchemaError, match=rf"newer.*{NEXT_MIGRATION}"):
        await migrate(older, empty_database.owner_url)
    with pytest.raises(SchemaError, match=rf"newer.*{NEXT_MIGRATION}"):
        check_schema(older, applied)
    assert await _applied(superuser, older) == applied


@pytest.mark.parametrize(
    "statement",
    [
        "COMMIT;",
        "  commit ;",
        "BEGIN;",
        "ROLLBACK;",
        "END;",
        "COMMIT WORK;",
        "COMMIT AND CHAIN;",
        "START TRANSACTION ISOLATION LEVEL SERIALIZABLE;",
        "ABORT;",
        "SELECT 1; COMMIT;",
        "COMMIT",
    ],
)
def test_a_file_that_controls_its_transaction_is_refused(files: Files, statement: str) -> None:
    files.write(NEXT_MIGRATION, f"CREATE TABLE loyalty.more (casino_id uuid);\n{statement}\n")

    with pytest.raises(SchemaError, match=NEXT_MIGRATION):
        files.schema()


def test_words_of_transaction_control_in_bodies_and_comments_are_not_meant(files: Files) -> None:
    files.write(
        NEXT_MIGRATION,
        "-- COMMIT; stands in a comment.\nDO $$\nBEGIN\n    NULL;\nEND;\n$$;\n",
    )

    assert files.schema().migrations[-1].name == NEXT_MIGRATION


@pytest.mark.parametrize("name", ["0003_gap.sql", "0001_twice.sql", "02_short.sql"])
def test_a_migration_out_of_order_is_refused(files: Files, name: str) -> None:
    files.write(f"migrations/{name}", "SELECT 1;")

    with pytest.raises(SchemaError):
        files.schema()


async def test_the_check_names_everything_that_is_missing_or_another(
    empty_database: TestDatabase, files: Files, superuser: Connection
) -> None:
    with pytest.raises(SchemaError) as nothing_applied:
        check_schema(files.schema(), {})
    for file in files.schema().files:
        assert file.name in str(nothing_applied.value)

    await migrate(files.schema(), empty_database.owner_url)
    applied = await _applied(superuser, files.schema())
    check_schema(files.schema(), applied)

    files.append(FUNCTION, "-- Changed.\n")
    files.write("functions/new.sql", "SELECT 1;")
    with pytest.raises(SchemaError) as some_missing:
        check_schema(files.schema(), applied)
    named = {file.name for file in files.schema().files if file.name in str(some_missing.value)}
    assert named == {FUNCTION, "functions/new.sql"}


async def _applied(superuser: Connection, schema: Schema) -> dict[str, str]:
    rows = await superuser.fetch(applied_query(schema))
    return {row["name"]: row["checksum"] for row in rows}
