"""Commands as they are typed: run by a shell, in the checkout, with what an operator has.

Where no grpcurl is installed, a stand-in on top of buf takes its place; both go through the
server's reflection.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local import grpcurl_on_buf
from deploy.local.postgres import wheel_bin_directory
from deploy.local.state import PROJECT_DIRECTORY, StackFacts

GRPCURL = "grpcurl"


@dataclass(frozen=True)
class Typed:
    """What became of a command."""

    command: str
    # What it printed, its errors included.
    output: str
    exit_code: int


class Shell:
    """Runs commands one by one."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        """`variables` are what commands find in their environment besides our own."""
        self._variables = dict(variables)

    async def run(self, command: str) -> Typed:
        """Runs one command line, or several; returns when it has ended."""
        process = await asyncio.create_subprocess_exec(
            "sh",
            "-c",
            command,
            cwd=PROJECT_DIRECTORY,
            env={**os.environ, **self._variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return Typed(command, output.decode(errors="replace"), process.returncode or 0)


@contextlib.contextmanager
def programs_directory() -> Iterator[Path]:
    """A directory for the front of PATH: it has `grpcurl` where the machine has none."""
    with tempfile.TemporaryDirectory(prefix="casino-shell-") as directory:
        if shutil.which(GRPCURL) is None:
            program = Path(directory) / GRPCURL
            stand_in = f'exec "{sys.executable}" "{grpcurl_on_buf.__file__}" "$@"'
            program.write_text(f"#!/bin/sh\n{stand_in}\n")
            program.chmod(0o700)
        yield Path(directory)


@contextlib.contextmanager
def operators_shell(facts: StackFacts) -> Iterator[Shell]:
    """A shell as whoever operates the stack has it: `grpcurl`, `psql`, and the databases' URLs."""
    with programs_directory() as programs:
        path = [str(programs), os.environ.get("PATH", os.defpath), str(wheel_bin_directory())]
        yield Shell(
            {
                "PATH": os.pathsep.join(path),
                "RATINGSLIP_DATABASE_URL": facts.ratingslip_database_url,
                "LOYALTY_DATABASE_URL": facts.loyalty_database_url,
                # Nobody turns its pages.
                "PAGER": "cat",
            }
        )
