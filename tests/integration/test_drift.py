"""Drift over gRPC, and by the services' own clock: found, named, repaired; told, and only once."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode

from casino.loyalty.v1 import loyalty_pb2
from deploy.local.processes import LOOPBACK, free_port
from deploy.local.proxy import Mode, TcpProxy
from deploy.local.traces import Span, wait_for_trace
from tests.database.drifting import (
    audit_of,
    delete_balance,
    forge_entry,
    insert_drifting_player,
    move,
)
from tests.databases import Connection
from tests.integration.casino import POINTS_OF_AN_HOUR, Casino, new_accrual
from tests.integration.clients import Client
from tests.integration.metrics import MetricsSink
from tests.integration.patience import PATIENCE_SECONDS, eventually
from tests.integration.services import Launcher, Pair, ServiceProcess
from tests.integration.spans import outline

REASON = "the auditor asked for it"
OFTEN = {"LOYALTY_DRIFT_POLL_SECONDS": "0.1"}
DUE_CASINOS = 10
CHECKS = "casino.loyalty.drift.checks"
FINDINGS = "casino.loyalty.drift.findings"


@pytest.fixture
def admin(casino: Casino) -> Client:
    return casino.for_role("admin")


async def paid_player(casino: Casino, loyalty: ServiceProcess | None = None) -> uuid.UUID:
    """A player with the points of an hour."""
    service = casino.for_role("service", loyalty=loyalty)
    accrual = new_accrual()
    await service.call(service.points.AccruePointsFromSlip, accrual)
    return uuid.UUID(accrual.player_id)


async def checked(
    admin: Client, player_id: uuid.UUID | None = None
) -> loyalty_pb2.CheckBalanceDriftResponse:
    """What a check finds."""
    request = loyalty_pb2.CheckBalanceDriftRequest(player_id=str(player_id or ""))
    return await admin.call(admin.points.CheckBalanceDrift, request)


def reconciliation(player_id: uuid.UUID) -> loyalty_pb2.ReconcileBalanceRequest:
    return loyalty_pb2.ReconcileBalanceRequest(player_id=str(player_id), reason=f" {REASON} ")


async def test_what_drifts_is_found_named_and_repaired(
    casino: Casino, admin: Client, loyalty_sql: Connection
) -> None:
    casino_id = uuid.UUID(casino.id)
    moved, lost, healthy = [await paid_player(casino) for _ in range(3)]
    await move(loyalty_sql, casino_id, moved, balance=150, lifetime=-2)
    await delete_balance(loyalty_sql, casino_id, lost)
    hour = POINTS_OF_AN_HOUR

    found = await checked(admin)

    assert (found.players_checked, found.players_drifted) == (3, 2)
    assert found.severity == loyalty_pb2.DRIFT_SEVERITY_CRITICAL
    assert list(found.findings) == [
        loyalty_pb2.DriftFinding(
            player_id=str(lost),
            ledger_balance=hour,
            ledger_lifetime_points=hour,
            drift_points=hour,
            severity=loyalty_pb2.DRIFT_SEVERITY_WARNING,
            ledger_tier="BRONZE",
        ),
        loyalty_pb2.DriftFinding(
            player_id=str(moved),
            has_balance=True,
            current_balance=hour + 150,
            ledger_balance=hour,
            lifetime_points=hour - 2,
            ledger_lifetime_points=hour,
            drift_points=150,
            severity=loyalty_pb2.DRIFT_SEVERITY_WARNING,
            tier="BRONZE",
            ledger_tier="BRONZE",
        ),
    ]
    for finding in found.findings:
        request = reconciliation(uuid.UUID(finding.player_id))
        answers = [await admin.call(admin.points.ReconcileBalance, request) for _ in range(2)]
        assert [answer.is_repaired for answer in answers] == [True, False]
        assert answers[0].finding == finding
        standing = answers[0].player_loyalty
        assert (standing.current_balance, standing.lifetime_points) == (hour, hour)
        assert standing.entry_count == 1
    assert await checked(admin) == loyalty_pb2.CheckBalanceDriftResponse(players_checked=3)
    assert await checked(admin, healthy) == loyalty_pb2.CheckBalanceDriftResponse(players_checked=1)


async def test_who_checked_and_who_repaired_is_on_the_trail_under_their_correlation_ids(
    casino: Casino, admin: Client, loyalty_sql: Connection
) -> None:
    casino_id = uuid.UUID(casino.id)
    player_id = await paid_player(casino)
    await move(loyalty_sql, casino_id, player_id, balance=1)

    await admin.call(
        admin.points.CheckBalanceDrift,
        loyalty_pb2.CheckBalanceDriftRequest(),
        correlation_id="the.check",
    )
    await admin.call(
        admin.points.ReconcileBalance, reconciliation(player_id), correlation_id="the.repair"
    )

    found, repaired = await audit_of(loyalty_sql, casino_id)
    assert (found["action"], found["correlation_id"]) == ("balance_drift_found", "the.check")
    assert (repaired["action"], repaired["correlation_id"]) == ("reconcile_balance", "the.repair")
    assert repaired["after"]["reason"] == REASON
    for each in (found, repaired):
        assert str(each["staff_id"]) == casino.staff_id("admin")


async def test_entries_that_do_not_verify_are_refused_as_a_ground(
    casino: Casino, admin: Client, loyalty_sql: Connection
) -> None:
    player_id = await paid_player(casino)
    await forge_entry(loyalty_sql, uuid.UUID(casino.id), player_id, number=2)

    refusal = await admin.refusal(admin.points.ReconcileBalance, reconciliation(player_id))

    assert refusal.kind == (StatusCode.FAILED_PRECONDITION, "LEDGER_NOT_INTACT")
    assert refusal.metadata["entryNumber"] == "2"
    assert refusal.metadata["playerId"] == str(player_id)


async def test_a_player_without_points_cannot_be_reconciled(admin: Client) -> None:
    player_id = uuid.uuid4()

    refusal = await admin.refusal(admin.points.ReconcileBalance, reconciliation(player_id))

    assert refusal.kind == (StatusCode.NOT_FOUND, "PLAYER_NOT_FOUND")
    assert refusal.resource == ("player", str(player_id))
    assert await checked(admin, player_id) == loyalty_pb2.CheckBalanceDriftResponse()


async def test_the_service_enrols_a_casino_and_runs_its_check_when_it_is_due(
    casino: Casino, pair: Pair, launcher: Launcher, loyalty_sql: Connection, traces_file: Path
) -> None:
    casino_id = uuid.UUID(casino.id)
    loyalty = await launcher.loyalty(**OFTEN)
    player_id = await paid_player(casino, loyalty)

    async def enrolled() -> bool:
        return bool(await next_time_is_ahead(loyalty_sql, casino_id))

    await eventually(enrolled, "the casino is enrolled")
    await move(loyalty_sql, casino_id, player_id, balance=-5_000)
    await make_due(loyalty_sql, casino_id)
    await eventually(enrolled, "the check has run")

    (audit,) = await audit_of(loyalty_sql, casino_id)
    assert (audit["role"], audit["staff_id"], audit["player_id"]) == ("scheduler", None, player_id)
    correlation_id = audit["correlation_id"]
    finding = await event_of((loyalty, pair.loyalty), "balance_drift", correlation_id)
    assert (finding["level"], finding["player_id"]) == ("CRITICAL", str(player_id))
    summary = await event_of((loyalty, pair.loyalty), "drift_check", correlation_id)
    assert (summary["players_checked"], summary["severity"]) == (1, "critical")

    def is_complete(spans: list[Span]) -> bool:
        return any(span.name == "drift_check" for span in spans)

    spans = await wait_for_trace(traces_file, correlation_id, is_complete, PATIENCE_SECONDS)
    assert outline(spans).splitlines() == [
        "loyalty INTERNAL drift_check",
        "  loyalty CLIENT claim_drift_check",
        "  loyalty CLIENT check_balance_drift",
        "  loyalty CLIENT verify_ledger",
        "  loyalty CLIENT finish_drift_check",
    ]


async def test_of_two_replicas_one_checks_each_casino(
    launcher: Launcher, loyalty_sql: Connection
) -> None:
    replicas = await asyncio.gather(*(launcher.loyalty(**OFTEN) for _ in range(2)))
    casino_ids = [uuid.uuid4() for _ in range(DUE_CASINOS)]
    for casino_id in casino_ids:
        for _ in range(3):
            await insert_drifting_player(loyalty_sql, casino_id, 5)
    async with loyalty_sql.transaction():
        for casino_id in casino_ids:
            await make_due(loyalty_sql, casino_id)

    async def done() -> bool:
        return all([await next_time_is_ahead(loyalty_sql, each) for each in casino_ids])

    await eventually(done, "every casino was checked")
    for casino_id in casino_ids:
        audit = await audit_of(loyalty_sql, casino_id)
        assert len(audit) == len({each["player_id"] for each in audit}) == 3
        assert len({each["correlation_id"] for each in audit}) == 1
        summaries = [
            summary
            for replica in replicas
            for summary in replica.log.events("drift_check", **{"casino.id": str(casino_id)})
        ]
        assert len(summaries) <= 1


async def test_what_is_counted_arrives_at_a_collector_at_the_latest_when_the_service_ends(
    casino: Casino, launcher: Launcher, loyalty_sql: Connection
) -> None:
    async with MetricsSink() as sink:
        loyalty = await launcher.loyalty(
            OTEL_METRICS_EXPORTER="otlp", OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=sink.endpoint
        )
        admin = casino.for_role("admin", loyalty=loyalty)
        await checked(admin)
        for points in (5, 5, 500):
            await insert_drifting_player(loyalty_sql, uuid.UUID(casino.id), points)
        await checked(admin)
        assert sink.counts == {}

        await loyalty.stop()

    # What has not happened yet is counted, too.
    assert {key: count for key, count in sink.counts.items() if key[1] in (CHECKS, FINDINGS)} == {
        ("loyalty", CHECKS, "none"): 1,
        ("loyalty", CHECKS, "info"): 0,
        ("loyalty", CHECKS, "warning"): 0,
        ("loyalty", CHECKS, "critical"): 1,
        ("loyalty", FINDINGS, "info"): 2,
        ("loyalty", FINDINGS, "warning"): 1,
        ("loyalty", FINDINGS, "critical"): 0,
    }


@pytest.mark.parametrize("is_there", [False, True], ids=["nobody listens", "nobody answers"])
async def test_a_dead_collector_of_metrics_changes_nothing(
    casino: Casino, launcher: Launcher, is_there: bool
) -> None:
    async with TcpProxy(f"{LOOPBACK}:{free_port()}") as collector:
        await collector.switch(Mode.STALL if is_there else Mode.REFUSE)
        loyalty = await launcher.loyalty(
            OTEL_METRICS_EXPORTER="otlp",
            OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"http://{collector.address}",
            OTEL_METRIC_EXPORT_INTERVAL="20",
            # Longer than the test waits for the end of the service.
            OTEL_EXPORTER_OTLP_METRICS_TIMEOUT="60",
        )
        admin = casino.for_role("admin", loyalty=loyalty)
        for number in range(1, 4):
            await paid_player(casino, loyalty)
            assert (await checked(admin)).players_checked == number

        loyalty.send_signal(signal.SIGTERM)
        assert await loyalty.ended() == 0


async def event_of(
    replicas: Sequence[ServiceProcess], name: str, correlation_id: str
) -> dict[str, Any]:
    """The one event of a name and correlation ID, from whichever replica it was."""

    async def found() -> list[dict[str, Any]]:
        logs = [replica.log for replica in replicas]
        return [each for log in logs for each in log.events(name, correlation_id=correlation_id)]

    (event,) = await eventually(found, f"{name} of {correlation_id}")
    return event


async def make_due(loyalty_sql: Connection, casino_id: uuid.UUID) -> None:
    """Puts a casino on the schedule, or moves it there, due since a minute ago."""
    await loyalty_sql.execute(
        "INSERT INTO loyalty.drift_schedule (casino_id, next_time)"
        " VALUES ($1, now() - interval '1 minute')"
        " ON CONFLICT (casino_id) DO UPDATE SET next_time = EXCLUDED.next_time",
        casino_id,
    )


async def next_time_is_ahead(loyalty_sql: Connection, casino_id: uuid.UUID) -> bool | None:
    """Whether a casino is on the schedule for a time to come."""
    found: bool | None = await loyalty_sql.fetchval(
        "SELECT next_time > now() FROM loyalty.drift_schedule WHERE casino_id = $1", casino_id
    )
    return found
