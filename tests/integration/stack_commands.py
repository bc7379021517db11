"""The embedded stack's commands as a person types them, and what its processes are.

Owns running them and looking at processes from outside. It must not know what a test is
about.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.local.state import PROJECT_DIRECTORY, StackFacts, StateDirectory

# What the slowest machine may take; nothing is judged by it.
PATIENCE_SECONDS = 120.0
FREE_PORTS = ("--ratingslip-port", "0", "--loyalty-port", "0")


def command(name: str, root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs `python -m deploy.local NAME` as a person would."""
    return subprocess.run(
        [sys.executable, "-m", "deploy.local", name, "--state-directory", root, *options],
        check=False,
        cwd=PROJECT_DIRECTORY,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )


def up(root: Path) -> StackFacts:
    """Starts a stack and returns its facts."""
    result = command("up", root, *FREE_PORTS)
    assert result.returncode == 0, result.stderr
    return facts_of(root)


def facts_of(root: Path) -> StackFacts:
    facts = StackFacts.read(StateDirectory(root).stack_file)
    assert facts is not None
    return facts


def is_serving(address: str) -> bool:
    with grpc.insecure_channel(address) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(  # type: ignore[attr-defined]
            health_pb2.HealthCheckRequest(), timeout=PATIENCE_SECONDS
        )
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@dataclasses.dataclass(frozen=True)
class Process:
    parent: int
    # Its arguments as one text.
    command: str


def live_processes() -> dict[int, Process]:
    """Every process that runs, by process ID; one that only waits to be reaped does not."""
    if not Path("/proc/self/stat").exists():
        columns = "pid=,ppid=,state=,args="
        listing = subprocess.run(["ps", "-A", "-o", columns], check=True, capture_output=True)
        rows = [line.split(maxsplit=3) for line in listing.stdout.decode().splitlines()]
        return {int(r[0]): Process(int(r[1]), r[3]) for r in rows if not r[2].startswith("Z")}
    processes = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (entry / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if state not in "ZX":
            processes[int(entry.name)] = Process(int(parent), command)
    return processes


def family(process_id: int) -> set[int]:
    """A process with all its descendants."""
    processes = live_processes()
    members = {process_id}
    while found := {i for i, one in processes.items() if one.parent in members} - members:
        members |= found
    return members


def wait_until(condition: Callable[[], bool]) -> None:
    """Waits for something that must happen; that it never does is the failure."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < give_up_at, "it never happened"
        time.sleep(0.05)


def wait_until_gone(processes: set[int]) -> None:
    wait_until(lambda: not processes & live_processes().keys())
