"""Waiting until a call waits for another one's lock."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.databases import LOYALTY, Connection

POLL_SECONDS = 0.005

_WAITING = """
    SELECT EXISTS (
        SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND usename = $1
            AND cardinality(pg_blocking_pids(pid)) > 0
    )
"""


async def until_it_waits_for_a_lock(call: asyncio.Task[Any], superuser: Connection) -> None:
    """Returns when a call, the only one of the service under way, waits for another's lock."""
    while not await superuser.fetchval(_WAITING, LOYALTY.service_role):
        assert not call.done(), "it did not wait"
        await asyncio.sleep(POLL_SECONDS)
