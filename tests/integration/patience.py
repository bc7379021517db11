"""Waiting for what another process does. A wait that runs out is a failure; no time is judged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Found = TypeVar("Found")

# What the slowest machine may take; also the deadline of calls that are to succeed.
PATIENCE_SECONDS = 20.0
POLL_INTERVAL_SECONDS = 0.02


async def eventually(attempt: Callable[[], Awaitable[Found | None]], what: str) -> Found:
    """The first result of `attempt` that is true; fails with `what` when there never is one."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not (found := await attempt()):
        assert time.monotonic() < give_up_at, f"it never happened: {what}"
        await asyncio.sleep(POLL_INTERVAL_SECONDS)
    return found
