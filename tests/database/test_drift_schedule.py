"""Each casino is checked once a day, at three by its own clock, by one of all the instances."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import logging
import urllib.parse
import uuid
from collections.abc import AsyncIterator

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from chassis.context import Role
from chassis.paging import PageTokens
from deploy.local.proxy import Mode, TcpProxy
from loyalty_service.drift import BalanceDriftCheck
from loyalty_service.drift_schedule import DriftSchedule
from loyalty_service.ledger import Ledger
from loyalty_service.verification import LedgerVerification
from tests.database.accruals import calling, insert_program, opened_ledger
from tests.database.clock import set_clock, stop_clock
from tests.database.drifting import STAFF_ID, audit_of, insert_drifting_player
from tests.databases import Connection, TestDatabase
from tests.integration.patience import eventually

NOBODY = uuid.UUID(int=0)
NOON = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)
DAY = datetime.timedelta(days=1)
CASINOS = 12
POLL_SECONDS = 0.01
# Of a round without a database: the enrolment, and the question what is due.
FAILURES = 4


@pytest.fixture
async def ledger(loyalty_database: TestDatabase) -> AsyncIterator[Ledger]:
    async with opened_ledger(loyalty_database, 4) as ledger:
        yield ledger


def schedule_of(
    ledger: Ledger, tracer: trace.Tracer | None = None, meter: metrics.Meter | None = None
) -> DriftSchedule:
    """One instance's schedule."""
    meter = meter or metrics.NoOpMeter("test")
    return DriftSchedule(
        ledger,
        BalanceDriftCheck(ledger, meter),
        LedgerVerification(ledger, PageTokens("k" * 32), meter),
        tracer or trace.NoOpTracer(),
        poll_seconds=POLL_SECONDS,
    )


# When.


@pytest.mark.parametrize(
    ("time_zone", "moment", "following"),
    [
        ("UTC", "2026-06-01T02:59:59.999999Z", "2026-06-01T03:00:00Z"),
        ("UTC", "2026-06-01T03:00:00Z", "2026-06-02T03:00:00Z"),
        ("America/New_York", "2026-06-01T06:59:59.999999Z", "2026-06-01T07:00:00Z"),
        ("America/New_York", "2026-06-01T07:00:00Z", "2026-06-02T07:00:00Z"),
        ("Asia/Kolkata", "2026-05-31T21:30:00Z", "2026-06-01T21:30:00Z"),
        # The nights when clocks go forward or back: three on the wall, once.
        ("America/New_York", "2026-03-07T08:00:00Z", "2026-03-08T07:00:00Z"),
        ("America/New_York", "2026-03-08T07:00:00Z", "2026-03-09T07:00:00Z"),
        ("America/New_York", "2026-10-31T07:00:00Z", "2026-11-01T08:00:00Z"),
        ("America/New_York", "2026-11-01T08:00:00Z", "2026-11-02T08:00:00Z"),
        # Where the hour from three to four is left out, or comes twice.
        ("Europe/Helsinki", "2026-03-28T01:00:00Z", "2026-03-29T01:00:00Z"),
        ("Europe/Helsinki", "2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"),
        ("Europe/Helsinki", "2026-10-24T00:00:00Z", "2026-10-25T01:00:00Z"),
        ("Europe/Helsinki", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z"),
        ("Europe/Helsinki", "2026-10-25T01:00:00Z", "2026-10-26T01:00:00Z"),
    ],
)
async def test_the_next_check_is_at_three_in_the_casinos_own_time(
    ledger: Ledger, superuser: Connection, time_zone: str, moment: str, following: str
) -> None:
    enrolled, checked = uuid.uuid4(), uuid.uuid4()
    for casino_id in (enrolled, checked):
        await insert_program(superuser, casino_id, time_zone=time_zone)
    await stop_clock(superuser, datetime.datetime.fromisoformat(moment))
    await make_due(superuser, checked)
    schedule = schedule_of(ledger)

    schedule.notice(enrolled)
    await schedule.run_round()

    expected = datetime.datetime.fromisoformat(following)
    assert await next_times(superuser) == {enrolled: expected, checked: expected}


async def test_a_casino_without_a_program_is_checked_at_three_by_universal_time(
    ledger: Ledger, superuser: Connection
) -> None:
    casino_id = uuid.uuid4()
    await stop_clock(superuser, NOON)
    schedule = schedule_of(ledger)

    schedule.notice(casino_id)
    await schedule.run_round()

    assert await next_times(superuser) == {casino_id: NOON + datetime.timedelta(hours=15)}


async def test_a_day_after_a_check_comes_the_next(ledger: Ledger, superuser: Connection) -> None:
    casino_id = uuid.uuid4()
    await insert_drifting_player(superuser, casino_id, 5)
    await stop_clock(superuser, NOON)
    schedule = schedule_of(ledger)
    schedule.notice(casino_id)

    audited = []
    for moment in (NOON, NOON + DAY, NOON + DAY + MINUTE, NOON + 2 * DAY, NOON + 9 * DAY):
        await set_clock(superuser, moment)
        await schedule.run_round()
        audited.append(len(await audit_of(superuser, casino_id)))

    # Days that nobody ran are not made up for.
    assert audited == [0, 1, 1, 2, 3]


async def test_a_casino_is_enrolled_once_and_its_time_stays(
    ledger: Ledger, superuser: Connection
) -> None:
    casino_id = uuid.uuid4()
    await stop_clock(superuser, NOON)
    # An instance that was started anew does not know what it had enrolled.
    for moment in (NOON, NOON + datetime.timedelta(hours=20)):
        await set_clock(superuser, moment)
        with calling(casino_id, NOBODY, Role.SCHEDULER):
            is_new = await ledger.enrol_casino()
        assert is_new is (moment == NOON)

    assert await next_times(superuser) == {casino_id: NOON + datetime.timedelta(hours=15)}


# By whom.


async def test_two_instances_check_each_casino_exactly_once(
    loyalty_database: TestDatabase, superuser: Connection
) -> None:
    casino_ids = [uuid.uuid4() for _ in range(CASINOS)]
    for casino_id in casino_ids:
        await insert_drifting_player(superuser, casino_id, 5)
        await make_due(superuser, casino_id)

    async with contextlib.AsyncExitStack() as stack:
        ledgers = [
            await stack.enter_async_context(opened_ledger(loyalty_database, 2)) for _ in range(2)
        ]
        schedules = [schedule_of(each) for each in ledgers]
        await asyncio.gather(*(schedule.run_round() for schedule in schedules for _ in range(2)))

    for casino_id in casino_ids:
        (audit,) = await audit_of(superuser, casino_id)
        assert (audit["role"], audit["staff_id"]) == ("scheduler", None)
        assert audit["correlation_id"].startswith("drift-")
    assert await superuser.fetchval(
        "SELECT bool_and(next_time > now() AND last_time IS NOT NULL AND lease_until IS NULL"
        " AND lease_holder IS NULL) FROM loyalty.drift_schedule"
    )


async def test_of_fifty_claims_at_once_one_is_granted(
    loyalty_database: TestDatabase, superuser: Connection
) -> None:
    casino_id = uuid.uuid4()
    await make_due(superuser, casino_id)

    async with opened_ledger(loyalty_database, 10) as ledger:
        with calling(casino_id, NOBODY, Role.SCHEDULER):
            granted = await asyncio.gather(
                *(ledger.claim_drift_check(uuid.uuid4(), MINUTE) for _ in range(50))
            )

    assert sum(granted) == 1


async def test_a_living_lease_is_respected_and_an_expired_one_taken_over(
    ledger: Ledger, superuser: Connection
) -> None:
    casino_id, died = uuid.uuid4(), uuid.uuid4()
    await insert_drifting_player(superuser, casino_id, 5)
    await stop_clock(superuser, NOON)
    await make_due(superuser, casino_id)
    with calling(casino_id, NOBODY, Role.SCHEDULER):
        assert await ledger.claim_drift_check(died, MINUTE)
    schedule = schedule_of(ledger)

    due, audited = [], []
    for moment in (NOON, NOON + MINUTE - datetime.timedelta(microseconds=1), NOON + MINUTE):
        await set_clock(superuser, moment)
        with calling(NOBODY, NOBODY, Role.SCHEDULER):
            due.append(await ledger.list_due_drift_checks(10))
        await schedule.run_round()
        audited.append(len(await audit_of(superuser, casino_id)))

    assert (due, audited) == ([[], [], [casino_id]], [0, 0, 1])
    # Who died comes back, and finds that it is no longer its own.
    before = await next_times(superuser)
    with calling(casino_id, NOBODY, Role.SCHEDULER):
        assert not await ledger.finish_drift_check(died)
    assert await next_times(superuser) == before


async def test_nobody_claims_what_is_not_due_or_not_there(
    ledger: Ledger, superuser: Connection
) -> None:
    casino_id = uuid.uuid4()
    await stop_clock(superuser, NOON)
    await make_due(superuser, casino_id)
    await set_clock(superuser, NOON - 2 * MINUTE)

    for each in (casino_id, uuid.uuid4()):
        with calling(each, NOBODY, Role.SCHEDULER):
            assert not await ledger.claim_drift_check(uuid.uuid4(), MINUTE)


async def test_only_the_scheduler_is_told_what_is_due_elsewhere(
    ledger: Ledger, superuser: Connection
) -> None:
    casino_ids = sorted(uuid.uuid4() for _ in range(3))
    for casino_id in casino_ids:
        await make_due(superuser, casino_id)
    seen = {}
    for role in Role:
        with calling(casino_ids[0], NOBODY, role):
            seen[role] = sorted(await ledger.list_due_drift_checks(10))

    assert seen.pop(Role.SCHEDULER) == casino_ids
    assert seen == dict.fromkeys(set(Role) - {Role.SCHEDULER}, casino_ids[:1])


# Whatever happens.


async def test_a_check_that_fails_keeps_its_lease_and_does_not_stop_the_others(
    ledger: Ledger, superuser: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    broken, healthy = uuid.uuid4(), uuid.uuid4()
    # Without a time zone that is one, no next time can be found.
    await insert_program(superuser, broken, time_zone="Nowhere/Never")
    for casino_id in (broken, healthy):
        await insert_drifting_player(superuser, casino_id, 5)
        await make_due(superuser, casino_id)
    schedule = schedule_of(ledger)

    for _ in range(3):
        await schedule.run_round()

    for casino_id in (broken, healthy):
        assert len(await audit_of(superuser, casino_id)) == 1
    (failure,) = [each for each in caplog.records if each.message == "drift_schedule_failed"]
    assert failure.levelno == logging.WARNING
    assert failure.__dict__["casino.id"] == str(broken)
    assert (failure.__dict__["step"], failure.__dict__["reason"]) == ("drift_check", "INTERNAL")


async def test_the_loop_outlives_a_database_that_goes_away(
    loyalty_database: TestDatabase, superuser: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    noticed, due = uuid.uuid4(), uuid.uuid4()
    await insert_drifting_player(superuser, due, 5)
    async with behind_proxy(loyalty_database) as (proxy, ledger):
        await proxy.switch(Mode.REFUSE)
        schedule = schedule_of(ledger)
        schedule.notice(noticed)
        loop = asyncio.create_task(schedule.run())

        async def failed_often() -> bool:
            return len(failures(caplog)) >= FAILURES

        await eventually(failed_often, "several rounds fail")
        await make_due(superuser, due)
        await proxy.switch(Mode.PASS)

        async def caught_up() -> bool:
            return bool(await audit_of(superuser, due)) and noticed in await next_times(superuser)

        await eventually(caught_up, "what waited is done")
        loop.cancel()
        await asyncio.wait([loop])

    assert loop.cancelled()
    assert {each.__dict__["reason"] for each in failures(caplog)} == {"DATABASE_UNAVAILABLE"}
    assert len(await audit_of(superuser, due)) == 1


async def test_a_check_is_a_trace_of_its_own_that_its_audit_rows_name(
    ledger: Ledger, superuser: Connection
) -> None:
    casino_id = uuid.uuid4()
    await insert_drifting_player(superuser, casino_id, 5)
    await make_due(superuser, casino_id)
    exporter, tracer = recording()

    await schedule_of(ledger, tracer=tracer).run_round()

    (span,) = [each for each in exporter.get_finished_spans() if each.name == "drift_check"]
    (audit,) = await audit_of(superuser, casino_id)
    assert span.parent is None
    assert dict(span.attributes or {}) == {
        "casino.id": str(casino_id),
        "casino.role": "scheduler",
        "casino.correlation_id": audit["correlation_id"],
    }


async def test_a_casino_that_was_enrolled_costs_nothing_more_however_often_it_is_noticed(
    ledger: Ledger,
) -> None:
    exporter, tracer = recording()
    schedule = schedule_of(ledger, tracer=tracer)

    for _ in range(3):
        for casino_id in (NOBODY, STAFF_ID, NOBODY):
            schedule.notice(casino_id)
        await schedule.run_round()

    steps = [each.name for each in exporter.get_finished_spans()]
    assert steps.count("enrol_casino") == 2


def recording() -> tuple[InMemorySpanExporter, trace.Tracer]:
    """A tracer, and where its spans are found."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter, provider.get_tracer("test")


async def make_due(superuser: Connection, casino_id: uuid.UUID) -> None:
    """Puts a casino on the schedule, due since a minute ago."""
    await superuser.execute(
        "INSERT INTO loyalty.drift_schedule (casino_id, next_time)"
        " VALUES ($1, loyalty.present() - interval '1 minute')",
        casino_id,
    )


async def next_times(superuser: Connection) -> dict[uuid.UUID, datetime.datetime]:
    """When each casino is checked next."""
    rows = await superuser.fetch("SELECT casino_id, next_time FROM loyalty.drift_schedule")
    return {row["casino_id"]: row["next_time"] for row in rows}


def failures(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What went wrong in the background, as the log says it."""
    return [each for each in caplog.records if each.message == "drift_schedule_failed"]


@contextlib.asynccontextmanager
async def behind_proxy(database: TestDatabase) -> AsyncIterator[tuple[TcpProxy, Ledger]]:
    """A ledger whose way to the database can be made to fail."""
    url = urllib.parse.urlsplit(database.service_url)
    async with TcpProxy(f"{url.hostname}:{url.port}") as proxy:
        credentials = url.netloc.rpartition("@")[0]
        through = url._replace(netloc=f"{credentials}@{proxy.address}").geturl()
        async with opened_ledger(dataclasses.replace(database, service_url=through), 2) as ledger:
            yield proxy, ledger
