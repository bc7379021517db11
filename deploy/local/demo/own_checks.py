"""Lets Loyalty check itself after a run: its hash chain, and its balances against its entries.

These are the RPCs an auditor would call. `reconciliation` does not take the service's
word for it; this file knows no table and does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from casino.loyalty.v1 import loyalty_pb2 as pb
from deploy.local.demo.calls import Caller
from deploy.local.demo.reconciliation import Check

if TYPE_CHECKING:
    from casino.loyalty.v1.loyalty_pb2_grpc import LoyaltyServiceAsyncStub


async def own_checks(
    stub: LoyaltyServiceAsyncStub, admin: Caller, correlation_id: str
) -> tuple[Check, Check]:
    """What the service finds; raises `grpc.aio.AioRpcError` when it cannot be asked."""
    return (
        await _chain_verifies(stub, admin, correlation_id),
        await _nothing_drifts(stub, admin, correlation_id),
    )


async def _chain_verifies(
    stub: LoyaltyServiceAsyncStub, admin: Caller, correlation_id: str
) -> Check:
    entries = players = breaks = 0
    request = pb.VerifyLedgerRequest()
    while True:
        answer = await admin.call(stub.VerifyLedger, request, correlation_id)
        entries += answer.entries_verified
        players += answer.players_verified
        breaks += len(answer.breaks)
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    return Check(
        "ledger_verifies",
        "each player's entries chain by their hashes, to the last one",
        breaks == 0,
        f"{entries} entries of {players} players; {breaks} breaks",
    )


async def _nothing_drifts(
    stub: LoyaltyServiceAsyncStub, admin: Caller, correlation_id: str
) -> Check:
    answer = await admin.call(stub.CheckBalanceDrift, pb.CheckBalanceDriftRequest(), correlation_id)
    return Check(
        "nothing_drifts",
        "the service's own check finds no balance off its entries",
        answer.players_drifted == 0,
        f"{answer.players_checked} players; {answer.players_drifted} drift",
    )
