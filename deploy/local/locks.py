"""File locks that tell whether a process, or any of a family of processes, is alive.

The kernel drops a lock when its last holder is gone, however it went, so a lock
says what a recorded process ID can only guess. A holder that passes the
descriptor on shares the lock with the processes it starts: the lock is then free
only when all of them are gone.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

# Short against a person's patience, long against the cost of one attempt.
RETRY_INTERVAL_SECONDS = 0.02


class FileLock:
    """An exclusive lock on a file, held until `close` and by whoever inherits `fileno()`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self, timeout_seconds: float) -> bool:
        """Takes the lock, waiting at most so long for another holder; False if it stays held."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        give_up_at = time.monotonic() + timeout_seconds
        while not _try_lock(descriptor):
            if time.monotonic() >= give_up_at:
                os.close(descriptor)
                return False
            time.sleep(RETRY_INTERVAL_SECONDS)
        self._descriptor = descriptor
        return True

    def fileno(self) -> int:
        """The descriptor to pass to processes that shall hold the lock too.

        Raises:
            RuntimeError: the lock is not held.
        """
        if self._descriptor is None:
            raise RuntimeError(f"the lock {self._path} is not held")
        return self._descriptor

    def write_holder(self) -> None:
        """Records this process's ID in the file, for whoever wants to signal the holder."""
        os.ftruncate(self.fileno(), 0)
        os.pwrite(self.fileno(), f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Lets go of the lock; a process that inherited it goes on holding it."""
        if self._descriptor is not None:
            # Only closed, never unlocked: LOCK_UN would free it for the heirs as well.
            os.close(self._descriptor)
            self._descriptor = None


def is_held(path: Path) -> bool:
    """Whether some process holds the lock on `path`."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(descriptor)
    finally:
        os.close(descriptor)


def holder(path: Path) -> int | None:
    """The process ID that the lock's holder wrote into it, or None where there is none."""
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return None
    return int(text) if text.isdigit() else None


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
