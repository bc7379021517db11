"""One trace of a close, in a real trace backend: the client's call, both services, the databases.

It is read as `explain` reads it, over Jaeger's query API; from Jaeger itself where it is
installed, and from the local stack's own store everywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple

import pytest
from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from casino.ratingslip.v1 import ratingslip_pb2
from chassis import telemetry
from deploy.explain.evidence import Step
from deploy.explain.trace_store import TraceStore
from deploy.local.proxy import Mode
from tests.databases import Service, TestDatabase
from tests.integration.casino import Casino, an_hour_of, start
from tests.integration.clients import Client
from tests.integration.identity import Identity
from tests.integration.patience import eventually
from tests.integration.services import BehindProxy, Launcher, Pair, running_behind_proxy
from tests.integration.spans import short
from tests.integration.trace_backends import (
    embedded_backend,
    jaeger_backend,
    jaeger_program,
)

CLOSE = """\
till close a slip
  ratingslip RatingSlipService/CompleteRatingSlip
    ratingslip close.commit
      ratingslip complete_rating_slip
    ratingslip close.accrue
      ratingslip LoyaltyService/AccruePointsFromSlip
        loyalty LoyaltyService/AccruePointsFromSlip
          loyalty accrue_points_from_slip
    ratingslip close.record
      ratingslip record_accrual"""
CLOSE_WITHOUT_LOYALTY = """\
till close a slip FAILED PARTIAL_COMPLETION
  ratingslip RatingSlipService/CompleteRatingSlip FAILED PARTIAL_COMPLETION
    ratingslip close.commit
      ratingslip complete_rating_slip
    ratingslip close.accrue FAILED UNAVAILABLE
      ratingslip LoyaltyService/AccruePointsFromSlip FAILED UNAVAILABLE
    ratingslip close.record
      ratingslip record_failure"""


class Traced(NamedTuple):
    """Services that send to a backend, a client that does, too, and the way to ask it."""

    services: BehindProxy
    pair: Pair
    client: TracerProvider
    store: TraceStore


@pytest.fixture(scope="module", params=["Jaeger", "the local stack's store"])
async def traced(
    request: pytest.FixtureRequest,
    identity: Identity,
    pair_databases: Mapping[Service, TestDatabase],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Traced]:
    directory = tmp_path_factory.mktemp("traced")
    async with contextlib.AsyncExitStack() as parts:
        if request.param == "Jaeger":
            program = jaeger_program()
            if program is None:
                pytest.skip("no Jaeger 2 on the path, and TEST_JAEGER names none")
            backend = await parts.enter_async_context(jaeger_backend(program, directory))
        else:
            backend = await parts.enter_async_context(embedded_backend(directory))
        launcher = Launcher(directory, identity, pair_databases, backend.otlp_endpoint)
        parts.push_async_callback(launcher.stop_all)
        loyalty = await launcher.loyalty()
        services = await parts.enter_async_context(running_behind_proxy(launcher, loyalty))
        client = TracerProvider(resource=Resource.create({SERVICE_NAME: "till"}))
        exporter = OTLPSpanExporter(endpoint=backend.otlp_endpoint, insecure=True)
        client.add_span_processor(BatchSpanProcessor(exporter))
        parts.callback(client.shutdown)
        pair = Pair(services.ratingslip, loyalty)
        yield Traced(services, pair, client, TraceStore(backend.query_url))


async def close_in_a_trace(
    traced: Traced, boss: Client, slip: ratingslip_pb2.RatingSlip, *, succeeds: bool
) -> str:
    """Closes a slip as an instrumented client does; the trace's ID."""
    tracer = traced.client.get_tracer("tests")
    headers: dict[str, str] = {}
    with tracer.start_as_current_span("close a slip", kind=trace.SpanKind.CLIENT) as span:
        propagate.inject(headers)
        sent = boss.send(
            boss.slips.CompleteRatingSlip, an_hour_of(slip), headers=[*headers.items()]
        )
        code = await sent.code()
        if not succeeds:
            telemetry.mark_failed(span, "PARTIAL_COMPLETION")
        assert (code.name == "OK") is succeeds
    # In a thread: the embedded store answers in this event loop.
    await asyncio.to_thread(traced.client.force_flush)
    return trace.format_trace_id(span.get_span_context().trace_id)


async def whole_trace(store: TraceStore, trace_id: str, span_count: int) -> list[Step]:
    async def found() -> list[Step] | None:
        steps = await store.steps(trace_id)
        return steps if len(steps) >= span_count else None

    return await eventually(found, f"{span_count} spans of {trace_id} are stored")


def outline(steps: Sequence[Step], parent: str = "", indent: str = "") -> str:
    """The tree: a line for each span, indented below its parent, with its failure."""
    lines = []
    for step in steps:
        if step.parent_span_id == parent:
            failed = f" FAILED {step.error_type}" if step.failed else ""
            lines.append(f"{indent}{step.service} {short(step.name)}{failed}")
            below = outline(steps, step.span_id, f"{indent}  ")
            lines += [below] if below else []
    return "\n".join(lines)


async def test_a_close_is_one_trace_from_the_clients_call_to_both_databases(
    traced: Traced, identity: Identity
) -> None:
    boss = Casino(traced.pair, identity).for_role("pit_boss")
    slip = await start(boss)

    trace_id = await close_in_a_trace(traced, boss, slip, succeeds=True)

    steps = await whole_trace(traced.store, trace_id, CLOSE.count("\n") + 1)
    assert outline(steps) == CLOSE
    assert all(step.duration_ms > 0 for step in steps)


async def test_what_failed_is_marked_as_failed_with_its_reason(
    traced: Traced, identity: Identity
) -> None:
    boss = Casino(traced.pair, identity).for_role("pit_boss")
    slip = await start(boss)
    await traced.services.proxy.switch(Mode.REFUSE)

    trace_id = await close_in_a_trace(traced, boss, slip, succeeds=False)
    await traced.services.proxy.switch(Mode.PASS)

    steps = await whole_trace(traced.store, trace_id, CLOSE_WITHOUT_LOYALTY.count("\n") + 1)
    assert outline(steps) == CLOSE_WITHOUT_LOYALTY


async def test_a_trace_that_nobody_sent_is_empty(traced: Traced) -> None:
    assert await traced.store.steps("0" * 31 + "1") == []
