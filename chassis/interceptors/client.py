"""The client's interceptor: correlation, trace context, a span and a duration for each call.

It awaits the call's end and hands a cancellation on, which an interceptor that only
awaits the status would swallow. It must not know which service is called.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import grpc
from opentelemetry import metrics, propagate, trace

from chassis import telemetry
from chassis.call_durations import CallDurations
from chassis.context import current_call
from chassis.interceptors.server import CORRELATION_HEADER


class ClientInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """Adds the current call's correlation ID and trace context to outgoing calls."""

    def __init__(self, tracer: trace.Tracer, meter: metrics.Meter) -> None:
        self._tracer = tracer
        self._durations = CallDurations(meter, "client")

    async def intercept_unary_unary(
        self,
        continuation: Callable[..., Any],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        """Sends the call inside a span that ends with it, whatever way it ends."""
        method = _text(client_call_details.method).removeprefix("/")
        correlation_id = current_call().correlation_id
        with self._tracer.start_as_current_span(
            method,
            kind=trace.SpanKind.CLIENT,
            attributes={
                telemetry.RPC_SYSTEM: "grpc",
                telemetry.RPC_METHOD: method,
                telemetry.CORRELATION_ID: correlation_id,
            },
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            metadata = grpc.aio.Metadata(*(client_call_details.metadata or ()))
            metadata.add(CORRELATION_HEADER, correlation_id)
            carrier: dict[str, str] = {}
            propagate.inject(carrier)
            for key, value in carrier.items():
                metadata.add(key, value)
            details = grpc.aio.ClientCallDetails(
                client_call_details.method,
                client_call_details.timeout,
                metadata,
                client_call_details.credentials,
                client_call_details.wait_for_ready,
            )
            started = time.perf_counter()
            call = await continuation(details, request)
            code = grpc.StatusCode.CANCELLED
            try:
                code = await call.code()
            except asyncio.CancelledError:
                call.cancel()
                raise
            finally:
                error_type = "" if code is grpc.StatusCode.OK else code.name
                _finish(span, code, error_type)
                self._durations.record(method, code, error_type, time.perf_counter() - started)
            return call


def _finish(span: trace.Span, code: grpc.StatusCode, error_type: str) -> None:
    span.set_attribute(telemetry.RPC_STATUS_CODE, code.name)
    if error_type:
        telemetry.mark_failed(span, error_type)


def _text(method: str | bytes) -> str:
    return method.decode() if isinstance(method, bytes) else method
