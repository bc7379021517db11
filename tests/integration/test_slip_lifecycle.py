"""A slip's life: which step is allowed when, and what is active only once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from grpc import StatusCode

from casino.ratingslip.v1 import ratingslip_pb2
from tests.integration.casino import (
    HOUR,
    MINUTE,
    Casino,
    complete,
    later,
    money,
    new_slip,
    read_slip,
    start,
)
from tests.integration.clients import Client, Refusal, read_refusal

# What each step does to a slip in each status: the status after it, or the reason it is
# refused with FAILED_PRECONDITION.
TRANSITIONS = """
                     OPEN             PAUSED           CLOSED
PauseRatingSlip      PAUSED           SLIP_NOT_OPEN    SLIP_NOT_OPEN
ResumeRatingSlip     SLIP_NOT_PAUSED  OPEN             SLIP_NOT_PAUSED
UpdateAverageBet     OPEN             PAUSED           SLIP_CLOSED
CompleteRatingSlip   CLOSED           CLOSED           CLOSED
RecoverSlipLoyalty   SLIP_NOT_CLOSED  SLIP_NOT_CLOSED  CLOSED
"""
STATUSES, *ROWS = [line.split() for line in TRANSITIONS.strip().splitlines()]
CASES = [
    (rpc, status, outcome)
    for rpc, *outcomes in ROWS
    for status, outcome in zip(STATUSES, outcomes, strict=True)
]
STEPS: dict[str, Callable[[str], Message]] = {
    "PauseRatingSlip": lambda slip: ratingslip_pb2.PauseRatingSlipRequest(rating_slip_id=slip),
    "ResumeRatingSlip": lambda slip: ratingslip_pb2.ResumeRatingSlipRequest(rating_slip_id=slip),
    "UpdateAverageBet": lambda slip: ratingslip_pb2.UpdateAverageBetRequest(
        rating_slip_id=slip, average_bet=money(75)
    ),
    "CompleteRatingSlip": lambda slip: ratingslip_pb2.CompleteRatingSlipRequest(
        rating_slip_id=slip
    ),
    "RecoverSlipLoyalty": lambda slip: ratingslip_pb2.RecoverSlipLoyaltyRequest(
        rating_slip_id=slip
    ),
}
# What two active slips may not share, by the reason for the refusal.
ACTIVE_ONCE = {
    "VISIT_HAS_ACTIVE_SLIP": ("visit_id",),
    "SEAT_HAS_ACTIVE_SLIP": ("table_id", "seat_number"),
}
STARTS_AT_ONCE = 10


async def step(boss: Client, rpc: str, slip: ratingslip_pb2.RatingSlip) -> Any:
    return await boss.call(getattr(boss.slips, rpc), STEPS[rpc](slip.rating_slip_id))


async def slip_in(status: str, boss: Client) -> ratingslip_pb2.RatingSlip:
    slip = await start(boss)
    way = {"OPEN": [], "PAUSED": ["PauseRatingSlip"], "CLOSED": ["CompleteRatingSlip"]}[status]
    for rpc in way:
        await step(boss, rpc, slip)
    return await read_slip(boss, slip.rating_slip_id)


@pytest.mark.parametrize(("rpc", "status", "outcome"), CASES)
async def test_each_step_does_what_the_table_says(
    rpc: str, status: str, outcome: str, boss: Client
) -> None:
    slip = await slip_in(status, boss)

    if outcome in STATUSES:
        answer = await step(boss, rpc, slip)

        after = ratingslip_pb2.SlipStatus.Name(answer.rating_slip.status)
        assert after == f"SLIP_STATUS_{outcome}"
    else:
        request = STEPS[rpc](slip.rating_slip_id)
        refusal = await boss.refusal(getattr(boss.slips, rpc), request)

        assert refusal.kind == (StatusCode.FAILED_PRECONDITION, outcome)
        untouched = await read_slip(boss, slip.rating_slip_id)
        assert (untouched.status, untouched.update_time) == (slip.status, slip.update_time)


async def test_a_new_slip_is_what_was_asked_for(boss: Client, casino: Casino) -> None:
    request = new_slip(seat_number=7, average_bet=money(25, 50))
    request.game_settings.house_edge_percent = "1.50"

    answer = await boss.call(boss.slips.StartRatingSlip, request)

    slip = answer.rating_slip
    assert not answer.is_existing
    assert (slip.player_id, slip.visit_id) == (request.player_id, request.visit_id)
    assert (slip.table_id, slip.seat_number) == (request.table_id, 7)
    assert slip.average_bet == request.average_bet
    assert slip.start_time == slip.last_event_time == request.start_time
    assert slip.game_settings == ratingslip_pb2.GameSettings(
        game_name="Blackjack",
        house_edge_percent="1.5",
        decisions_per_hour=70,
        point_multiplier="1",
    )
    assert slip.status == ratingslip_pb2.SLIP_STATUS_OPEN
    assert slip.loyalty_state == ratingslip_pb2.LOYALTY_STATE_NONE
    assert slip.started_by_staff_id == casino.staff_id("pit_boss")
    assert not slip.HasField("end_time")
    assert not slip.HasField("chips_taken")
    for empty in (
        slip.closed_by_staff_id,
        slip.close_correlation_id,
        slip.loyalty_entry_id,
        slip.loyalty_refusal_reason,
    ):
        assert empty == ""
    assert (await read_slip(boss, slip.rating_slip_id)).create_time == slip.create_time


async def test_the_clock_runs_while_the_slip_is_open_and_stands_while_it_is_paused(
    boss: Client,
) -> None:
    slip = await start(boss)
    paused = await boss.call(
        boss.slips.PauseRatingSlip,
        ratingslip_pb2.PauseRatingSlipRequest(
            rating_slip_id=slip.rating_slip_id, event_time=later(slip.start_time, 10 * MINUTE)
        ),
    )
    standing = await read_slip(boss, slip.rating_slip_id)
    resumed = await boss.call(
        boss.slips.ResumeRatingSlip,
        ratingslip_pb2.ResumeRatingSlipRequest(
            rating_slip_id=slip.rating_slip_id, event_time=later(slip.start_time, HOUR)
        ),
    )

    # It began two hours ago.
    assert slip.duration_seconds >= 7200
    assert paused.rating_slip.duration_seconds == standing.duration_seconds == 600
    assert resumed.rating_slip.duration_seconds >= 600 + 3600


async def test_the_last_bet_noted_is_the_one_that_counts(boss: Client) -> None:
    slip = await start(boss)
    for bet in (money(500), money(75, 25)):
        update = ratingslip_pb2.UpdateAverageBetRequest(
            rating_slip_id=slip.rating_slip_id, average_bet=bet, event_time=slip.start_time
        )
        updated = await boss.call(boss.slips.UpdateAverageBet, update)
        assert updated.rating_slip.average_bet == bet

    closed = await complete(boss, slip)

    # 75.25 × 1.5 % × 70 = 79.0125.
    assert closed.loyalty.points_delta == 790


@pytest.mark.parametrize(("reason", "kept"), ACTIVE_ONCE.items())
@pytest.mark.parametrize("status", ["OPEN", "PAUSED"])
async def test_a_visit_and_a_seat_have_one_active_slip(
    reason: str, kept: tuple[str, ...], status: str, boss: Client
) -> None:
    active = await slip_in(status, boss)
    same = {name: getattr(active, name) for name in kept}

    refusal = await boss.refusal(boss.slips.StartRatingSlip, new_slip(**same))

    assert refusal.kind == (StatusCode.ALREADY_EXISTS, reason)
    assert refusal.metadata["slipId"] == active.rating_slip_id
    assert active.rating_slip_id in refusal.message
    # Once it is closed, the next one may begin.
    await complete(boss, active, end_time=None)
    await start(boss, **same)


@pytest.mark.parametrize(("reason", "kept"), ACTIVE_ONCE.items())
async def test_of_many_starts_at_once_one_wins_and_the_others_name_it(
    reason: str, kept: tuple[str, ...], boss: Client
) -> None:
    template = new_slip()
    same = {name: getattr(template, name) for name in kept}

    async def attempt() -> str | Refusal:
        try:
            return (await start(boss, **same)).rating_slip_id
        except grpc.aio.AioRpcError as error:
            return read_refusal(error)

    outcomes = await asyncio.gather(*(attempt() for _ in range(STARTS_AT_ONCE)))

    (winner,) = [outcome for outcome in outcomes if isinstance(outcome, str)]
    for refusal in outcomes:
        if isinstance(refusal, Refusal):
            assert refusal.kind == (StatusCode.ALREADY_EXISTS, reason)
            assert refusal.metadata["slipId"] == winner


async def test_another_seat_of_the_table_is_free(boss: Client) -> None:
    taken = await start(boss)

    other = await start(boss, table_id=taken.table_id, seat_number=taken.seat_number + 1)

    assert other.table_id == taken.table_id
