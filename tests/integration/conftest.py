"""Fixtures of the integration tests.

pair             both services, running, shared by all tests of the session
casino           a casino of the test's own, on that pair
boss             its pit boss
launcher         starts further services, which end with the test
behind_proxy     a RatingSlip that reaches Loyalty through a proxy; shared, too
loyalty_sql      a superuser's connection to the pair's Loyalty database
ratingslip_sql   the same for RatingSlip's
traces_file      the spans of all these services
stack_directory  a state directory for an embedded stack of the test's own
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest

from deploy.local.postgres import PostgresCluster
from deploy.local.proxy import Mode
from deploy.local.state import StateDirectory
from deploy.local.trace_sink import TraceSink
from tests.databases import (
    LOYALTY,
    RATINGSLIP,
    Connection,
    Databases,
    Service,
    TestDatabase,
    connected,
)
from tests.integration.casino import Casino
from tests.integration.clients import Client
from tests.integration.identity import Identity
from tests.integration.services import BehindProxy, Launcher, Pair, running_behind_proxy


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return Identity(tmp_path_factory.mktemp("identity"))


@pytest.fixture(scope="session")
def traces_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("traces") / "traces.jsonl"


@pytest.fixture(scope="session")
async def trace_endpoint(traces_file: Path) -> AsyncIterator[str]:
    async with TraceSink(traces_file) as sink:
        yield sink.endpoint


@pytest.fixture(scope="session")
async def pair_databases(databases: Databases) -> AsyncIterator[Mapping[Service, TestDatabase]]:
    async with databases.migrated(LOYALTY) as loyalty:
        async with databases.migrated(RATINGSLIP) as ratingslip:
            yield {LOYALTY: loyalty, RATINGSLIP: ratingslip}


@pytest.fixture(scope="session")
async def session_launcher(
    identity: Identity,
    pair_databases: Mapping[Service, TestDatabase],
    trace_endpoint: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Launcher]:
    launcher = Launcher(tmp_path_factory.mktemp("logs"), identity, pair_databases, trace_endpoint)
    try:
        yield launcher
    finally:
        await launcher.stop_all()


@pytest.fixture(scope="session")
async def pair(session_launcher: Launcher) -> Pair:
    loyalty = await session_launcher.loyalty()
    return Pair(await session_launcher.ratingslip(loyalty.address), loyalty)


@pytest.fixture
async def launcher(
    identity: Identity,
    pair_databases: Mapping[Service, TestDatabase],
    trace_endpoint: str,
    tmp_path: Path,
) -> AsyncIterator[Launcher]:
    launcher = Launcher(tmp_path, identity, pair_databases, trace_endpoint)
    try:
        yield launcher
    finally:
        await launcher.stop_all()


@pytest.fixture(scope="session")
async def session_behind_proxy(
    session_launcher: Launcher, pair: Pair
) -> AsyncIterator[BehindProxy]:
    async with running_behind_proxy(session_launcher, pair.loyalty) as running:
        yield running


@pytest.fixture
async def behind_proxy(session_behind_proxy: BehindProxy) -> AsyncIterator[BehindProxy]:
    yield session_behind_proxy
    await session_behind_proxy.proxy.switch(Mode.PASS)


@pytest.fixture
def casino(pair: Pair, identity: Identity) -> Casino:
    return Casino(pair, identity)


@pytest.fixture
def boss(casino: Casino) -> Client:
    return casino.for_role("pit_boss")


@pytest.fixture(scope="session")
async def loyalty_sql(
    pair_databases: Mapping[Service, TestDatabase],
) -> AsyncIterator[Connection]:
    async with connected(pair_databases[LOYALTY].superuser_url) as connection:
        yield connection


@pytest.fixture(scope="session")
async def ratingslip_sql(
    pair_databases: Mapping[Service, TestDatabase],
) -> AsyncIterator[Connection]:
    async with connected(pair_databases[RATINGSLIP].superuser_url) as connection:
        yield connection


@pytest.fixture
def stack_directory(tmp_path: Path) -> Iterator[Path]:
    """A state directory for an embedded stack, whose databases are deleted afterwards."""
    state = StateDirectory(tmp_path / "state")
    yield state.root
    # As root the data lives elsewhere, and would outlast the test's own directory.
    PostgresCluster(state.postgres).delete()
