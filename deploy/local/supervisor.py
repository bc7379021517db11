"""The process that owns the stack: PostgreSQL, both services and the trace sink.

Everything it starts ends with it. It ends when it is told to (SIGTERM), when the
one who started it ends without having set it free (see `handshake.py`), and when a
part of the stack ends by itself, for a stack with a part missing would only puzzle.

When it is killed with SIGKILL, the kernel takes the services with it and shuts
PostgreSQL down (on Linux; for elsewhere see `launch.py`).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deploy.local.handshake import KEEP, Kind, Message
from deploy.local.identity import (
    DEMO_CASINO_ID,
    OTHER_CASINO_ID,
    Keyring,
    StaffTokens,
    write_demo_tokens,
)
from deploy.local.locks import FileLock
from deploy.local.postgres import PostgresCluster
from deploy.local.processes import ProcessError, free_port, is_port_free
from deploy.local.services import (
    LOYALTY,
    RATINGSLIP,
    SERVING_TIMEOUT_SECONDS,
    Database,
    Service,
    ServiceError,
    ServiceProcess,
    address,
    loyalty_environment,
    prepare_database,
    ratingslip_environment,
    telemetry_environment,
    until_serving,
)
from deploy.local.state import StackFacts, StateDirectory
from deploy.local.trace_sink import TraceSink

# Longer than a look at the lock takes, so that a look is not mistaken for a holder.
LOCK_TIMEOUT_SECONDS = 0.5
# What is left of a stack that was killed is gone well before: PostgreSQL's checkpoint.
LEFTOVERS_TIMEOUT_SECONDS = 30.0
POSTGRES_CHECK_INTERVAL_SECONDS = 0.2
LOG_NAMES = ("supervisor", "postgres", LOYALTY.name, RATINGSLIP.name)

logger = logging.getLogger("deploy.local.supervisor")


@dataclass(frozen=True)
class Ports:
    """Where the services shall listen; 0 means any free port."""

    ratingslip: int = RATINGSLIP.default_port
    loyalty: int = LOYALTY.default_port

    def taken(self) -> str | None:
        """Says which port cannot be had, and how to choose another; None if both can."""
        if self.ratingslip and self.ratingslip == self.loyalty:
            return f"RatingSlip and Loyalty cannot both listen on port {self.loyalty}"
        for service, port in ((RATINGSLIP, self.ratingslip), (LOYALTY, self.loyalty)):
            if port and not is_port_free(port):
                return (
                    f"port {port}, meant for {service.title}, is in use by another program;"
                    f" choose another with --{service.name}-port"
                )
        return None


class Owner:
    """The starter of the supervisor, at the other end of the two pipes."""

    def __init__(self) -> None:
        # Taken away from standard output, where a stray print would break the protocol.
        self._output = os.dup(sys.stdout.fileno())
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def tell(self, kind: Kind, text: str = "", log_file: Path | None = None) -> None:
        """Sends a message; one to an owner who is gone is lost."""
        line = Message(kind, text, str(log_file or "")).to_line()
        with contextlib.suppress(BrokenPipeError):
            os.write(self._output, line)

    async def until_gone(self) -> None:
        """Waits until the owner ends; for ever once the owner has set the stack free."""
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()

        def read() -> None:
            received = os.read(sys.stdin.fileno(), len(KEEP))
            if received != KEEP:
                gone.set()
            loop.remove_reader(sys.stdin.fileno())

        loop.add_reader(sys.stdin.fileno(), read)
        await gone.wait()


class Supervisor:
    """Brings the stack up, keeps it, takes it down."""

    def __init__(
        self, state: StateDirectory, ports: Ports, owner: Owner, processes_lock: FileLock
    ) -> None:
        self._state = state
        self._ports = ports
        self._owner = owner
        self._processes_lock = processes_lock
        self._keyring = Keyring(state.keys)
        self._cluster = PostgresCluster(state.postgres, log_file=state.log_file("postgres"))

    async def run(self) -> None:
        """Runs the stack until it is to end, and leaves nothing of it running.

        Raises:
            ProcessError: a part of the stack did not start, or ended by itself.
        """
        told_to_end = asyncio.create_task(self._until_told_to_end())
        stack = asyncio.create_task(self._run_stack())
        await asyncio.wait({told_to_end, stack}, return_when=asyncio.FIRST_COMPLETED)
        told_to_end.cancel()
        stack.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await stack
        logger.info("the stack is down")

    async def _until_told_to_end(self) -> None:
        loop = asyncio.get_running_loop()
        signalled = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, signalled.set)
        by_signal = asyncio.create_task(signalled.wait())
        by_owner = asyncio.create_task(self._owner.until_gone())
        await asyncio.wait({by_signal, by_owner}, return_when=asyncio.FIRST_COMPLETED)
        logger.info("told to end %s", "by signal" if by_signal.done() else "by the owner's end")

    async def _run_stack(self) -> None:
        """Everything below is stopped in the opposite order, however this ends."""
        async with contextlib.AsyncExitStack() as parts:
            sink = await parts.enter_async_context(TraceSink(self._state.traces_file))
            self._owner.tell(Kind.PROGRESS, "starting PostgreSQL")
            parts.callback(self._cluster.stop)
            # Not in a thread: Linux takes the end of that thread for our end.
            self._cluster.start()
            logger.info("PostgreSQL listens on port %d", self._cluster.port)
            self._owner.tell(Kind.PROGRESS, "bringing the databases up to date")
            loyalty, ratingslip = await self._services(sink.endpoint)
            await loyalty.migrate()
            await ratingslip.migrate()
            self._owner.tell(Kind.PROGRESS, "starting the services")
            for process in (loyalty, ratingslip):
                parts.push_async_callback(process.stop)
                await process.start()
            ended = asyncio.create_task(self._until_part_ends(loyalty, ratingslip))
            parts.callback(ended.cancel)
            await self._until_serving(ended, loyalty, ratingslip)
            parts.callback(self._state.stack_file.unlink, missing_ok=True)
            self._publish(sink.endpoint, loyalty, ratingslip)
            await ended

    async def _services(self, trace_endpoint: str) -> tuple[ServiceProcess, ServiceProcess]:
        """Loyalty and RatingSlip with all they need, not yet started."""
        loyalty_address = address(self._ports.loyalty or free_port())
        ratingslip_address = address(self._ports.ratingslip or free_port())
        loyalty_database = await prepare_database(self._cluster, LOYALTY)
        ratingslip_database = await prepare_database(self._cluster, RATINGSLIP)
        telemetry = telemetry_environment(trace_endpoint)
        loyalty = loyalty_environment(loyalty_database, self._keyring, loyalty_address)
        ratingslip = ratingslip_environment(
            ratingslip_database, self._keyring, ratingslip_address, loyalty_address
        )
        return (
            self._service(LOYALTY, loyalty_address, loyalty_database, loyalty | telemetry),
            self._service(
                RATINGSLIP, ratingslip_address, ratingslip_database, ratingslip | telemetry
            ),
        )

    def _service(
        self, service: Service, address: str, database: Database, environment: dict[str, str]
    ) -> ServiceProcess:
        log_file = self._state.log_file(service.name)
        return ServiceProcess(
            service, address, database, environment, log_file, self._processes_lock
        )

    async def _until_part_ends(self, *services: ServiceProcess) -> None:
        """Waits until a part of the stack ends, and raises `ProcessError` with its name."""
        watches = [asyncio.create_task(service.until_ended()) for service in services]
        watches.append(asyncio.create_task(self._until_postgres_ends()))
        try:
            finished, _ = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for watch in watches:
                watch.cancel()
        await finished.pop()

    async def _until_postgres_ends(self) -> None:
        while self._cluster.is_running():  # noqa: ASYNC110 - it was started without the loop
            await asyncio.sleep(POSTGRES_CHECK_INTERVAL_SECONDS)
        raise ProcessError("PostgreSQL ended by itself", self._state.log_file("postgres"))

    async def _until_serving(self, ended: asyncio.Task[None], *services: ServiceProcess) -> None:
        serving = asyncio.create_task(_until_all_serve(services))
        try:
            await asyncio.wait(
                {ended, serving},
                timeout=SERVING_TIMEOUT_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if ended.done():
                await ended
            if not serving.done():
                raise ServiceError(
                    f"the services did not serve within {SERVING_TIMEOUT_SECONDS:.0f} seconds",
                    services[-1].log_file,
                )
            await serving
        finally:
            serving.cancel()

    def _publish(
        self, trace_endpoint: str, loyalty: ServiceProcess, ratingslip: ServiceProcess
    ) -> None:
        """Writes down all that a client needs, and reports that the stack is ready."""
        write_demo_tokens(StaffTokens(self._keyring.staff), self._state.tokens)
        StackFacts(
            ratingslip=ratingslip.address,
            loyalty=loyalty.address,
            ratingslip_database_url=ratingslip.database.superuser_url,
            loyalty_database_url=loyalty.database.superuser_url,
            casino_id=DEMO_CASINO_ID,
            other_casino_id=OTHER_CASINO_ID,
            trace_endpoint=trace_endpoint,
            traces_file=str(self._state.traces_file),
            logs_directory=str(self._state.logs),
            tokens_directory=str(self._state.tokens),
            supervisor_process_id=os.getpid(),
        ).write(self._state.stack_file)
        logger.info("serving: RatingSlip %s, Loyalty %s", ratingslip.address, loyalty.address)
        self._owner.tell(Kind.READY)


async def _until_all_serve(services: Iterable[ServiceProcess]) -> None:
    await asyncio.gather(*(until_serving(service.address) for service in services))


def supervise(state: StateDirectory, ports: Ports, owner: Owner) -> int:
    """Takes the state directory for this process, then runs the stack; returns an exit code."""
    state.prepare()
    stack_lock = FileLock(state.stack_lock)
    if not stack_lock.acquire(LOCK_TIMEOUT_SECONDS):
        owner.tell(Kind.ALREADY_RUNNING)
        return 1
    stack_lock.write_holder()
    state.stack_file.unlink(missing_ok=True)
    if taken := ports.taken():
        owner.tell(Kind.PORT_IN_USE, taken)
        return 1
    processes_lock = FileLock(state.processes_lock)
    if not processes_lock.acquire(LEFTOVERS_TIMEOUT_SECONDS):
        owner.tell(Kind.FAILED, "a service of an earlier stack is still running")
        return 1
    log_to_files(state)
    try:
        asyncio.run(Supervisor(state, ports, owner, processes_lock).run())
    except ProcessError as error:
        logger.error("%s", error)
        owner.tell(Kind.FAILED, str(error), error.log_file)
        return 1
    except Exception as error:
        logger.exception("the stack failed")
        owner.tell(Kind.FAILED, str(error), state.log_file("supervisor"))
        return 1
    return 0


def log_to_files(state: StateDirectory) -> None:
    """Empties the logs of the last run, and sends our own output to one of them."""
    for name in LOG_NAMES:
        state.log_file(name).write_bytes(b"")
    descriptor = os.open(state.log_file("supervisor"), os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, sys.stdout.fileno())
    os.dup2(descriptor, sys.stderr.fileno())
    os.close(descriptor)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")


def main() -> int:
    """The supervisor process; `stack.py` starts it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state_directory", type=Path)
    parser.add_argument("ratingslip_port", type=int)
    parser.add_argument("loyalty_port", type=int)
    options = parser.parse_args()
    ports = Ports(options.ratingslip_port, options.loyalty_port)
    owner = Owner()
    try:
        return supervise(StateDirectory(options.state_directory), ports, owner)
    except OSError as error:
        # Such as a state directory that belongs to someone else.
        owner.tell(Kind.FAILED, str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
