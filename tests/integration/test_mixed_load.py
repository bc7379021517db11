"""Many people at once on few players: every acknowledged entry is there, and the ledger adds up."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

import grpc

from casino.loyalty.v1 import loyalty_pb2
from tests.databases import Connection
from tests.integration.casino import (
    Casino,
    new_accrual,
    new_id,
    new_promotion,
    new_redemption,
    new_reversal,
    new_reward,
)
from tests.integration.clients import Client, read_refusal

CLIENTS = 12
CALLS_OF_EACH = 40
PLAYERS = 3
FLOOR = -5000
# What a busy day may refuse; anything else is a fault.
HONEST_REFUSALS = {
    "PLAYER_NOT_FOUND",
    "INSUFFICIENT_BALANCE",
    "OVERDRAW_EXCEEDS_CAP",
    "NOT_REVERSIBLE",
}
Entries = dict[str, loyalty_pb2.LedgerEntry]


class Worker:
    """One client, who does this and that and keeps what was acknowledged."""

    def __init__(self, casino: Casino, players: list[str], acknowledged: Entries) -> None:
        self._casino = casino
        self._players = players
        self._acknowledged = acknowledged
        self.refusals: Counter[str] = Counter()

    async def work(self, choices: random.Random) -> None:
        """Does its share of calls, some of them twice at once."""
        for _ in range(CALLS_OF_EACH):
            client, method, request = self._next(choices)
            times = choices.choice((1, 1, 2))
            await asyncio.gather(*(self._do(client, method, request) for _ in range(times)))

    def _next(self, choices: random.Random) -> tuple[Client, Any, Any]:
        player = {"player_id": choices.choice(self._players)}
        service, admin = self._casino.for_role("service"), self._casino.somebody("admin")
        match choices.choice(("accrue", "reward", "promote", "redeem", "redeem", "reverse")):
            case "accrue":
                return service, service.points.AccruePointsFromSlip, new_accrual(**player)
            case "reward":
                reward = new_reward(**player, points=choices.randint(1, 900))
                return admin, admin.points.IssueManualReward, reward
            case "promote":
                return admin, admin.points.ApplyPromotion, new_promotion(**player)
            case "reverse" if self._acknowledged:
                entry_id = choices.choice(list(self._acknowledged))
                return admin, admin.points.ReverseEntry, new_reversal(entry_id)
            case _:
                redemption = new_redemption(
                    **player,
                    points=choices.randint(1, 4000),
                    allow_overdraw=choices.random() < 0.5,
                )
                return admin, admin.points.RedeemPoints, redemption

    async def _do(self, client: Client, method: Any, request: Any) -> None:
        try:
            answer = await client.call(method, request)
        except grpc.aio.AioRpcError as error:
            self.refusals[read_refusal(error).reason] += 1
        else:
            self._acknowledged[answer.entry.entry_id] = answer.entry


async def test_twelve_clients_on_three_players_leave_a_ledger_that_adds_up(
    casino: Casino, loyalty_sql: Connection
) -> None:
    acknowledged: Entries = {}
    players = [new_id() for _ in range(PLAYERS)]
    workers = [Worker(casino, players, acknowledged) for _ in range(CLIENTS)]

    await asyncio.gather(*(worker.work(random.Random(seed)) for seed, worker in enumerate(workers)))

    refused = set(itertools.chain.from_iterable(worker.refusals for worker in workers))
    assert refused <= HONEST_REFUSALS
    entries = await loyalty_sql.fetch(
        "SELECT * FROM loyalty.loyalty_ledger WHERE casino_id = $1"
        " ORDER BY player_id, entry_number",
        casino.id,
    )
    written = {str(entry["id"]): entry for entry in entries}
    assert acknowledged.keys() == written.keys()
    assert {
        entry_id: (entry.entry_number, entry.balance_after, entry.lifetime_after)
        for entry_id, entry in acknowledged.items()
    } == {
        entry_id: (entry["entry_number"], entry["balance_after"], entry["lifetime_after"])
        for entry_id, entry in written.items()
    }
    for player_id, chain in itertools.groupby(entries, lambda entry: entry["player_id"]):
        await require_player_adds_up(loyalty_sql, casino, player_id, chain)
    await require_chain_verifies(casino, len(entries))


async def require_player_adds_up(
    sql: Connection, casino: Casino, player_id: object, chain: Iterable[Any]
) -> None:
    """A player's entries chain without a gap to what the player has."""
    balance = lifetime = number = 0
    tier = "BRONZE"
    for entry in chain:
        assert entry["entry_number"] == number + 1
        assert (entry["balance_before"], entry["lifetime_before"]) == (balance, lifetime)
        assert entry["tier_before"] == tier
        number, tier = number + 1, entry["tier_after"]
        balance, lifetime = balance + entry["points_delta"], entry["lifetime_after"]
        assert entry["balance_after"] == balance
        # Only what was spent is bound by the floor; a reversal goes as far as it must.
        assert entry["reason"] != "redemption" or balance >= FLOOR
    player = await sql.fetchrow(
        "SELECT * FROM loyalty.player_loyalty WHERE casino_id = $1 AND player_id = $2",
        casino.id,
        player_id,
    )
    assert player is not None
    assert (player["current_balance"], player["lifetime_points"]) == (balance, lifetime)
    assert (player["entry_count"], player["tier"]) == (number, tier)


async def require_chain_verifies(casino: Casino, entry_count: int) -> None:
    """The service itself finds nothing wrong with the chain."""
    admin = casino.for_role("admin")
    answer = await admin.call(admin.points.VerifyLedger, loyalty_pb2.VerifyLedgerRequest())
    assert (answer.entries_verified, list(answer.breaks)) == (entry_count, [])
