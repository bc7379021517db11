"""One gRPC call of a well-behaved client: token, correlation ID, deadline and bounded retries.

Knows no service; every call of the demo goes through here.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")

# A call takes milliseconds; a machine that is busy with other things gets its time.
CALL_TIMEOUT_SECONDS = 10.0
# With the pauses below a call that is refused is given up after about six
# seconds, which outlasts the restart of a service.
CALL_ATTEMPTS = 7
FIRST_BACKOFF_SECONDS = 0.1
# A retry can help with these. It is safe: every step of a slip has a key of its own.
RETRYABLE_CODES = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})
TRACE_ID_BYTES = 16
SPAN_ID_BYTES = 8


@dataclass(frozen=True)
class Caller:
    """Calls stubs in the name of one member of staff."""

    access_token: str

    async def call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT],
        request: RequestT,
        correlation_id: str,
        *,
        trace_id: str = "",
        is_final: Callable[[grpc.aio.AioRpcError], bool] | None = None,
    ) -> ResponseT:
        """The answer, after as many attempts as help and are allowed.

        `trace_id` (see `new_trace_id`) is sent on, so that the call's trace can be
        found. An error that `is_final` is raised at once, whatever its code.

        Raises `grpc.aio.AioRpcError`: the last attempt's.
        """
        for attempt in range(CALL_ATTEMPTS):
            metadata = self._metadata(correlation_id, trace_id)
            try:
                return await method(request, timeout=CALL_TIMEOUT_SECONDS, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                if attempt == CALL_ATTEMPTS - 1 or error.code() not in RETRYABLE_CODES:
                    raise
                if is_final is not None and is_final(error):
                    raise
            await asyncio.sleep(FIRST_BACKOFF_SECONDS * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _metadata(self, correlation_id: str, trace_id: str) -> tuple[tuple[str, str], ...]:
        metadata = (
            ("authorization", f"Bearer {self.access_token}"),
            ("x-correlation-id", correlation_id),
        )
        if not trace_id:
            return metadata
        # The W3C trace context, marked as sampled.
        traceparent = f"00-{trace_id}-{secrets.token_hex(SPAN_ID_BYTES)}-01"
        return (*metadata, ("traceparent", traceparent))


def new_trace_id() -> str:
    """A random W3C trace ID: 32 hexadecimal digits."""
    return secrets.token_hex(TRACE_ID_BYTES)


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """The ErrorInfo reason of a failed call; empty when the service sent none."""
    # It has the three methods of a call that are looked at here.
    status = rpc_status.from_call(cast("grpc.Call", error))
    info = error_details_pb2.ErrorInfo()
    found = status is not None and any(detail.Unpack(info) for detail in status.details)
    return str(info.reason) if found else ""


def described(error: grpc.aio.AioRpcError) -> str:
    """A failed call in one line for a person."""
    words = (error.code().name, reason_of(error), error.details() or "")
    return " ".join(" ".join(words).split())
