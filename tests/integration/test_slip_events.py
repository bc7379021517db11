"""What happened to a slip, as `ListSlipEvents` tells it: who did what when, and every attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from deploy.local.proxy import Mode
from tests.integration.casino import (
    HOUR,
    Casino,
    ago,
    an_hour_of,
    money,
    new_id,
    new_reward,
    new_slip,
    read_events,
    read_slip,
    start,
    timestamp,
)
from tests.integration.clients import Client
from tests.integration.recovery import recover, recovery_of, refused_close
from tests.integration.services import BehindProxy
from tests.integration.spans import spans_of_call

INVALID_PAGE_TOKEN = "INVALID_PAGE_TOKEN"
STARTS_AT_ONCE = 5


def kinds(events: Sequence[ratingslip_pb2.SlipEvent]) -> list[str]:
    return [
        ratingslip_pb2.SlipEventKind.Name(event.kind).removeprefix("SLIP_EVENT_KIND_")
        for event in events
    ]


async def test_a_slips_life_is_told_in_order_with_who_when_and_under_which_call(
    boss: Client, casino: Casino, traces_file: Path
) -> None:
    admin, cashier = casino.for_role("admin"), casino.for_role("cashier")
    slip = await start(boss, idempotency_key="from.the.table")
    of_slip: dict[str, Any] = {"rating_slip_id": slip.rating_slip_id}
    paused = timestamp(ago(HOUR))
    await boss.call(
        boss.slips.PauseRatingSlip,
        ratingslip_pb2.PauseRatingSlipRequest(**of_slip, event_time=paused),
        correlation_id="smoke.break",
    )
    await admin.call(
        admin.slips.ResumeRatingSlip, ratingslip_pb2.ResumeRatingSlipRequest(**of_slip)
    )
    await boss.call(
        boss.slips.UpdateAverageBet,
        ratingslip_pb2.UpdateAverageBetRequest(**of_slip, average_bet=money(80)),
    )
    closing = new_id()
    await boss.call(
        boss.slips.CompleteRatingSlip,
        ratingslip_pb2.CompleteRatingSlipRequest(**of_slip),
        correlation_id=closing,
    )

    events = await read_events(cashier, **of_slip)

    assert kinds(events) == ["START", "PAUSE", "RESUME", "UPDATE_AVERAGE_BET", "COMPLETE", "ACCRUE"]
    assert [event.event_number for event in events] == [1, 2, 3, 4, 5, 6]
    started, pause, resumed, update, closed, accrued = events
    assert started.idempotency_key == "from.the.table"
    assert (pause.event_time, pause.correlation_id) == (paused, "smoke.break")
    assert pause.record_time.ToMicroseconds() > paused.ToMicroseconds()
    assert [event.role for event in events] == [
        *("pit_boss", "pit_boss", "admin", "pit_boss", "pit_boss", "pit_boss")
    ]
    assert resumed.staff_id == casino.staff_id("admin")
    assert closed.staff_id == casino.staff_id("pit_boss")
    assert (started.average_bet, update.average_bet) == (money(50), money(80))
    assert closed.correlation_id == accrued.correlation_id == closing
    spans = await spans_of_call(traces_file, closing, "ratingslip", "loyalty")
    assert closed.trace_id == accrued.trace_id == spans[0].trace_id
    assert accrued.loyalty_call_ms > 0
    assert (accrued.code, accrued.reason) == ("", "")


async def test_every_failed_attempt_stands_there_with_its_reason(
    casino: Casino, behind_proxy: BehindProxy
) -> None:
    boss = casino.for_role("pit_boss", ratingslip=behind_proxy.ratingslip)
    admin = casino.for_role("admin", ratingslip=behind_proxy.ratingslip)
    slip = await start(boss)
    await behind_proxy.proxy.switch(Mode.REFUSE)
    await refused_close(boss, slip)
    await admin.refusal(
        admin.slips.RecoverSlipLoyalty, recovery_of(slip), correlation_id="a.second.try"
    )
    pending = await read_slip(boss, slip.rating_slip_id)
    await behind_proxy.proxy.switch(Mode.PASS)
    await recover(boss, slip)

    events = await read_events(boss, rating_slip_id=slip.rating_slip_id)

    assert kinds(events)[:4] == ["START", "COMPLETE", "FAIL", "FAIL"]
    # A connection that is just coming back may cost the last call another attempt.
    assert kinds(events)[-1] == "ACCRUE"
    closed, first, second = events[1:4]
    assert [(event.code, event.reason) for event in (first, second)] == [
        ("UNAVAILABLE", "UNAVAILABLE")
    ] * 2
    assert (first.staff_id, first.role) == (casino.staff_id("pit_boss"), "pit_boss")
    assert (second.staff_id, second.role) == (casino.staff_id("admin"), "admin")
    assert first.correlation_id == closed.correlation_id
    assert second.correlation_id == "a.second.try"
    assert first.trace_id == closed.trace_id != second.trace_id
    # A failed attempt changes nothing about the slip.
    assert pending.update_time == closed.record_time
    assert pending.next_recovery_time.ToMicroseconds() > closed.record_time.ToMicroseconds()


async def test_every_refusal_stands_there_and_the_slip_names_the_last(
    boss: Client, casino: Casino
) -> None:
    admin = casino.for_role("admin")
    slip = await start(boss)
    # The slip's ID is the key of its accrual, and somebody has used it.
    taken = new_reward(idempotency_key=slip.rating_slip_id)
    await admin.call(admin.points.IssueManualReward, taken)
    await refused_close(boss, slip)
    await boss.refusal(boss.slips.RecoverSlipLoyalty, recovery_of(slip))

    events = await read_events(boss, rating_slip_id=slip.rating_slip_id)

    assert kinds(events) == ["START", "COMPLETE", "REFUSE", "REFUSE"]
    assert {(event.code, event.reason) for event in events[2:]} == {
        ("ALREADY_EXISTS", "IDEMPOTENCY_KEY_CONFLICT")
    }
    refused = await read_slip(boss, slip.rating_slip_id)
    assert refused.loyalty_refusal_reason == "IDEMPOTENCY_KEY_CONFLICT"
    assert not refused.HasField("next_recovery_time")


async def test_a_correlation_id_and_a_trace_lead_to_what_happened_under_them(
    boss: Client, traces_file: Path
) -> None:
    correlation_id = new_id()
    first, second = await start(boss), await start(boss)
    for slip in (first, second):
        await boss.call(
            boss.slips.CompleteRatingSlip, an_hour_of(slip), correlation_id=correlation_id
        )

    under_correlation = await read_events(boss, correlation_id=correlation_id)
    of_second = await read_events(
        boss, correlation_id=correlation_id, rating_slip_id=second.rating_slip_id
    )
    in_trace = await read_events(boss, trace_id=of_second[0].trace_id)

    assert kinds(under_correlation) == ["COMPLETE", "ACCRUE"] * 2
    assert [event.rating_slip_id for event in under_correlation] == [
        *[first.rating_slip_id] * 2,
        *[second.rating_slip_id] * 2,
    ]
    assert in_trace == of_second == under_correlation[2:]
    assert await read_events(boss, correlation_id=new_id()) == []


async def test_pages_follow_each_other_and_what_is_recorded_meanwhile_comes_last(
    boss: Client,
) -> None:
    correlation_id = new_id()

    async def page(size: int, token: str = "") -> ratingslip_pb2.ListSlipEventsResponse:
        return await boss.call(
            boss.slips.ListSlipEvents,
            ratingslip_pb2.ListSlipEventsRequest(
                page_size=size, page_token=token, correlation_id=correlation_id
            ),
        )

    async def open_one() -> ratingslip_pb2.RatingSlip:
        answer = await boss.call(
            boss.slips.StartRatingSlip, new_slip(), correlation_id=correlation_id
        )
        return answer.rating_slip

    await asyncio.gather(*(open_one() for _ in range(STARTS_AT_ONCE)))
    whole = await page(100)
    first = await page(2)
    late = await open_one()
    rest = await page(100, first.next_page_token)
    exactly = await page(STARTS_AT_ONCE + 1)

    assert len(whole.events) == STARTS_AT_ONCE
    assert [*first.events, *rest.events] == [*whole.events, rest.events[-1]]
    assert rest.events[-1].rating_slip_id == late.rating_slip_id
    # A full page that is the last has no token.
    assert (rest.next_page_token, exactly.next_page_token) == ("", "")
    other = ratingslip_pb2.ListSlipEventsRequest(
        page_token=first.next_page_token, correlation_id=new_id()
    )
    refusal = await boss.refusal(boss.slips.ListSlipEvents, other)
    assert refusal.reason == INVALID_PAGE_TOKEN


async def test_a_manual_reward_in_place_of_the_points_settles_a_refused_slip(
    boss: Client, casino: Casino
) -> None:
    admin = casino.for_role("admin")
    slip = await start(boss)
    await admin.call(
        admin.points.IssueManualReward, new_reward(idempotency_key=slip.rating_slip_id)
    )
    await refused_close(boss, slip)
    reward: loyalty_pb2.IssueManualRewardRequest = new_reward(
        player_id=slip.player_id, points=525, rating_slip_id=slip.rating_slip_id
    )

    paid = await boss.call(boss.points.IssueManualReward, reward)
    settled = await recover(boss, slip)

    assert settled.loyalty.entry_id == paid.entry.entry_id
    assert settled.loyalty.is_existing
    assert settled.rating_slip.loyalty_state == ratingslip_pb2.LOYALTY_STATE_ACCRUED
    events = await read_events(boss, rating_slip_id=slip.rating_slip_id)
    assert kinds(events) == ["START", "COMPLETE", "REFUSE", "ACCRUE"]


async def test_a_reward_that_names_the_slip_pays_it_even_under_the_slips_own_key(
    boss: Client,
) -> None:
    slip = await start(boss)
    paid = await boss.call(
        boss.points.IssueManualReward,
        new_reward(
            player_id=slip.player_id,
            rating_slip_id=slip.rating_slip_id,
            idempotency_key=slip.rating_slip_id,
        ),
    )

    closed = await boss.call(boss.slips.CompleteRatingSlip, an_hour_of(slip))

    assert closed.loyalty.entry_id == paid.entry.entry_id
    assert closed.loyalty.is_existing
