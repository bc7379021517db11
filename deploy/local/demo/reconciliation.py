"""Proves from the two databases that the casino's books are right after a run.

Owns the checks and their queries. It looks past the services, with a
superuser's eyes, at the whole casino and not only at the run's own rows; it
knows the tables and nothing of how the rows got there.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from deploy.local.demo.replay import ClosedSlip, FailedSlip

if TYPE_CHECKING:
    # asyncpg's own class takes a parameter only in its stubs.
    Connection = asyncpg.Connection[asyncpg.Record]

CONNECT_TIMEOUT_SECONDS = 10.0
# The sums go over every entry the casino ever wrote.
QUERY_TIMEOUT_SECONDS = 60.0
# Other people may be closing slips in the same casino: their slips are pending
# for moments, and a failed one until the service's own recoverer has been by.
PENDING_PATIENCE_SECONDS = 20.0
PENDING_POLL_SECONDS = 0.2
# A check that failed names this many of its culprits; the rest are counted.
CULPRITS_NAMED = 5

BOOKS = """
    SELECT count(entry.player_id) AS players_with_entries,
           count(balance.player_id) AS players_with_balance,
           coalesce(sum(entry.entries), 0)::bigint AS entries,
           coalesce(sum(entry.points), 0)::text AS points,
           count(*) FILTER (WHERE balance.current_balance IS DISTINCT FROM entry.points)
               AS wrong_balances,
           count(*) FILTER (WHERE balance.entry_count IS DISTINCT FROM entry.entries)
               AS wrong_counts
      FROM (SELECT player_id, current_balance, entry_count
              FROM loyalty.player_loyalty
             WHERE casino_id = $1) AS balance
      FULL JOIN (SELECT player_id, sum(points_delta) AS points, count(*) AS entries
                   FROM loyalty.loyalty_ledger
                  WHERE casino_id = $1
                  GROUP BY player_id) AS entry
     USING (player_id)
"""
PENDING = """
    SELECT count(*)
      FROM ratingslip.rating_slip
     WHERE casino_id = $1 AND loyalty_state = 'PENDING'
"""
CLOSED_AND_PAID = """
    SELECT id
      FROM ratingslip.rating_slip
     WHERE casino_id = $1 AND id = ANY($2::uuid[])
       AND status = 'CLOSED' AND loyalty_state = 'ACCRUED'
"""
ENTRIES_OF_SLIPS = """
    SELECT rating_slip_id, count(*) AS entries, sum(points_delta)::bigint AS points
      FROM loyalty.loyalty_ledger
     WHERE casino_id = $1 AND rating_slip_id = ANY($2::uuid[])
       AND reason IN ('base_accrual', 'manual_reward')
     GROUP BY rating_slip_id
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, whether it holds, and the figures that show it."""

    name: str
    promise: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Books:
    """Where the two databases of the stack are, and whose rows are looked at."""

    ratingslip_database_url: str
    loyalty_database_url: str
    casino_id: uuid.UUID

    async def checks(
        self, closed: Sequence[ClosedSlip], failed: Sequence[FailedSlip]
    ) -> tuple[Check, ...]:
        """Every check; raises asyncpg's errors and `OSError` when a database is not there."""
        ratingslip = await _connect(self.ratingslip_database_url)
        try:
            loyalty = await _connect(self.loyalty_database_url)
            try:
                pending = await self._no_slip_pending(ratingslip)
                rows = await self._closed_once(ratingslip, loyalty, closed, failed)
                return (*await self._balances(loyalty), pending, rows)
            finally:
                await loyalty.close()
        finally:
            await ratingslip.close()

    async def _balances(self, loyalty: Connection) -> tuple[Check, Check]:
        # One statement, so that both sides are seen at the same moment.
        row = await loyalty.fetchrow(BOOKS, self.casino_id)
        assert row is not None, "an aggregate without groups has one row"
        balances, entries = row["players_with_balance"], row["entries"]
        sums = Check(
            "balances_equal_entries",
            "each player's entries add up to the balance",
            row["wrong_balances"] == 0,
            f"{balances} balances, {entries} entries, {row['points']} points in all; "
            f"{row['wrong_balances']} differ",
        )
        pairs = Check(
            "balances_have_entries",
            "each balance has its entries, and each entry a balance",
            row["wrong_counts"] == 0,
            f"{balances} players have a balance, {row['players_with_entries']} have entries; "
            f"{row['wrong_counts']} do not match",
        )
        return sums, pairs

    async def _no_slip_pending(self, ratingslip: Connection) -> Check:
        give_up_at = time.monotonic() + PENDING_PATIENCE_SECONDS
        while pending := await ratingslip.fetchval(PENDING, self.casino_id):
            if time.monotonic() > give_up_at:
                break
            await asyncio.sleep(PENDING_POLL_SECONDS)
        return Check(
            "no_slip_pending",
            "no slip still waits for its points",
            pending == 0,
            f"{pending} pending",
        )

    async def _closed_once(
        self,
        ratingslip: Connection,
        loyalty: Connection,
        closed: Sequence[ClosedSlip],
        failed: Sequence[FailedSlip],
    ) -> Check:
        ids = [uuid.UUID(slip.slip_id) for slip in closed]
        paid = {row["id"] for row in await ratingslip.fetch(CLOSED_AND_PAID, self.casino_id, ids)}
        entries = {
            row["rating_slip_id"]: (row["entries"], row["points"])
            for row in await loyalty.fetch(ENTRIES_OF_SLIPS, self.casino_id, ids)
        }
        culprits = [slip.line for slip in failed]
        for slip_id, slip in zip(ids, closed, strict=True):
            if slip_id not in paid or entries.get(slip_id) != (1, slip.points):
                culprits.append(slip.slip.line)
        return Check(
            "rows_closed_once",
            "each accepted row is closed, with exactly one entry",
            not culprits,
            f"{len(closed) + len(failed)} rows; {_named(culprits)}",
        )


async def _connect(url: str) -> Connection:
    return await asyncpg.connect(
        url, timeout=CONNECT_TIMEOUT_SECONDS, command_timeout=QUERY_TIMEOUT_SECONDS
    )


def _named(lines: Sequence[int]) -> str:
    if not lines:
        return "0 are not"
    named = ", ".join(str(line) for line in sorted(lines)[:CULPRITS_NAMED])
    more = " …" if len(lines) > CULPRITS_NAMED else ""
    return f"{len(lines)} are not: line {named}{more}"
