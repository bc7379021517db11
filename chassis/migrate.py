"""Brings a database to the schema in a service's SQL directory, and checks that it is.

    <directory>/migrations/NNNN_*.sql   run once, in order, never changed afterwards
    <directory>/functions/*.sql         reapplied when their text changes, one function each
    <directory>/security.sql            reapplied after any change

What was applied is recorded with its SHA-256 in `<schema>.schema_migration`. Several
instances may start at once: one works, the others wait and find nothing left to do.
This file must not know what the SQL says.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import logging
import pathlib
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

_logger = logging.getLogger(__name__)

# Waiting by polling: a session that sleeps inside pg_advisory_lock() holds a snapshot
# which CREATE INDEX CONCURRENTLY in the working instance would wait for.
LOCK_POLL_SECONDS = 0.1
# Longer than any migration of ours; an instance that waits this long reports it.
LOCK_TIMEOUT_SECONDS = 600.0
CONNECT_TIMEOUT_SECONDS = 10.0

_MIGRATION_NAME = re.compile(r"[0-9]{4}_[a-z0-9_]+\.sql")
# What is inside a body or a comment is not the file's own statement.
_BODY_OR_COMMENT = re.compile(r"\$\$.*?\$\$|--[^\n]*", re.DOTALL)
_TRANSACTION_CONTROL = re.compile(
    r"(?:^|;)\s*(BEGIN|START\s+TRANSACTION|COMMIT|END|ROLLBACK|ABORT|PREPARE\s+TRANSACTION)\b",
    re.IGNORECASE,
)


class SchemaError(Exception):
    """The database's schema and the service's files do not fit; the message says how."""


@dataclasses.dataclass(frozen=True)
class SchemaFile:
    """One SQL file: its name below the directory, its text, and the text's SHA-256."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


class Schema:
    """The SQL files of one service, as they stand on disk."""

    def __init__(self, name: str, directory: pathlib.Path) -> None:
        self.name = name
        self.migrations = [_read(directory, path) for path in _sorted(directory / "migrations")]
        self.functions = [_read(directory, path) for path in _sorted(directory / "functions")]
        self.security = _read(directory, directory / "security.sql")
        _check_migration_names(self.migrations)

    @property
    def files(self) -> list[SchemaFile]:
        """Every file, in the order of application."""
        return [*self.migrations, *self.functions, self.security]

    @property
    def lock_key(self) -> int:
        """The advisory lock that one migrating instance holds."""
        digest = hashlib.sha256(f"schema {self.name}".encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)


async def migrate(schema: Schema, database_url: str) -> list[str]:
    """Applies what is missing, as the owner's role; returns the names of what it applied.

    Raises `SchemaError` when an applied migration was changed, or when the database
    is newer than the files.
    """
    connection = await asyncpg.connect(database_url, timeout=CONNECT_TIMEOUT_SECONDS)
    try:
        async with _alone(connection, schema):
            await _create_record(connection, schema)
            return await _apply_missing(connection, schema)
    finally:
        await connection.close()


def check_schema(schema: Schema, applied: dict[str, str]) -> None:
    """Raises `SchemaError` unless the applied files are exactly this service's files."""
    _refuse_newer(schema, applied)
    missing = [file.name for file in schema.files if applied.get(file.name) != file.checksum]
    if missing:
        raise SchemaError(
            f"the database's schema {schema.name!r} is not this service's: "
            f"{', '.join(missing)} not applied as it stands here; run `migrate` first"
        )


def applied_query(schema: Schema) -> str:
    """The statement that reads what was applied: rows of name and checksum."""
    return f"SELECT name, checksum FROM {schema.name}.schema_migration"  # noqa: S608


@asynccontextmanager
async def _alone(
    connection: asyncpg.Connection[asyncpg.Record], schema: Schema
) -> AsyncIterator[None]:
    give_up = time.monotonic() + LOCK_TIMEOUT_SECONDS
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", schema.lock_key):
        if time.monotonic() > give_up:
            raise SchemaError("another instance has been migrating for too long")
        await asyncio.sleep(LOCK_POLL_SECONDS)
    try:
        yield
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", schema.lock_key)


async def _create_record(connection: asyncpg.Connection[asyncpg.Record], schema: Schema) -> None:
    await connection.execute(
        f"""
        SET client_min_messages = warning;
        CREATE SCHEMA IF NOT EXISTS {schema.name};
        CREATE TABLE IF NOT EXISTS {schema.name}.schema_migration (
            name          text         NOT NULL PRIMARY KEY,
            checksum      text         NOT NULL,
            applied_time  timestamptz  NOT NULL
        );
        """
    )


async def _apply_missing(
    connection: asyncpg.Connection[asyncpg.Record], schema: Schema
) -> list[str]:
    rows = await connection.fetch(applied_query(schema))
    applied = {row["name"]: row["checksum"] for row in rows}
    _refuse_newer(schema, applied)
    _refuse_changed(schema, applied)
    todo = [file for file in schema.files if applied.get(file.name) != file.checksum]
    if todo and schema.security not in todo:
        # Whatever is new needs its grants and policies.
        todo.append(schema.security)
    for migration in [file for file in todo if file in schema.migrations]:
        await _apply(connection, schema, [migration])
    # Functions call each other, so they change together or not at all.
    await _apply(connection, schema, [file for file in todo if file not in schema.migrations])
    return [file.name for file in todo]


async def _apply(
    connection: asyncpg.Connection[asyncpg.Record], schema: Schema, files: list[SchemaFile]
) -> None:
    async with connection.transaction():
        # Every name in our SQL is qualified. Bodies are checked when they first run:
        # functions that call each other cannot all come first.
        await connection.execute("SET LOCAL search_path = pg_catalog")
        await connection.execute("SET LOCAL check_function_bodies = off")
        for file in files:
            try:
                async with connection.transaction():
                    await connection.execute(file.text)
            except asyncpg.InvalidFunctionDefinitionError:
                # Its result or a parameter's name is another, which cannot be replaced.
                await _drop_function(connection, schema, file)
                await connection.execute(file.text)
            await connection.execute(
                f"INSERT INTO {schema.name}.schema_migration "  # noqa: S608
                "(name, checksum, applied_time) VALUES ($1, $2, clock_timestamp()) "
                "ON CONFLICT (name) DO UPDATE SET checksum = excluded.checksum, "
                "applied_time = excluded.applied_time",
                file.name,
                file.checksum,
            )
            _logger.info("schema_applied", extra={"schema": schema.name, "file": file.name})


async def _drop_function(
    connection: asyncpg.Connection[asyncpg.Record], schema: Schema, file: SchemaFile
) -> None:
    """Drops the function a file is named for; security.sql grants the next one's use."""
    signatures = await connection.fetch(
        "SELECT p.oid::regprocedure::text AS signature FROM pg_proc AS p "
        "WHERE p.pronamespace = $1::text::regnamespace AND p.proname = $2",
        schema.name,
        pathlib.PurePosixPath(file.name).stem,
    )
    for row in signatures:
        await connection.execute(f"DROP FUNCTION {row['signature']}")


def _refuse_newer(schema: Schema, applied: dict[str, str]) -> None:
    unknown = sorted(
        name for name in applied if name.startswith("migrations/") and name not in _names(schema)
    )
    if unknown:
        raise SchemaError(
            f"the database's schema {schema.name!r} is newer than this service: "
            f"it does not know {', '.join(unknown)}"
        )


def _refuse_changed(schema: Schema, applied: dict[str, str]) -> None:
    for file in schema.migrations:
        if file.name in applied and applied[file.name] != file.checksum:
            raise SchemaError(
                f"{file.name} was changed after it had been applied; write a new migration"
            )


def _names(schema: Schema) -> set[str]:
    return {file.name for file in schema.files}


def _sorted(directory: pathlib.Path) -> list[pathlib.Path]:
    return sorted(directory.glob("*.sql"))


def _read(directory: pathlib.Path, path: pathlib.Path) -> SchemaFile:
    file = SchemaFile(path.relative_to(directory).as_posix(), path.read_text(encoding="utf-8"))
    if _TRANSACTION_CONTROL.search(_BODY_OR_COMMENT.sub("", file.text)):
        raise SchemaError(f"{file.name} controls its transaction; the runner does that")
    return file


def _check_migration_names(migrations: list[SchemaFile]) -> None:
    numbers = []
    for file in migrations:
        name = pathlib.PurePosixPath(file.name).name
        if _MIGRATION_NAME.fullmatch(name) is None:
            raise SchemaError(f"{file.name} is not named NNNN_what_it_does.sql")
        numbers.append(int(name[:4]))
    if numbers != list(range(1, len(numbers) + 1)):
        raise SchemaError("migrations are numbered 0001, 0002 … without a gap")
