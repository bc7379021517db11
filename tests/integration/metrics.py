"""Metrics as they leave a service: sent to a small OpenTelemetry collector, or scraped.

The collector takes metrics over OTLP gRPC and keeps the last of each. It must not know
which metrics there are.
"""

from __future__ import annotations

import asyncio
import dataclasses
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.metrics.v1 import (
    metrics_service_pb2,
    metrics_service_pb2_grpc,
)
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from deploy.local.processes import LOOPBACK
from tests.integration.patience import PATIENCE_SECONDS
from tests.integration.services import ServiceProcess

# Nobody waits for an answer once the services have ended.
STOP_GRACE_SECONDS = 0.5
# What a service is told to be scraped on a port of its own, which its log names.
SCRAPED = {
    "OTEL_METRICS_EXPORTER": "prometheus",
    "OTEL_EXPORTER_PROMETHEUS_HOST": LOOPBACK,
    "OTEL_EXPORTER_PROMETHEUS_PORT": "0",
}
# As Prometheus asks for it.
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"

# A service, a metric of its, and the values of the metric's attributes.
Series = tuple[str, ...]


class MetricsSink(metrics_service_pb2_grpc.MetricsServiceServicer):
    """The collector's server, in the caller's event loop: `async with MetricsSink() as sink`."""

    def __init__(self) -> None:
        # Of the counters.
        self.counts: dict[Series, float] = {}
        # Of the histograms, the traces that their exemplars name.
        self.exemplars: dict[Series, set[str]] = {}
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(  # type: ignore[no-untyped-call]
            self, self._server
        )
        self._port = 0

    async def __aenter__(self) -> Self:
        self._port = self._server.add_insecure_port(f"{LOOPBACK}:0")
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(STOP_GRACE_SECONDS)

    @property
    def endpoint(self) -> str:
        """The URL for OTEL_EXPORTER_OTLP_METRICS_ENDPOINT."""
        return f"http://{LOOPBACK}:{self._port}"

    async def Export(
        self,
        request: metrics_service_pb2.ExportMetricsServiceRequest,
        _context: grpc.aio.ServicerContext[
            metrics_service_pb2.ExportMetricsServiceRequest,
            metrics_service_pb2.ExportMetricsServiceResponse,
        ],
    ) -> metrics_service_pb2.ExportMetricsServiceResponse:
        """Keeps the counters, which are sums since the service began, and all exemplars."""
        self.counts.update(counters_of(request))
        for service, metric in _metrics_of(request):
            for point in metric.histogram.data_points:
                traces = self.exemplars.setdefault(_series(service, metric, point), set())
                traces |= {exemplar.trace_id.hex() for exemplar in point.exemplars}
        return metrics_service_pb2.ExportMetricsServiceResponse()


def counters_of(
    request: metrics_service_pb2.ExportMetricsServiceRequest,
) -> Mapping[Series, float]:
    """The counters of an OTLP request."""
    return {
        _series(service, metric, point): getattr(point, point.WhichOneof("value"))
        for service, metric in _metrics_of(request)
        for point in metric.sum.data_points
    }


@dataclasses.dataclass(frozen=True)
class Scrape:
    """What a service's Prometheus endpoint answered, by the name of each family."""

    families: Mapping[str, Metric]

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples of a name that have these labels; 0 when there is none."""
        return sum(sample.value for sample in self.samples(name, **labels))

    def traces(self, name: str, **labels: str) -> set[str]:
        """The traces that the exemplars of these samples name."""
        samples = self.samples(name, **labels)
        return {sample.exemplar.labels["trace_id"] for sample in samples if sample.exemplar}

    def samples(self, name: str, **labels: str) -> list[Sample]:
        """The samples of a name that have these labels."""
        return [
            sample
            for family in self.families.values()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]


async def scraped(service: ServiceProcess) -> Scrape:
    """What a service that was started with `SCRAPED` answers now."""
    text = await asyncio.to_thread(fetch_metrics, await metrics_url(service), OPEN_METRICS)
    # The parser is stricter than Prometheus: a text that is no OpenMetrics is an error.
    families = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    return Scrape({family.name: family for family in families})


async def metrics_url(service: ServiceProcess) -> str:
    """Where a service serves its metrics, by its log."""
    event = await service.log.event("metrics_listening")
    return f"http://{event['host']}:{event['port']}/metrics"


def fetch_metrics(url: str, accepted: str) -> str:
    """The endpoint's answer in a format."""
    request = urllib.request.Request(url, headers={"Accept": accepted})
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        text: str = answer.read().decode()
    return text


def _metrics_of(
    request: metrics_service_pb2.ExportMetricsServiceRequest,
) -> Iterator[tuple[str, Any]]:
    for resource_metrics in request.resource_metrics:
        service = _values(resource_metrics.resource.attributes)["service.name"]
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                yield service, metric


def _series(service: str, metric: Any, point: Any) -> Series:
    return (service, metric.name, *_values(point.attributes).values())


def _values(pairs: Any) -> dict[str, str]:
    """Attributes as text; a boolean as Prometheus has it."""
    return {
        pair.key: pair.value.string_value
        if pair.value.HasField("string_value")
        else str(getattr(pair.value, pair.value.WhichOneof("value"))).lower()
        for pair in pairs
    }
