"""The `OTEL_*` variables mean here what they mean everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from casino.loyalty.v1 import loyalty_pb2
from chassis.process import EXIT_UNAVAILABLE
from deploy.local.traces import find_by_id
from tests.databases import LOYALTY
from tests.integration.casino import Casino, new_accrual, new_id
from tests.integration.metrics import SCRAPED, MetricsSink
from tests.integration.services import Launcher
from tests.integration.spans import spans_of_call


async def test_a_service_is_called_what_the_environment_calls_it(
    casino: Casino, launcher: Launcher, traces_file: Path
) -> None:
    blue = await launcher.loyalty(OTEL_SERVICE_NAME="loyalty-blue")
    green = await launcher.loyalty(OTEL_RESOURCE_ATTRIBUTES="service.name=loyalty-green")

    for loyalty, name in ((blue, "loyalty-blue"), (green, "loyalty-green")):
        service, correlation_id = casino.for_role("service", loyalty=loyalty), new_id()
        await service.call(
            service.points.AccruePointsFromSlip, new_accrual(), correlation_id=correlation_id
        )
        assert await spans_of_call(traces_file, correlation_id, name)


async def test_a_sampler_and_a_disabled_exporter_send_nothing(
    casino: Casino, launcher: Launcher, traces_file: Path
) -> None:
    correlation_ids = []
    for setting in (
        {"OTEL_TRACES_SAMPLER": "always_off"},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_SDK_DISABLED": "true"},
    ):
        loyalty = await launcher.loyalty(**setting)
        service, correlation_id = casino.for_role("service", loyalty=loyalty), new_id()
        await service.call(
            service.points.AccruePointsFromSlip, new_accrual(), correlation_id=correlation_id
        )
        # A service sends what it has before it ends.
        await loyalty.stop()
        correlation_ids.append(correlation_id)

    assert [find_by_id(traces_file, each) for each in correlation_ids] == [[], [], []]


@pytest.mark.parametrize(
    ("variable", "exporters"),
    [
        ("OTEL_TRACES_EXPORTER", "carrier-pigeon"),
        ("OTEL_METRICS_EXPORTER", "otlp, carrier-pigeon"),
    ],
)
async def test_an_exporter_that_there_is_not_is_refused(
    variable: str, exporters: str, launcher: Launcher
) -> None:
    process = await launcher.start(LOYALTY, **{variable: exporters})

    assert await process.ended() == EXIT_UNAVAILABLE
    assert f"{variable} must list" in process.log.text()
    assert "not 'carrier-pigeon'" in process.log.text()


async def test_an_endpoint_for_metrics_that_cannot_be_is_refused(launcher: Launcher) -> None:
    address, _, taken = (await launcher.loyalty()).address.partition(":")
    for port, reason in (
        (taken, f"cannot serve metrics on {address}:{taken}"),
        ("65536", "OTEL_EXPORTER_PROMETHEUS_PORT must be a port number, not '65536'"),
    ):
        process = await launcher.start(
            LOYALTY, **{**SCRAPED, "OTEL_EXPORTER_PROMETHEUS_PORT": port}
        )

        assert await process.ended() == EXIT_UNAVAILABLE
        assert f"cannot start: {reason}" in process.log.text()


async def test_metrics_follow_the_endpoint_unless_their_exporter_is_none_or_all_is_disabled(
    casino: Casino, launcher: Launcher
) -> None:
    arrived = []
    for setting in (
        {"OTEL_METRICS_EXPORTER": None},
        {"OTEL_METRICS_EXPORTER": "none"},
        {"OTEL_METRICS_EXPORTER": None, "OTEL_SDK_DISABLED": "true"},
    ):
        async with MetricsSink() as sink:
            endpoint = {
                "OTEL_TRACES_EXPORTER": "none",
                "OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint,
            }
            loyalty = await launcher.loyalty(**endpoint, **setting)
            admin = casino.for_role("admin", loyalty=loyalty)
            await admin.call(admin.points.CheckBalanceDrift, loyalty_pb2.CheckBalanceDriftRequest())
            # A service sends what it has before it ends.
            await loyalty.stop()
            arrived.append(bool(sink.counts))

    assert arrived == [True, False, False]


async def test_a_protocol_that_is_not_spoken_is_refused(launcher: Launcher) -> None:
    process = await launcher.start(LOYALTY, OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf")

    assert await process.ended() == EXIT_UNAVAILABLE
    assert "OTEL_EXPORTER_OTLP_PROTOCOL" in process.log.text()
