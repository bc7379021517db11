"""Ordinary slips: started and closed as clients do it, so that there is something to go wrong."""

from __future__ import annotations

import datetime
import uuid
from dataclasses import dataclass

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money

from casino.ratingslip.v1 import ratingslip_pb2 as pb
from casino.ratingslip.v1.ratingslip_pb2_grpc import RatingSlipServiceStub
from deploy.local.demo.calls import Caller
from deploy.local.state import StackFacts

HOURS_PLAYED = 2
SEAT_NUMBER = 4


@dataclass(frozen=True)
class StartedSlip:
    """A slip that is open, two hours into its play."""

    rating_slip_id: str
    player_id: str


class Pit:
    """A pit boss who starts and closes slips."""

    def __init__(self, facts: StackFacts) -> None:
        self._address = facts.ratingslip
        self._caller = Caller(facts.token("pit_boss"))

    async def start(self, player_id: str | None = None) -> StartedSlip:
        """Starts a slip for a player, by default one whom nobody has seen."""
        player = player_id or str(uuid.uuid4())
        began = Timestamp()
        began.FromDatetime(
            datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=HOURS_PLAYED)
        )
        request = pb.StartRatingSlipRequest(
            player_id=player,
            visit_id=str(uuid.uuid4()),
            table_id=str(uuid.uuid4()),
            seat_number=SEAT_NUMBER,
            average_bet=Money(currency_code="USD", units=50),
            game_settings=pb.GameSettings(
                game_name="Blackjack", house_edge_percent="1.5", decisions_per_hour=70
            ),
            start_time=began,
        )
        async with grpc.aio.insecure_channel(self._address) as channel:
            stub = RatingSlipServiceStub(channel)
            answer = await self._caller.call(stub.StartRatingSlip, request, _correlation_id())
        return StartedSlip(answer.rating_slip.rating_slip_id, player)

    async def close(self, slip: StartedSlip, correlation_id: str = "") -> int:
        """Closes a slip, in one attempt; the points it earned.

        Raises `grpc.aio.AioRpcError`, PARTIAL_COMPLETION included.
        """
        request = pb.CompleteRatingSlipRequest(rating_slip_id=slip.rating_slip_id)
        async with grpc.aio.insecure_channel(self._address) as channel:
            stub = RatingSlipServiceStub(channel)
            answer = await self._caller.call(
                stub.CompleteRatingSlip,
                request,
                correlation_id or _correlation_id(),
                is_final=lambda _: True,
            )
        return answer.loyalty.points_delta

    async def play(self, player_id: str | None = None) -> StartedSlip:
        """Starts a slip and closes it."""
        slip = await self.start(player_id)
        await self.close(slip)
        return slip


def _correlation_id() -> str:
    return f"rehearsal-{uuid.uuid4()}"
