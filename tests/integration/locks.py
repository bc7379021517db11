"""What somebody else's transaction holds, so that a call waits at a place we choose."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from tests.databases import Connection, connected
from tests.integration.patience import eventually


class HeldRow:
    """One locked row or table; whoever wants to change it waits until the block ends."""

    def __init__(self, connection: Connection) -> None:
        # Whose transaction holds it; what it does comes to be when the block ends.
        self.connection = connection

    async def awaited(self) -> None:
        """Returns when somebody waits for the row."""

        await eventually(self._is_awaited, "a call waits for the row")

    async def given_up(self) -> None:
        """Returns when nobody waits for the row any more."""

        async def is_left_alone() -> bool:
            return not await self._is_awaited()

        await eventually(is_left_alone, "nobody waits for the row")

    async def _is_awaited(self) -> bool:
        # Not pg_stat_activity, which stands still for the length of a transaction.
        found: bool = await self.connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_locks"
            " WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
        )
        return found


@contextlib.asynccontextmanager
async def held_player(
    loyalty_superuser_url: str, casino_id: str, player_id: str
) -> AsyncIterator[HeldRow]:
    """Holds a player's row, which every accrual locks first."""
    statement = (
        "SELECT FROM loyalty.player_loyalty WHERE casino_id = $1 AND player_id = $2 FOR UPDATE"
    )
    async with _held(loyalty_superuser_url, statement, casino_id, player_id) as row:
        yield row


@contextlib.asynccontextmanager
async def held_slip(
    ratingslip_superuser_url: str, casino_id: str, rating_slip_id: str
) -> AsyncIterator[HeldRow]:
    """Holds a slip's row, which every change of the slip locks first."""
    statement = "SELECT FROM ratingslip.rating_slip WHERE casino_id = $1 AND id = $2 FOR UPDATE"
    async with _held(ratingslip_superuser_url, statement, casino_id, rating_slip_id) as row:
        yield row


@contextlib.asynccontextmanager
async def held_slips(ratingslip_superuser_url: str) -> AsyncIterator[HeldRow]:
    """Holds all slips, of every casino, so that nobody can even read one."""
    async with connected(ratingslip_superuser_url) as connection:
        async with connection.transaction():
            await connection.execute("LOCK TABLE ratingslip.rating_slip")
            yield HeldRow(connection)


@contextlib.asynccontextmanager
async def _held(url: str, statement: str, *arguments: str) -> AsyncIterator[HeldRow]:
    async with connected(url) as connection:
        async with connection.transaction():
            rows = await connection.fetch(statement, *arguments)
            assert len(rows) == 1, "there is no such row to hold"
            yield HeldRow(connection)
