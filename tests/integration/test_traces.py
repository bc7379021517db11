"""One trace through both services and both databases, with the right status on every span."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import secrets
from collections.abc import Mapping
from pathlib import Path

import grpc
import pytest
from grpc import StatusCode

from casino.ratingslip.v1 import ratingslip_pb2
from deploy.local.proxy import Mode
from deploy.local.traces import read_trace
from tests.databases import LOYALTY, RATINGSLIP, Service, TestDatabase
from tests.integration.casino import Casino, an_hour_of, complete, new_accrual, new_id, start
from tests.integration.clients import CORRELATION_HEADER, Client
from tests.integration.locks import held_player, held_slip
from tests.integration.patience import eventually
from tests.integration.previews import preview
from tests.integration.recovery import recovery_of
from tests.integration.services import BehindProxy
from tests.integration.spans import only, outline, spans_of_call

CLOSE = """\
ratingslip SERVER RatingSlipService/CompleteRatingSlip
  ratingslip INTERNAL close.commit
    ratingslip CLIENT complete_rating_slip
  ratingslip INTERNAL close.accrue
    ratingslip CLIENT LoyaltyService/AccruePointsFromSlip
      loyalty SERVER LoyaltyService/AccruePointsFromSlip
        loyalty CLIENT accrue_points_from_slip
  ratingslip INTERNAL close.record
    ratingslip CLIENT record_accrual"""
PREVIEW = """\
ratingslip SERVER RatingSlipService/PreviewSlipPoints
  ratingslip CLIENT preview_slip_points
  ratingslip INTERNAL preview.suggest
    ratingslip CLIENT LoyaltyService/SuggestPoints
      loyalty SERVER LoyaltyService/SuggestPoints
        loyalty CLIENT suggest_points"""
CLOSE_WITHOUT_LOYALTY = """\
ratingslip SERVER RatingSlipService/CompleteRatingSlip ERROR PARTIAL_COMPLETION
  ratingslip INTERNAL close.commit
    ratingslip CLIENT complete_rating_slip
  ratingslip INTERNAL close.accrue ERROR UNAVAILABLE
    ratingslip CLIENT LoyaltyService/AccruePointsFromSlip ERROR UNAVAILABLE
  ratingslip INTERNAL close.record
    ratingslip CLIENT record_failure"""

CALLS_AT_ONCE = 10
# Shorter than any limit of the services, so that it is the one that passes; and how far
# apart the deadlines of several calls are.
SHORT_DEADLINE_SECONDS = 1.0
DEADLINE_STEP_SECONDS = 0.0137


async def test_a_close_is_one_tree_over_both_services_and_both_databases(
    boss: Client, traces_file: Path
) -> None:
    slip = await start(boss)
    correlation_id = new_id()

    await boss.call(boss.slips.CompleteRatingSlip, an_hour_of(slip), correlation_id=correlation_id)

    spans = await spans_of_call(traces_file, correlation_id, "ratingslip", "loyalty")
    assert outline(spans) == CLOSE
    assert len({span.trace_id for span in spans}) == 1


async def test_a_preview_is_one_tree_too(boss: Client, traces_file: Path) -> None:
    slip = await start(boss)
    correlation_id = new_id()

    await preview(boss, slip, correlation_id=correlation_id)

    spans = await spans_of_call(traces_file, correlation_id, "ratingslip", "loyalty")
    assert outline(spans) == PREVIEW


async def test_the_spans_say_what_the_call_was_about_and_not_whom(
    boss: Client, casino: Casino, traces_file: Path
) -> None:
    slip = await start(boss)
    correlation_id = new_id()

    closed = await boss.call(
        boss.slips.CompleteRatingSlip, an_hour_of(slip), correlation_id=correlation_id
    )

    spans = await spans_of_call(traces_file, correlation_id, "ratingslip", "loyalty")
    everywhere = {"casino.correlation_id": correlation_id, "casino.id": casino.id}
    server = only(spans, "RatingSlipService/CompleteRatingSlip").attributes
    assert server == server | everywhere | {
        "rpc.system.name": "grpc",
        "rpc.method": "casino.ratingslip.v1.RatingSlipService/CompleteRatingSlip",
        "rpc.response.status_code": "OK",
        "casino.role": "pit_boss",
        "casino.rating_slip_id": slip.rating_slip_id,
    }
    called = only(spans, "LoyaltyService/AccruePointsFromSlip", "SERVER").attributes
    assert called == called | everywhere | {
        "rpc.response.status_code": "OK",
        "casino.role": "service",
        "casino.rating_slip_id": slip.rating_slip_id,
        "casino.ledger_entry_id": closed.loyalty.entry_id,
        "casino.idempotency_replay": False,
    }
    for function, namespace in (
        ("complete_rating_slip", "ratingslip"),
        ("record_accrual", "ratingslip"),
        ("accrue_points_from_slip", "loyalty"),
    ):
        query = only(spans, function).attributes
        assert query == query | everywhere | {
            "db.system.name": "postgresql",
            "db.namespace": namespace,
            "db.stored_procedure.name": function,
        }
    everything = json.dumps([dataclasses.asdict(span) for span in spans])
    assert slip.player_id not in everything


async def test_a_replay_is_marked_as_one(casino: Casino, traces_file: Path) -> None:
    service = casino.for_role("service")
    request, correlation_id = new_accrual(), new_id()
    original = await service.call(service.points.AccruePointsFromSlip, request)

    await service.call(service.points.AccruePointsFromSlip, request, correlation_id=correlation_id)

    spans = await spans_of_call(traces_file, correlation_id, "loyalty")
    server = only(spans, "LoyaltyService/AccruePointsFromSlip").attributes
    assert server["casino.idempotency_replay"] is True
    assert server["casino.ledger_entry_id"] == original.entry.entry_id


async def test_a_close_without_loyalty_shows_where_it_failed(
    casino: Casino, behind_proxy: BehindProxy, traces_file: Path
) -> None:
    boss = casino.for_role("pit_boss", ratingslip=behind_proxy.ratingslip)
    slip = await start(boss)
    correlation_id = new_id()
    await behind_proxy.proxy.switch(Mode.REFUSE)

    await boss.refusal(
        boss.slips.CompleteRatingSlip, an_hour_of(slip), correlation_id=correlation_id
    )

    spans = await spans_of_call(traces_file, correlation_id, "ratingslip")
    assert outline(spans) == CLOSE_WITHOUT_LOYALTY
    server = only(spans, "RatingSlipService/CompleteRatingSlip").attributes
    assert server["rpc.response.status_code"] == "UNAVAILABLE"
    assert server["error.type"] == "PARTIAL_COMPLETION"


async def test_a_mistake_of_the_caller_is_no_error_of_the_server(
    boss: Client, traces_file: Path
) -> None:
    correlation_id = new_id()
    unknown = ratingslip_pb2.GetRatingSlipRequest(rating_slip_id=new_id())

    await boss.refusal(boss.slips.GetRatingSlip, unknown, correlation_id=correlation_id)

    spans = await spans_of_call(traces_file, correlation_id, "ratingslip")
    server = only(spans, "RatingSlipService/GetRatingSlip")
    assert server.status == "UNSET"
    assert server.attributes["rpc.response.status_code"] == "NOT_FOUND"
    assert server.attributes["error.type"] == "RATING_SLIP_NOT_FOUND"


async def test_a_passed_deadline_is_an_error_of_the_server(
    boss: Client,
    casino: Casino,
    pair_databases: Mapping[Service, TestDatabase],
    traces_file: Path,
) -> None:
    slip = await start(boss)
    # Several, spread out: the client's clock and the server's race each other to the end.
    deadlines = {
        new_id(): SHORT_DEADLINE_SECONDS + n * DEADLINE_STEP_SECONDS for n in range(CALLS_AT_ONCE)
    }

    async def code_of(correlation_id: str) -> StatusCode:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await boss.call(
                boss.slips.CompleteRatingSlip,
                an_hour_of(slip),
                correlation_id=correlation_id,
                deadline_seconds=deadlines[correlation_id],
            )
        return caught.value.code()

    url = pair_databases[RATINGSLIP].superuser_url
    async with held_slip(url, casino.id, slip.rating_slip_id):
        codes = await asyncio.gather(*(code_of(each) for each in deadlines))

    assert set(codes) == {StatusCode.DEADLINE_EXCEEDED}
    for correlation_id in deadlines:
        spans = await spans_of_call(traces_file, correlation_id, "ratingslip")
        server = only(spans, "RatingSlipService/CompleteRatingSlip")
        assert server.attributes["rpc.response.status_code"] == "DEADLINE_EXCEEDED"
        assert server.status == "ERROR"


async def test_a_caller_that_goes_away_is_no_error_and_the_close_goes_on_in_its_trace(
    boss: Client,
    casino: Casino,
    pair_databases: Mapping[Service, TestDatabase],
    traces_file: Path,
) -> None:
    known = await start(boss)
    await complete(boss, known)
    slip = await start(boss, player_id=known.player_id)
    correlation_id = new_id()
    url = pair_databases[LOYALTY].superuser_url
    async with held_player(url, casino.id, slip.player_id) as player:
        call = boss.send(
            boss.slips.CompleteRatingSlip,
            an_hour_of(slip),
            headers=[(CORRELATION_HEADER, correlation_id)],
        )
        await player.awaited()
        call.cancel()
        begun = await spans_of_call(traces_file, correlation_id, "ratingslip")
        server = only(begun, "RatingSlipService/CompleteRatingSlip")

    async def recorded() -> bool:
        return any(span.name == "close.record" for span in read_trace(traces_file, server.trace_id))

    await eventually(recorded, "the close is recorded")
    spans = await spans_of_call(traces_file, correlation_id, "ratingslip", "loyalty")
    assert server.status == "UNSET"
    assert server.attributes["rpc.response.status_code"] == "CANCELLED"
    assert outline(spans) == CLOSE


async def test_the_callers_own_trace_goes_on(boss: Client, traces_file: Path) -> None:
    slip = await start(boss)
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)

    await boss.call(
        boss.slips.CompleteRatingSlip,
        an_hour_of(slip),
        headers=[("traceparent", f"00-{trace_id}-{span_id}-01")],
    )

    spans = await spans_of_call(traces_file, trace_id, "ratingslip", "loyalty")
    assert outline(spans) == CLOSE
    assert only(spans, "RatingSlipService/CompleteRatingSlip").parent_span_id == span_id


async def test_a_recovery_links_to_the_close_it_repairs(
    casino: Casino, behind_proxy: BehindProxy, traces_file: Path
) -> None:
    boss = casino.for_role("pit_boss", ratingslip=behind_proxy.ratingslip)
    slip = await start(boss)
    closed_under, recovered_under = new_id(), new_id()
    await behind_proxy.proxy.switch(Mode.REFUSE)
    await boss.refusal(boss.slips.CompleteRatingSlip, an_hour_of(slip), correlation_id=closed_under)
    await behind_proxy.proxy.switch(Mode.PASS)

    pair_boss = casino.for_role("pit_boss")
    await pair_boss.call(
        pair_boss.slips.RecoverSlipLoyalty, recovery_of(slip), correlation_id=recovered_under
    )

    close = await spans_of_call(traces_file, closed_under, "ratingslip")
    recovery = await spans_of_call(traces_file, recovered_under, "ratingslip", "loyalty")
    (link,) = only(recovery, "close.accrue").links
    commit = only(close, "close.commit")
    assert (link["trace_id"], link["span_id"]) == (commit.trace_id, commit.span_id)
    assert recovery[0].trace_id != commit.trace_id
