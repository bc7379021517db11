"""Connections for tests of the SQL.

service               each service that has a schema, one after the other
database              a fresh migrated database of it
superuser             connections to Loyalty's fresh database, by role
loyalty_service_role
ledger                the service's own way to that database
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from loyalty_service.ledger import Ledger
from tests.database.accruals import opened_ledger
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


@pytest.fixture
async def ledger(loyalty_database: TestDatabase) -> AsyncIterator[Ledger]:
    # Most tests make one call at a time.
    async with opened_ledger(loyalty_database, pool_size=2) as ledger:
        yield ledger
