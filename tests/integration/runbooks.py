"""Runbooks read as what they are to a person: sections of text with lines to type.

Owns finding the lines, and a shell that goes on from one line to the next. It must not
know what a runbook is about.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import pathlib
import re
import shlex
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Self

from deploy.local.postgres import wheel_bin_directory
from deploy.local.rehearsal.shell import programs_directory
from deploy.local.state import PROJECT_DIRECTORY, StateDirectory
from tests.integration.patience import PATIENCE_SECONDS

RUNBOOKS = PROJECT_DIRECTORY / "docs" / "runbooks"
HEADING = re.compile(r"^## (.*)$", re.MULTILINE)
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PREAMBLE = "Paste this first"
# Printed after each line's own output, with its exit code.
MARK = "--- exit code "


def runbook_names() -> list[str]:
    """Every runbook's file name, the index left out."""
    return sorted(path.name for path in RUNBOOKS.glob("*.md") if path.name != "README.md")


def console_lines(name: str) -> dict[str, list[str]]:
    """The lines to type of each section that has any, by its heading."""
    headings = HEADING.split((RUNBOOKS / name).read_text(encoding="utf-8"))
    lines = {}
    for heading, text in zip(headings[1::2], headings[2::2], strict=True):
        typed = [line for block in CONSOLE.findall(text) for line in block.splitlines()]
        assert all(line.startswith("$ ") for line in typed), (name, heading)
        if typed:
            lines[heading] = [line.removeprefix("$ ") for line in typed]
    return lines


@dataclasses.dataclass(frozen=True)
class Typed:
    """A line, what it printed, and its exit code."""

    line: str
    output: str
    exit_code: int


class Shell:
    """One `sh` that is typed into; what a line sets, the next has."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, directory: pathlib.Path) -> AsyncIterator[Self]:
        """A shell in `directory`, with grpcurl and psql on its path."""
        with programs_directory() as programs:
            path = [str(programs), os.environ["PATH"], str(wheel_bin_directory())]
            process = await asyncio.create_subprocess_exec(
                "sh",
                cwd=directory,
                env={**os.environ, "PATH": os.pathsep.join(path), "PAGER": "cat"},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            try:
                yield cls(process)
            finally:
                process.kill()
                await process.communicate()

    async def type(self, line: str) -> Typed:
        """Types a line and waits until it has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f'{line}\necho "\n{MARK}$?"\n'.encode())
        output = ""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (read := (await self._process.stdout.readline()).decode()) and not (
                read.startswith(MARK)
            ):
                output += read
        assert read, f"the shell ended at {line!r}: {output}"
        return Typed(line, output, int(read.removeprefix(MARK)))


class Runbook:
    """A runbook in the hands of somebody who types section after section of it.

    `given` are the shell variables that a person would set to what they were told: a line
    such as `SLIP=…` sets this instead of the example.
    """

    def __init__(
        self, name: str, shell: Shell, state: StateDirectory, given: Mapping[str, str]
    ) -> None:
        self._shell = shell
        self._state = state
        self._given = given
        self._left = console_lines(name)

    async def begin(self) -> None:
        """Pastes what every runbook begins with."""
        for line in console_lines("README.md")[PREAMBLE]:
            await self._type(line)

    async def type_section(self, heading: str, *, refused: str = "\0") -> list[Typed]:
        """Types a section's lines; each must succeed but those that contain `refused`."""
        return [
            await self._type(line, may_fail=refused in line) for line in self._left.pop(heading)
        ]

    async def type_until(self, heading: str, last: str) -> list[Typed]:
        """Types a section's lines up to the one that contains `last`; the others are left."""
        lines = self._left[heading]
        (end,) = [number for number, line in enumerate(lines, 1) if last in line]
        self._left[heading] = lines[end:]
        return [await self._type(line) for line in lines[:end]]

    def finish(self) -> None:
        """Asserts that no line was left out."""
        assert self._left == {}, "nobody has typed these"

    async def _type(self, line: str, *, may_fail: bool = False) -> Typed:
        name = line.partition("=")[0]
        if name in self._given:
            line = f"{name}={shlex.quote(self._given[name])}"
        root = str(self._state.root)
        line = line.replace(".venv/bin/python", sys.executable).replace(".local/", f"{root}/")
        line = re.sub(r"--state-directory \.local\b", f"--state-directory {root}", line)
        typed = await self._shell.type(line)
        assert may_fail or typed.exit_code == 0, typed
        return typed
