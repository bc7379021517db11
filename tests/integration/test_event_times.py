"""Paper slips: what times staff may enter, and in which currency."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from google.protobuf import timestamp_pb2
from google.protobuf.message import Message
from grpc import StatusCode

from casino.ratingslip.v1 import ratingslip_pb2
from tests.integration.casino import (
    HOUR,
    MINUTE,
    ago,
    an_hour_of,
    complete,
    later,
    money,
    new_slip,
    read_slip,
    start,
    timestamp,
)
from tests.integration.clients import Client

IN_FUTURE = (StatusCode.INVALID_ARGUMENT, "EVENT_TIME_IN_FUTURE")
OUT_OF_ORDER = (StatusCode.INVALID_ARGUMENT, "EVENT_TIME_OUT_OF_ORDER")
TOO_OLD = (StatusCode.INVALID_ARGUMENT, "START_TIME_TOO_OLD")
OTHER_CURRENCY = (StatusCode.INVALID_ARGUMENT, "CURRENCY_MISMATCH")

Step = Callable[[str, timestamp_pb2.Timestamp], Message]
# Every step after the start, at a time; and the field that holds it.
STEPS: dict[str, tuple[Step, str]] = {
    "PauseRatingSlip": (
        lambda slip, moment: ratingslip_pb2.PauseRatingSlipRequest(
            rating_slip_id=slip, event_time=moment
        ),
        "event_time",
    ),
    "ResumeRatingSlip": (
        lambda slip, moment: ratingslip_pb2.ResumeRatingSlipRequest(
            rating_slip_id=slip, event_time=moment
        ),
        "event_time",
    ),
    "UpdateAverageBet": (
        lambda slip, moment: ratingslip_pb2.UpdateAverageBetRequest(
            rating_slip_id=slip, average_bet=money(75), event_time=moment
        ),
        "event_time",
    ),
    "CompleteRatingSlip": (
        lambda slip, moment: ratingslip_pb2.CompleteRatingSlipRequest(
            rating_slip_id=slip, end_time=moment
        ),
        "end_time",
    ),
}


async def slip_ready_for(rpc: str, boss: Client) -> ratingslip_pb2.RatingSlip:
    """A slip on which a step is allowed, with its last event an hour ago."""
    slip = await start(boss)
    update = ratingslip_pb2.UpdateAverageBetRequest(
        rating_slip_id=slip.rating_slip_id,
        average_bet=money(60),
        event_time=timestamp(ago(HOUR)),
    )
    slip = (await boss.call(boss.slips.UpdateAverageBet, update)).rating_slip
    if rpc != "ResumeRatingSlip":
        return slip
    pause = ratingslip_pb2.PauseRatingSlipRequest(
        rating_slip_id=slip.rating_slip_id, event_time=slip.last_event_time
    )
    return (await boss.call(boss.slips.PauseRatingSlip, pause)).rating_slip


@pytest.mark.parametrize("rpc", STEPS)
async def test_a_step_lies_neither_before_the_last_event_nor_ahead(rpc: str, boss: Client) -> None:
    make, field = STEPS[rpc]
    method = getattr(boss.slips, rpc)
    slip = await slip_ready_for(rpc, boss)
    last = slip.last_event_time

    for moment, kind in (
        (later(last, -MINUTE), OUT_OF_ORDER),
        (timestamp(ago(-HOUR)), IN_FUTURE),
    ):
        refusal = await boss.refusal(method, make(slip.rating_slip_id, moment))
        assert (refusal.kind, refusal.fields) == (kind, (field,))
    untouched = await read_slip(boss, slip.rating_slip_id)
    assert (untouched.status, untouched.update_time) == (slip.status, slip.update_time)

    # At the same moment as the last event is in order.
    stepped = (await boss.call(method, make(slip.rating_slip_id, last))).rating_slip
    assert stepped.last_event_time == last


async def test_a_start_lies_at_most_48_hours_back_and_never_ahead(boss: Client) -> None:
    for moment, kind in (
        (timestamp(ago(48 * HOUR + MINUTE)), TOO_OLD),
        (timestamp(ago(-HOUR)), IN_FUTURE),
    ):
        refusal = await boss.refusal(boss.slips.StartRatingSlip, new_slip(start_time=moment))
        assert (refusal.kind, refusal.fields) == (kind, ("start_time",))


async def test_a_slip_without_a_start_starts_now_by_the_databases_clock(boss: Client) -> None:
    request = new_slip()
    request.ClearField("start_time")

    slip = (await boss.call(boss.slips.StartRatingSlip, request)).rating_slip

    assert slip.start_time.ToMicroseconds() <= slip.create_time.ToMicroseconds()
    assert slip.last_event_time == slip.start_time
    assert slip.duration_seconds == 0


async def test_times_keep_their_microseconds(boss: Client) -> None:
    moment = later(timestamp(ago(HOUR).replace(microsecond=0)), MINUTE / 60 / 1_000_000)

    slip = await start(boss, start_time=moment)

    assert moment.nanos == 1000
    assert slip.start_time == moment


async def test_amounts_in_another_currency_than_the_slips_are_refused(boss: Client) -> None:
    slip = await start(boss)
    euros = money(75, currency="EUR")
    update = ratingslip_pb2.UpdateAverageBetRequest(
        rating_slip_id=slip.rating_slip_id, average_bet=euros
    )

    refusals = {
        "average_bet": [
            await boss.refusal(boss.slips.UpdateAverageBet, update),
            await boss.refusal(boss.slips.CompleteRatingSlip, an_hour_of(slip, average_bet=euros)),
        ],
        "chips_taken": [
            await boss.refusal(boss.slips.CompleteRatingSlip, an_hour_of(slip, chips_taken=euros)),
        ],
    }

    for field, several in refusals.items():
        for refusal in several:
            assert refusal.kind == OTHER_CURRENCY
            assert refusal.fields == (f"{field}.currency_code",)
    # A refused close leaves the slip as it was.
    assert (await complete(boss, slip)).rating_slip.average_bet == slip.average_bet
