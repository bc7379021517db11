"""The recoverer: a slip that closed without points gets them, with nobody asking."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from casino.ratingslip.v1 import ratingslip_pb2
from deploy.local.proxy import Mode
from deploy.local.traces import Span, find_traces, read_trace
from tests.databases import (
    LOYALTY,
    RATINGSLIP,
    Connection,
    Databases,
    Service,
    TestDatabase,
    connected,
)
from tests.integration.casino import (
    POINTS_OF_AN_HOUR,
    Casino,
    an_hour_of,
    money,
    new_accrual,
    new_id,
    new_play,
    read_entries,
    read_events,
    read_slip,
    start,
)
from tests.integration.clients import Client
from tests.integration.drifting import break_balance, reconcile
from tests.integration.identity import ACTING_SERVICE, Identity
from tests.integration.locks import held_player
from tests.integration.metrics import MetricsSink
from tests.integration.patience import eventually
from tests.integration.recovery import hasten_recovery, refused_close
from tests.integration.services import BehindProxy, Launcher, Pair, running_behind_proxy
from tests.integration.spans import only, outline

OFTEN = {"RATINGSLIP_RECOVERY_POLL_SECONDS": "0.05"}
# More than one round has hands for, and quickly made.
BACKLOG = 12
SEVERAL_POLLS = 3
RECOVERIES = "casino.ratingslip.recoveries"
REFUSED_SLIPS = "casino.ratingslip.refused_slips"


@pytest.fixture
async def own_ratingslip_database(databases: Databases) -> AsyncIterator[TestDatabase]:
    """Only this test's slips are in it, and they are soon due."""
    async with databases.migrated(RATINGSLIP) as database:
        async with connected(database.superuser_url) as superuser:
            await hasten_recovery(superuser)
        yield database


@pytest.fixture
async def slips_sql(own_ratingslip_database: TestDatabase) -> AsyncIterator[Connection]:
    async with connected(own_ratingslip_database.superuser_url) as connection:
        yield connection


@pytest.fixture
async def metrics() -> AsyncIterator[MetricsSink]:
    async with MetricsSink() as sink:
        yield sink


@pytest.fixture
async def recovering(
    identity: Identity,
    pair: Pair,
    pair_databases: Mapping[Service, TestDatabase],
    own_ratingslip_database: TestDatabase,
    trace_endpoint: str,
    metrics: MetricsSink,
    tmp_path: Path,
) -> AsyncIterator[BehindProxy]:
    """A RatingSlip that recovers, and the proxy through which it reaches the pair's Loyalty."""
    databases = {LOYALTY: pair_databases[LOYALTY], RATINGSLIP: own_ratingslip_database}
    launcher = Launcher(tmp_path, identity, databases, trace_endpoint)
    exporting = {
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": metrics.endpoint,
        "OTEL_METRIC_EXPORT_INTERVAL": "100",
    }
    try:
        async with running_behind_proxy(launcher, pair.loyalty, **OFTEN, **exporting) as running:
            yield running
    finally:
        await launcher.stop_all()


@pytest.fixture
def boss(casino: Casino, recovering: BehindProxy) -> Client:
    return casino.for_role("pit_boss", ratingslip=recovering.ratingslip)


async def settled(
    reader: Client, slip: ratingslip_pb2.RatingSlip, state: ratingslip_pb2.LoyaltyState.ValueType
) -> ratingslip_pb2.RatingSlip:
    """The slip, once the recoverer has brought it to this state."""

    async def reached() -> ratingslip_pb2.RatingSlip | None:
        found = await read_slip(reader, slip.rating_slip_id)
        return found if found.loyalty_state == state else None

    return await eventually(reached, f"the slip is {ratingslip_pb2.LoyaltyState.Name(state)}")


async def accrued(reader: Client, slip: ratingslip_pb2.RatingSlip) -> ratingslip_pb2.RatingSlip:
    """The slip, once it has its points."""
    return await settled(reader, slip, ratingslip_pb2.LOYALTY_STATE_ACCRUED)


async def half_closed(boss: Client, recovering: BehindProxy) -> ratingslip_pb2.RatingSlip:
    """A slip that closed while Loyalty was away, which it still is."""
    slip = await start(boss)
    await recovering.proxy.switch(Mode.REFUSE)
    await refused_close(boss, slip)
    return slip


async def test_a_slip_gets_its_points_in_the_name_of_who_closed_it(
    boss: Client, casino: Casino, recovering: BehindProxy
) -> None:
    slip = await start(boss)
    await recovering.proxy.switch(Mode.REFUSE)
    await boss.refusal(boss.slips.CompleteRatingSlip, an_hour_of(slip), correlation_id="the.close")
    await recovering.proxy.switch(Mode.PASS)

    closed = await accrued(boss, slip)

    (entry,) = await read_entries(boss, player_id=slip.player_id)
    assert closed.loyalty_entry_id == entry.entry_id
    assert entry.points_delta == POINTS_OF_AN_HOUR
    assert (entry.staff_id, entry.acting_service) == (casino.staff_id("pit_boss"), ACTING_SERVICE)
    # Whoever looks for the close by its correlation ID finds the repair as well.
    assert entry.correlation_id == "the.close"


async def test_each_attempt_of_the_service_itself_stands_in_the_slips_history(
    boss: Client, casino: Casino, loyalty_sql: Connection
) -> None:
    admin = casino.for_role("admin")
    known = await start(boss)
    await boss.call(boss.slips.CompleteRatingSlip, an_hour_of(known))
    slip = await start(boss, player_id=known.player_id)
    await break_balance(loyalty_sql, casino, slip.player_id)
    closed_under = new_id()
    await boss.refusal(boss.slips.CompleteRatingSlip, an_hour_of(slip), correlation_id=closed_under)

    async def tried() -> list[ratingslip_pb2.SlipEvent]:
        events = await read_events(boss, rating_slip_id=slip.rating_slip_id)
        return [event for event in events if event.role == "scheduler"]

    await eventually(tried, "the service has tried by itself")
    await reconcile(admin, slip.player_id)
    paid = await accrued(boss, slip)

    *failed, last = await tried()
    fail, accrue = ratingslip_pb2.SLIP_EVENT_KIND_FAIL, ratingslip_pb2.SLIP_EVENT_KIND_ACCRUE
    assert {(event.kind, event.code, event.reason) for event in failed} == {
        (fail, "DATA_LOSS", "BALANCE_DRIFTED")
    }
    assert (last.kind, last.reason) == (accrue, "")
    assert paid.recovery_attempt_count == len(failed) + 1
    for event in (*failed, last):
        # In the name of who closed the slip, under the close's ID, each in a trace of its own.
        assert event.staff_id == casino.staff_id("pit_boss")
        assert event.correlation_id == closed_under
    assert len({event.trace_id for event in (*failed, last)}) == len(failed) + 1


async def test_the_repair_is_a_trace_of_its_own_that_links_to_the_close(
    boss: Client, recovering: BehindProxy, traces_file: Path
) -> None:
    slip = await start(boss)
    await recovering.proxy.switch(Mode.REFUSE)
    closed_under = new_id()
    await boss.refusal(boss.slips.CompleteRatingSlip, an_hour_of(slip), correlation_id=closed_under)
    await recovering.proxy.switch(Mode.PASS)
    await accrued(boss, slip)

    async def both() -> list[list[Span]] | None:
        found = find_traces(traces_file, "casino.correlation_id", closed_under)
        traces = [read_trace(traces_file, trace_id) for trace_id in found]
        # What comes last: each trace's first span, and that of Loyalty, which files its own.
        whole = [spans for spans in traces if not spans[0].parent_span_id]
        servers = [span for spans in whole for span in spans if span.kind == "SERVER"]
        if len(whole) != 2 or "loyalty" not in {span.service for span in servers}:
            return None
        return sorted(whole, key=lambda spans: spans[0].name)

    close, repair = await eventually(both, "the close and its repair are filed")
    commit, root = only(close, "close.commit"), repair[0]
    (link,) = root.links
    assert (link["trace_id"], link["span_id"]) == (commit.trace_id, commit.span_id)
    assert outline(repair).splitlines() == [
        "ratingslip INTERNAL recover_slip",
        "  ratingslip INTERNAL close.accrue",
        "    ratingslip CLIENT LoyaltyService/AccruePointsFromSlip",
        "      loyalty SERVER LoyaltyService/AccruePointsFromSlip",
        "        loyalty CLIENT accrue_points_from_slip",
        "  ratingslip INTERNAL close.record",
        "    ratingslip CLIENT record_accrual",
    ]


async def test_a_poisoned_slip_is_put_aside_told_and_found_and_the_others_go_on(
    boss: Client, casino: Casino, recovering: BehindProxy, metrics: MetricsSink
) -> None:
    poisoned = await half_closed(boss, recovering)
    # Somebody has used the slip's key for another play.
    service = casino.for_role("service")
    foreign = new_accrual(
        player_id=poisoned.player_id,
        rating_slip_id=poisoned.rating_slip_id,
        visit_id=poisoned.visit_id,
        play=new_play(average_bet=money(1)),
    )
    await service.call(service.points.AccruePointsFromSlip, foreign)
    others = [await half_closed(boss, recovering) for _ in range(2)]
    await recovering.proxy.switch(Mode.PASS)

    refused = await settled(boss, poisoned, ratingslip_pb2.LOYALTY_STATE_REFUSED)
    for other in others:
        await accrued(boss, other)

    reason = "IDEMPOTENCY_KEY_CONFLICT"
    assert refused.loyalty_refusal_reason == reason
    listed = await boss.call(
        boss.slips.ListRatingSlips,
        ratingslip_pb2.ListRatingSlipsRequest(loyalty_state=ratingslip_pb2.LOYALTY_STATE_REFUSED),
    )
    assert [slip.rating_slip_id for slip in listed.rating_slips] == [poisoned.rating_slip_id]
    told = await recovering.ratingslip.log.event(
        "slip_refused", rating_slip_id=poisoned.rating_slip_id
    )
    assert (told["level"], told["error"]) == ("ERROR", reason)

    async def counted() -> bool:
        counts = metrics.counts
        return (
            counts.get(("ratingslip", REFUSED_SLIPS, reason)) == 1
            and counts.get(("ratingslip", RECOVERIES, "refused")) == 1
            and counts.get(("ratingslip", RECOVERIES, "accrued")) == len(others)
        )

    await eventually(counted, "the outcomes are counted")


@pytest.mark.parametrize("away", [Mode.REFUSE, Mode.STALL])
async def test_while_loyalty_is_away_no_slip_is_tried_and_afterwards_all_are(
    boss: Client, recovering: BehindProxy, slips_sql: Connection, away: Mode
) -> None:
    slips = [await half_closed(boss, recovering) for _ in range(3)]
    await recovering.proxy.switch(away)
    before = len(recovering.ratingslip.log.events("recovery_paused"))

    async def polled() -> bool:
        paused = recovering.ratingslip.log.events("recovery_paused")
        return len(paused) >= before + SEVERAL_POLLS

    await eventually(polled, "the recoverer looked several times")

    attempts = await slips_sql.fetchval(
        "SELECT max(recovery_attempt_count) FROM ratingslip.rating_slip"
    )
    assert attempts == 0
    await recovering.proxy.switch(Mode.PASS)
    for slip in slips:
        await accrued(boss, slip)


async def test_a_slip_that_cannot_be_finished_now_keeps_no_other_one_waiting(
    boss: Client,
    recovering: BehindProxy,
    casino: Casino,
    pair_databases: Mapping[Service, TestDatabase],
) -> None:
    known = await start(boss)
    await boss.call(boss.slips.CompleteRatingSlip, an_hour_of(known))
    stuck = await start(boss, player_id=known.player_id)
    await recovering.proxy.switch(Mode.REFUSE)
    await refused_close(boss, stuck)
    others = [await half_closed(boss, recovering) for _ in range(BACKLOG)]
    url = pair_databases[LOYALTY].superuser_url
    async with held_player(url, casino.id, stuck.player_id) as player:
        await recovering.proxy.switch(Mode.PASS)
        await player.awaited()

        for other in others:
            await accrued(boss, other)

        still = await read_slip(boss, stuck.rating_slip_id)
    assert still.loyalty_state == ratingslip_pb2.LOYALTY_STATE_PENDING
    await accrued(boss, stuck)


async def test_a_casino_does_not_wait_for_the_backlog_of_another(
    recovering: BehindProxy, pair: Pair, identity: Identity, slips_sql: Connection
) -> None:
    busy, quiet = Casino(pair, identity), Casino(pair, identity)
    bosses = [each.for_role("pit_boss", ratingslip=recovering.ratingslip) for each in (busy, quiet)]
    slips = [(bosses[0], await half_closed(bosses[0], recovering)) for _ in range(BACKLOG)]
    # The youngest of all: in one queue it would come last.
    slips.append((bosses[1], await half_closed(bosses[1], recovering)))
    await recovering.proxy.switch(Mode.PASS)

    await asyncio.gather(*(accrued(boss, slip) for boss, slip in slips))

    order = await slips_sql.fetch(
        "SELECT casino_id FROM ratingslip.rating_slip_event WHERE kind = 'accrue'"
        " ORDER BY recorded_time"
    )
    assert str(order[-1]["casino_id"]) == busy.id
