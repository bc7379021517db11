"""The state directory (`.local`): what lies where in it, and the facts of a running stack.

Secrets lie in directories closed to others (0700) in files closed to others (0600).
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Self

from deploy.local import locks
from deploy.local.postgres import PostgresCluster

PROJECT_DIRECTORY = Path(__file__).resolve().parents[2]
DEFAULT_STATE_DIRECTORY = PROJECT_DIRECTORY / ".local"


class StateDirectory:
    """The places in one state directory; one stack at a time runs on it."""

    def __init__(self, root: Path = DEFAULT_STATE_DIRECTORY) -> None:
        self.root = root.absolute()
        self.keys = self.root / "keys"
        self.tokens = self.root / "tokens"
        self.logs = self.root / "logs"
        self.postgres = self.root / "postgres"
        self.stack_file = self.root / "stack.json"
        self.traces_file = self.root / "traces.jsonl"
        # Held by the supervisor alone; contains its process ID.
        self.stack_lock = self.root / "stack.lock"
        # Held by the supervisor and both services, for as long as any of them lives.
        self.processes_lock = self.root / "processes.lock"

    def prepare(self) -> None:
        """Makes the directories, closed to others."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.root == DEFAULT_STATE_DIRECTORY:
            # Only ours is ours to close; another may be a directory of many uses.
            self.root.chmod(0o700)
        for directory in (self.keys, self.tokens, self.logs, self.postgres):
            directory.mkdir(mode=0o700, exist_ok=True)
            directory.chmod(0o700)

    def log_file(self, name: str) -> Path:
        """The log of one process: `supervisor`, `postgres`, `loyalty` or `ratingslip`."""
        return self.logs / f"{name}.log"

    def is_in_use(self) -> bool:
        """Whether a stack runs here, starts or stops."""
        return locks.is_held(self.stack_lock)

    def running_stack(self) -> StackFacts | None:
        """The facts of the stack that runs here, or None where none is up."""
        if not self.is_in_use():
            return None
        facts = StackFacts.read(self.stack_file)
        # A stack that was killed leaves its file, and the next one is not up yet.
        if facts is None or facts.supervisor_process_id != locks.holder(self.stack_lock):
            return None
        return facts

    def all_locks(self) -> tuple[Path, ...]:
        """The locks that are free only when no process of the stack is left."""
        return (self.stack_lock, self.processes_lock, PostgresCluster.lock_file(self.postgres))


@dataclasses.dataclass(frozen=True)
class StackFacts:
    """What a client needs to know of a running stack: the content of `stack.json`."""

    # host:port
    ratingslip: str
    loyalty: str
    # Prometheus endpoints, as URLs.
    ratingslip_metrics: str
    loyalty_metrics: str
    # For a superuser, password included.
    ratingslip_database_url: str
    loyalty_database_url: str
    casino_id: str
    other_casino_id: str
    # OTLP over gRPC, as a URL.
    trace_endpoint: str
    # Jaeger's query API for one trace: /api/v3/traces/{trace_id} below this URL.
    trace_query_endpoint: str
    traces_file: str
    logs_directory: str
    tokens_directory: str
    supervisor_process_id: int

    def write(self, path: Path) -> None:
        """Writes them as JSON that only we may read, all at once."""
        write_private(path, json.dumps(dataclasses.asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Reads what `write` wrote; None where there is no file, or one of another version."""
        try:
            content = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        known = {each.name for each in dataclasses.fields(cls)}
        return cls(**content) if content.keys() == known else None

    def token(self, name: str) -> str:
        """A demo token by its name: `pit_boss`, `cashier`, `admin`, `dealer`, …"""
        return (Path(self.tokens_directory) / f"{name}.jwt").read_text()


def write_private(path: Path, text: str) -> None:
    """Writes a file that only we may read; a reader sees the old content or the new."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    unfinished.replace(path)
