"""A connection whose server has said goodbye, and which is not closed yet: nobody trusts it."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from grpc import StatusCode
from grpc_health.v1 import health_pb2
from opentelemetry.metrics import NoOpMeter
from opentelemetry.trace import NoOpTracer

from chassis.context import Call, Caller, Deadline, Role, enter_call, leave_call
from chassis.database import Database
from chassis.errors import ServiceError
from deploy.local.processes import LOOPBACK
from ratingslip_service import errors
from tests.databases import RATINGSLIP, TestDatabase, connected
from tests.integration.identity import Identity
from tests.integration.patience import PATIENCE_SECONDS, eventually
from tests.integration.services import Launcher

CHUNK_BYTES = 65_536
GOODBYE = b"terminating connection"


class LateCloser:
    """Passes everything on but the end of a connection, as a network may for a while."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self.has_said_goodbye = False
        # Until this is set, no end of a connection goes through.
        self.lets_go = asyncio.Event()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Its address, while the block lasts."""
        server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        try:
            yield f"{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()

    async def _serve(
        self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter
    ) -> None:
        host, _, port = self._upstream.rpartition(":")
        server_reader, server_writer = await asyncio.open_connection(host, int(port))
        with contextlib.suppress(OSError):
            await asyncio.gather(
                self._pass_on(client_reader, server_writer),
                self._pass_on(server_reader, client_writer),
            )
        server_writer.transport.abort()
        client_writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
            self.has_said_goodbye |= GOODBYE in chunk
        await self.lets_go.wait()
        writer.close()


@pytest.fixture
async def call() -> AsyncIterator[None]:
    """What a pit boss asks for."""
    caller = Caller(uuid.uuid4(), uuid.uuid4(), Role.PIT_BOSS)
    entered = enter_call(Call("GetRatingSlip", "stale", Deadline.after(PATIENCE_SECONDS), caller))
    yield
    leave_call(entered)


async def test_a_call_on_a_connection_that_was_told_goodbye_is_unavailable_and_the_next_one_works(
    ratingslip_database: TestDatabase, call: None
) -> None:
    server = server_of(ratingslip_database)
    late = LateCloser(server)
    async with late.listening() as address:
        database = Database(
            ratingslip_database.service_url.replace(server, address),
            schema="ratingslip",
            pool_size=1,
            tracer=NoOpTracer(),
            meter=NoOpMeter("tests"),
            error_mapping=errors.from_postgres,
        )
        await database.open()
        try:
            assert await read_nothing(database) == []
            await say_goodbye(ratingslip_database)

            async def said() -> bool:
                return late.has_said_goodbye

            await eventually(said, "the server has said goodbye")

            with pytest.raises(ServiceError) as refused:
                await read_nothing(database)

            assert (refused.value.code, refused.value.reason) == (
                StatusCode.UNAVAILABLE,
                "DATABASE_UNAVAILABLE",
            )
            assert await read_nothing(database) == []
        finally:
            late.lets_go.set()
            await database.close()


async def test_a_service_outlives_the_goodbye_on_the_connection_its_health_looks_through(
    ratingslip_database: TestDatabase, fault_identity: Identity, tmp_path: Path
) -> None:
    late = LateCloser(server_of(ratingslip_database))
    launcher = Launcher(tmp_path, fault_identity, {RATINGSLIP: ratingslip_database}, "")
    async with late.listening() as address:
        try:
            service = await launcher.ratingslip(
                "127.0.0.1:9",
                RATINGSLIP_DATABASE_URL=ratingslip_database.service_url.replace(
                    server_of(ratingslip_database), address
                ),
                OTEL_TRACES_EXPORTER="none",
            )

            await say_goodbye(ratingslip_database)

            await service.log.event("database_unreachable")
            await service.health_becomes(health_pb2.HealthCheckResponse.SERVING)
        finally:
            late.lets_go.set()
            await launcher.stop_all()


def server_of(database: TestDatabase) -> str:
    """host:port of a database's server."""
    return database.service_url.rpartition("@")[2].partition("/")[0]


async def say_goodbye(database: TestDatabase) -> None:
    """Has the server end every session of the service."""
    async with connected(database.superuser_url) as superuser:
        await superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE usename = $1 AND datname = current_database()",
            database.service.service_role,
        )


async def read_nothing(database: Database) -> list[asyncpg.Record]:
    """Asks for a slip that does not exist."""
    return await database.fetch("get_rating_slip", "(r.slip).id", uuid.uuid4())
