"""The daily check verifies a casino's chains, too: one that is broken is noticed within a day."""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncIterator

import pytest
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint, Sum
from opentelemetry.trace import NoOpTracer

from chassis.paging import PageTokens
from loyalty_service import verification
from loyalty_service.drift import BalanceDriftCheck
from loyalty_service.drift_schedule import DriftSchedule
from loyalty_service.ledger import Ledger
from loyalty_service.verification import MOST_BREAKS, LedgerVerification
from tests.database.accruals import opened_ledger
from tests.database.verifying import fill
from tests.databases import Connection, TestDatabase

PLAYERS, ENTRIES_EACH = 4, 3


@pytest.fixture
async def ledger(loyalty_database: TestDatabase) -> AsyncIterator[Ledger]:
    async with opened_ledger(loyalty_database, 2) as ledger:
        yield ledger


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def schedule(ledger: Ledger, reader: InMemoryMetricReader) -> DriftSchedule:
    meter: Meter = MeterProvider([reader]).get_meter("test")
    return DriftSchedule(
        ledger,
        BalanceDriftCheck(ledger, meter),
        LedgerVerification(ledger, PageTokens("k" * 32), meter),
        NoOpTracer(),
        poll_seconds=1,
    )


async def test_broken_chains_are_told_of_by_player_and_entry_and_counted(
    superuser: Connection,
    schedule: DriftSchedule,
    reader: InMemoryMetricReader,
    caplog: pytest.LogCaptureFixture,
) -> None:
    casino_id = uuid.uuid4()
    edited, truncated, *_ = await fill(superuser, casino_id, PLAYERS, ENTRIES_EACH)
    await superuser.execute(
        "UPDATE loyalty.loyalty_ledger SET note = 'another'"
        " WHERE casino_id = $1 AND player_id = $2 AND entry_number = 2",
        casino_id,
        edited,
    )
    await superuser.execute(
        "DELETE FROM loyalty.loyalty_ledger"
        " WHERE casino_id = $1 AND player_id = $2 AND entry_number > 1",
        casino_id,
        truncated,
    )
    await make_due(superuser, casino_id)

    await schedule.run_round()

    found = records(caplog, "chain_broken")
    assert {each.levelno for each in found} == {logging.CRITICAL}
    assert {each.__dict__["casino.id"] for each in found} == {str(casino_id)}
    assert [
        (each.__dict__["player_id"], each.__dict__["entry_number"], each.__dict__["fault"])
        for each in found
    ] == [
        (str(edited), 2, "CHAIN_FAULT_CONTENT"),
        (str(truncated), 2, "CHAIN_FAULT_MISSING"),
    ]
    (summary,) = records(caplog, "ledger_verification")
    assert summary.levelno == logging.CRITICAL
    assert (summary.__dict__["players_verified"], summary.__dict__["broken_chains"]) == (2, 2)
    assert counted(reader) == {"intact": 0, "broken": 1, "chains": 2}
    assert await is_done(superuser, casino_id)


async def test_intact_chains_are_verified_in_silence_a_casino_at_a_time(
    superuser: Connection,
    schedule: DriftSchedule,
    reader: InMemoryMetricReader,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    casino_ids = [uuid.uuid4() for _ in range(2)]
    for casino_id in casino_ids:
        await fill(superuser, casino_id, PLAYERS, ENTRIES_EACH)
        await make_due(superuser, casino_id)

    await schedule.run_round()

    assert records(caplog, "chain_broken") == []
    for summary in records(caplog, "ledger_verification"):
        assert summary.levelno == logging.INFO
        assert summary.__dict__["is_complete"]
        assert summary.__dict__["entries_verified"] == PLAYERS * ENTRIES_EACH
    assert counted(reader) == {"intact": 2, "broken": 0, "chains": 0}


async def test_many_broken_chains_do_not_end_it(
    superuser: Connection,
    schedule: DriftSchedule,
    reader: InMemoryMetricReader,
    caplog: pytest.LogCaptureFixture,
) -> None:
    casino_id, players = uuid.uuid4(), 2 * MOST_BREAKS + 1
    await fill(superuser, casino_id, players, 1)
    await superuser.execute("DELETE FROM loyalty.loyalty_ledger WHERE casino_id = $1", casino_id)
    await make_due(superuser, casino_id)

    await schedule.run_round()

    assert len({each.__dict__["player_id"] for each in records(caplog, "chain_broken")}) == players
    assert counted(reader) == {"intact": 0, "broken": 1, "chains": players}


async def test_without_time_for_all_of_it_it_says_so_and_is_done_for_the_day(
    superuser: Connection,
    schedule: DriftSchedule,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(verification, "DAILY_BATCH_ENTRIES", ENTRIES_EACH)
    # As if the next batch would come too late.
    monkeypatch.setattr(verification, "ANSWER_MARGIN_SECONDS", float("inf"))
    casino_id = uuid.uuid4()
    await fill(superuser, casino_id, PLAYERS, ENTRIES_EACH)
    await make_due(superuser, casino_id)

    await schedule.run_round()

    (summary,) = records(caplog, "ledger_verification")
    assert summary.levelno == logging.WARNING
    assert not summary.__dict__["is_complete"]
    assert summary.__dict__["entries_verified"] == ENTRIES_EACH
    assert await is_done(superuser, casino_id)


async def make_due(superuser: Connection, casino_id: uuid.UUID) -> None:
    """Puts a casino on the schedule, due since a minute ago."""
    await superuser.execute(
        "INSERT INTO loyalty.drift_schedule (casino_id, next_time)"
        " VALUES ($1, now() - interval '1 minute')",
        casino_id,
    )


async def is_done(superuser: Connection, casino_id: uuid.UUID) -> bool:
    """Whether the casino's next check lies ahead, and nobody is at one."""
    done: bool = await superuser.fetchval(
        "SELECT next_time > now() AND lease_holder IS NULL"
        " FROM loyalty.drift_schedule WHERE casino_id = $1",
        casino_id,
    )
    return done


def records(caplog: pytest.LogCaptureFixture, event: str) -> list[logging.LogRecord]:
    """The log's events of a name, in their order."""
    return [record for record in caplog.records if record.message == event]


def counted(reader: InMemoryMetricReader) -> dict[str, float]:
    """The verifications by their outcome, and the broken chains."""
    data = reader.get_metrics_data()
    assert data is not None
    counts: dict[str, float] = {}
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        if metric.name in ("casino.loyalty.verifications", "casino.loyalty.broken_chains"):
            assert isinstance(metric.data, Sum)
            for point in metric.data.data_points:
                assert isinstance(point, NumberDataPoint)
                outcome = (point.attributes or {}).get("casino.outcome", "chains")
                counts[str(outcome)] = point.value
    return counts
