"""Finishes what earlier runs left: slips that closed and never got their points.

A run that was killed between the two halves of a close leaves its slip pending.
The demo does here what an operator would do, through the public RPCs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import grpc

from casino.ratingslip.v1 import ratingslip_pb2 as pb
from deploy.local.demo.calls import Caller

if TYPE_CHECKING:
    from casino.ratingslip.v1.ratingslip_pb2_grpc import RatingSlipServiceAsyncStub

# The most a page holds.
PAGE_SIZE = 100


class Recovered(NamedTuple):
    """How many pending slips were found, and how many of them have their points now."""

    found: int
    paid: int


async def recover_pending(
    stub: RatingSlipServiceAsyncStub, caller: Caller, correlation_id: str
) -> Recovered:
    """Recovers every pending slip of the casino, one after another.

    A slip that cannot be recovered is left for the checks to report. Raises
    `grpc.aio.AioRpcError` when the slips cannot be listed.
    """
    slip_ids = await _pending_slips(stub, caller, correlation_id)
    paid = 0
    for slip_id in slip_ids:
        request = pb.RecoverSlipLoyaltyRequest(rating_slip_id=slip_id)
        try:
            await caller.call(stub.RecoverSlipLoyalty, request, correlation_id)
        except grpc.aio.AioRpcError:
            continue
        paid += 1
    return Recovered(len(slip_ids), paid)


async def _pending_slips(
    stub: RatingSlipServiceAsyncStub, caller: Caller, correlation_id: str
) -> list[str]:
    request = pb.ListRatingSlipsRequest(page_size=PAGE_SIZE, loyalty_state=pb.LOYALTY_STATE_PENDING)
    slip_ids: list[str] = []
    while True:
        page = await caller.call(stub.ListRatingSlips, request, correlation_id)
        slip_ids.extend(slip.rating_slip_id for slip in page.rating_slips)
        if not page.next_page_token:
            return slip_ids
        request.page_token = page.next_page_token
