"""A pair of services under attack, for one file of tests: no other call is in its logs.

    besieged    both services on databases of their own; both must end in good order

A test file imports the fixture. What is sent is the tests' business; what must hold
whatever was sent is here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from casino.loyalty.v1 import loyalty_pb2
from deploy.local.trace_sink import TraceSink
from tests.databases import LOYALTY, RATINGSLIP, Connection, Databases, connected
from tests.fault.hostile_calls import INTERNALS, Answer, Attempt, Rpc, answer_to
from tests.fault.hostile_values import MARK
from tests.integration.casino import Casino, new_id
from tests.integration.identity import Identity
from tests.integration.logs import errors_beside
from tests.integration.patience import eventually
from tests.integration.requests import paid_slip
from tests.integration.services import Launcher, Pair, ServiceProcess, health_of

# What a service may say as loudly as an error when a caller asks for too much: a slip
# whose points would not fit is closed and refused, and someone must look.
EXPECTED_ERRORS = {"slip_completion_failed", "slip_refused"}
# gRPC itself has no other place to say that a caller's headers were too many.
OF_GRPC = re.compile(r"[EIW]\d{4} .* \w+\.cc:\d+\] ")
# How long a test of made-up cases may take in the long profile.
LONGEST_SECONDS = 7200
BUSY_CONNECTIONS = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND usename LIKE '%\\_service' AND state <> 'idle'
"""
# A token's first characters: `{"` in base64.
TOKEN_BEGINNING = "eyJ"


class Besieged:
    """Both services, and whether they are still what they were."""

    def __init__(self, pair: Pair, identity: Identity, databases: tuple[Connection, ...]) -> None:
        self.pair = pair
        self.identity = identity
        self._databases = databases
        self._logs = [ReadLog(process) for process in (pair.ratingslip, pair.loyalty)]

    def casino(self) -> Casino:
        """A casino nobody has seen."""
        return Casino(self.pair, self.identity)

    def channel(self, rpc: Rpc) -> grpc.aio.Channel:
        """The way to the service that has this RPC."""
        return (self.pair.loyalty if rpc.is_loyalty else self.pair.ratingslip).channel

    def bearer(self, casino: Casino, role: str) -> tuple[str, str]:
        """The header of somebody with this role whom no limit has counted yet."""
        token = (
            self.identity.service_token(casino.id, new_id())
            if role == "service"
            else self.identity.staff_token(role, casino.id, new_id())
        )
        return "authorization", f"Bearer {token}"

    async def answers(self, attempts: Iterable[Attempt]) -> list[Answer]:
        """Sends calls all at once, and judges each answer by itself."""
        # All of them end before one fails: none may go on beside the next example.
        outcomes = await asyncio.gather(
            *(answer_to(self.channel(attempt.rpc), attempt) for attempt in attempts),
            return_exceptions=True,
        )
        answers = []
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                for log in self._logs:
                    outcome.add_note(log.stacks())
                raise outcome
            answers.append(outcome)
        return answers

    async def require_sound(self, casino: Casino) -> None:
        """The casino's ledger proves itself, and nobody has logged what nobody may see."""
        self.require_quiet_logs()
        admin = casino.somebody("admin")
        verified = await admin.call(admin.points.VerifyLedger, loyalty_pb2.VerifyLedgerRequest())
        assert not verified.breaks
        assert not verified.next_page_token
        checked = await admin.call(
            admin.points.CheckBalanceDrift, loyalty_pb2.CheckBalanceDriftRequest()
        )
        assert not checked.players_drifted, checked

    def require_quiet_logs(self) -> None:
        """No stack, no error of the services' own, no token and no caller's words in a log."""
        for log in self._logs:
            log.require_quiet()

    async def require_standing(self) -> None:
        """Both serve, a slip earns its points, and no statement is left over in a database."""
        for process in (self.pair.ratingslip, self.pair.loyalty):
            assert await health_of(process.channel) == health_pb2.HealthCheckResponse.SERVING
        casino = self.casino()
        await paid_slip(casino)
        await self.require_sound(casino)
        for database in self._databases:
            await require_idle(database)


class ReadLog:
    """What a service has written since it was read last."""

    def __init__(self, process: ServiceProcess) -> None:
        self._log = NewLines(process.log.path)
        self._errors = NewLines(errors_beside(process.log.path))

    def stacks(self) -> str:
        """What explains a failure; read, it is not held against what comes next."""
        events = [json.loads(line) for line in self._log.read()]
        return "\n".join(event["exc_info"] for event in events if "exc_info" in event)

    def require_quiet(self) -> None:
        """Fails for a line that no log may have, and for a word on standard error."""
        for line in self._errors.read():
            assert OF_GRPC.match(line), f"on standard error: {line}"
        for line in self._log.read():
            # A caller cannot write a line of its own: each is one object.
            event: dict[str, Any] = json.loads(line)
            assert "exc_info" not in event, event["exc_info"]
            is_loud = event["level"] in {"ERROR", "CRITICAL"}
            assert not is_loud or event["event"] in EXPECTED_ERRORS, line
            assert MARK not in line, line
            assert TOKEN_BEGINNING not in line, line
            assert INTERNALS.search(str(event.get("error", ""))) is None, line


class NewLines:
    """The lines of a file that another process writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0

    def read(self) -> list[str]:
        """Those that were finished since the last time."""
        with self._path.open("rb") as file:
            file.seek(self._position)
            lines = [line for line in file if line.endswith(b"\n")]
        self._position += sum(len(line) for line in lines)
        return [line.decode() for line in lines]


@pytest.fixture(scope="module")
async def besieged(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Besieged]:
    directory = tmp_path_factory.mktemp("besieged")
    identity = Identity(directory / "identity")
    async with contextlib.AsyncExitStack() as stack:
        own = {
            service: await stack.enter_async_context(databases.migrated(service))
            for service in (LOYALTY, RATINGSLIP)
        }
        connections = [
            await stack.enter_async_context(connected(database.superuser_url))
            for database in own.values()
        ]
        sink = await stack.enter_async_context(TraceSink(directory / "traces.jsonl"))
        launcher = Launcher(directory, identity, own, sink.endpoint)
        stack.push_async_callback(launcher.stop_all)
        loyalty = await launcher.loyalty()
        pair = Pair(await launcher.ratingslip(loyalty.address), loyalty)
        under_attack = Besieged(pair, identity, tuple(connections))
        yield under_attack
        await under_attack.require_standing()
        # A call that was never answered would keep it from draining.
        for process in (pair.ratingslip, pair.loyalty):
            process.send_signal(signal.SIGTERM)
            assert await process.ended() == 0
        under_attack.require_quiet_logs()


async def require_idle(database: Connection) -> None:
    """Every connection of the service waits for its next call; fails when one never does."""

    async def idle() -> bool:
        return not await database.fetch(BUSY_CONNECTIONS)

    await eventually(idle, "no statement and no transaction is under way")
