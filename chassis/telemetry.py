"""Sets up OpenTelemetry from the `OTEL_*` variables: traces and metrics, and our attributes' names.

The SDK reads sampler, resource and exporter settings from the environment itself;
`OTEL_TRACES_EXPORTER`, `OTEL_METRICS_EXPORTER` and `OTEL_SDK_DISABLED` it does not, so
they are read here. This file must not know a service of ours, nor what is measured.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from opentelemetry import context as otel_context
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    ConsoleMetricExporter,
    MetricReader,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SimpleSpanProcessor,
)
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from chassis.prometheus import prometheus_reader

# Our own attributes; none of them holds personal data.
CASINO_ID = "casino.id"
CORRELATION_ID = "casino.correlation_id"
ROLE = "casino.role"
RATING_SLIP_ID = "casino.rating_slip_id"
LEDGER_ENTRY_ID = "casino.ledger_entry_id"
IS_REPLAY = "casino.idempotency_replay"
OUTCOME = "casino.outcome"

# Semantic conventions: RPC, database and process.
RPC_SYSTEM = "rpc.system.name"
RPC_METHOD = "rpc.method"
RPC_STATUS_CODE = "rpc.response.status_code"
ERROR_TYPE = "error.type"
DB_SYSTEM = "db.system.name"
DB_NAMESPACE = "db.namespace"
DB_OPERATION = "db.operation.name"
DB_STORED_PROCEDURE = "db.stored_procedure.name"
DB_STATUS_CODE = "db.response.status_code"
DB_POOL_NAME = "db.client.connection.pool.name"
DB_CONNECTION_STATE = "db.client.connection.state"
CPU_MODE = "cpu.mode"

# The bounds of every histogram: our calls take milliseconds, and nobody waits for more than
# a few seconds. Objectives are best set at one of them, where a share is exact.
DURATION_BOUNDS_SECONDS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)

# A dead collector must not hold up the exit; what is not out by then is lost.
SHUTDOWN_TIMEOUT_SECONDS = 2.0
# How long one export may take when the environment does not say; the SDK's own 10 s
# would hold a dying process back.
DEFAULT_EXPORT_TIMEOUT_SECONDS = 1.0

# A stored trace parent is always W3C's; between services `OTEL_PROPAGATORS` decides.
_trace_context = TraceContextTextMapPropagator()
_ids = RandomIdGenerator()


def tracer_provider(service_name: str, environment: Mapping[str, str]) -> TracerProvider:
    """The tracer provider the environment asks for.

    `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` win over `service_name`.
    `OTEL_TRACES_EXPORTER` lists `otlp`, `console` or `none`; unset, spans are exported
    when an OTLP endpoint is configured. Raises `ValueError` for another
    exporter or protocol.
    """
    provider = TracerProvider(resource=_resource(service_name, environment), shutdown_on_exit=False)
    for name in _exporter_names("TRACES", environment):
        match name:
            case "otlp":
                exporter = OTLPSpanExporter(timeout=_otlp_timeout("TRACES", environment))
                provider.add_span_processor(BatchSpanProcessor(exporter))
            case "console":
                provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
            case other:
                raise ValueError(
                    f"OTEL_TRACES_EXPORTER must list otlp, console or none, not {other!r}"
                )
    return provider


def meter_provider(service_name: str, environment: Mapping[str, str]) -> metrics.MeterProvider:
    """The meter provider the environment asks for, by the rules of `tracer_provider`.

    `OTEL_METRICS_EXPORTER` may list `prometheus`, too, which serves them over HTTP from now
    on; without an exporter, nothing is counted, which costs nothing. Raises `OSError` when
    Prometheus' endpoint cannot listen where it was told to.
    """
    readers = [
        _metric_reader(name, environment) for name in _exporter_names("METRICS", environment)
    ]
    if not readers:
        return metrics.NoOpMeterProvider()
    return MeterProvider(
        readers, resource=_resource(service_name, environment), shutdown_on_exit=False
    )


def duration_histogram(meter: metrics.Meter, name: str, description: str) -> metrics.Histogram:
    """A histogram of seconds, with our bounds."""
    return meter.create_histogram(
        name,
        unit="s",
        description=description,
        explicit_bucket_boundaries_advisory=DURATION_BOUNDS_SECONDS,
    )


async def shut_down(*providers: TracerProvider | metrics.MeterProvider) -> None:
    """Exports what is left, for a bounded time; `shutdown()` itself has no such limit."""
    stopping = [
        _in_thread(provider.shutdown)
        for provider in providers
        if isinstance(provider, TracerProvider | MeterProvider)
    ]
    await asyncio.wait(stopping, timeout=SHUTDOWN_TIMEOUT_SECONDS)


def trace_parent() -> str:
    """The current span as a W3C `traceparent`; empty when nothing is recorded."""
    carrier: dict[str, str] = {}
    _trace_context.inject(carrier)
    return carrier.get("traceparent", "")


def link_to(traceparent: str) -> list[trace.Link]:
    """A link to the span of a stored `traceparent`; empty when it is of this trace, or none."""
    context = _trace_context.extract({"traceparent": traceparent}, context=otel_context.Context())
    linked = trace.get_current_span(context).get_span_context()
    current = trace.get_current_span().get_span_context()
    if not linked.is_valid or linked.trace_id == current.trace_id:
        return []
    return [trace.Link(linked)]


@contextmanager
def step(
    tracer: trace.Tracer,
    name: str,
    *,
    kind: trace.SpanKind = trace.SpanKind.INTERNAL,
    attributes: Mapping[str, str | int | bool] | None = None,
    links: Sequence[trace.Link] = (),
) -> Iterator[trace.Span]:
    """A span around one step of a call; an exception marks it as failed, without its text."""
    with tracer.start_as_current_span(
        name,
        kind=kind,
        attributes=attributes,
        links=links,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except (asyncio.CancelledError, Exception) as error:
            mark_failed(span, error_type_of(error))
            raise


@contextmanager
def unrecorded() -> Iterator[None]:
    """No span is recorded in this block, for the default sampler follows a parent that is not.

    It is for polls, which would bury the traces that people look for.
    """
    parent = trace.SpanContext(
        trace_id=_ids.generate_trace_id(),
        span_id=_ids.generate_span_id(),
        is_remote=False,
        trace_flags=trace.TraceFlags(trace.TraceFlags.DEFAULT),
    )
    token = otel_context.attach(trace.set_span_in_context(trace.NonRecordingSpan(parent)))
    try:
        yield
    finally:
        otel_context.detach(token)


def error_type_of(error: BaseException) -> str:
    """A short word for a failure, out of a known set: its reason, or what kind it is."""
    if isinstance(error, asyncio.CancelledError):
        return "CANCELLED"
    return str(getattr(error, "reason", type(error).__name__))


def mark_failed(span: trace.Span, error_type: str) -> None:
    """Marks a span as failed with a short word, never with an exception's text."""
    span.set_attribute(ERROR_TYPE, error_type)
    span.set_status(trace.Status(trace.StatusCode.ERROR, error_type))


def _in_thread(work: Callable[[], None]) -> asyncio.Future[None]:
    """Runs work in a thread that the process does not wait for, as it would for an executor's."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def run() -> None:
        try:
            work()
        finally:
            # Nobody waits any more when the loop is closed.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(done.set_result, None)

    threading.Thread(target=run, name="telemetry-shutdown", daemon=True).start()
    return done


def _resource(service_name: str, environment: Mapping[str, str]) -> Resource:
    # Resource.create() lets its argument win over the environment: only a default here.
    named = "OTEL_SERVICE_NAME" in environment or "service.name=" in environment.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    return Resource.create({} if named else {SERVICE_NAME: service_name})


def _otlp_timeout(signal: str, environment: Mapping[str, str]) -> float | None:
    """How long an export may take, None when the environment says; checks the protocol, too."""
    for name in (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if environment.get(name, "grpc") != "grpc":
            raise ValueError(f"{name} must be grpc, not {environment[name]!r}")
    timeouts = (f"OTEL_EXPORTER_OTLP_{signal}_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
    is_set = any(environment.get(name) for name in timeouts)
    return None if is_set else DEFAULT_EXPORT_TIMEOUT_SECONDS


def _metric_reader(name: str, environment: Mapping[str, str]) -> MetricReader:
    match name:
        case "otlp":
            exporter = OTLPMetricExporter(timeout=_otlp_timeout("METRICS", environment))
            return PeriodicExportingMetricReader(exporter)
        case "prometheus":
            return prometheus_reader(environment)
        case "console":
            return PeriodicExportingMetricReader(ConsoleMetricExporter())
        case other:
            raise ValueError(
                f"OTEL_METRICS_EXPORTER must list otlp, prometheus, console or none, not {other!r}"
            )


def _exporter_names(signal: str, environment: Mapping[str, str]) -> list[str]:
    """The exporters of a signal, each once; `none` is none."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    named = environment.get(f"OTEL_{signal}_EXPORTER", "").strip()
    if named:
        names = dict.fromkeys(name.strip() for name in named.split(","))
        return [name for name in names if name not in ("", "none")]
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return ["otlp"] if any(environment.get(name) for name in endpoints) else []
