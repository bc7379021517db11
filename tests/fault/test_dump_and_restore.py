"""Both databases dumped with pg_dump and restored into new ones: nothing is forgotten by it.

RatingSlip is dumped first: what is paid between the two dumps is then paid and not yet
recorded, which the recoverer mends. The other way round a slip could know of an entry
that the ledger has lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from casino.ratingslip.v1 import ratingslip_pb2
from deploy.local.postgres import wheel_bin_directory
from deploy.local.proxy import Mode
from tests.database.schema_dump import dump_schema
from tests.databases import (
    BIN_DIRECTORY_VARIABLE,
    LOYALTY,
    RATINGSLIP,
    SERVICES,
    Connection,
    Databases,
    Service,
    connected,
)
from tests.fault.database_calls import open_slip_of_a_known_player
from tests.fault.history import Acknowledged, History
from tests.fault.invariants import require_invariants
from tests.fault.recorder import RPCS, request_of
from tests.fault.service_checks import ask
from tests.fault.stage import Stage
from tests.fault.workload import Workload
from tests.integration.casino import new_id, read_slip, start
from tests.integration.clients import Client
from tests.integration.identity import Identity
from tests.integration.locks import held_player
from tests.integration.patience import eventually
from tests.integration.recovery import refused_close, require_pending

SEED = 23
OPERATIONS = 60
# What the service's role may do to no row, in whatever context.
FORBIDDEN = {
    LOYALTY: (
        "UPDATE loyalty.loyalty_ledger SET points_delta = 0",
        "DELETE FROM loyalty.loyalty_ledger",
        "DELETE FROM loyalty.player_loyalty",
    ),
    RATINGSLIP: (
        "UPDATE ratingslip.rating_slip_event SET kind = 'start'",
        "DELETE FROM ratingslip.rating_slip_event",
        "DELETE FROM ratingslip.rating_slip",
    ),
}
ROWS = {LOYALTY: "loyalty.loyalty_ledger", RATINGSLIP: "ratingslip.rating_slip"}


@dataclasses.dataclass(frozen=True)
class Archive:
    """The dumps of a stage's databases, and where they are restored."""

    stage: Stage
    databases: Databases
    identity: Identity
    directory: Path

    async def dump(self, service: Service) -> None:
        """Dumps a service's database as it stands at this moment."""
        await self._run("pg_dump", service, self.stage.databases[service].superuser_url)

    @contextlib.asynccontextmanager
    async def restored(self) -> AsyncIterator[Stage]:
        """New databases with what was dumped, and both services serving on them.

        They listen where the old ones did, which must have ended.
        """
        async with contextlib.AsyncExitStack() as stack:
            made = {}
            for service in SERVICES:
                made[service] = await stack.enter_async_context(self.databases.empty(service))
                await self._run("pg_restore", service, made[service].superuser_url)
            old = self.stage
            restored = Stage(self.directory, old.postgres, self.identity, made, old.proxies)
            stack.push_async_callback(restored.close)
            await asyncio.gather(*(restored.start(service) for service in SERVICES))
            yield restored

    async def _run(self, program: str, service: Service, url: str) -> None:
        named = os.environ.get(BIN_DIRECTORY_VARIABLE)
        path = (Path(named) if named else wheel_bin_directory()) / program
        file = str(self.directory / f"{service}.dump")
        options = {
            "pg_dump": ["--format=custom", f"--file={file}"],
            "pg_restore": ["--single-transaction", "--exit-on-error", file],
        }[program]
        process = await asyncio.create_subprocess_exec(path, f"--dbname={url}", *options)
        assert await process.wait() == 0, f"{program} failed"


@pytest.fixture
def archive(
    stage: Stage, fault_databases: Databases, fault_identity: Identity, tmp_path: Path
) -> Archive:
    directory = tmp_path / "restored"
    directory.mkdir()
    return Archive(stage, fault_databases, fault_identity, directory)


async def test_restored_databases_know_every_key_and_finish_what_was_half_done(
    stage: Stage, archive: Archive
) -> None:
    workload = Workload(stage, SEED)
    async with workload.running():
        await workload.acknowledges(OPERATIONS)
    casino = stage.casino()
    boss = casino.for_role("pit_boss")
    unpaid, paid_between = await open_slip_of_a_known_player(boss), await start(boss)
    await stage.loyalty_proxy.switch(Mode.REFUSE)
    for slip in (unpaid, paid_between):
        await refused_close(boss, slip)
        await require_pending(boss, slip)
    schemas = {service: await schema_of(stage, service) for service in SERVICES}

    await archive.dump(RATINGSLIP)
    url = stage.databases[LOYALTY].superuser_url
    async with held_player(url, casino.id, unpaid.player_id):
        await stage.loyalty_proxy.switch(Mode.PASS)
        entry_id = await entry_of(boss, paid_between)
        await archive.dump(LOYALTY)
        for process in stage.running:
            await stage.kill(process)

    async with archive.restored() as restored:
        await require_invariants(restored, workload.history)
        assert await entry_of(boss, paid_between) == entry_id
        assert await entry_of(boss, unpaid)
        await require_keys_known(restored, workload.history)
        for service in SERVICES:
            assert await schema_of(restored, service) == schemas[service]
            await require_guarded(restored, service)


async def entry_of(boss: Client, slip: ratingslip_pb2.RatingSlip) -> str:
    """The entry that paid for a slip; waits until there is one, for which nobody asks."""

    async def found() -> str:
        return (await read_slip(boss, slip.rating_slip_id)).loyalty_entry_id

    return await eventually(found, "the slip has its points")


async def require_keys_known(stage: Stage, history: History) -> None:
    """Every acknowledged operation, sent again, is answered with what it did the first time."""
    for operation in history.acknowledged():
        assert isinstance(operation.outcome, Acknowledged)
        # Somebody new each time: a limit counts what one member of staff gives.
        admin = stage.client_of("admin", operation.casino_id)
        rpc = RPCS[operation.verb]
        answer = rpc.acknowledged(await ask(admin, rpc.method(admin), request_of(operation)))
        assert answer == dataclasses.replace(operation.outcome, is_existing=True), operation


async def schema_of(stage: Stage, service: Service) -> str:
    """Tables, functions, owners, grants and policies, as SQL."""
    async with stage.superuser(service) as superuser:
        return await dump_schema(superuser, service.name)


async def require_guarded(stage: Stage, service: Service) -> None:
    """The service's role may not rewrite the past, and reads nothing but its casino's rows."""
    count = f"SELECT count(*) FROM {ROWS[service]}"
    async with connected(stage.databases[service].service_url) as connection:
        with pytest.raises(asyncpg.UndefinedObjectError):
            await connection.fetchval(count)
        for statement in FORBIDDEN[service]:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with in_a_casino(connection, service):
                    await connection.execute(statement)
        async with in_a_casino(connection, service):
            assert await connection.fetchval(count) == 0


@contextlib.asynccontextmanager
async def in_a_casino(connection: Connection, service: Service) -> AsyncIterator[None]:
    """A transaction in the name of a casino that has no rows."""
    async with connection.transaction():
        await connection.execute(
            f"SELECT {service}.set_context($1, $1, 'admin', 'stranger')", new_id()
        )
        yield
