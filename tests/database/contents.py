"""All that Loyalty's database holds, and calls that must leave it as it is.

async with refused(superuser, "INSUFFICIENT_BALANCE", balance=100, points=101):
    await redeem_points_as_service(ledger, request)
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from chassis.errors import ServiceError
from tests.database.accruals import Row
from tests.databases import Connection


async def everything(superuser: Connection) -> dict[str, list[Row]]:
    """Every row of every table, by table."""
    tables = await superuser.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'loyalty' ORDER BY tablename"
    )
    return {
        table: [
            dict(row)
            for row in await superuser.fetch(f"SELECT * FROM loyalty.{table} AS t ORDER BY t::text")
        ]
        for (table,) in tables
    }


@contextlib.asynccontextmanager
async def nothing_written(superuser: Connection) -> AsyncIterator[None]:
    """Whatever is done inside leaves every table as it was."""
    before = await everything(superuser)
    yield
    after = await everything(superuser)
    changed = [table for table in before if before[table] != after[table]]
    assert not changed, f"these tables were written: {changed}"


@contextlib.asynccontextmanager
async def refused(superuser: Connection, reason: str, **metadata: object) -> AsyncIterator[None]:
    """What is done inside is refused for this reason, with these facts, and writes nothing."""
    async with nothing_written(superuser):
        with pytest.raises(ServiceError) as caught:
            yield
    expected = {name: str(value) for name, value in metadata.items()}
    found = (caught.value.reason, dict(caught.value.metadata))
    assert found == (reason, expected), f"refused otherwise: {found}"
