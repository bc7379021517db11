"""Taking a state directory for one stack: nobody else's then, until its process ends.

Owns the two locks and what is cleared away of the stack before. It must not know what
the stack is made of.
"""

from __future__ import annotations

from deploy.local.handshake import Kind
from deploy.local.locks import FileLock
from deploy.local.state import StateDirectory

# Longer than a look at the lock takes, so that a look is not mistaken for a holder.
LOCK_TIMEOUT_SECONDS = 0.5
# What is left of a stack that was killed is gone well before: PostgreSQL's checkpoint.
LEFTOVERS_TIMEOUT_SECONDS = 30.0


class DirectoryTaken(Exception):
    """Another stack has the state directory; `kind` says whether it runs or only ends."""

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Tenure:
    """A state directory, prepared and held; `processes_lock` is for all that is started."""

    def __init__(self, state: StateDirectory) -> None:
        """Takes the directory.

        Raises:
            DirectoryTaken: somebody else has it.
            OSError: it is not ours to use.
        """
        state.prepare()
        self._stack_lock = FileLock(state.stack_lock)
        if not self._stack_lock.acquire(LOCK_TIMEOUT_SECONDS):
            raise DirectoryTaken(Kind.ALREADY_RUNNING, f"a stack runs on {state.root}")
        self._stack_lock.write_holder()
        state.stack_file.unlink(missing_ok=True)
        self.processes_lock = FileLock(state.processes_lock)
        if not self.processes_lock.acquire(LEFTOVERS_TIMEOUT_SECONDS):
            self._stack_lock.close()
            raise DirectoryTaken(Kind.FAILED, "a service of an earlier stack is still running")

    def end(self) -> None:
        """Lets go of the directory; processes that still run go on holding their lock."""
        self.processes_lock.close()
        self._stack_lock.close()
