"""The services as processes of their own, configured as an operator would: by environment."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.local.processes import LOOPBACK, bound_command
from deploy.local.proxy import TcpProxy
from tests.databases import LOYALTY, PROJECT_DIRECTORY, RATINGSLIP, Service, TestDatabase
from tests.integration.identity import (
    LOYALTY_AUDIENCE,
    RATINGSLIP_AUDIENCE,
    SERVICE_ISSUER,
    STAFF_ISSUER,
    Identity,
)
from tests.integration.log_schema import LogSchema
from tests.integration.logs import ServiceLog, errors_beside
from tests.integration.patience import PATIENCE_SECONDS, eventually

# A variable from somebody's shell must not reach a service.
OWN_PREFIXES = ("LOYALTY_", "RATINGSLIP_", "OTEL_")
# Spans are looked at as soon as they happen.
SPAN_SCHEDULE_DELAY_MS = 50
# A busy machine must not lose the spans that a test looks for.
SPAN_EXPORT_TIMEOUT_SECONDS = 10
# gRPC would wait a second and more before it tries a restarted server.
RECONNECT_OFTEN = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 100),
]


class ServiceProcess:
    """One process of a service. It does not outlive the process that runs the tests."""

    def __init__(
        self, service: Service, process: asyncio.subprocess.Process, log: ServiceLog
    ) -> None:
        self.service = service
        self.log = log
        # How to reach it where it does not listen in plain text.
        self.credentials: grpc.ChannelCredentials | None = None
        self._process = process
        self._address = ""
        self._channel: grpc.aio.Channel | None = None

    @classmethod
    async def spawn(
        cls, service: Service, environment: Mapping[str, str], log_file: Path, *arguments: str
    ) -> Self:
        """Starts `python -m <service> <arguments>`; it may not listen yet."""
        command = [sys.executable, "-m", f"{service}_service", *arguments]
        with log_file.open("wb") as log, errors_beside(log_file).open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *bound_command(command, signal.SIGKILL),
                env={**_inherited_environment(), **environment},
                cwd=PROJECT_DIRECTORY,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=errors,
            )
        return cls(service, process, ServiceLog(log_file))

    @property
    def process_id(self) -> int:
        """The process itself, for whoever looks at it from outside."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it has ended, however it did."""
        return self._process.returncode is not None

    @property
    def address(self) -> str:
        """host:port, once it listens."""
        assert self._address, f"{self.service} does not listen yet"
        return self._address

    @property
    def channel(self) -> grpc.aio.Channel:
        """A channel to it, closed when it is stopped."""
        if self._channel is None:
            self._channel = (
                grpc.aio.insecure_channel(self.address, options=RECONNECT_OFTEN)
                if self.credentials is None
                else grpc.aio.secure_channel(self.address, self.credentials, RECONNECT_OFTEN)
            )
        return self._channel

    async def listening(self) -> Self:
        """Returns when it listens; its log says on which port."""

        async def found() -> list[dict[str, Any]]:
            assert self._process.returncode is None, f"it ended: {self.log.text()}"
            return self.log.events("listening")

        (event,) = await eventually(found, f"{self.service} listens")
        self._address = f"{LOOPBACK}:{event['port']}"
        return self

    async def serving(self) -> Self:
        """Returns when its health is SERVING."""
        await self.listening()
        await self.health_becomes(health_pb2.HealthCheckResponse.SERVING)
        return self

    async def health_becomes(self, status: int) -> None:
        """Returns when its health is this."""

        async def reached() -> bool:
            return await health_of(self.channel) == status

        await eventually(reached, f"{self.service} is {status}")

    async def ended(self) -> int:
        """Waits for it to end by itself; its exit code."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._process.wait()

    def send_signal(self, number: signal.Signals) -> None:
        """Sends it a real signal."""
        self._process.send_signal(number)

    async def stop(self) -> None:
        """Ends it in good order, or by force; does nothing more than tidy up if it has ended."""
        if self._channel is not None:
            await self._channel.close()
        if self._process.returncode is None:
            self._process.terminate()
        try:
            await self.ended()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


async def health_of(channel: grpc.aio.Channel, service: str = "") -> int:
    """What the server's health says of a service, without a token."""
    stub = health_pb2_grpc.HealthStub(channel)
    # The generated stub is not typed; its types are those of the protocol.
    answer = await stub.Check(  # type: ignore[attr-defined]
        health_pb2.HealthCheckRequest(service=service),
        timeout=PATIENCE_SECONDS,
        wait_for_ready=True,
    )
    assert isinstance(answer, health_pb2.HealthCheckResponse)
    return answer.status


@dataclasses.dataclass(frozen=True)
class Pair:
    """A RatingSlip and the Loyalty it calls."""

    ratingslip: ServiceProcess
    loyalty: ServiceProcess


class Launcher:
    """Starts services against one pair of databases, and ends whatever it has started."""

    def __init__(
        self,
        directory: Path,
        identity: Identity,
        databases: Mapping[Service, TestDatabase],
        trace_endpoint: str,
    ) -> None:
        self._directory = directory
        self._identity = identity
        self._databases = databases
        self._trace_endpoint = trace_endpoint
        self._numbers = itertools.count(1)
        self._started: list[ServiceProcess] = []

    async def loyalty(self, **changes: str | None) -> ServiceProcess:
        """A Loyalty that serves; `changes` are environment variables, None leaves one out."""
        return await (await self.start(LOYALTY, **changes)).serving()

    async def ratingslip(self, loyalty_address: str, **changes: str | None) -> ServiceProcess:
        """A RatingSlip that serves and calls Loyalty there; `changes` as above."""
        address = {"RATINGSLIP_LOYALTY_ADDRESS": loyalty_address}
        return await (await self.start(RATINGSLIP, **{**address, **changes})).serving()

    async def start(self, service: Service, **changes: str | None) -> ServiceProcess:
        """A process of a service that may not listen yet, or may never."""
        environment = {**self.environment(service), **changes}
        return await self.start_with(
            service, {name: value for name, value in environment.items() if value is not None}
        )

    async def start_with(
        self, service: Service, environment: Mapping[str, str], *arguments: str
    ) -> ServiceProcess:
        """A process of a service with this environment and no other variable of ours."""
        log_file = self._directory / f"{service}-{next(self._numbers)}.log"
        process = await ServiceProcess.spawn(service, environment, log_file, *arguments)
        self._started.append(process)
        return process

    async def stop_all(self) -> None:
        """Ends them all at once, and holds every line of their logs to the schema."""
        await asyncio.gather(*(process.stop() for process in self._started))
        LogSchema().require(process.log.path for process in self._started)

    def environment(self, service: Service) -> dict[str, str]:
        """What a service is configured with here; RatingSlip still wants Loyalty's address."""
        own = self._loyalty() if service is LOYALTY else self._ratingslip()
        prefix = service.name.upper()
        common = {
            "DATABASE_URL": self._databases[service].service_url,
            "LISTEN_ADDRESS": f"{LOOPBACK}:0",
            "TOKEN_ISSUER": STAFF_ISSUER,
            "JWKS": str(self._identity.keyring.staff_jwks_file),
            "PAGE_TOKEN_KEY": self._identity.keyring.page_token_key(service.name),
        }
        telemetry = {
            "OTEL_TRACES_EXPORTER": "otlp",
            # The sink takes spans and nothing else.
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self._trace_endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": str(SPAN_SCHEDULE_DELAY_MS),
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": str(SPAN_EXPORT_TIMEOUT_SECONDS),
        }
        return {**{f"{prefix}_{name}": value for name, value in common.items()}, **own, **telemetry}

    def _loyalty(self) -> dict[str, str]:
        return {
            "LOYALTY_TOKEN_AUDIENCE": LOYALTY_AUDIENCE,
            "LOYALTY_SERVICE_TOKEN_ISSUER": SERVICE_ISSUER,
            "LOYALTY_SERVICE_JWKS": str(self._identity.keyring.ratingslip_jwks_file),
        }

    def _ratingslip(self) -> dict[str, str]:
        return {
            "RATINGSLIP_TOKEN_AUDIENCE": RATINGSLIP_AUDIENCE,
            "RATINGSLIP_LOYALTY_TOKEN_AUDIENCE": LOYALTY_AUDIENCE,
            "RATINGSLIP_SERVICE_TOKEN_ISSUER": SERVICE_ISSUER,
            "RATINGSLIP_SERVICE_TOKEN_KEY_FILE": str(self._identity.keyring.ratingslip_key_file),
            "RATINGSLIP_SERVICE_TOKEN_KEY_ID": self._identity.keyring.ratingslip.key_id,
            # What a test leaves pending stays so, unless the test is about recovery.
            "RATINGSLIP_RECOVERY_POLL_SECONDS": "3600",
        }


@dataclasses.dataclass(frozen=True)
class BehindProxy:
    """A RatingSlip, and the proxy through which it reaches Loyalty."""

    ratingslip: ServiceProcess
    proxy: TcpProxy


@contextlib.asynccontextmanager
async def running_behind_proxy(
    launcher: Launcher, loyalty: ServiceProcess, **changes: str | None
) -> AsyncIterator[BehindProxy]:
    """A further RatingSlip whose way to Loyalty can be made to fail; `changes` as above."""
    async with TcpProxy(loyalty.address) as proxy:
        yield BehindProxy(await launcher.ratingslip(proxy.address, **changes), proxy)


def _inherited_environment() -> dict[str, str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(OWN_PREFIXES)
    }
    roots = [str(PROJECT_DIRECTORY), str(PROJECT_DIRECTORY / "protos")]
    environment["PYTHONPATH"] = os.pathsep.join(roots)
    # A log line is in the file when it is written, not when a buffer is full.
    environment["PYTHONUNBUFFERED"] = "1"
    return environment
