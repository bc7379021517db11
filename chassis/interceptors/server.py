"""The server's interceptor: everything that holds for every RPC, in one readable order.

    correlation → span → identity → permission → decoding → the method → error → log → duration

It answers every failure as one canonical status and lets no exception's text out. It
is one interceptor and not six, so that the order is fixed and costs one wrapper. It
must not know what a method does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias, cast

import grpc
from google.protobuf.message import DecodeError
from opentelemetry import metrics, propagate, trace

from chassis import context, errors, telemetry
from chassis.auth import TokenVerifier
from chassis.call_durations import CallDurations, is_public
from chassis.context import Call, Caller, Deadline, Role
from chassis.interceptors.public import guarded

_logger = logging.getLogger("rpc")

CORRELATION_HEADER = "x-correlation-id"
# Nobody reads it or sends it on; parsing it would only log what a stranger has written.
BAGGAGE_HEADER = "baggage"
# Nobody waits longer than this for one of our answers; a client that asks for more
# would hold a connection and a row lock for it.
LONGEST_DEADLINE_SECONDS = 60.0

# A client sends its timeout rounded up to few digits, and gives up by its own clock: its
# cancellation then comes a little before the deadline we were told.
ROUNDING_SECONDS = 0.01
ROUNDING_SHARE = 0.02

# What a failing caller cannot mend: the codes that mark a server span as failed.
_SERVER_FAULTS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)

Context = grpc.aio.ServicerContext[Any, Any]
Behaviour = Callable[[Any, Context], Awaitable[Any]]
Decoder = Callable[[bytes], Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class ServerInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every RPC of a service.

    `permissions` maps each full method name to the roles that may call it; a method
    that is missing there may be called by nobody.
    """

    def __init__(
        self,
        *,
        verifier: TokenVerifier,
        permissions: Mapping[str, frozenset[Role]],
        error_domain: str,
        default_deadline_seconds: float,
        tracer: trace.Tracer,
        meter: metrics.Meter,
    ) -> None:
        self._verifier = verifier
        self._permissions = permissions
        self._error_domain = error_domain
        self._default_deadline_seconds = default_deadline_seconds
        self._tracer = tracer
        self._durations = CallDurations(meter, "server")
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def until_idle(self) -> None:
        """Waits until no call is under way; health watchers do not count."""
        await self._idle.wait()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wraps unary methods; health and reflection are only kept from bytes that are none."""
        handler = await continuation(handler_call_details)
        method: str = handler_call_details.method.removeprefix("/")
        if handler is None:
            return None
        if is_public(method):
            # Health checks and reflection answer without a token, and nothing else does.
            return guarded(handler)
        if handler.unary_unary is None:
            raise TypeError(f"{method} streams, and this interceptor wraps unary methods only")
        metadata = _text_metadata(handler_call_details)
        behaviour = _decoding(
            cast("Behaviour", handler.unary_unary), cast("Decoder", handler.request_deserializer)
        )

        async def wrapped(body: bytes, servicer_context: Context) -> Any:
            self._under_way += 1
            self._idle.clear()
            try:
                return await self._answer(behaviour, method, metadata, body, servicer_context)
            finally:
                self._under_way -= 1
                if not self._under_way:
                    self._idle.set()

        return grpc.unary_unary_rpc_method_handler(
            wrapped,
            # gRPC would answer bytes that are no request with UNKNOWN and the parser's words.
            request_deserializer=None,
            response_serializer=handler.response_serializer,
        )

    async def _answer(
        self,
        behaviour: Behaviour,
        method: str,
        metadata: Mapping[str, list[str]],
        body: bytes,
        servicer_context: Context,
    ) -> Any:
        call = Call(
            method=method,
            correlation_id=_correlation_id(metadata) or context.new_correlation_id(),
            deadline=Deadline.after(self._allowed_seconds(servicer_context)),
        )
        entered = context.enter_call(call)
        try:
            with contextlib.suppress(grpc.aio.InternalError):
                # It fails for a caller who has gone away, which the call itself then tells.
                await servicer_context.send_initial_metadata(
                    ((CORRELATION_HEADER, call.correlation_id),)
                )
            with self._tracer.start_as_current_span(
                method,
                context=propagate.extract(_carrier(metadata)),
                kind=trace.SpanKind.SERVER,
                attributes={
                    telemetry.RPC_SYSTEM: "grpc",
                    telemetry.RPC_METHOD: method,
                    telemetry.CORRELATION_ID: call.correlation_id,
                },
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                response, failure = await self._outcome(
                    behaviour, call, metadata, body, servicer_context, span
                )
                if failure is not None:
                    status = errors.to_status(failure, self._error_domain, call.correlation_id)
                    await _refuse(servicer_context, status)
                return response
        finally:
            context.leave_call(entered)

    async def _outcome(
        self,
        behaviour: Behaviour,
        call: Call,
        metadata: Mapping[str, list[str]],
        body: bytes,
        servicer_context: Context,
        span: trace.Span,
    ) -> tuple[Any, errors.ServiceError | None]:
        """Runs the method; the response, or the failure to answer with instead."""
        started = time.perf_counter()
        response, failure, code = None, None, grpc.StatusCode.OK
        try:
            async with asyncio.timeout(call.deadline.remaining_seconds()):
                if _correlation_id(metadata) is None and CORRELATION_HEADER in metadata:
                    raise _invalid_correlation_id()
                await self._authenticate(call, metadata, span)
                response = await behaviour(body, servicer_context)
        except asyncio.CancelledError:
            # The client went away or its deadline passed; nobody hears an answer.
            code = _code_of_cancellation(call.deadline)
            raise
        except errors.ServiceError as error:
            failure = error
        except TimeoutError:
            failure = errors.deadline_exceeded()
        except Exception:
            _logger.exception("unexpected_error", extra={"rpc.method": call.method})
            failure = errors.internal()
        finally:
            if failure is not None:
                code = failure.code
            seconds = time.perf_counter() - started
            _finish(span, call, code, failure, seconds)
            self._durations.record(call.method, code, _error_type(code, failure), seconds)
        return response, failure

    async def _authenticate(
        self, call: Call, metadata: Mapping[str, list[str]], span: trace.Span
    ) -> None:
        offered = metadata.get("authorization", [])
        caller = await self._verifier.verify(offered[0] if len(offered) == 1 else None)
        call.caller = caller
        span.set_attribute(telemetry.CASINO_ID, str(caller.casino_id))
        span.set_attribute(telemetry.ROLE, caller.role.value)
        if caller.role not in self._permissions.get(call.method, frozenset()):
            raise _role_not_permitted(caller, call.method)

    def _allowed_seconds(self, servicer_context: Context) -> float:
        remaining = servicer_context.time_remaining()
        if remaining is None:
            return self._default_deadline_seconds
        return float(min(remaining, LONGEST_DEADLINE_SECONDS))


def _decoding(behaviour: Behaviour, decode: Decoder) -> Behaviour:
    """The method, taking the request's bytes; raises INVALID_REQUEST for what is none."""

    async def decoded(body: bytes, servicer_context: Context) -> Any:
        try:
            request = decode(body)
        except DecodeError as error:
            raise errors.malformed_request() from error
        return await behaviour(request, servicer_context)

    return decoded


async def _refuse(servicer_context: Context, status: grpc.Status) -> None:
    try:
        await servicer_context.abort_with_status(status)
    except grpc.aio.InternalError:
        # The caller has gone away in the meantime. gRPC would log this as an error of ours.
        raise asyncio.CancelledError from None


def _finish(
    span: trace.Span,
    call: Call,
    code: grpc.StatusCode,
    failure: errors.ServiceError | None,
    seconds: float,
) -> None:
    """Completes the span and writes the call's one wide log event."""
    reason = failure.reason if failure is not None else ""
    span.set_attribute(telemetry.RPC_STATUS_CODE, code.name)
    span.set_attributes(call.facts)
    error_type = _error_type(code, failure)
    if error_type:
        span.set_attribute(telemetry.ERROR_TYPE, error_type)
    if code in _SERVER_FAULTS:
        span.set_status(trace.Status(trace.StatusCode.ERROR, error_type))
    caller = call.caller
    level = logging.WARNING if code in _SERVER_FAULTS else logging.INFO
    _logger.log(
        level,
        "rpc",
        extra={
            telemetry.RPC_METHOD: call.method,
            telemetry.RPC_STATUS_CODE: code.name,
            "reason": reason,
            "error": failure.text if failure is not None else "",
            "duration_ms": round(seconds * 1000, 3),
            telemetry.CASINO_ID: str(caller.casino_id) if caller else "",
            telemetry.ROLE: caller.role.value if caller else "",
            "staff_id": str(caller.staff_id) if caller else "",
            "acting_service": (caller.acting_service or "") if caller else "",
            **call.facts,
        },
    )


def _error_type(code: grpc.StatusCode, failure: errors.ServiceError | None) -> str:
    """The reason of a failed call, or its code where nobody was there to hear a reason."""
    if failure is not None:
        return failure.reason
    return "" if code is grpc.StatusCode.OK else code.name


def _text_metadata(details: grpc.HandlerCallDetails) -> dict[str, list[str]]:
    collected: dict[str, list[str]] = {}
    for key, value in details.invocation_metadata or ():
        if isinstance(value, str):
            collected.setdefault(key, []).append(value)
    return collected


def _code_of_cancellation(deadline: Deadline) -> grpc.StatusCode:
    rounding = ROUNDING_SECONDS + ROUNDING_SHARE * deadline.allowance_seconds
    if deadline.remaining_seconds() <= rounding:
        return grpc.StatusCode.DEADLINE_EXCEEDED
    return grpc.StatusCode.CANCELLED


def _correlation_id(metadata: Mapping[str, list[str]]) -> str | None:
    """The caller's correlation ID; None when it sent none, or none that is acceptable."""
    offered = metadata.get(CORRELATION_HEADER, [])
    if len(offered) == 1 and context.CORRELATION_ID.fullmatch(offered[0]):
        return offered[0]
    return None


def _carrier(metadata: Mapping[str, list[str]]) -> dict[str, str]:
    return {key: values[0] for key, values in metadata.items() if key != BAGGAGE_HEADER}


def _invalid_correlation_id() -> errors.ServiceError:
    return errors.ServiceError(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_CORRELATION_ID",
        f"{CORRELATION_HEADER} must be sent once, as 1 to 128 characters of A-Za-z0-9._-",
    )


def _role_not_permitted(caller: Caller, method: str) -> errors.ServiceError:
    return errors.ServiceError(
        grpc.StatusCode.PERMISSION_DENIED,
        "ROLE_NOT_PERMITTED",
        f"role {caller.role.value} may not call {method}",
        metadata={"role": caller.role.value},
    )
