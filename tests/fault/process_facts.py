"""What a process holds, as the kernel sees it: threads and file descriptors.

It knows /proc and nothing of the services. On a system without /proc there is nothing
to see, and every number is 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class ProcessFacts(NamedTuple):
    """Counts of one process at one moment."""

    threads: int
    file_descriptors: int


def facts_of(process_id: int) -> ProcessFacts:
    """Counts the threads and the open files of a process that lives."""
    root = Path(f"/proc/{process_id}")
    return ProcessFacts(_count(root / "task"), _count(root / "fd"))


def _count(directory: Path) -> int:
    if not directory.exists():
        return 0
    return sum(1 for _ in directory.iterdir())
