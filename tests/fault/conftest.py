"""Fixtures of the fault tests.

fault_postgres   the database server that tests may maltreat, one for the session
fault_databases  makes databases in it
fault_identity   the issuers of every token
stage            both services, serving, with every path between them through a proxy
bare_stage       the same before any service was started
new_stage        makes stages with environment variables of their own
ground           a stage after a workload without any fault, one for each module
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.databases import Databases, databases_of
from tests.fault.ground import Ground, laid_ground
from tests.fault.postgres_server import PostgresServer, running_postgres_server
from tests.fault.stage import Stage, prepared_stage, raised_stage
from tests.integration.identity import Identity

NewStage: TypeAlias = Callable[..., AbstractAsyncContextManager[Stage]]


@pytest.fixture(scope="session")
async def fault_postgres() -> AsyncIterator[PostgresServer]:
    async with running_postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
async def fault_databases(fault_postgres: PostgresServer) -> AsyncIterator[Databases]:
    async with databases_of(fault_postgres.cluster) as made:
        yield made


@pytest.fixture(scope="session")
def fault_identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return Identity(tmp_path_factory.mktemp("identity"))


@pytest.fixture
async def stage(
    tmp_path: Path,
    fault_postgres: PostgresServer,
    fault_databases: Databases,
    fault_identity: Identity,
) -> AsyncIterator[Stage]:
    async with raised_stage(tmp_path, fault_postgres, fault_databases, fault_identity) as raised:
        yield raised


@pytest.fixture
async def bare_stage(
    tmp_path: Path,
    fault_postgres: PostgresServer,
    fault_databases: Databases,
    fault_identity: Identity,
) -> AsyncIterator[Stage]:
    async with prepared_stage(
        tmp_path, fault_postgres, fault_databases, fault_identity
    ) as prepared:
        yield prepared


@pytest.fixture
def new_stage(
    tmp_path: Path,
    fault_postgres: PostgresServer,
    fault_databases: Databases,
    fault_identity: Identity,
) -> NewStage:
    """`async with new_stage(loyalty={"LOYALTY_DATABASE_POOL_SIZE": "2"}) as stage`."""

    @contextlib.asynccontextmanager
    async def made(**variables: dict[str, str | None]) -> AsyncIterator[Stage]:
        async with raised_stage(
            tmp_path, fault_postgres, fault_databases, fault_identity, **variables
        ) as raised:
            yield raised

    return made


@pytest.fixture(scope="module")
async def ground(
    tmp_path_factory: pytest.TempPathFactory,
    fault_postgres: PostgresServer,
    fault_databases: Databases,
    fault_identity: Identity,
) -> AsyncIterator[Ground]:
    directory = tmp_path_factory.mktemp("ground")
    async with laid_ground(directory, fault_postgres, fault_databases, fault_identity) as laid:
        yield laid
