"""The rehearsal from the command line: `python -m deploy.local rehearse FAULT`.

Owns the stack's life, the pauses and the exit code; the steps are `walk.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.local.processes import ProcessError
from deploy.local.rehearsal.faults import FAULTS, Fault
from deploy.local.rehearsal.ground import prepared_ground
from deploy.local.rehearsal.shell import Typed, operators_shell
from deploy.local.rehearsal.walk import RehearsalFailed, Rehearsed, Walk
from deploy.local.state import DEFAULT_STATE_DIRECTORY, StateDirectory
from deploy.local.tenure import DirectoryTaken

# Beside nobody's data: what is broken here, is broken for good.
REHEARSAL_DIRECTORY = DEFAULT_STATE_DIRECTORY / "rehearsal"
EXIT_PAID = 0
EXIT_FAILED = 1
# As shells report a program ended by Ctrl-C.
EXIT_INTERRUPTED = 130
RULE_WIDTH = 80


class Terminal:
    """Tells a person what happens, and waits for Enter before each step where it may."""

    def __init__(self, *, pauses: bool) -> None:
        self._pauses = pauses
        self._steps = 0

    async def step(self, title: str) -> None:
        """A heading; before every step but the first a person may pause."""
        if self._pauses and self._steps:
            await _until_enter()
        self._steps += 1
        print(f"\n── {self._steps}  {title} ".ljust(RULE_WIDTH, "─"), flush=True)

    def say(self, text: str) -> None:
        """Prints it."""
        print(text, flush=True)

    def typed(self, typed: Typed) -> None:
        """Prints a command as it is typed, and its output."""
        print(f"$ {typed.command}\n{typed.output.rstrip()}", flush=True)


class Silence:
    """Tells nobody: the facts alone are wanted."""

    async def step(self, title: str) -> None:
        """Goes on at once."""

    def say(self, text: str) -> None:
        """Says nothing."""

    def typed(self, typed: Typed) -> None:
        """Shows nothing."""


def run_rehearsal(name: str, state_directory: Path, *, as_json: bool, pauses: bool) -> int:
    """Rehearses one fault on a stack of its own; returns the exit code.

    0: the slip was paid at last; 1: a step did not show what it must, or the stack did
    not start; 130: interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # An output that cannot show a line or a dash must not end the rehearsal.
            stream.reconfigure(errors="replace")
    narrator = Silence() if as_json else Terminal(pauses=pauses)
    try:
        seen = asyncio.run(_rehearse(FAULTS[name], StateDirectory(state_directory), narrator))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return _give_up("Interrupted; nothing was left running.", EXIT_INTERRUPTED)
    except (DirectoryTaken, ProcessError, OSError) as error:
        return _give_up(f"The stack did not start: {error}", EXIT_FAILED)
    except RehearsalFailed as error:
        return _give_up(f"The rehearsal broke off: {error}", EXIT_FAILED)
    if as_json:
        print(json.dumps({**dataclasses.asdict(seen), "is_paid": seen.is_paid}, indent=2))
    return EXIT_PAID if seen.is_paid else EXIT_FAILED


async def _rehearse(fault: Fault, state: StateDirectory, narrator: Terminal | Silence) -> Rehearsed:
    narrator.say(f"Rehearsal of {fault.name}, on a stack of its own in {state.root}")
    with _ended_by_sigterm():
        async with prepared_ground(state, lambda text: narrator.say(f"  {text} …")) as ground:
            with operators_shell(ground.facts) as shell:
                return await Walk(ground, fault, shell, narrator).run()


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """`make down` and a terminal that goes away end the stack in good order."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    numbers = (signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, task.cancel)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _until_enter() -> None:
    """Waits for a line, while the proxy and the trace sink go on in the same loop."""
    loop = asyncio.get_running_loop()
    entered = asyncio.Event()
    print("\n[Enter] ", end="", flush=True)
    loop.add_reader(sys.stdin.fileno(), entered.set)
    try:
        await entered.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
    sys.stdin.readline()


def _give_up(sentence: str, exit_code: int) -> int:
    print(sentence, file=sys.stderr)
    return exit_code
