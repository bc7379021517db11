"""The collector of traces and metrics fails, and nobody who uses the services can tell.

    black-holed    it takes connections and never answers
    refusing       nobody listens
    slow           it answers, each message late

Every answer is as without it and comes as soon, and SIGTERM ends the services in good order,
though their exporters were told to be patient for far longer than anybody waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from deploy.local.proxy import Mode, TcpProxy
from deploy.local.trace_sink import TraceSink
from tests.databases import Databases
from tests.fault.conftest import NewStage
from tests.fault.history import CLOSE_VERBS, Acknowledged, Unknown
from tests.fault.invariants import require_invariants
from tests.fault.postgres_server import PostgresServer
from tests.fault.stage import Stage, raised_stage
from tests.fault.workload import Workload
from tests.integration.casino import complete, start
from tests.integration.identity import Identity
from tests.integration.metrics import MetricsSink

SEED = 20_265
# Of spans alone, ten times what the exporter's queue takes.
OPERATIONS = 40
# In turn with a collector and without: whatever else the machine does slows down both.
CLOSES_EACH = 25
# What waits for the collector takes hundreds of times as long; a busy machine never this much.
MOST_TIMES_AS_LONG = 3
# Late enough for the queue to be full at the next one.
LATE_SECONDS = 0.5
# Everything is on its way at once, in batches that are soon full, and nothing gives up.
PATIENT_EXPORTERS = {
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_METRICS_EXPORTER": "otlp",
    "OTEL_BSP_SCHEDULE_DELAY": "1",
    "OTEL_BSP_MAX_QUEUE_SIZE": "16",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8",
    "OTEL_METRIC_EXPORT_INTERVAL": "100",
    # In seconds.
    "OTEL_EXPORTER_OTLP_TIMEOUT": "600",
    # In milliseconds.
    "OTEL_METRIC_EXPORT_TIMEOUT": "600000",
}


@pytest.fixture(scope="module")
async def without_collector(
    tmp_path_factory: pytest.TempPathFactory,
    fault_postgres: PostgresServer,
    fault_databases: Databases,
    fault_identity: Identity,
) -> AsyncIterator[Stage]:
    """Both services, sending nothing to anybody."""
    directory = tmp_path_factory.mktemp("without_collector")
    async with raised_stage(directory, fault_postgres, fault_databases, fault_identity) as raised:
        yield raised


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(Mode.STALL, id="black-holed"),
        pytest.param(Mode.REFUSE, id="refusing"),
        pytest.param(Mode.DELAY, id="slow"),
    ],
)
async def test_with_a_failing_collector_every_call_is_answered_and_the_services_end_in_good_order(
    new_stage: NewStage, without_collector: Stage, tmp_path: Path, trouble: Mode
) -> None:
    async with (
        failing_collector(tmp_path, trouble) as endpoints,
        new_stage(loyalty=endpoints, ratingslip=endpoints) as stage,
    ):
        workload = Workload(stage, seed=SEED)
        async with workload.running():
            await workload.acknowledges(OPERATIONS)
        await require_invariants(stage, workload.history)

        assert not [each for each in workload.history if isinstance(each.outcome, Unknown)]
        closes = [each for each in workload.history if each.verb in CLOSE_VERBS]
        assert closes
        assert all(isinstance(close.outcome, Acknowledged) for close in closes)
        assert await times_as_long(stage, without_collector) <= MOST_TIMES_AS_LONG
        ending = stage.terminate(stage.ratingslip), stage.terminate(stage.loyalty)
        assert [*await asyncio.gather(*ending)] == [0, 0]


async def times_as_long(stage: Stage, yardstick: Stage) -> float:
    """How many times as long as on the other stage half of the closes take on this one."""
    bosses = [each.casino().for_role("pit_boss") for each in (stage, yardstick)]
    seconds: list[list[float]] = [[], []]
    for _ in range(CLOSES_EACH):
        for boss, taken in zip(bosses, seconds, strict=True):
            slip = await start(boss)
            started = time.perf_counter()
            await complete(boss, slip)
            taken.append(time.perf_counter() - started)
    ours, theirs = (statistics.median(taken) for taken in seconds)
    return ours / theirs


@contextlib.asynccontextmanager
async def failing_collector(directory: Path, trouble: Mode) -> AsyncIterator[Mapping[str, str]]:
    """A collector in trouble, as environment variables of the services that export to it."""
    async with (
        TraceSink(directory / "traces.jsonl") as spans,
        MetricsSink() as metrics,
        TcpProxy(spans.endpoint.removeprefix("http://")) as spans_proxy,
        TcpProxy(metrics.endpoint.removeprefix("http://")) as metrics_proxy,
    ):
        for proxy in (spans_proxy, metrics_proxy):
            await proxy.switch(trouble, delay_seconds=LATE_SECONDS)
        yield {
            **PATIENT_EXPORTERS,
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://{spans_proxy.address}",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"http://{metrics_proxy.address}",
        }
