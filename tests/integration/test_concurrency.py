"""Many calls at once: whatever their order, the ledger adds up."""

from __future__ import annotations

import asyncio
import random

from tests.databases import Connection
from tests.integration.casino import Casino, complete, new_accrual, new_id, start
from tests.integration.clients import Client

SLIPS_OF_ONE_PLAYER = 25
PLAYERS = 5
SLIPS_OF_EACH = 6
CREDITS_OF_EACH = 4


async def require_ledger_adds_up(
    sql: Connection, casino: Casino, player_ids: list[str], entries_of_each: int
) -> None:
    """Each player has that many entries: numbered without a gap, chained, and summing up."""
    players = await sql.fetch(
        "SELECT player_id, current_balance, lifetime_points, entry_count"
        " FROM loyalty.player_loyalty WHERE casino_id = $1",
        casino.id,
    )
    assert {str(player["player_id"]) for player in players} == set(player_ids)
    for player in players:
        entries = await sql.fetch(
            "SELECT * FROM loyalty.loyalty_ledger"
            " WHERE casino_id = $1 AND player_id = $2 ORDER BY entry_number",
            casino.id,
            player["player_id"],
        )
        numbers = [entry["entry_number"] for entry in entries]
        assert numbers == list(range(1, entries_of_each + 1))
        assert player["entry_count"] == entries_of_each
        balance = lifetime = 0
        tier = "BRONZE"
        for entry in entries:
            assert entry["balance_before"] == balance
            assert entry["lifetime_before"] == lifetime
            assert entry["tier_before"] == tier
            balance += entry["points_delta"]
            lifetime += entry["points_delta"]
            tier = entry["tier_after"]
            assert (entry["balance_after"], entry["lifetime_after"]) == (balance, lifetime)
        assert (player["current_balance"], player["lifetime_points"]) == (balance, lifetime)


async def test_slips_of_one_new_player_closed_at_once_leave_the_right_balance(
    boss: Client, casino: Casino, loyalty_sql: Connection
) -> None:
    player_id = new_id()
    slips = [await start(boss, player_id=player_id) for _ in range(SLIPS_OF_ONE_PLAYER)]

    answers = await asyncio.gather(*(complete(boss, slip) for slip in slips))

    await require_ledger_adds_up(loyalty_sql, casino, [player_id], SLIPS_OF_ONE_PLAYER)
    # Each answer is of one moment of the ledger, and no two are of the same.
    assert len({answer.loyalty.balance_after for answer in answers}) == SLIPS_OF_ONE_PLAYER
    total = sum(answer.loyalty.points_delta for answer in answers)
    assert max(answer.loyalty.balance_after for answer in answers) == total


async def test_closes_and_other_credits_of_several_players_at_once_leave_the_right_balances(
    boss: Client, casino: Casino, loyalty_sql: Connection
) -> None:
    service = casino.for_role("service")
    player_ids = [new_id() for _ in range(PLAYERS)]
    slips = [
        await start(boss, player_id=player_id)
        for player_id in player_ids
        for _ in range(SLIPS_OF_EACH)
    ]
    credits_ = [
        service.call(service.points.AccruePointsFromSlip, new_accrual(player_id=player_id))
        for player_id in player_ids
        for _ in range(CREDITS_OF_EACH)
    ]
    at_once = [*(complete(boss, slip) for slip in slips), *credits_]
    random.shuffle(at_once)

    await asyncio.gather(*at_once)

    await require_ledger_adds_up(loyalty_sql, casino, player_ids, SLIPS_OF_EACH + CREDITS_OF_EACH)
