"""Two versions of a service and one database: a schema that does not fit is refused in words.

The next version is the services' own code with one migration more each. It is started
before that migration was applied, and this version after it, while clients are at work
with processes of this version that had been there before.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from grpc_health.v1 import health_pb2

from tests.databases import LOYALTY, PROJECT_DIRECTORY, SERVICES, Service
from tests.fault.invariants import require_invariants
from tests.fault.stage import WITHOUT_TELEMETRY, Stage
from tests.fault.under_load import keeps_answering
from tests.fault.workload import Workload
from tests.integration.identity import Identity
from tests.integration.logs import errors_beside
from tests.integration.services import Launcher, ServiceProcess

SEED = 29
PACKAGES = ("chassis", "loyalty_service", "ratingslip_service")
# They are there to notice, and leave the processor to the processes that start.
FEW_CLIENTS = 2
EXIT_CONFIGURATION = 78


@dataclasses.dataclass(frozen=True)
class NextVersion:
    """A service's next version, which has one migration more."""

    service: Service
    # Lets `python -m <service>` run it.
    variables: Mapping[str, str]
    migration: str

    def migrating(self, stage: Stage) -> dict[str, str]:
        """The environment of its `migrate`, which runs as the schema's owner."""
        url = stage.databases[self.service].owner_url
        return {f"{self.service.name.upper()}_MIGRATION_DATABASE_URL": url, **self.variables}


def write_next_version(service: Service, directory: Path) -> NextVersion:
    """The product's packages in a directory, with a further migration of the service."""
    directory = directory / service.name
    for package in PACKAGES:
        shutil.copytree(
            PROJECT_DIRECTORY / package,
            directory / package,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    migrations = directory / f"{service}_service" / "sql" / "migrations"
    number = len(list(migrations.glob("*.sql"))) + 1
    path = migrations / f"{number:04}_of_tomorrow.sql"
    path.write_text(f"CREATE TABLE {service}.tomorrow (casino_id uuid);", encoding="utf-8")
    roots = (str(directory), str(PROJECT_DIRECTORY / "protos"))
    variables = {
        "PYTHONPATH": os.pathsep.join(roots),
        # Or the working directory, which holds this version, would come first.
        "PYTHONSAFEPATH": "1",
    }
    return NextVersion(service, variables, f"migrations/{path.name}")


async def test_a_rolling_update_is_kept_in_order_and_disturbs_nobody(
    stage: Stage, fault_identity: Identity, tmp_path: Path
) -> None:
    future = [write_next_version(service, tmp_path / "next") for service in SERVICES]
    workload = Workload(stage, SEED, clients=FEW_CLIENTS)
    async with workload.running(), beside(stage, fault_identity, tmp_path) as launcher:
        await keeps_answering(workload)

        too_early = [
            await launcher.start(each.service, **ways(stage, each.service), **each.variables)
            for each in future
        ]
        for process, each in zip(too_early, future, strict=True):
            sentence = await last_words(process)
            assert each.migration in sentence
            assert "run `migrate` first" in sentence

        await keeps_answering(workload)
        migrations = [
            await launcher.start_with(each.service, each.migrating(stage), "migrate")
            for each in future
        ]
        for process in migrations:
            assert await process.ended() == 0, process.log.text()

        # The processes that were there work on.
        await keeps_answering(workload)
        too_late = [
            await launcher.start(each.service, **ways(stage, each.service)) for each in future
        ]
        for process, each in zip(too_late, future, strict=True):
            sentence = await last_words(process)
            assert each.migration in sentence
            assert "newer than this service" in sentence

        await keeps_answering(workload)
        await asyncio.gather(*(stage.restart(each.service, **each.variables) for each in future))
        await keeps_answering(workload)
    await require_invariants(stage, workload.history)


async def test_a_schema_that_is_found_late_is_refused_then(
    bare_stage: Stage, tmp_path: Path
) -> None:
    future = write_next_version(LOYALTY, tmp_path / "next")
    async with bare_stage.postgres.down():
        process = await bare_stage.launch(LOYALTY, **future.variables)
        await process.listening()
        await process.health_becomes(health_pb2.HealthCheckResponse.NOT_SERVING)

    assert future.migration in await last_words(process)


@contextlib.asynccontextmanager
async def beside(stage: Stage, identity: Identity, directory: Path) -> AsyncIterator[Launcher]:
    """Starts processes that are not of the stage: they are to end by themselves."""
    logs = directory / "beside"
    logs.mkdir()
    launcher = Launcher(logs, identity, stage.databases, trace_endpoint="")
    try:
        yield launcher
    finally:
        await launcher.stop_all()


def ways(stage: Stage, service: Service) -> dict[str, str | None]:
    """What a service needs beside its own environment."""
    if service is LOYALTY:
        return {**WITHOUT_TELEMETRY}
    return {**WITHOUT_TELEMETRY, "RATINGSLIP_LOYALTY_ADDRESS": stage.loyalty_proxy.address}


async def last_words(process: ServiceProcess) -> str:
    """The one sentence, and no stack, with which a process ends that has never served."""
    assert await process.ended() == EXIT_CONFIGURATION, process.log.text()
    assert not process.log.events("health", serving=True)
    (sentence,) = errors_beside(process.log.path).read_text(encoding="utf-8").splitlines()
    return sentence
