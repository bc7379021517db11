"""The calls with which a fault of the database is tried: of each service, writes and reads.

Owns which calls these are, and how they are refused when the database is the reason. It
must not know what is the matter with the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from google.protobuf.message import Message
from grpc import StatusCode

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from tests.databases import LOYALTY, Service
from tests.integration.casino import (
    an_hour_of,
    complete,
    new_redemption,
    new_reward,
    new_slip,
    start,
)
from tests.integration.clients import Client

# How a caller is told that it is the database, and that it may come back.
DATABASE_UNAVAILABLE = (StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
DATABASE_BUSY = (StatusCode.UNAVAILABLE, "DATABASE_BUSY")

Requests: TypeAlias = Sequence[tuple[Any, Message]]


async def open_slip_of_a_known_player(boss: Client) -> ratingslip_pb2.RatingSlip:
    """An open slip whose player has points, and time to take them."""
    closed = await start(boss)
    await complete(boss, closed)
    return await start(boss, player_id=closed.player_id)


def writes(boss: Client, service: Service, slip: ratingslip_pb2.RatingSlip) -> Requests:
    """Of a service: what opens something new, and what changes the slip, or its player."""
    if service is LOYALTY:
        return [
            (boss.points.IssueManualReward, new_reward()),
            (boss.points.RedeemPoints, new_redemption(player_id=slip.player_id)),
        ]
    pause = ratingslip_pb2.PauseRatingSlipRequest(rating_slip_id=slip.rating_slip_id)
    return [
        (boss.slips.StartRatingSlip, new_slip()),
        (boss.slips.PauseRatingSlip, pause),
        (boss.slips.CompleteRatingSlip, an_hour_of(slip)),
    ]


def reads(boss: Client, service: Service, slip: ratingslip_pb2.RatingSlip) -> Requests:
    """Of a service: one thing, and a list."""
    if service is LOYALTY:
        request = loyalty_pb2.GetPlayerLoyaltyRequest(player_id=slip.player_id)
        return [
            (boss.points.GetPlayerLoyalty, request),
            (boss.points.ListLedgerEntries, loyalty_pb2.ListLedgerEntriesRequest()),
        ]
    one = ratingslip_pb2.GetRatingSlipRequest(rating_slip_id=slip.rating_slip_id)
    return [
        (boss.slips.GetRatingSlip, one),
        (boss.slips.ListRatingSlips, ratingslip_pb2.ListRatingSlipsRequest()),
    ]


async def require_told_unavailable(boss: Client, method: Any, request: Message) -> None:
    """The call is refused as the database's fault, and told when to come back."""
    refusal = await boss.refusal(method, request)
    assert refusal.kind == DATABASE_UNAVAILABLE
    assert refusal.retry_after_seconds
