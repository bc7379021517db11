"""Starting, finding, using and stopping the stack, from any other process.

    async with running_stack() as stack:
        channel = grpc.aio.insecure_channel(stack.facts.ratingslip)

uses the stack that `make up` left running, or else starts one of its own, which
ends with the block, with the caller's process, and with that process's SIGKILL.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.local import locks
from deploy.local.handshake import KEEP, Kind, Message
from deploy.local.state import PROJECT_DIRECTORY, StackFacts, StateDirectory
from deploy.local.supervisor import Ports

ANY_FREE_PORTS = Ports(ratingslip=0, loyalty=0)
# Both services' grace, PostgreSQL's shutdown, and a slow machine.
STOP_TIMEOUT_SECONDS = 90.0
# After SIGKILL the kernel does the rest; PostgreSQL still writes a checkpoint.
KILL_TIMEOUT_SECONDS = 45.0
# For someone else's stack to finish starting or stopping.
ATTACH_TIMEOUT_SECONDS = 180.0
POLL_INTERVAL_SECONDS = 0.05
LOG_TAIL_LINES = 15


class StackError(Exception):
    """The stack could not be started or stopped; `kind` says how, the text why."""

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True)
class LocalStack:
    """A running stack as its user sees it."""

    facts: StackFacts
    # Whether it was started for this user, and ends with it.
    is_own: bool


class StackOwner:
    """Starts a stack whose life hangs on this process, until `release`.

    `async with StackOwner(state, ports) as owner` starts it and, at the end of the
    block, stops it.
    """

    def __init__(
        self,
        state: StateDirectory,
        ports: Ports = ANY_FREE_PORTS,
        on_progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._state = state
        self._ports = ports
        self._on_progress = on_progress
        self._supervisor: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> StackFacts:
        self._supervisor = self._start_supervisor()
        try:
            await self._until_ready(self._supervisor)
            facts = StackFacts.read(self._state.stack_file)
            if facts is None:
                raise self._ended_at_once()
        except BaseException:
            await self.stop()
            raise
        return facts

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def release(self) -> None:
        """Sets the stack free: it runs on when this process ends.

        Raises:
            StackError: there is no stack any more.
        """
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None or supervisor.stdin is None:
            return
        try:
            supervisor.stdin.write(KEEP)
            supervisor.stdin.close()
        except BrokenPipeError:
            raise self._ended_at_once() from None

    async def stop(self) -> None:
        """Stops the stack and waits until it is gone; does nothing after `release`."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None:
            return
        if supervisor.stdin is not None:
            supervisor.stdin.close()
        give_up_at = time.monotonic() + STOP_TIMEOUT_SECONDS
        while supervisor.poll() is None:
            if time.monotonic() >= give_up_at:
                supervisor.kill()
            await asyncio.sleep(POLL_INTERVAL_SECONDS)
        if supervisor.stdout is not None:
            supervisor.stdout.close()

    def _start_supervisor(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "deploy.local.supervisor", str(self._state.root)]
        command += [str(self._ports.ratingslip), str(self._ports.loyalty)]
        # Popen, for asyncio kills the processes it started when its loop is closed.
        return subprocess.Popen(
            command,
            cwd=PROJECT_DIRECTORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # An interrupt from the terminal is for us; the supervisor sees our end.
            start_new_session=True,
        )

    async def _until_ready(self, supervisor: subprocess.Popen[bytes]) -> None:
        """Passes progress on until the stack is ready; raises `StackError` if it fails."""
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), supervisor.stdout
        )
        try:
            while line := await reader.readline():
                message = Message.from_line(line)
                if message.kind is Kind.READY:
                    return
                if message.kind is not Kind.PROGRESS:
                    raise StackError(message.kind, _with_log(message))
                self._on_progress(message.text)
        finally:
            transport.close()
        raise StackError(Kind.FAILED, "the supervisor ended without a word")

    def _ended_at_once(self) -> StackError:
        log = tail(self._state.log_file("supervisor"))
        return StackError(Kind.FAILED, f"the stack ended as soon as it was ready{log}")


@contextlib.asynccontextmanager
async def running_stack(
    state: StateDirectory | None = None,
    *,
    ports: Ports = ANY_FREE_PORTS,
    attach: bool = True,
    on_progress: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[LocalStack]:
    """A stack to use: the one that runs on `state`, or else a new one for this block.

    Args:
        state: where it keeps its data; `.local` of this checkout by default.
        ports: where a new stack's services listen; free ports by default.
        attach: False insists on a new stack.
        on_progress: told what is being waited for.

    Raises:
        StackError: it did not start; of kind ALREADY_RUNNING if one runs and
            `attach` is False.
    """
    state = state or StateDirectory()
    facts = await _until_settled(state) if attach else None
    if facts is not None:
        yield LocalStack(facts, is_own=False)
        return
    async with StackOwner(state, ports, on_progress) as own:
        yield LocalStack(own, is_own=True)


async def stop_stack(state: StateDirectory) -> bool:
    """Stops the stack that runs on `state` and waits until no process of it is left.

    Returns False if there was none.

    Raises:
        StackError: something of it is still running.
    """
    was_running = any(locks.is_held(path) for path in state.all_locks())
    if was_running:
        _signal_supervisor(state, signal.SIGTERM)
        if not await _until_gone(state, STOP_TIMEOUT_SECONDS):
            _signal_supervisor(state, signal.SIGKILL)
            if not await _until_gone(state, KILL_TIMEOUT_SECONDS):
                raise StackError(
                    Kind.FAILED, f"a process of the stack in {state.root} is still running"
                )
    state.stack_file.unlink(missing_ok=True)
    return was_running


def tail(log_file: Path) -> str:
    """The last lines of a log, led by a line that names it; empty where there are none."""
    try:
        lines = log_file.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    except FileNotFoundError:
        return ""
    return "\n".join([f"\nThe last lines of {log_file}:", *lines]) if lines else ""


def _with_log(message: Message) -> str:
    return message.text + (tail(Path(message.log_file)) if message.log_file else "")


async def _until_settled(state: StateDirectory) -> StackFacts | None:
    """The facts of the running stack, once it neither starts nor stops; None without one."""
    give_up_at = time.monotonic() + ATTACH_TIMEOUT_SECONDS
    while state.is_in_use() and time.monotonic() < give_up_at:
        if (facts := state.running_stack()) is not None:
            return facts
        await asyncio.sleep(POLL_INTERVAL_SECONDS)
    return None


def _signal_supervisor(state: StateDirectory, number: signal.Signals) -> None:
    process_id = locks.holder(state.stack_lock)
    # Asked last: while the lock is held, the ID in it is the holder's.
    if process_id is not None and state.is_in_use():
        os.kill(process_id, number)


async def _until_gone(state: StateDirectory, timeout_seconds: float) -> bool:
    try:
        async with asyncio.timeout(timeout_seconds):
            for path in state.all_locks():
                while locks.is_held(path):  # noqa: ASYNC110 - other processes hold it
                    await asyncio.sleep(POLL_INTERVAL_SECONDS)
    except TimeoutError:
        return False
    return True
