"""Metrics: each call counted once and under its right name, on both ways out of a service.

One short day of calls is made on services of its own, and read from several sides.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Mapping

import pytest
from grpc import StatusCode
from grpc_health.v1 import health_pb2
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.trace import NoOpTracer

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from chassis import client
from chassis.context import Call, Deadline, enter_call, leave_call
from deploy.local.processes import LOOPBACK, free_port
from deploy.local.proxy import Mode
from loyalty_service.manual_reward import MOST_POINTS
from tests.databases import LOYALTY, Service, TestDatabase
from tests.integration.casino import (
    POINTS_OF_AN_HOUR,
    Casino,
    an_hour_of,
    complete,
    new_accrual,
    new_id,
    new_redemption,
    new_reversal,
    new_reward,
    new_slip,
    start,
)
from tests.integration.identity import Identity
from tests.integration.locks import held_player
from tests.integration.metrics import (
    SCRAPED,
    MetricsSink,
    Scrape,
    fetch_metrics,
    metrics_url,
    scraped,
)
from tests.integration.metrics_page import documented, exported_by, require_labels
from tests.integration.patience import PATIENCE_SECONDS, eventually
from tests.integration.services import (
    Launcher,
    Pair,
    ServiceProcess,
    health_of,
    running_behind_proxy,
)

SERVER, CLIENT = "rpc_server_call_duration_seconds", "rpc_client_call_duration_seconds"
POINTS, SLIPS = "casino.loyalty.v1.LoyaltyService", "casino.ratingslip.v1.RatingSlipService"
COMPLETE, ACCRUE = f"{SLIPS}/CompleteRatingSlip", f"{POINTS}/AccruePointsFromSlip"
REWARD, REDEMPTION = 100, 30

# Method, status and reason of a call.
Ended = tuple[str, str, str]


@dataclasses.dataclass(frozen=True)
class Day:
    """What was done, and where it was measured."""

    ratingslip: ServiceProcess
    loyalty: ServiceProcess
    sink: MetricsSink
    # Of the close that went well.
    trace_id: str


@pytest.fixture(scope="module")
async def day(session_launcher: Launcher, pair: Pair, identity: Identity) -> AsyncIterator[Day]:
    """A close, one refused, one without its points, replays, a reward taken back, a redemption."""
    async with MetricsSink() as sink:
        measured = {
            **SCRAPED,
            "OTEL_METRICS_EXPORTER": "otlp,prometheus",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": sink.endpoint,
            "OTEL_METRIC_EXPORT_INTERVAL": "100",
        }
        loyalty = await session_launcher.loyalty(**measured)
        async with running_behind_proxy(session_launcher, loyalty, **measured) as running:
            casino = Casino(Pair(running.ratingslip, loyalty), identity)
            await spend_points(casino)
            trace_id = await close_slips(casino, running.ratingslip)
            await running.proxy.switch(Mode.REFUSE)
            await close_without_points(casino)
            for service in (running.ratingslip, loyalty):
                assert await health_of(service.channel) == health_pb2.HealthCheckResponse.SERVING
            yield Day(running.ratingslip, loyalty, sink, trace_id)


async def spend_points(casino: Casino) -> None:
    boss, admin, service = (casino.for_role(role) for role in ("pit_boss", "admin", "service"))
    accrual = new_accrual()
    for _ in range(3):
        await service.call(service.points.AccruePointsFromSlip, accrual)
    redemption = new_redemption(player_id=accrual.player_id, points=REDEMPTION)
    for _ in range(2):
        await boss.call(boss.points.RedeemPoints, redemption)
    await boss.refusal(boss.points.RedeemPoints, new_redemption())
    await boss.refusal(boss.points.VerifyLedger, loyalty_pb2.VerifyLedgerRequest())
    reward = new_reward(player_id=accrual.player_id, points=REWARD)
    given = await boss.call(boss.points.IssueManualReward, reward)
    await admin.call(admin.points.ReverseEntry, new_reversal(given.entry.entry_id))
    await admin.call(admin.points.VerifyLedger, loyalty_pb2.VerifyLedgerRequest())


async def close_slips(casino: Casino, ratingslip: ServiceProcess) -> str:
    boss = casino.for_role("pit_boss")
    slip, correlation_id = await start(boss), new_id()
    again = new_slip(player_id=slip.player_id, visit_id=slip.visit_id)
    await boss.refusal(boss.slips.StartRatingSlip, again)
    await boss.call(boss.slips.CompleteRatingSlip, an_hour_of(slip), correlation_id=correlation_id)
    # It is answered from the slip, without another accrual.
    await complete(boss, slip)
    event = await ratingslip.log.event("rpc", correlation_id=correlation_id)
    trace_id: str = event["trace_id"]
    return trace_id


async def close_without_points(casino: Casino) -> None:
    boss = casino.for_role("pit_boss")
    slip = await start(boss)
    refusal = await boss.refusal(boss.slips.CompleteRatingSlip, an_hour_of(slip))
    assert refusal.kind == (StatusCode.UNAVAILABLE, "PARTIAL_COMPLETION")
    unknown = ratingslip_pb2.CompleteRatingSlipRequest(rating_slip_id=new_id())
    await boss.refusal(boss.slips.CompleteRatingSlip, unknown)


def calls_of(scrape: Scrape, histogram: str) -> dict[Ended, float]:
    """How often each method ended in each way."""
    return {
        (
            sample.labels["rpc_method"],
            sample.labels["rpc_response_status_code"],
            sample.labels.get("error_type", ""),
        ): sample.value
        for sample in scrape.samples(f"{histogram}_count")
    }


async def test_each_call_is_counted_once_by_its_method_status_and_reason(day: Day) -> None:
    loyalty, ratingslip = await scraped(day.loyalty), await scraped(day.ratingslip)

    # Health is not in it, nor reflection.
    assert calls_of(loyalty, SERVER) == {
        (ACCRUE, "OK", ""): 4,
        (f"{POINTS}/RedeemPoints", "OK", ""): 2,
        (f"{POINTS}/RedeemPoints", "NOT_FOUND", "PLAYER_NOT_FOUND"): 1,
        (f"{POINTS}/IssueManualReward", "OK", ""): 1,
        (f"{POINTS}/ReverseEntry", "OK", ""): 1,
        (f"{POINTS}/VerifyLedger", "OK", ""): 1,
        (f"{POINTS}/VerifyLedger", "PERMISSION_DENIED", "ROLE_NOT_PERMITTED"): 1,
    }
    assert calls_of(ratingslip, SERVER) == {
        (f"{SLIPS}/StartRatingSlip", "OK", ""): 2,
        (f"{SLIPS}/StartRatingSlip", "ALREADY_EXISTS", "VISIT_HAS_ACTIVE_SLIP"): 1,
        (COMPLETE, "OK", ""): 2,
        (COMPLETE, "UNAVAILABLE", "PARTIAL_COMPLETION"): 1,
        (COMPLETE, "NOT_FOUND", "RATING_SLIP_NOT_FOUND"): 1,
    }
    assert calls_of(ratingslip, CLIENT) == {
        (ACCRUE, "OK", ""): 1,
        (ACCRUE, "UNAVAILABLE", "UNAVAILABLE"): 1,
    }
    partial = "casino_ratingslip_partial_completions_total"
    assert ratingslip.value(partial, error_type="UNAVAILABLE") == 1


async def test_entries_and_points_are_counted_by_reason_and_a_replay_moves_no_points(
    day: Day,
) -> None:
    scrape = await scraped(day.loyalty)

    def counted(name: str, **labels: str) -> dict[str, float]:
        samples = scrape.samples(f"casino_loyalty_{name}_total", **labels)
        return {each.labels["casino_ledger_reason"]: each.value for each in samples}

    nothing = dict.fromkeys(("manual_reward", "promotion", "adjustment", "reversal"), 0.0)
    entries = {**nothing, "base_accrual": 2, "redemption": 1, "manual_reward": 1, "reversal": 1}
    assert counted("entries", casino_idempotency_replay="false") == entries
    replays = {**nothing, "base_accrual": 2, "redemption": 1}
    assert counted("entries", casino_idempotency_replay="true") == replays
    credited = {**nothing, "base_accrual": 2 * POINTS_OF_AN_HOUR, "manual_reward": REWARD}
    assert counted("points_credited") == credited
    debited = {"adjustment": 0, "redemption": REDEMPTION, "reversal": REWARD}
    assert counted("points_debited") == debited
    assert scrape.value("casino_loyalty_verifications_total", casino_outcome="intact") == 1
    assert scrape.value("casino_loyalty_verifications_total", casino_outcome="broken") == 0


async def test_exemplars_lead_to_the_trace_of_the_call_and_stay_until_there_are_newer_ones(
    day: Day,
) -> None:
    expected = {day.trace_id}
    for _ in range(2):
        ratingslip, loyalty = await scraped(day.ratingslip), await scraped(day.loyalty)

        # One bucket may hold both the close and another call, and then names the newer one.
        assert expected & ratingslip.traces(f"{SERVER}_bucket", rpc_method=COMPLETE)
        assert expected == ratingslip.traces(
            f"{CLIENT}_bucket", rpc_method=ACCRUE, rpc_response_status_code="OK"
        )
        assert expected & loyalty.traces(f"{SERVER}_bucket", rpc_method=ACCRUE)
        assert expected == ratingslip.traces(
            "db_client_operation_duration_seconds_bucket",
            db_stored_procedure_name="record_accrual",
        )


async def test_who_asks_for_the_older_format_gets_the_same_figures_without_exemplars(
    day: Day,
) -> None:
    text = await asyncio.to_thread(fetch_metrics, await metrics_url(day.ratingslip), "text/plain")

    counts = [line for line in text.splitlines() if line.startswith(f"{CLIENT}_count{{")]
    assert [line.rpartition(" ")[2] for line in counts] == ["1.0", "1.0"]
    assert "trace_id" not in text


async def test_a_health_check_of_another_service_is_not_counted_as_a_call(pair: Pair) -> None:
    reader = InMemoryMetricReader()
    channel = client.open_channel(
        pair.loyalty.address,
        credentials=None,
        idempotent_methods=[],
        tracer=NoOpTracer(),
        meter=MeterProvider([reader]).get_meter("test"),
    )
    entered = enter_call(Call("check_loyalty", new_id(), Deadline.after(PATIENCE_SECONDS)))
    try:
        assert await health_of(channel) == health_pb2.HealthCheckResponse.SERVING
    finally:
        leave_call(entered)
        await channel.close()

    assert reader.get_metrics_data() is None


async def test_a_collector_gets_the_same_with_exemplars(day: Day) -> None:
    entries = ("loyalty", "casino.loyalty.entries", "redemption", "false")
    close = ("ratingslip", "rpc.client.call.duration", "grpc", ACCRUE, "OK")

    async def arrived() -> bool:
        return close in day.sink.exemplars and day.sink.counts.get(entries) == 1

    await eventually(arrived, "the metrics arrive")
    assert day.sink.exemplars[close] == {day.trace_id}


async def test_points_beyond_64_bits_do_not_keep_metrics_from_the_collector(
    casino: Casino, launcher: Launcher
) -> None:
    async with MetricsSink() as sink:
        loyalty = await launcher.loyalty(
            OTEL_METRICS_EXPORTER="otlp", OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=sink.endpoint
        )
        boss = casino.for_role("pit_boss", loyalty=loyalty)
        for _ in range(2):
            await boss.call(boss.points.IssueManualReward, new_reward(points=MOST_POINTS))
        # A service sends what it has before it ends.
        await loyalty.stop()

    credited = sink.counts["loyalty", "casino.loyalty.points.credited", "manual_reward"]
    assert credited == pytest.approx(2 * MOST_POINTS)


async def test_a_pool_shows_who_has_its_connections_who_waits_and_who_waited_in_vain(
    casino: Casino, launcher: Launcher, pair_databases: dict[Service, TestDatabase]
) -> None:
    loyalty = await launcher.loyalty(**SCRAPED, LOYALTY_DATABASE_POOL_SIZE="1")
    service = casino.for_role("service", loyalty=loyalty)
    first = new_accrual()
    await service.call(service.points.AccruePointsFromSlip, first)

    async def pool() -> dict[str, float]:
        scrape, prefix = await scraped(loyalty), "db_client_connection"
        return {
            "used": scrape.value(f"{prefix}_count", db_client_connection_state="used"),
            "idle": scrape.value(f"{prefix}_count", db_client_connection_state="idle"),
            "max": scrape.value(f"{prefix}_max"),
            "waiting": scrape.value(f"{prefix}_pending_requests"),
            "in vain": scrape.value(f"{prefix}_timeouts_total"),
        }

    async def shows(expected: Mapping[str, float]) -> None:
        async def reached() -> bool:
            return await pool() == expected

        await eventually(reached, f"the pool shows {expected}")

    at_rest = {"used": 0, "idle": 1, "max": 1, "waiting": 0, "in vain": 0}
    await shows(at_rest)
    database = pair_databases[LOYALTY]
    async with held_player(database.superuser_url, casino.id, first.player_id) as player:
        next_slip = new_accrual(player_id=first.player_id)
        accruing = asyncio.ensure_future(
            service.call(service.points.AccruePointsFromSlip, next_slip)
        )
        await player.awaited()
        waiting = service.send(service.points.AccruePointsFromSlip, new_accrual())
        full = {**at_rest, "used": 1, "idle": 0}
        await shows({**full, "waiting": 1})
        waiting.cancel()
        await shows({**full, "in vain": 1})
    await accruing
    await shows({**at_rest, "in vain": 1})


async def test_a_service_that_cannot_serve_says_so_in_its_metrics(launcher: Launcher) -> None:
    nowhere = f"postgresql://nobody@{LOOPBACK}:{free_port()}/nothing"
    loyalty = await (
        await launcher.start(LOYALTY, **SCRAPED, LOYALTY_DATABASE_URL=nowhere)
    ).listening()
    lost = await scraped(loyalty)
    serving = await scraped(await launcher.loyalty(**SCRAPED))

    (not_serving,) = lost.samples("casino_health_serving")
    assert (not_serving.value, serving.value("casino_health_serving")) == (0, 1)


async def test_the_page_names_each_metric_that_is_exported_and_no_other(day: Day) -> None:
    page = documented()

    async def measured() -> bool:
        # The event loop is looked at twice a second, and the slips in the background.
        ratingslip, loyalty = await scraped(day.ratingslip), await scraped(day.loyalty)
        delay, slips = "casino_event_loop_delay_seconds", "casino_ratingslip_unsettled_slips"
        return {delay, slips} <= {*ratingslip.families} and delay in loyalty.families

    await eventually(measured, "everything was measured once")
    for service, of_its_own in ((day.ratingslip, page.ratingslip), (day.loyalty, page.loyalty)):
        expected = {**page.both, **of_its_own}
        exported = exported_by(await scraped(service))
        assert {name: each.kind for name, each in exported.items()} == {
            name: each.kind for name, each in expected.items()
        }
        require_labels(exported, expected)
