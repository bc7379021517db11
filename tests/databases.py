"""Real databases for tests: one cluster, a template for each service, a copy for each test.

    async with databases.migrated(LOYALTY) as database:
        connection = await asyncpg.connect(database.service_url)

A template is built once by `chassis.migrate`, as the owner's role; copying it takes
some 15 ms. This file must not know what the schemas hold.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import os
import pathlib
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import ClassVar, TypeAlias

import asyncpg

from chassis.migrate import Schema, migrate
from deploy.local.postgres import PostgresCluster

PROJECT_DIRECTORY = pathlib.Path(__file__).parent.parent
# Names another PostgreSQL's programs, such as those of a distribution.
BIN_DIRECTORY_VARIABLE = "TEST_POSTGRES_BIN"
PASSWORD_BYTES = 24

# Only type checkers know that it is generic.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@dataclasses.dataclass(frozen=True)
class Service:
    """A service as its database sees it. The name is also that of its schema."""

    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def owner_role(self) -> str:
        """Owns the schema and migrates it."""
        return f"{self.name}_owner"

    @property
    def service_role(self) -> str:
        """What the service connects as."""
        return f"{self.name}_service"

    @property
    def sql_directory(self) -> pathlib.Path:
        """The service's SQL files."""
        return PROJECT_DIRECTORY / f"{self.name}_service" / "sql"

    def schema(self) -> Schema:
        """The service's SQL files, read now."""
        return Schema(self.name, self.sql_directory)


LOYALTY = Service("loyalty")
RATINGSLIP = Service("ratingslip")
SERVICES = tuple(
    service
    for service in (LOYALTY, RATINGSLIP)
    if any((service.sql_directory / "migrations").glob("*.sql"))
)


@dataclasses.dataclass(frozen=True)
class TestDatabase:
    """One database of one test, by the roles that may connect to it."""

    # It is named as what it is, and is no test.
    __test__: ClassVar[bool] = False

    service: Service
    superuser_url: str
    owner_url: str
    service_url: str


class Databases:
    """Makes databases in a running cluster and drops them again."""

    def __init__(self, cluster: PostgresCluster, administration: Connection) -> None:
        self._cluster = cluster
        # Opened anew when a test has restarted the server.
        self._administration = administration
        # Guards the one connection, and the building of templates.
        self._lock = asyncio.Lock()
        self._passwords: dict[str, str] = {}
        self._templates: set[Service] = set()
        self._numbers = itertools.count(1)

    @contextlib.asynccontextmanager
    async def empty(self, service: Service) -> AsyncIterator[TestDatabase]:
        """A database with nothing in it, owned by the service's owner role."""
        name = self._next_name(service)
        async with self._lock:
            await self._create_roles(service)
            await self._create(name, service)
        try:
            yield self._database(name, service)
        finally:
            await self._drop(name)

    @contextlib.asynccontextmanager
    async def migrated(self, service: Service) -> AsyncIterator[TestDatabase]:
        """A database with the service's schema and no rows."""
        name = self._next_name(service)
        async with self._lock:
            template = await self._template(service)
            await self._create(name, service, f"TEMPLATE {template} STRATEGY FILE_COPY")
        try:
            yield self._database(name, service)
        finally:
            await self._drop(name)

    async def _template(self, service: Service) -> str:
        name = f"{service.name}_template"
        if service not in self._templates:
            await self._create_roles(service)
            await self._create(name, service)
            await migrate(service.schema(), self._database(name, service).owner_url)
            # Nobody may be connected to a database that is being copied.
            await self._administer(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            self._templates.add(service)
        return name

    async def _create_roles(self, service: Service) -> None:
        if service.owner_role in self._passwords:
            return
        await self._administer((service.sql_directory / "roles.sql").read_text())
        for role in (service.owner_role, service.service_role):
            # Hexadecimal digits need no quoting.
            password = secrets.token_hex(PASSWORD_BYTES)
            await self._administer(f"ALTER ROLE {role} PASSWORD '{password}'")
            self._passwords[role] = password

    async def _create(self, name: str, service: Service, options: str = "") -> None:
        await self._administer(f"CREATE DATABASE {name} OWNER {service.owner_role} {options}")

    async def _drop(self, name: str) -> None:
        async with self._lock:
            await self._administer(f"DROP DATABASE {name} WITH (FORCE)")

    async def _administer(self, statement: str) -> None:
        if self._administration.is_closed():
            self._administration = await asyncpg.connect(self._cluster.superuser_url())
        await self._administration.execute(statement)

    async def close(self) -> None:
        """Gives up the connection; every database must have been dropped."""
        await self._administration.close()

    def _next_name(self, service: Service) -> str:
        return f"{service.name}_{next(self._numbers)}"

    def _database(self, name: str, service: Service) -> TestDatabase:
        return TestDatabase(
            service,
            superuser_url=self._cluster.superuser_url(name),
            owner_url=self._url(service.owner_role, name),
            service_url=self._url(service.service_role, name),
        )

    def _url(self, role: str, name: str) -> str:
        return self._cluster.url(role, self._passwords[role], name)


@contextlib.contextmanager
def running_cluster() -> Iterator[PostgresCluster]:
    """A new cluster, of the version TEST_POSTGRES_BIN says; deleted at the end.

    Call it from the main thread.
    """
    named = os.environ.get(BIN_DIRECTORY_VARIABLE)
    with tempfile.TemporaryDirectory(prefix="casino-test-") as directory:
        cluster = PostgresCluster(
            pathlib.Path(directory) / "cluster",
            bin_directory=pathlib.Path(named) if named else None,
            durable=False,
        )
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.delete()


@contextlib.asynccontextmanager
async def databases_of(cluster: PostgresCluster) -> AsyncIterator[Databases]:
    """The databases of a running cluster."""
    databases = Databases(cluster, await asyncpg.connect(cluster.superuser_url()))
    try:
        yield databases
    finally:
        await databases.close()


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """A connection for the length of a block."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()
