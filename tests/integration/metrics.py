"""A small OpenTelemetry collector: takes metrics over OTLP gRPC and keeps the last of each.

It must not know which metrics there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.metrics.v1 import (
    metrics_service_pb2,
    metrics_service_pb2_grpc,
)

from deploy.local.processes import LOOPBACK

# Nobody waits for an answer once the services have ended.
STOP_GRACE_SECONDS = 0.5

# A service, a metric of its, and the values of the metric's attributes.
Series = tuple[str, ...]


class MetricsSink(metrics_service_pb2_grpc.MetricsServiceServicer):
    """The collector's server, in the caller's event loop: `async with MetricsSink() as sink`."""

    def __init__(self) -> None:
        self.counts: dict[Series, int] = {}
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
        """Keeps the counters, which are sums since the service began."""
        self.counts.update(counters_of(request))
        return metrics_service_pb2.ExportMetricsServiceResponse()


def counters_of(
    request: metrics_service_pb2.ExportMetricsServiceRequest,
) -> Mapping[Series, int]:
    """The counters of an OTLP request."""
    return {
        (
            _strings(resource_metrics.resource.attributes)["service.name"],
            metric.name,
            *_strings(point.attributes).values(),
        ): point.as_int
        for resource_metrics in request.resource_metrics
        for scope_metrics in resource_metrics.scope_metrics
        for metric in scope_metrics.metrics
        for point in metric.sum.data_points
    }


def _strings(pairs: Any) -> dict[str, str]:
    return {pair.key: pair.value.string_value for pair in pairs}
