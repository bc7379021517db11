"""Reads back what a run did, through the services' own reading RPCs.

Acts as a cashier, who may read and do nothing else.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from deploy.local.demo.calls import Caller

if TYPE_CHECKING:
    from casino.loyalty.v1.loyalty_pb2_grpc import LoyaltyServiceAsyncStub
    from casino.ratingslip.v1.ratingslip_pb2_grpc import RatingSlipServiceAsyncStub

READS_AT_A_TIME = 8


@dataclass(frozen=True)
class Lookup:
    """The reads; each raises `grpc.aio.AioRpcError`. `correlation_id` marks them all."""

    ratingslip: RatingSlipServiceAsyncStub
    loyalty: LoyaltyServiceAsyncStub
    caller: Caller
    correlation_id: str

    async def players_by_tier(self, player_ids: Iterable[str]) -> dict[str, int]:
        """How many of the players hold each tier, the lowest tier first."""
        places = asyncio.Semaphore(READS_AT_A_TIME)

        async def standing(player_id: str) -> loyalty_pb2.PlayerLoyalty:
            request = loyalty_pb2.GetPlayerLoyaltyRequest(player_id=player_id)
            async with places:
                answer = await self.caller.call(
                    self.loyalty.GetPlayerLoyalty, request, self.correlation_id
                )
            return answer.player_loyalty

        standings = await asyncio.gather(*(standing(player_id) for player_id in player_ids))
        by_rank = sorted(standings, key=lambda standing: standing.lifetime_points)
        return dict(Counter(standing.tier for standing in by_rank))

    async def rating_slip(self, slip_id: str) -> ratingslip_pb2.RatingSlip:
        """One slip as RatingSlip holds it now."""
        request = ratingslip_pb2.GetRatingSlipRequest(rating_slip_id=slip_id)
        answer = await self.caller.call(self.ratingslip.GetRatingSlip, request, self.correlation_id)
        return answer.rating_slip

    async def entries_of_slip(self, slip_id: str) -> list[loyalty_pb2.LedgerEntry]:
        """Every ledger entry of a slip, newest first."""
        entries: list[loyalty_pb2.LedgerEntry] = []
        request = loyalty_pb2.ListLedgerEntriesRequest(rating_slip_id=slip_id)
        while True:
            page = await self.caller.call(
                self.loyalty.ListLedgerEntries, request, self.correlation_id
            )
            entries.extend(page.entries)
            if not page.next_page_token:
                return entries
            request.page_token = page.next_page_token
