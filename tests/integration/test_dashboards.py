"""Dashboards, rules and alerts on a real Prometheus that scrapes both services.

First a good day, on which no alert may be; then one with a fault of each kind, after which
every query of every panel, every rule and the left side of every alert must have data: a
misspelt name would be an empty panel, or an alert that never fires.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from deploy.local.proxy import Mode
from deploy.local.traces import read_trace
from loyalty_service.rate_limit import REWARDS_A_MINUTE
from tests import observability
from tests.databases import LOYALTY, RATINGSLIP, Connection, Databases, Service, connected
from tests.integration.casino import (
    Casino,
    complete,
    new_accrual,
    new_id,
    new_promotion,
    new_redemption,
    new_reward,
    start,
)
from tests.integration.identity import Identity
from tests.integration.metrics import SCRAPED, metrics_url
from tests.integration.patience import eventually
from tests.integration.prometheus_server import PrometheusServer, prometheus_program
from tests.integration.recovery import NO_RETRY_CAN_HELP, RETRY_CAN_HELP, refused_close
from tests.integration.services import (
    BehindProxy,
    Launcher,
    Pair,
    ServiceProcess,
    running_behind_proxy,
)

CLOSES_OF_A_GOOD_DAY = 5
CLOSES_WITHOUT_POINTS = 3
# More than the thousand from which a drift is critical.
POINTS_ADDED_BY_HAND = 5_000
CLOSES = 'rpc_server_call_duration_seconds_count{rpc_method=~".*/CompleteRatingSlip"}'


class Watched(NamedTuple):
    """Both services on databases of their own, and the Prometheus that scrapes them."""

    prometheus: PrometheusServer
    services: BehindProxy
    casino: Casino
    loyalty_sql: Connection
    # Whose balance is changed on the bad day.
    player_id: str


@pytest.fixture(scope="module")
async def good_day(
    identity: Identity,
    databases: Databases,
    trace_endpoint: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Watched]:
    """Everything that is done on a day without faults, and what Prometheus has seen of it."""
    program = prometheus_program()
    if program is None:
        pytest.skip("no prometheus on the path, and TEST_PROMETHEUS names none")
    directory = tmp_path_factory.mktemp("prometheus")
    async with (
        databases.migrated(LOYALTY) as loyalty_database,
        databases.migrated(RATINGSLIP) as ratingslip_database,
        connected(loyalty_database.superuser_url) as loyalty_sql,
    ):
        own = {LOYALTY: loyalty_database, RATINGSLIP: ratingslip_database}
        launcher = Launcher(directory, identity, own, trace_endpoint)
        try:
            loyalty = await launcher.loyalty(**SCRAPED)
            often = {**SCRAPED, "RATINGSLIP_RECOVERY_POLL_SECONDS": "0.2"}
            async with running_behind_proxy(launcher, loyalty, **often) as running:
                services = {RATINGSLIP: running.ratingslip, LOYALTY: loyalty}
                prometheus = PrometheusServer(program, directory, await targets_of(services))
                try:
                    await prometheus.start()
                    await until(prometheus, "sum(up) == 2")
                    casino = Casino(Pair(running.ratingslip, loyalty), identity)
                    player_id = await play(casino)
                    await until(prometheus, f"sum({CLOSES}) == {CLOSES_OF_A_GOOD_DAY}")
                    yield Watched(prometheus, running, casino, loyalty_sql, player_id)
                finally:
                    await prometheus.kill()
        finally:
            await launcher.stop_all()


@pytest.fixture(scope="module")
async def bad_day(good_day: Watched) -> Watched:
    """The same, after closes without points, a refused slip and a balance that was changed."""
    await fail(good_day)
    return good_day


async def play(casino: Casino) -> str:
    """Calls that go well, and calls that are refused for their caller's own fault."""
    boss, admin = casino.for_role("pit_boss"), casino.for_role("admin")
    slips = [await start(boss) for _ in range(CLOSES_OF_A_GOOD_DAY - 1)]
    for slip in slips:
        await complete(boss, slip)
    unknown = ratingslip_pb2.CompleteRatingSlipRequest(rating_slip_id=new_id())
    await boss.refusal(boss.slips.CompleteRatingSlip, unknown)
    player_id = slips[0].player_id
    redemption = new_redemption(player_id=player_id)
    for _ in range(2):
        await boss.call(boss.points.RedeemPoints, redemption)
    await boss.call(boss.points.ApplyPromotion, new_promotion(player_id=player_id))
    for _ in range(REWARDS_A_MINUTE):
        await boss.call(boss.points.IssueManualReward, new_reward(player_id=player_id))
    await boss.refusal(boss.points.IssueManualReward, new_reward(player_id=player_id))
    await admin.call(admin.points.VerifyLedger, loyalty_pb2.VerifyLedgerRequest())
    check = loyalty_pb2.CheckBalanceDriftRequest()
    await admin.call(admin.points.CheckBalanceDrift, check)
    return player_id


async def fail(watched: Watched) -> None:
    casino, proxy = watched.casino, watched.services.proxy
    boss, admin = casino.for_role("pit_boss"), casino.for_role("admin")
    poisoned = await start(boss)
    # Somebody has used the slip's key for another play.
    service = casino.for_role("service")
    taken = new_accrual(player_id=poisoned.player_id, rating_slip_id=poisoned.rating_slip_id)
    await service.call(service.points.AccruePointsFromSlip, taken)
    assert (await refused_close(boss, poisoned)).kind == NO_RETRY_CAN_HELP
    slips = [await start(boss) for _ in range(CLOSES_WITHOUT_POINTS)]
    await proxy.switch(Mode.REFUSE)
    for slip in slips:
        assert (await refused_close(boss, slip)).kind == RETRY_CAN_HELP
    await proxy.switch(Mode.PASS)
    await watched.loyalty_sql.execute(
        "UPDATE loyalty.player_loyalty SET current_balance = current_balance + $1"
        " WHERE player_id = $2",
        POINTS_ADDED_BY_HAND,
        uuid.UUID(watched.player_id),
    )
    check = loyalty_pb2.CheckBalanceDriftRequest()
    await admin.call(admin.points.CheckBalanceDrift, check)


async def targets_of(services: Mapping[Service, ServiceProcess]) -> dict[str, str]:
    """host:port of each service's metrics, by the job it is scraped as."""
    return {
        service.name: urlsplit(await metrics_url(process)).netloc
        for service, process in services.items()
    }


async def until(prometheus: PrometheusServer, condition: str) -> None:
    """Waits until a condition in PromQL holds."""

    async def holds() -> bool:
        return bool(await prometheus.query(condition))

    await eventually(holds, condition)


async def without_data(prometheus: PrometheusServer, expressions: list[str]) -> list[str]:
    """Those that have no data, once no more of them get any."""
    missing = expressions

    async def none_missing() -> bool:
        nonlocal missing
        missing = [each for each in missing if not await prometheus.query(each)]
        return not missing

    try:
        await eventually(none_missing, "all have data")
    except AssertionError:
        return missing
    return []


async def test_on_a_good_day_no_alert_fires_nor_is_about_to(good_day: Watched) -> None:
    prometheus = good_day.prometheus
    # Until Prometheus has seen a service for a moment, it must take it for one that is down.
    await until(prometheus, "ratingslip:recovery_rounds:increase5m >= 1")
    await until(prometheus, f"sum(instance:ratingslip_closes:sum) == {CLOSES_OF_A_GOOD_DAY}")

    async def quiet() -> bool:
        return not await prometheus.alerts()

    await eventually(quiet, "no alert fires, nor is about to")


async def test_faults_fire_the_alerts_that_are_about_them(bad_day: Watched) -> None:
    # The burn rates must last for a minute before somebody is paged.
    expected = {
        "CloseErrorBudgetBurnFast": "pending",
        "CloseErrorBudgetBurnSlow": "pending",
        "SlipsRefused": "firing",
        "BalanceDriftCritical": "firing",
    }

    async def found() -> list[dict[str, Any]]:
        alerts = await bad_day.prometheus.alerts()
        states = {each["labels"]["alertname"]: each["state"] for each in alerts}
        return alerts if states.items() >= expected.items() else []

    alerts = await eventually(found, "the alerts are there")

    firing = {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}
    assert firing == {"SlipsRefused", "BalanceDriftCritical"}
    for alert in alerts:
        # A template that fails says so in its place.
        assert "<" not in str(alert["annotations"]), alert


async def test_every_panel_and_variable_has_data(bad_day: Watched) -> None:
    expressions = [query.expression for query in observability.queries()]

    missing = await without_data(bad_day.prometheus, expressions)

    assert missing == []
    assert await without_data(bad_day.prometheus, observability.variable_queries()) == []


async def test_every_rule_and_the_left_side_of_every_alert_have_data(bad_day: Watched) -> None:
    recorded = observability.recording_rules()
    lefts = [part.left for alert in observability.alerts() for part in alert.comparisons]

    missing = await without_data(bad_day.prometheus, [*recorded, *recorded.values(), *lefts])

    assert missing == []
    rules = await bad_day.prometheus.rules()
    assert len(rules) == len(recorded) + len(observability.alerts())
    assert {rule["health"] for rule in rules} == {"ok"}, rules


async def test_every_series_that_is_named_anywhere_exists(bad_day: Watched) -> None:
    # A sum that falls back to zero has data whatever it sums.
    expressions = {
        *(query.expression for query in observability.queries()),
        *observability.recording_rules().values(),
        *(alert.expression for alert in observability.alerts()),
    }
    named = {each for expression in expressions for each in observability.selectors(expression)}

    assert await without_data(bad_day.prometheus, sorted(named)) == []


async def test_a_dot_on_a_panel_leads_to_a_trace(bad_day: Watched, traces_file: Path) -> None:
    dotted = [query for query in observability.queries() if query.exemplars]
    assert dotted
    for query in dotted:

        async def led_to_a_trace(expression: str = query.expression) -> bool:
            exemplars = await bad_day.prometheus.exemplars(expression)
            traces = {exemplar["labels"]["trace_id"] for exemplar in exemplars}
            return bool(traces) and all(read_trace(traces_file, each) for each in traces)

        await eventually(led_to_a_trace, f"{query.panel} leads to traces")
