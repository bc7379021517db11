"""What the services log: one event for each call, and the events other systems wait for.

What every line has to be is in `test_log_schema`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from casino.ratingslip.v1 import ratingslip_pb2
from deploy.local.proxy import Mode
from tests.integration.casino import POINTS_OF_AN_HOUR, Casino, an_hour_of, new_id, start
from tests.integration.clients import Client
from tests.integration.services import BehindProxy, Pair
from tests.integration.spans import only, spans_of_call

CLOSES_AT_ONCE = 20
RECOVERY_RPC = "casino.ratingslip.v1.RatingSlipService/RecoverSlipLoyalty"


async def test_both_services_log_the_call_under_its_correlation_and_trace(
    boss: Client, casino: Casino, pair: Pair, traces_file: Path
) -> None:
    slip = await start(boss)
    correlation_id = new_id()

    closed = await boss.call(
        boss.slips.CompleteRatingSlip, an_hour_of(slip), correlation_id=correlation_id
    )

    spans = await spans_of_call(traces_file, correlation_id, "ratingslip", "loyalty")
    for service, name, role in (
        (pair.ratingslip, "RatingSlipService/CompleteRatingSlip", "pit_boss"),
        (pair.loyalty, "LoyaltyService/AccruePointsFromSlip", "service"),
    ):
        event = await service.log.event("rpc", correlation_id=correlation_id)
        span = only(spans, name, "SERVER")
        assert (event["trace_id"], event["span_id"]) == (span.trace_id, span.span_id)
        assert event["rpc.method"] == span.name
        assert event["rpc.response.status_code"] == "OK"
        assert event["casino.id"] == casino.id
        assert event["casino.role"] == role
        assert event["staff_id"] == casino.staff_id("pit_boss")
        assert event["casino.rating_slip_id"] == slip.rating_slip_id
        assert event["casino.ledger_entry_id"] == closed.loyalty.entry_id
        assert event["casino.idempotency_replay"] is False
        assert event["duration_ms"] > 0


async def test_a_slip_completed_many_times_at_once_is_told_of_once(
    boss: Client, pair: Pair
) -> None:
    slip = await start(boss)
    correlation_id = new_id()
    closes = [
        boss.call(boss.slips.CompleteRatingSlip, an_hour_of(slip), correlation_id=correlation_id)
        for _ in range(CLOSES_AT_ONCE)
    ]

    await asyncio.gather(*closes)

    # Every close has logged its end, so whatever they had to tell is there.
    log = pair.ratingslip.log
    assert len(log.events("rpc", correlation_id=correlation_id)) == CLOSES_AT_ONCE
    assert len(log.events("RATING_SLIP_COMPLETED", correlation_id=correlation_id)) == 1


async def test_a_completed_slip_is_told_to_whoever_counts_points(boss: Client, pair: Pair) -> None:
    slip = await start(boss)
    correlation_id = new_id()

    await boss.call(boss.slips.CompleteRatingSlip, an_hour_of(slip), correlation_id=correlation_id)

    for service, name in (
        (pair.loyalty, "POINTS_UPDATE_REQUESTED"),
        (pair.ratingslip, "RATING_SLIP_COMPLETED"),
    ):
        event = await service.log.event(name, correlation_id=correlation_id)
        assert event == event | {
            "logger": "loyalty_telemetry",
            "player_id": slip.player_id,
            "points": POINTS_OF_AN_HOUR,
            "tier": "BRONZE",
            "session_id": slip.rating_slip_id,
        }
        assert event["time"]
        assert event["trace_id"]


async def test_a_close_without_points_is_told_with_the_next_command(
    casino: Casino, behind_proxy: BehindProxy
) -> None:
    boss = casino.for_role("pit_boss", ratingslip=behind_proxy.ratingslip)
    slip = await start(boss)
    correlation_id = new_id()
    await behind_proxy.proxy.switch(Mode.REFUSE)

    await boss.refusal(
        boss.slips.CompleteRatingSlip, an_hour_of(slip), correlation_id=correlation_id
    )

    log = behind_proxy.ratingslip.log
    event = await log.event("slip_completion_failed", correlation_id=correlation_id)
    assert event == event | {
        "level": "ERROR",
        "rating_slip_id": slip.rating_slip_id,
        "error": "UNAVAILABLE",
        "recovery_needed": True,
    }
    assert RECOVERY_RPC in event["next_command"]
    assert slip.rating_slip_id in event["next_command"]
    call = await log.event("rpc", correlation_id=correlation_id)
    assert call == call | {
        "level": "WARNING",
        "rpc.response.status_code": "UNAVAILABLE",
        "reason": "PARTIAL_COMPLETION",
        "trace_id": event["trace_id"],
    }
    assert log.events("RATING_SLIP_COMPLETED", correlation_id=correlation_id) == []


async def test_a_refused_call_is_logged_with_its_reason_and_its_sentence(
    boss: Client, pair: Pair
) -> None:
    unknown = ratingslip_pb2.GetRatingSlipRequest(rating_slip_id=new_id())

    refusal = await boss.refusal(boss.slips.GetRatingSlip, unknown)

    event = await pair.ratingslip.log.event("rpc", correlation_id=refusal.correlation_id)
    assert event["level"] == "INFO"
    assert event["rpc.response.status_code"] == "NOT_FOUND"
    assert event["reason"] == "RATING_SLIP_NOT_FOUND"
    assert event["error"] in refusal.message


async def test_no_log_line_and_no_span_holds_a_token(
    casino: Casino, pair: Pair, traces_file: Path
) -> None:
    token = casino.token("admin")
    forged = token[:-8]
    for sent in (token, forged):
        client = casino.with_token(sent)
        correlation_id = new_id()
        call = client.send(
            client.slips.ListRatingSlips,
            ratingslip_pb2.ListRatingSlipsRequest(),
            headers=[("x-correlation-id", correlation_id)],
        )
        await call.code()
        await pair.ratingslip.log.event("rpc", correlation_id=correlation_id)
        await spans_of_call(traces_file, correlation_id, "ratingslip")

    signature = forged.rpartition(".")[2]
    spans_filed = await asyncio.to_thread(traces_file.read_text)
    assert signature not in pair.ratingslip.log.text()
    assert signature not in spans_filed
