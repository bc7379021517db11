"""A balance that is changed behind the ledger's back, and its repair."""

from __future__ import annotations

from casino.loyalty.v1 import loyalty_pb2
from tests.databases import Connection
from tests.integration.casino import Casino
from tests.integration.clients import Client


async def break_balance(sql: Connection, casino: Casino, player_id: str) -> None:
    """Changes what is cached for a player by a point, as no service does."""
    await sql.execute(
        "UPDATE loyalty.player_loyalty SET current_balance = current_balance + 1"
        " WHERE casino_id = $1 AND player_id = $2",
        casino.id,
        player_id,
    )


async def reconcile(admin: Client, player_id: str) -> loyalty_pb2.ReconcileBalanceResponse:
    """Has the balance repaired."""
    request = loyalty_pb2.ReconcileBalanceRequest(player_id=player_id, reason="Found at night")
    return await admin.call(admin.points.ReconcileBalance, request)
