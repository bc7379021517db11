"""Connections for tests of the SQL.

service               each service that has a schema, one after the other
database              a fresh migrated database of it
superuser             connections to Loyalty's fresh database, by role
loyalty_service_role
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.databases import SERVICES, Connection, Databases, Service, TestDatabase, connected


@pytest.fixture(params=SERVICES, ids=str, scope="session")
def service(request: pytest.FixtureRequest) -> Service:
    parameter: Service = request.param
    return parameter


@pytest.fixture
async def database(databases: Databases, service: Service) -> AsyncIterator[TestDatabase]:
    async with databases.migrated(service) as made:
        yield made


@pytest.fixture
async def superuser(loyalty_database: TestDatabase) -> AsyncIterator[Connection]:
    async with connected(loyalty_database.superuser_url) as connection:
        yield connection


@pytest.fixture
async def loyalty_service_role(loyalty_database: TestDatabase) -> AsyncIterator[Connection]:
    async with connected(loyalty_database.service_url) as connection:
        yield connection
