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
from dataclasses import dataclass
from pathlib import Path

from deploy.local.handshake import KEEP, Kind, Message
from deploy.local.locks import FileLock
from deploy.local.parts import Layout, empty_logs, running_parts
from deploy.local.processes import ProcessError, free_port, is_port_free
from deploy.local.services import LOYALTY, RATINGSLIP, address
from deploy.local.state import StateDirectory
from deploy.local.tenure import DirectoryTaken, Tenure

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
        loyalty = address(self._ports.loyalty or free_port())
        ratingslip = address(self._ports.ratingslip or free_port())
        layout = Layout(ratingslip, loyalty, way_to_loyalty=loyalty)

        def on_progress(text: str) -> None:
            logger.info("%s", text)
            self._owner.tell(Kind.PROGRESS, text)

        async with running_parts(self._state, layout, self._processes_lock, on_progress) as parts:
            parts.publish()
            logger.info(
                "serving: RatingSlip %s, Loyalty %s, PostgreSQL on port %d",
                ratingslip,
                loyalty,
                parts.cluster.port,
            )
            self._owner.tell(Kind.READY)
            await parts.until_one_ends()


def supervise(state: StateDirectory, ports: Ports, owner: Owner) -> int:
    """Takes the state directory for this process, then runs the stack; returns an exit code."""
    try:
        tenure = Tenure(state)
    except DirectoryTaken as error:
        owner.tell(error.kind, str(error))
        return 1
    if taken := ports.taken():
        owner.tell(Kind.PORT_IN_USE, taken)
        return 1
    log_to_files(state)
    try:
        asyncio.run(Supervisor(state, ports, owner, tenure.processes_lock).run())
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
    empty_logs(state)
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
