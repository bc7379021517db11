"""For every RPC a request that one casino has good use for: what it names is there.

`PREPARED[rpc](casino)` makes what the request names in that casino and returns the
request. It must not know who will send it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from google.protobuf.message import Message
from google.type import timeofday_pb2

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from tests.integration.casino import (
    Casino,
    complete,
    money,
    new_accrual,
    new_play,
    new_promotion,
    new_redemption,
    new_reversal,
    new_reward,
    new_slip,
    start,
)

Prepared = Callable[[Casino], Awaitable[Message]]


def new_terms() -> loyalty_pb2.LoyaltyTerms:
    """Terms of a casino that pays twice as much."""
    return loyalty_pb2.LoyaltyTerms(
        points_per_unit="20",
        rounding=loyalty_pb2.ROUNDING_NEAREST,
        tiers=[loyalty_pb2.ProgramTier(name="BLUE", lifetime_start=0, multiplier="1")],
        overdraw_floor=-100,
        time_zone="Europe/Vienna",
        gaming_day_start=timeofday_pb2.TimeOfDay(hours=6),
    )


async def open_slip(casino: Casino) -> str:
    """A slip with its clock running."""
    return (await start(casino.for_role("pit_boss"))).rating_slip_id


async def paused_slip(casino: Casino) -> str:
    """A slip with its clock standing."""
    boss = casino.for_role("pit_boss")
    slip_id = await open_slip(casino)
    pause = ratingslip_pb2.PauseRatingSlipRequest(rating_slip_id=slip_id)
    await boss.call(boss.slips.PauseRatingSlip, pause)
    return slip_id


async def paid_slip(casino: Casino) -> ratingslip_pb2.RatingSlip:
    """A closed slip, whose player has its points."""
    boss = casino.for_role("pit_boss")
    return (await complete(boss, await start(boss))).rating_slip


async def player(casino: Casino) -> str:
    """A player with points."""
    return (await paid_slip(casino)).player_id


async def _start(casino: Casino) -> Message:
    return new_slip()


async def _pause(casino: Casino) -> Message:
    return ratingslip_pb2.PauseRatingSlipRequest(rating_slip_id=await open_slip(casino))


async def _resume(casino: Casino) -> Message:
    return ratingslip_pb2.ResumeRatingSlipRequest(rating_slip_id=await paused_slip(casino))


async def _update_bet(casino: Casino) -> Message:
    return ratingslip_pb2.UpdateAverageBetRequest(
        rating_slip_id=await open_slip(casino), average_bet=money(75)
    )


async def _complete(casino: Casino) -> Message:
    return ratingslip_pb2.CompleteRatingSlipRequest(rating_slip_id=await open_slip(casino))


async def _recover(casino: Casino) -> Message:
    slip = await paid_slip(casino)
    return ratingslip_pb2.RecoverSlipLoyaltyRequest(rating_slip_id=slip.rating_slip_id)


async def _preview(casino: Casino) -> Message:
    return ratingslip_pb2.PreviewSlipPointsRequest(rating_slip_id=await open_slip(casino))


async def _get_slip(casino: Casino) -> Message:
    return ratingslip_pb2.GetRatingSlipRequest(rating_slip_id=await open_slip(casino))


async def _list_slips(casino: Casino) -> Message:
    await open_slip(casino)
    return ratingslip_pb2.ListRatingSlipsRequest()


async def _list_events(casino: Casino) -> Message:
    return ratingslip_pb2.ListSlipEventsRequest(rating_slip_id=await open_slip(casino))


async def _accrue(casino: Casino) -> Message:
    return new_accrual(player_id=await player(casino))


async def _reward(casino: Casino) -> Message:
    return new_reward(player_id=await player(casino))


async def _redeem(casino: Casino) -> Message:
    return new_redemption(player_id=await player(casino))


async def _promote(casino: Casino) -> Message:
    return new_promotion(player_id=await player(casino))


async def _reverse(casino: Casino) -> Message:
    return new_reversal((await paid_slip(casino)).loyalty_entry_id)


async def _suggest(casino: Casino) -> Message:
    return loyalty_pb2.SuggestPointsRequest(player_id=await player(casino), play=new_play())


async def _get_player(casino: Casino) -> Message:
    return loyalty_pb2.GetPlayerLoyaltyRequest(player_id=await player(casino))


async def _list_entries(casino: Casino) -> Message:
    return loyalty_pb2.ListLedgerEntriesRequest(player_id=await player(casino))


async def _check_drift(casino: Casino) -> Message:
    return loyalty_pb2.CheckBalanceDriftRequest(player_id=await player(casino))


async def _reconcile(casino: Casino) -> Message:
    return loyalty_pb2.ReconcileBalanceRequest(
        player_id=await player(casino), reason="After the power cut"
    )


async def _verify(casino: Casino) -> Message:
    return loyalty_pb2.VerifyLedgerRequest(player_id=await player(casino))


async def _get_program(casino: Casino) -> Message:
    return loyalty_pb2.GetLoyaltyProgramRequest()


async def _update_program(casino: Casino) -> Message:
    reader = casino.for_role("admin")
    answer = await reader.call(
        reader.points.GetLoyaltyProgram, loyalty_pb2.GetLoyaltyProgramRequest()
    )
    return loyalty_pb2.UpdateLoyaltyProgramRequest(
        base_version=answer.newest_version, terms=new_terms()
    )


PREPARED: Mapping[str, Prepared] = {
    "StartRatingSlip": _start,
    "PauseRatingSlip": _pause,
    "ResumeRatingSlip": _resume,
    "UpdateAverageBet": _update_bet,
    "CompleteRatingSlip": _complete,
    "RecoverSlipLoyalty": _recover,
    "PreviewSlipPoints": _preview,
    "GetRatingSlip": _get_slip,
    "ListRatingSlips": _list_slips,
    "ListSlipEvents": _list_events,
    "AccruePointsFromSlip": _accrue,
    "IssueManualReward": _reward,
    "RedeemPoints": _redeem,
    "ApplyPromotion": _promote,
    "ReverseEntry": _reverse,
    "SuggestPoints": _suggest,
    "GetPlayerLoyalty": _get_player,
    "ListLedgerEntries": _list_entries,
    "CheckBalanceDrift": _check_drift,
    "ReconcileBalance": _reconcile,
    "VerifyLedger": _verify,
    "GetLoyaltyProgram": _get_program,
    "UpdateLoyaltyProgram": _update_program,
}


async def prepared(rpc: str, casino: Casino) -> Message:
    """A request of an RPC that is good in this casino, and names what is there."""
    return await PREPARED[rpc](casino)
