"""The two services as the stack sees them: roles, databases, environment, processes.

What each service wants in its environment stands here and nowhere else in the stack.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.local.identity import (
    LOYALTY_AUDIENCE,
    RATINGSLIP_AUDIENCE,
    SERVICE_ISSUER,
    STAFF_ISSUER,
    Keyring,
)
from deploy.local.locks import FileLock
from deploy.local.postgres import PostgresCluster
from deploy.local.processes import LOOPBACK, ProcessError, bound_command
from deploy.local.state import PROJECT_DIRECTORY

# A service that takes longer than this to serve never will; usually it is under 1 s.
SERVING_TIMEOUT_SECONDS = 60.0
# One health check; the server is on this machine.
HEALTH_TIMEOUT_SECONDS = 1.0
HEALTH_INTERVAL_SECONDS = 0.05
# gRPC would wait a second after the first refused connection.
CHECK_OFTEN = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 100),
]
# What a service may take to answer its last calls and send its last spans.
STOP_GRACE_SECONDS = 15.0
# Spans are looked at as soon as they happen; the usual 5 s would be felt.
SPAN_SCHEDULE_DELAY_MS = 500
PASSWORD_BYTES = 24
# Set by the stack alone: a variable from somebody's shell must not reach a service.
OWN_PREFIXES = ("LOYALTY_", "RATINGSLIP_", "OTEL_")


class ServiceError(ProcessError):
    """A service could not be prepared or started, or ended by itself."""


@dataclass(frozen=True)
class Service:
    """One of the two services."""

    # As people call it; also its database, and the prefix of its roles and variables.
    name: str
    title: str
    default_port: int

    @property
    def module(self) -> str:
        """What `python -m` runs."""
        return f"{self.name}_service"

    @property
    def roles_file(self) -> Path:
        """The SQL by which a superuser makes the service's roles."""
        return PROJECT_DIRECTORY / self.module / "sql" / "roles.sql"


LOYALTY = Service("loyalty", "Loyalty", 50051)
RATINGSLIP = Service("ratingslip", "RatingSlip", 50052)
# In the order they start; they stop in the other, since RatingSlip calls Loyalty.
SERVICES = (LOYALTY, RATINGSLIP)


@dataclass(frozen=True)
class Database:
    """The connection URLs of one service's database."""

    owner_url: str
    service_url: str
    superuser_url: str


async def prepare_database(cluster: PostgresCluster, service: Service) -> Database:
    """Makes the service's roles and database where missing, and gives the roles new passwords."""
    owner, user = f"{service.name}_owner", f"{service.name}_service"
    passwords = {role: secrets.token_urlsafe(PASSWORD_BYTES) for role in (owner, user)}
    connection = await asyncpg.connect(cluster.superuser_url())
    try:
        await connection.execute(service.roles_file.read_text())
        for role, password in passwords.items():
            await _execute_formatted(connection, "ALTER ROLE %I PASSWORD %L", role, password)
        known = await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", service.name
        )
        if not known:
            await _execute_formatted(connection, "CREATE DATABASE %I OWNER %I", service.name, owner)
    finally:
        await connection.close()
    return Database(
        owner_url=cluster.url(owner, passwords[owner], service.name),
        service_url=cluster.url(user, passwords[user], service.name),
        superuser_url=cluster.superuser_url(service.name),
    )


async def _execute_formatted(connection: asyncpg.Connection, template: str, *values: str) -> None:
    """Runs a statement that takes no parameters, its values quoted by PostgreSQL itself."""
    statement = await connection.fetchval(
        "SELECT format($1, VARIADIC $2::text[])", template, values
    )
    await connection.execute(statement)


def loyalty_environment(database: Database, keyring: Keyring, address: str) -> dict[str, str]:
    """What Loyalty is configured with."""
    return {
        "LOYALTY_DATABASE_URL": database.service_url,
        "LOYALTY_LISTEN_ADDRESS": address,
        "LOYALTY_TOKEN_ISSUER": STAFF_ISSUER,
        "LOYALTY_TOKEN_AUDIENCE": LOYALTY_AUDIENCE,
        "LOYALTY_JWKS": str(keyring.staff_jwks_file),
        "LOYALTY_SERVICE_TOKEN_ISSUER": SERVICE_ISSUER,
        "LOYALTY_SERVICE_JWKS": str(keyring.ratingslip_jwks_file),
        "LOYALTY_PAGE_TOKEN_KEY": keyring.page_token_key(LOYALTY.name),
    }


def ratingslip_environment(
    database: Database, keyring: Keyring, address: str, loyalty_address: str
) -> dict[str, str]:
    """What RatingSlip is configured with."""
    return {
        "RATINGSLIP_DATABASE_URL": database.service_url,
        "RATINGSLIP_LISTEN_ADDRESS": address,
        "RATINGSLIP_TOKEN_ISSUER": STAFF_ISSUER,
        "RATINGSLIP_TOKEN_AUDIENCE": RATINGSLIP_AUDIENCE,
        "RATINGSLIP_JWKS": str(keyring.staff_jwks_file),
        "RATINGSLIP_PAGE_TOKEN_KEY": keyring.page_token_key(RATINGSLIP.name),
        "RATINGSLIP_LOYALTY_ADDRESS": loyalty_address,
        "RATINGSLIP_LOYALTY_TOKEN_AUDIENCE": LOYALTY_AUDIENCE,
        "RATINGSLIP_SERVICE_TOKEN_ISSUER": SERVICE_ISSUER,
        "RATINGSLIP_SERVICE_TOKEN_KEY_FILE": str(keyring.ratingslip_key_file),
        "RATINGSLIP_SERVICE_TOKEN_KEY_ID": keyring.ratingslip.key_id,
    }


@dataclass(frozen=True)
class Telemetry:
    """Where a service's spans go, and where its metrics are fetched."""

    trace_endpoint: str
    metrics_port: int

    @property
    def metrics_url(self) -> str:
        """Where Prometheus, or anybody, reads the service's metrics."""
        return f"http://{address(self.metrics_port)}/metrics"

    def environment(self) -> dict[str, str]:
        """Spans go to the trace sink, which takes nothing else; metrics wait to be fetched."""
        return {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "prometheus",
            "OTEL_EXPORTER_PROMETHEUS_HOST": LOOPBACK,
            "OTEL_EXPORTER_PROMETHEUS_PORT": str(self.metrics_port),
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.trace_endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": str(SPAN_SCHEDULE_DELAY_MS),
        }


class ServiceProcess:
    """One service as a process of its own, which ends with this one."""

    def __init__(
        self,
        service: Service,
        address: str,
        database: Database,
        environment: Mapping[str, str],
        telemetry: Telemetry,
        log_file: Path,
        lock: FileLock,
    ) -> None:
        """The process holds `lock` for as long as it lives."""
        self.service = service
        self.address = address
        self.database = database
        self.telemetry = telemetry
        self.log_file = log_file
        self._environment = {**environment, **telemetry.environment()}
        self._lock = lock
        self._process: asyncio.subprocess.Process | None = None

    async def migrate(self) -> None:
        """Brings the service's schema up to date.

        Raises:
            ServiceError: the migration failed.
        """
        # It runs as the schema's owner, and the service itself never does.
        variable = f"{self.service.name.upper()}_MIGRATION_DATABASE_URL"
        environment = {**self._environment, variable: self.database.owner_url}
        process = await self._spawn(environment, "migrate")
        if await _exit_code(process) != 0:
            raise ServiceError(f"{self.service.title}'s migration failed", self.log_file)

    async def start(self) -> None:
        """Starts the service; it may not serve yet."""
        self._process = await self._spawn(self._environment)

    def configure(self, changes: Mapping[str, str]) -> None:
        """Changes its environment, from its next start on."""
        self._environment = {**self._environment, **changes}

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    async def until_ended(self) -> None:
        """Waits for the process to end by itself, which is always an error.

        Raises:
            ServiceError: it ended.
        """
        if self._process is None:
            raise RuntimeError(f"{self.service.title} was not started")
        code = await self._process.wait()
        # What a service says last is why it ended.
        *_, last = ["", *self.log_file.read_text(errors="replace").splitlines()]
        raise ServiceError(
            f"{self.service.title} ended by itself with exit code {code} ({last})", self.log_file
        )

    async def stop(self) -> None:
        """Asks it to end in good order, and ends it if it does not; does nothing if it has."""
        if self._process is None or not self.is_running:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_GRACE_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _spawn(
        self, environment: Mapping[str, str], *arguments: str
    ) -> asyncio.subprocess.Process:
        command = [sys.executable, "-m", self.service.module, *arguments]
        with self.log_file.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *bound_command(command, signal.SIGKILL),
                env={**_inherited_environment(), **environment},
                cwd=PROJECT_DIRECTORY,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(self._lock.fileno(),),
            )


async def until_serving(address: str) -> None:
    """Waits, for as long as it takes, until the server there says that it is SERVING."""
    async with grpc.aio.insecure_channel(address, options=CHECK_OFTEN) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while not await _is_serving(health):  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(HEALTH_INTERVAL_SECONDS)


async def _is_serving(health: health_pb2_grpc.HealthStub) -> bool:
    request = health_pb2.HealthCheckRequest()
    try:
        # The generated stub is not typed; its types are those of the protocol.
        answer = await health.Check(  # type: ignore[attr-defined]
            request, timeout=HEALTH_TIMEOUT_SECONDS, wait_for_ready=True
        )
    except grpc.aio.AioRpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def address(port: int) -> str:
    """host:port on this machine."""
    return f"{LOOPBACK}:{port}"


def _inherited_environment() -> dict[str, str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(OWN_PREFIXES)
    }
    import_roots = [str(PROJECT_DIRECTORY), str(PROJECT_DIRECTORY / "protos")]
    if inherited := environment.get("PYTHONPATH"):
        import_roots.append(inherited)
    environment["PYTHONPATH"] = os.pathsep.join(import_roots)
    # A log line is in the file when it is written, not when a buffer is full.
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


async def _exit_code(process: asyncio.subprocess.Process) -> int:
    """Waits for a process that is ours alone, and ends it if the wait is given up."""
    try:
        return await process.wait()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
