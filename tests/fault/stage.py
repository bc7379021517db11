"""One test's whole system, every path of which can be cut.

    client → ratingslip_proxy → RatingSlip → loyalty_proxy → Loyalty
    RatingSlip → ratingslip_database_proxy → PostgreSQL ← loyalty_database_proxy ← Loyalty

Owns two databases in the fault server, four proxies and the processes of both services.
Clients call RatingSlip through its proxy and Loyalty directly; both addresses stay the
same however often a service is started again. It must not know what is asked of the
services, nor what must hold afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TypeAlias

import grpc
from grpc_health.v1 import health_pb2

from deploy.local.processes import LOOPBACK, free_port
from deploy.local.proxy import TcpProxy
from deploy.local.replies import postgres_replies
from tests.databases import (
    LOYALTY,
    RATINGSLIP,
    Connection,
    Databases,
    Service,
    TestDatabase,
    connected,
)
from tests.fault.postgres_server import PostgresServer
from tests.fault.process_facts import ProcessFacts, facts_of
from tests.integration.casino import Casino, new_id
from tests.integration.clients import Client
from tests.integration.identity import Identity
from tests.integration.services import RECONNECT_OFTEN, Launcher, ServiceProcess

# Environment variables of a service; None leaves one out.
Variables: TypeAlias = Mapping[str, str | None]

# Spans of a storm would only cost time; a test of the collector names its own.
WITHOUT_TELEMETRY = {"OTEL_TRACES_EXPORTER": "none"}
# How soon the recoverer looks again, so that a test does not wait for it.
RECOVERY_POLL_SECONDS = 0.2
# The recoverer's own waits are seconds and minutes; no rule depends on how long they are.
QUICK_RECOVERY = """
    CREATE OR REPLACE FUNCTION ratingslip.recovery_delay(p_attempt_count integer)
    RETURNS interval LANGUAGE sql VOLATILE AS $$
        SELECT least(0.5 * greatest(p_attempt_count, 1), 2) * interval '1 second'
    $$
"""


@dataclasses.dataclass(frozen=True)
class Proxies:
    """Every path of the stage, as a proxy."""

    ratingslip: TcpProxy
    loyalty: TcpProxy
    ratingslip_database: TcpProxy
    loyalty_database: TcpProxy

    def all(self) -> tuple[TcpProxy, ...]:
        """All four."""
        return self.ratingslip, self.loyalty, self.ratingslip_database, self.loyalty_database


class Stage:
    """Both services with every path between them through a proxy. See `raised_stage`."""

    def __init__(
        self,
        directory: Path,
        postgres: PostgresServer,
        identity: Identity,
        databases: Mapping[Service, TestDatabase],
        proxies: Proxies,
    ) -> None:
        self.directory = directory
        self.postgres = postgres
        self.databases = databases
        self.ratingslip_proxy = proxies.ratingslip
        self.loyalty_proxy = proxies.loyalty
        self.ratingslip_database_proxy = proxies.ratingslip_database
        self.loyalty_database_proxy = proxies.loyalty_database
        self.proxies = proxies
        # Everything that was started, what has ended included; oldest first.
        self.started: list[ServiceProcess] = []
        # What each process looked like when it had just begun to serve.
        self.first_facts: dict[ServiceProcess, ProcessFacts] = {}
        self._identity = identity
        self._launcher = Launcher(directory, identity, databases, trace_endpoint="")
        self._ports = {LOYALTY: proxies.loyalty.upstream, RATINGSLIP: proxies.ratingslip.upstream}
        self._variables: dict[Service, Variables] = {LOYALTY: {}, RATINGSLIP: {}}
        self._current: dict[Service, ServiceProcess] = {}
        self._ways = _Ways(_way_to(proxies.ratingslip.address), _way_to(proxies.loyalty.upstream))

    @property
    def ratingslip(self) -> ServiceProcess:
        """The RatingSlip that clients reach, or the last one they reached."""
        return self._current[RATINGSLIP]

    @property
    def loyalty(self) -> ServiceProcess:
        """The Loyalty that everybody reaches, or the last one."""
        return self._current[LOYALTY]

    @property
    def running(self) -> list[ServiceProcess]:
        """Every process that has not ended, replicas included."""
        return [process for process in self.started if not process.has_ended]

    def casino(self) -> Casino:
        """A new casino; its clients go the stage's ways, unless they are told another."""
        return Casino(self._ways, self._identity)

    def with_token(self, token: str | None) -> Client:
        """A caller who goes the stage's ways."""
        return Client(self._ways.ratingslip.channel, self._ways.loyalty.channel, token)

    def client_of(self, role: str, casino_id: str) -> Client:
        """A new member of staff of any casino."""
        return self.with_token(self._identity.staff_token(role, casino_id, new_id()))

    def pool_size(self, service: Service, default: int) -> int:
        """How many connections each process of a service may keep."""
        configured = self._variables[service].get(f"{service.name.upper()}_DATABASE_POOL_SIZE")
        return int(configured) if configured else default

    async def start(self, service: Service, **changes: str | None) -> ServiceProcess:
        """Starts a service, or starts it again, on its address; returns when it serves.

        `changes` are environment variables; they hold for every later start as well.
        """
        process = await self.launch(service, **changes)
        await process.serving()
        self.first_facts[process] = facts_of(process.process_id)
        return process

    async def launch(self, service: Service, **changes: str | None) -> ServiceProcess:
        """As `start`, and returns at once: the service may not listen yet, or may never."""
        assert service not in self._current or self._current[service].has_ended
        self._variables[service] = {**self._variables[service], **changes}
        address = {f"{service.name.upper()}_LISTEN_ADDRESS": self._ports[service]}
        process = await self._spawn(service, {**address, **self._variables[service]})
        self._current[service] = process
        return process

    async def start_replica(self, service: Service, **changes: str | None) -> ServiceProcess:
        """A further process of a service, on an address of its own; returns when it serves.

        A replica of RatingSlip calls Loyalty and its database through the same proxies.
        Clients reach it when `ratingslip_proxy.upstream` is its address.
        """
        process = await self._spawn(service, {**self._variables[service], **changes})
        await process.serving()
        self.first_facts[process] = facts_of(process.process_id)
        return process

    async def kill(self, process: ServiceProcess) -> None:
        """SIGKILL; returns when it is dead."""
        process.send_signal(signal.SIGKILL)
        await process.ended()

    async def terminate(self, process: ServiceProcess) -> int:
        """SIGTERM; its exit code when it has ended by itself."""
        process.send_signal(signal.SIGTERM)
        return await process.ended()

    async def restart(self, service: Service, **changes: str | None) -> ServiceProcess:
        """SIGKILL and start again on the same address; returns when it serves."""
        await self.kill(self._current[service])
        return await self.start(service, **changes)

    def freeze(self, process: ServiceProcess) -> None:
        """SIGSTOP: it keeps its connections and does nothing."""
        process.send_signal(signal.SIGSTOP)

    def thaw(self, process: ServiceProcess) -> None:
        """SIGCONT: it goes on as if no time had passed."""
        process.send_signal(signal.SIGCONT)

    async def serving(self) -> None:
        """Returns when every process that runs says that it serves."""
        for process in self.running:
            await process.listening()
            await process.health_becomes(health_pb2.HealthCheckResponse.SERVING)

    @contextlib.asynccontextmanager
    async def superuser(self, service: Service) -> AsyncIterator[Connection]:
        """A superuser's connection to a service's database, past the proxies."""
        async with connected(self.databases[service].superuser_url) as connection:
            yield connection

    async def close(self) -> None:
        """Ends every process, by force: what they leave behind is nobody's."""
        await self._ways.ratingslip.channel.close()
        await self._ways.loyalty.channel.close()
        for process in self.running:
            process.send_signal(signal.SIGKILL)
        await self._launcher.stop_all()

    async def _spawn(self, service: Service, variables: Variables) -> ServiceProcess:
        prefix = service.name.upper()
        own = {f"{prefix}_DATABASE_URL": self._database_url(service), **WITHOUT_TELEMETRY}
        if service is RATINGSLIP:
            own["RATINGSLIP_LOYALTY_ADDRESS"] = self.loyalty_proxy.address
            own["RATINGSLIP_RECOVERY_POLL_SECONDS"] = str(RECOVERY_POLL_SECONDS)
        process = await self._launcher.start(service, **{**own, **variables})
        self.started.append(process)
        return process

    def _database_url(self, service: Service) -> str:
        proxy = (
            self.loyalty_database_proxy if service is LOYALTY else self.ratingslip_database_proxy
        )
        server = _server_address(self.postgres)
        return self.databases[service].service_url.replace(server, proxy.address)


@contextlib.asynccontextmanager
async def prepared_stage(
    directory: Path, postgres: PostgresServer, databases: Databases, identity: Identity
) -> AsyncIterator[Stage]:
    """A stage on which no service has been started yet; everything ends with the block."""
    async with contextlib.AsyncExitStack() as stack:
        made = {
            service: await stack.enter_async_context(databases.migrated(service))
            for service in (LOYALTY, RATINGSLIP)
        }
        # Databases are dropped by a server that runs, whatever the test has done to it.
        stack.push_async_callback(postgres.start)
        server = _server_address(postgres)
        proxies = Proxies(
            ratingslip=await stack.enter_async_context(TcpProxy(f"{LOOPBACK}:{free_port()}")),
            loyalty=await stack.enter_async_context(TcpProxy(f"{LOOPBACK}:{free_port()}")),
            ratingslip_database=await stack.enter_async_context(TcpProxy(server, postgres_replies)),
            loyalty_database=await stack.enter_async_context(TcpProxy(server, postgres_replies)),
        )
        stage = Stage(directory, postgres, identity, made, proxies)
        stack.push_async_callback(stage.close)
        async with stage.superuser(RATINGSLIP) as superuser:
            await superuser.execute(QUICK_RECOVERY)
        yield stage


@contextlib.asynccontextmanager
async def raised_stage(
    directory: Path,
    postgres: PostgresServer,
    databases: Databases,
    identity: Identity,
    *,
    loyalty: Variables | None = None,
    ratingslip: Variables | None = None,
) -> AsyncIterator[Stage]:
    """A stage on which both services serve, each with these environment variables."""
    async with prepared_stage(directory, postgres, databases, identity) as stage:
        await asyncio.gather(
            stage.start(LOYALTY, **(loyalty or {})), stage.start(RATINGSLIP, **(ratingslip or {}))
        )
        yield stage


@dataclasses.dataclass(frozen=True)
class _Way:
    channel: grpc.aio.Channel


@dataclasses.dataclass(frozen=True)
class _Ways:
    """How clients reach both services, whichever processes these are."""

    ratingslip: _Way
    loyalty: _Way


def _server_address(postgres: PostgresServer) -> str:
    return f"{LOOPBACK}:{postgres.cluster.port}"


def _way_to(address: str) -> _Way:
    return _Way(grpc.aio.insecure_channel(address, options=RECONNECT_OFTEN))
