"""The Prometheus endpoint: every metric over HTTP, with exemplars where the format has them.

OpenTelemetry's own library translates the metrics and Prometheus' own serves them; neither
passes exemplars on, which lead from a slow bucket or a failure to its trace, so they are
added here. This file must not know a metric of ours.
"""

from __future__ import annotations

import bisect
import json
import logging
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import prometheus_client
from opentelemetry import trace
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import Exemplar as RecordedExemplar
from opentelemetry.sdk.metrics.export import Histogram, Metric, MetricsData, Sum
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.samples import Exemplar, Sample

_logger = logging.getLogger(__name__)

# OpenTelemetry's own defaults.
HOST_VARIABLE, DEFAULT_HOST = "OTEL_EXPORTER_PROMETHEUS_HOST", "localhost"
PORT_VARIABLE, DEFAULT_PORT = "OTEL_EXPORTER_PROMETHEUS_PORT", 9464
HIGHEST_PORT = 65_535

_NANOSECONDS_PER_SECOND = 1_000_000_000
# What may stand in a Prometheus name, and how the units that we use are spelt there.
_NO_LETTER = re.compile(r"[^a-zA-Z0-9:]+")
_UNITS = {"s": "_seconds", "By": "_bytes"}

# A sample's name, its labels, and the bound of its bucket, empty for a counter.
_SampleKey: TypeAlias = tuple[str, frozenset[tuple[str, str]], str]


def prometheus_reader(environment: Mapping[str, str]) -> PrometheusReader:
    """Serves metrics where `OTEL_EXPORTER_PROMETHEUS_HOST` and `…_PORT` say, from now on.

    Port 0 takes a free one, which the log names. Raises `ValueError` for what is no port,
    and `OSError` when the address cannot be used.
    """
    host = environment.get(HOST_VARIABLE) or DEFAULT_HOST
    named = environment.get(PORT_VARIABLE) or str(DEFAULT_PORT)
    if not named.isascii() or not named.isdecimal() or int(named) > HIGHEST_PORT:
        raise ValueError(f"{PORT_VARIABLE} must be a port number, not {named!r}")
    try:
        return PrometheusReader(host, int(named))
    except OSError as error:
        raise OSError(f"cannot serve metrics on {host}:{named}: {error}") from error


class PrometheusReader(PrometheusMetricReader):
    """Collects the metrics at each scrape; its HTTP server has a thread of its own."""

    def __init__(self, host: str, port: int) -> None:
        translated = CollectorRegistry()
        super().__init__(scope_info_enabled=False, registry=translated)
        self._exemplars = _NewestExemplars()
        served = CollectorRegistry()
        served.register(_WithExemplars(translated, self._exemplars))
        self._server, _ = prometheus_client.start_http_server(port, host, served)
        _logger.info("metrics_listening", extra={"host": host, "port": self._server.server_port})

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Stops the server, and what has not been scraped is lost."""
        self._server.shutdown()
        self._server.server_close()
        super().shutdown(timeout_millis, **kwargs)

    def _receive_metrics(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> None:
        self._exemplars.remember(metrics_data)
        super()._receive_metrics(metrics_data, timeout_millis, **kwargs)


class _WithExemplars(Collector):
    """The families as they were translated, with the newest exemplar of each sample."""

    def __init__(self, translated: CollectorRegistry, exemplars: _NewestExemplars) -> None:
        self._translated = translated
        self._exemplars = exemplars
        # Two scrapes at once would share one collection, and one of them get nothing.
        self._one_scrape = threading.Lock()

    def collect(self) -> Iterable[Family]:
        """All families; Prometheus' library calls it at each scrape."""
        with self._one_scrape:
            families = list(self._translated.collect())
            for family in families:
                family.samples = [self._exemplars.added_to(sample) for sample in family.samples]
        return families


class _NewestExemplars:
    """The newest exemplar of each counter and each histogram's bucket.

    The SDK forgets an exemplar when it was collected; Prometheus expects it to be there until
    there is a newer one. There are at most as many as there are samples.
    """

    def __init__(self) -> None:
        self._newest: dict[_SampleKey, Exemplar] = {}

    def remember(self, metrics_data: MetricsData) -> None:
        """Keeps the exemplars of a collection."""
        for resource_metrics in metrics_data.resource_metrics:
            for scope_metrics in resource_metrics.scope_metrics:
                for metric in scope_metrics.metrics:
                    for key, recorded in _exemplars_of(metric):
                        self._newest[key] = _exemplar(recorded)

    def added_to(self, sample: Sample) -> Sample:
        """The sample with its exemplar, if it has one."""
        # The library gives every sample of a family all the labels, and leaves some empty.
        labels = frozenset(
            (name, value) for name, value in sample.labels.items() if value and name != "le"
        )
        exemplar = self._newest.get((sample.name, labels, sample.labels.get("le", "")))
        return sample if exemplar is None else sample._replace(exemplar=exemplar)


def _exemplars_of(metric: Metric) -> Iterator[tuple[_SampleKey, RecordedExemplar]]:
    """A metric's exemplars that name a span, by the sample they belong to."""
    name = _spelt(metric.name) + _UNITS.get(metric.unit or "", "")
    if isinstance(metric.data, Histogram):
        for bucket_point in metric.data.data_points:
            bounds = [*(str(bound) for bound in bucket_point.explicit_bounds), "+Inf"]
            labels = _labels(bucket_point.attributes)
            for recorded in bucket_point.exemplars:
                if recorded.trace_id and recorded.span_id:
                    bucket = bisect.bisect_left(bucket_point.explicit_bounds, recorded.value)
                    yield (f"{name}_bucket", labels, bounds[bucket]), recorded
    elif isinstance(metric.data, Sum) and metric.data.is_monotonic:
        for point in metric.data.data_points:
            for recorded in point.exemplars:
                if recorded.trace_id and recorded.span_id:
                    yield (f"{name}_total", _labels(point.attributes), ""), recorded


def _exemplar(recorded: RecordedExemplar) -> Exemplar:
    return Exemplar(
        {
            "trace_id": trace.format_trace_id(recorded.trace_id or 0),
            "span_id": trace.format_span_id(recorded.span_id or 0),
        },
        recorded.value,
        recorded.time_unix_nano / _NANOSECONDS_PER_SECOND,
    )


def _labels(attributes: Mapping[str, Any] | None) -> frozenset[tuple[str, str]]:
    return frozenset(
        (_spelt(name), value if isinstance(value, str) else json.dumps(value))
        for name, value in (attributes or {}).items()
    )


def _spelt(name: str) -> str:
    return _NO_LETTER.sub("_", name)
