"""What a drift check has found is written down and told: audit rows, log lines, metrics."""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncIterator

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint, Sum

from chassis.context import Role
from chassis.errors import ServiceError
from loyalty_service.ledger import Ledger
from tests.database.accruals import opened_ledger
from tests.database.drifting import (
    STAFF_ID,
    audit_of,
    check,
    delete_balance,
    insert_drifting_player,
    move,
    paid_player,
)
from tests.databases import Connection, TestDatabase


@pytest.fixture
async def ledger(loyalty_database: TestDatabase) -> AsyncIterator[Ledger]:
    async with opened_ledger(loyalty_database, pool_size=1) as ledger:
        yield ledger


@pytest.mark.parametrize(
    ("role", "staff_id"), [(Role.ADMIN, STAFF_ID), (Role.SCHEDULER, None)], ids=str
)
async def test_every_finding_has_an_audit_row_that_says_what_was_cached_and_what_is_true(
    ledger: Ledger, superuser: Connection, role: Role, staff_id: uuid.UUID | None
) -> None:
    casino_id = uuid.uuid4()
    moved, lost, _ = sorted([await paid_player(ledger, casino_id) for _ in range(3)])
    await move(superuser, casino_id, moved, balance=150, lifetime=-2)
    await delete_balance(superuser, casino_id, lost)

    await check(ledger, casino_id, role=role)

    audit = await audit_of(superuser, casino_id)
    truth = {"current_balance": 1050, "lifetime_points": 1050, "tier": "SILVER"}
    assert [(each["player_id"], each["before"], each["after"]) for each in audit] == [
        (
            moved,
            {"current_balance": 1200, "lifetime_points": 1048, "tier": "SILVER"},
            {**truth, "drift_points": 150, "severity": "warning"},
        ),
        (lost, None, {**truth, "drift_points": 1050, "severity": "critical"}),
    ]
    for each in audit:
        assert (each["action"], each["correlation_id"]) == ("balance_drift_found", "correlation-1")
        assert (each["role"], each["staff_id"]) == (role, staff_id)


async def test_a_role_that_may_not_write_the_trail_may_not_check(
    ledger: Ledger, superuser: Connection
) -> None:
    casino_id = uuid.uuid4()
    await insert_drifting_player(superuser, casino_id, 10)

    for role in (Role.DEALER, Role.CASHIER, Role.PIT_BOSS, Role.SERVICE):
        with pytest.raises(ServiceError):
            await check(ledger, casino_id, role=role)
    assert await audit_of(superuser, casino_id) == []


async def test_every_finding_has_a_log_line_and_every_check_a_summary(
    ledger: Ledger, superuser: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    casino_id = uuid.uuid4()
    points = {1: "INFO", 500: "WARNING", 5000: "CRITICAL"}
    players = {
        str(await insert_drifting_player(superuser, casino_id, each)): (each, level)
        for each, level in points.items()
    }

    with caplog.at_level(logging.INFO, logger="loyalty_service.drift"):
        await check(ledger, casino_id)

    *findings, summary = caplog.records
    told = {each.__dict__["player_id"]: each for each in findings}
    assert len(findings) == len(told)
    assert {
        player_id: (each.__dict__["drift_points"], each.levelname)
        for player_id, each in told.items()
    } == players
    assert {each.message for each in findings} == {"balance_drift"}
    assert (summary.message, summary.levelname) == ("drift_check", "CRITICAL")
    said = summary.__dict__
    assert (said["players_checked"], said["players_drifted"]) == (3, 3)
    assert (said["severity"], said["largest_drift_points"]) == ("critical", 5000)
    assert {each.__dict__["casino.id"] for each in caplog.records} == {str(casino_id)}


async def test_checks_and_findings_are_counted_by_severity(
    ledger: Ledger, superuser: Connection
) -> None:
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader]).get_meter("test")
    casino_id = uuid.uuid4()
    for points in (1, 500, 501, 5000):
        await insert_drifting_player(superuser, casino_id, points)

    await check(ledger, uuid.uuid4(), meter=meter)
    for _ in range(2):
        await check(ledger, casino_id, meter=meter)
    with pytest.raises(ServiceError):
        await check(ledger, casino_id, role=Role.CASHIER, meter=meter)

    assert counted(reader) == {
        ("checks", "none"): 1,
        ("checks", "info"): 0,
        ("checks", "warning"): 0,
        ("checks", "critical"): 2,
        ("checks", "INTERNAL"): 1,
        ("findings", "info"): 2,
        ("findings", "warning"): 4,
        ("findings", "critical"): 2,
    }


def counted(reader: InMemoryMetricReader) -> dict[tuple[str, str], float | int]:
    """The drift metrics, by the last part of the name and by severity, or by error."""
    data = reader.get_metrics_data()
    assert data is not None
    counts: dict[tuple[str, str], float | int] = {}
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        assert metric.name.startswith("casino.loyalty.drift.")
        assert isinstance(metric.data, Sum)
        for point in metric.data.data_points:
            assert isinstance(point, NumberDataPoint)
            (word,) = (point.attributes or {}).values()
            counts[metric.name.rpartition(".")[2], str(word)] = point.value
    return counts
