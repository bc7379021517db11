"""A gRPC server's life: build, listen, serve until SIGTERM, drain, stop.

Owns the server's limits, health that follows the database, reflection, and the order
of the exit. It must not know which service it carries.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterable

import asyncpg
import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection
from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from chassis import migrate, tls
from chassis.config import ServiceSettings
from chassis.database import Database
from chassis.interceptors.server import ServerInterceptor

_logger = logging.getLogger(__name__)

# The largest honest request is under 4 KiB.
LARGEST_MESSAGE_BYTES = 256 * 1024
LARGEST_METADATA_BYTES = 16 * 1024
# Calls beyond this are refused at once instead of queueing past their deadlines.
MOST_CONCURRENT_CALLS = 1_000
# Clients may ping this often; ours do so every 30 s.
LEAST_PING_INTERVAL_MS = 10_000
KEEPALIVE_TIME_MS = 60_000
KEEPALIVE_TIMEOUT_MS = 10_000
# The last answers may still be on their way out when their calls have ended.
FLUSH_SECONDS = 0.2
# How soon health notices a lost or a returning database.
HEALTH_INTERVAL_SECONDS = 1.0

SERVER_OPTIONS: list[tuple[str, int]] = [
    # Two servers on one port would share its calls in silence.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", LARGEST_MESSAGE_BYTES),
    ("grpc.max_metadata_size", LARGEST_METADATA_BYTES),
    ("grpc.keepalive_time_ms", KEEPALIVE_TIME_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.http2.min_ping_interval_without_data_ms", LEAST_PING_INTERVAL_MS),
    ("grpc.keepalive_permit_without_calls", 1),
]


class ServiceServer:
    """One service on one port, with health and reflection beside it."""

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        descriptor: ServiceDescriptor,
        interceptor: ServerInterceptor,
        database: Database,
        schema: migrate.Schema,
        meter: metrics.Meter,
    ) -> None:
        self._settings = settings
        self._service_name = descriptor.full_name
        self._interceptor = interceptor
        self._database = database
        self._schema = schema
        self._found_right = asyncio.Event()
        self._database_trouble: type[Exception] | None = None
        self._health = health_aio.HealthServicer()
        self._is_serving = False
        meter.create_observable_gauge(
            "casino.health.serving",
            [self._observe_serving],
            unit="1",
            description="Whether the service says that it serves",
        )
        self.grpc_server = grpc.aio.server(
            interceptors=[interceptor],
            options=SERVER_OPTIONS,
            maximum_concurrent_rpcs=MOST_CONCURRENT_CALLS,
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc_server)
        reflection.enable_server_reflection(
            (self._service_name, "grpc.health.v1.Health", reflection.SERVICE_NAME),
            self.grpc_server,
        )

    async def until_serving(self) -> None:
        """Returns when the database has been found to be there, with the right schema."""
        await self._found_right.wait()

    async def run(self) -> None:
        """Serves until SIGTERM or SIGINT, then drains and returns.

        Raises `OSError` when the address cannot be used, and `SchemaError` when the
        database is there but its schema is another one.
        """
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        await self._set_health(serving=False)
        port = self._listen()
        await self.grpc_server.start()
        _logger.info("listening", extra={"port": port, "service": self._service_name})
        watcher = asyncio.create_task(self._follow_database())
        waiter = asyncio.create_task(stopping.wait())
        await asyncio.wait({watcher, waiter}, return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        watcher.cancel()
        await self._drain()
        if not stopping.is_set():
            # The watcher ends by itself only with an error.
            watcher.result()

    def _listen(self) -> int:
        settings = self._settings
        try:
            if settings.tls_certificate_file and settings.tls_private_key_file:
                credentials = tls.server_credentials(
                    settings.tls_certificate_file,
                    settings.tls_private_key_file,
                    settings.tls_client_authority_file,
                )
                return self.grpc_server.add_secure_port(settings.listen_address, credentials)
            return self.grpc_server.add_insecure_port(settings.listen_address)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {settings.listen_address}") from error

    async def _follow_database(self) -> None:
        """Keeps health at what the database allows; raises `SchemaError` on a wrong schema."""
        serving = False
        while True:
            reachable = await self._database_answers()
            if reachable != serving:
                serving = reachable
                await self._set_health(serving=serving)
                _logger.info("health", extra={"serving": serving})
            await asyncio.sleep(HEALTH_INTERVAL_SECONDS)

    async def _database_answers(self) -> bool:
        try:
            if self._found_right.is_set():
                await self._database.probe("SELECT 1")
            else:
                rows = await self._database.probe(migrate.applied_query(self._schema))
                applied = {row["name"]: row["checksum"] for row in rows}
                migrate.check_schema(self._schema, applied)
                self._found_right.set()
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
            migrate.check_schema(self._schema, {})
        except migrate.SchemaError:
            raise
        except Exception as error:
            # Whatever else is wrong with the database may pass; a service does not end for it.
            # Said once for each kind of trouble, not once a second.
            if type(error) is not self._database_trouble:
                self._database_trouble = type(error)
                _logger.warning("database_unreachable", exc_info=error)
            return False
        self._database_trouble = None
        return True

    async def _set_health(self, *, serving: bool) -> None:
        status = (
            health_pb2.HealthCheckResponse.SERVING
            if serving
            else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        self._is_serving = serving
        for name in ("", self._service_name):
            await self._health.set(name, status)

    def _observe_serving(self, _: CallbackOptions) -> Iterable[Observation]:
        yield Observation(int(self._is_serving))

    async def _drain(self) -> None:
        """Tells health, refuses new calls, lets the ones under way end.

        gRPC's own grace would also wait for open health watches, which never end by
        themselves; so the calls are waited for here, and the rest is cut off.
        """
        _logger.info("draining")
        self._is_serving = False
        await self._health.enter_graceful_shutdown()
        grace_seconds = self._settings.drain_grace_ms / 1000
        stopped = asyncio.create_task(self.grpc_server.stop(grace_seconds))
        idle = asyncio.create_task(self._interceptor.until_idle())
        await asyncio.wait({stopped, idle}, return_when=asyncio.FIRST_COMPLETED)
        idle.cancel()
        await self.grpc_server.stop(FLUSH_SECONDS)
        await stopped
