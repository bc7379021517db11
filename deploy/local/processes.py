"""Life and death of processes: commands bound to their starter, and a starter bound to its own.

Knows nothing of what the processes do.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.local.unprivileged import UnprivilegedUser

LAUNCHER = Path(__file__).with_name("launch.py")
# How late `end_with_parent` may notice; nobody waits for it.
PARENT_CHECK_INTERVAL_SECONDS = 0.25
# What a process may take to end in good order once its parent is gone.
ORPHAN_GRACE_SECONDS = 5.0
# Below the range from which systems take ports for outgoing connections (32768 on
# Linux, 49152 elsewhere), so that none of those takes the port between choice and use.
FREE_PORTS = range(20_000, 30_000)
# With this many in a row taken, something other than chance is at work.
FREE_PORT_ATTEMPTS = 100
LOOPBACK = "127.0.0.1"


class ProcessError(Exception):
    """A process could not be started, failed, or ended; the message says which and why."""

    def __init__(self, message: str, log_file: Path | None = None) -> None:
        """`log_file` is where the process may have said more."""
        super().__init__(message if log_file is None else f"{message}; see {log_file}")
        self.log_file = log_file


def bound_command(
    command: Sequence[str], death_signal: signal.Signals, user: UnprivilegedUser | None = None
) -> list[str]:
    """The argument vector that runs `command`, as `user`, for no longer than this process lives.

    Start it from the main thread: Linux takes the end of the thread that started a
    process for the end of its parent. See `launch.py` for what holds on which system.
    """
    # Isolated and without site: it imports nothing, and no variable of ours may change it.
    launch = [sys.executable, "-I", "-S", str(LAUNCHER), "--parent", str(os.getpid())]
    launch += ["--death-signal", str(int(death_signal))]
    if user is not None:
        launch += ["--uid", str(user.uid), "--gid", str(user.gid)]
    return [*launch, "--", *command]


def is_port_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port with only old connections in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A loopback port nobody listens on.

    Raises:
        RuntimeError: none was found in a hundred attempts.
    """
    for port in random.sample(FREE_PORTS, FREE_PORT_ATTEMPTS):
        if is_port_free(port):
            return port
    raise RuntimeError(f"no free port found between {FREE_PORTS.start} and {FREE_PORTS.stop}")


def end_with_parent() -> None:
    """Has this process end when its parent does, even when that is killed with SIGKILL.

    If the process was started by `make`, directly or through a shell, the end of
    `make` counts as well: a shell between the two would otherwise live on and hide it.
    The process gets SIGTERM, and SIGKILL if it is still there five seconds later.
    Outside Linux only the direct parent is seen.
    """
    ancestry = _ancestry()
    threading.Thread(
        target=_end_when_changed, args=(ancestry,), name="end-with-parent", daemon=True
    ).start()


def _end_when_changed(ancestry: list[int]) -> None:
    while _ancestry()[: len(ancestry)] == ancestry:
        time.sleep(PARENT_CHECK_INTERVAL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ORPHAN_GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def _ancestry() -> list[int]:
    """The process IDs from the parent up to the outermost `make`, or the parent alone."""
    ancestors = [os.getppid()]
    up_to_make = 1
    while (stat := _read_stat(ancestors[-1])) is not None:
        name, parent = stat
        if name in {"make", "gmake"}:
            up_to_make = len(ancestors)
        if parent <= 1:
            break
        ancestors.append(parent)
    return ancestors[:up_to_make]


def _read_stat(process_id: int) -> tuple[str, int] | None:
    """Name and parent of a process, or None where /proc does not say."""
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text()
    except OSError:
        return None
    # The name stands in parentheses and may hold any character, so take the outermost ones.
    before, _, after = stat.rpartition(")")
    return before.partition("(")[2], int(after.split()[1])
