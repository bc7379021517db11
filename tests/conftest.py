"""Fixtures for every test that needs PostgreSQL; see `tests.databases` for what they give.

    postgres              the running cluster, one for the whole session
    databases             makes databases in it: `async with databases.migrated(LOYALTY) as …`
    loyalty_database      a fresh migrated database of Loyalty, for one test
    ratingslip_database   the same of RatingSlip

TEST_POSTGRES_BIN chooses another PostgreSQL than the wheel's, by its programs' directory.
`--hypothesis-profile=long` lets the tests that make up their own cases make up far more of them.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings

from deploy.local.postgres import PostgresCluster
from tests.databases import (
    LOYALTY,
    RATINGSLIP,
    Databases,
    TestDatabase,
    databases_of,
    running_cluster,
)

# A slow machine is no failure. Explaining one takes longer than finding it.
settings.register_profile(
    "short",
    deadline=None,
    max_examples=100,
    stateful_step_count=50,
    print_blob=True,
    report_multiple_bugs=False,
    phases=[phase for phase in Phase if phase is not Phase.explain],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile(
    "long", settings.get_profile("short"), max_examples=2_000, stateful_step_count=100
)
settings.load_profile("short")


@pytest.fixture(scope="session", autouse=True)
def _children_can_be_interrupted() -> None:
    # A shell's background job ignores SIGINT, and so would every process it starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresCluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
async def databases(postgres: PostgresCluster) -> AsyncIterator[Databases]:
    async with databases_of(postgres) as made:
        yield made


@pytest.fixture
async def loyalty_database(databases: Databases) -> AsyncIterator[TestDatabase]:
    async with databases.migrated(LOYALTY) as database:
        yield database


@pytest.fixture
async def ratingslip_database(databases: Databases) -> AsyncIterator[TestDatabase]:
    async with databases.migrated(RATINGSLIP) as database:
        yield database
