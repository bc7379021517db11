"""The one error type that crosses the wire, and its encoding as a gRPC status.

Owns the shape of every failure: a canonical code, exactly one ErrorInfo, and the
standard details that fit. Which failures exist is the services' business; this
file must not know any of their reasons.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import cast

import grpc
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

CORRELATION_ID_KEY = "correlationId"
# An error travels in headers, of which clients take 8 KiB by default: a violation has up to
# a hundred characters, and stands there three times.
MOST_VIOLATIONS = 20


@dataclasses.dataclass(frozen=True)
class FieldViolation:
    """One bad field of a request: its path (`play.average_bet`) and what is wrong."""

    field: str
    description: str


@dataclasses.dataclass(frozen=True)
class Resource:
    """The thing an error is about: its kind (`rating_slip`) and its ID."""

    kind: str
    name: str


class ServiceError(Exception):
    """A failure that a caller is meant to see.

    `code` is the canonical gRPC code, `reason` the UPPER_SNAKE word to branch on,
    and the message a sentence for people that never holds SQL, stacks or driver
    wording. `metadata` keys are camelCase.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        text: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[FieldViolation] = (),
        retry_after_seconds: float | None = None,
        resource: Resource | None = None,
    ) -> None:
        super().__init__(f"{reason}: {text}")
        self.code = code
        self.reason = reason
        self.text = text
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after_seconds = retry_after_seconds
        self.resource = resource


def invalid_request(violations: Sequence[FieldViolation]) -> ServiceError:
    """INVALID_ARGUMENT that names every bad field, in the details and in the message.

    Of more than fit it names the first, and says how many more there are.
    """
    named = violations[:MOST_VIOLATIONS]
    listed = "; ".join(f"{each.field}: {each.description}" for each in named)
    if len(violations) > len(named):
        listed += f"; and {len(violations) - len(named)} more"
    return ServiceError(
        grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", listed, violations=named
    )


def malformed_request() -> ServiceError:
    """INVALID_ARGUMENT for bytes that are no message of the method: cut off, or not UTF-8."""
    return ServiceError(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_REQUEST",
        "the body is not a message of this method",
    )


def internal() -> ServiceError:
    """INTERNAL that says nothing but where to look."""
    return ServiceError(
        grpc.StatusCode.INTERNAL,
        "INTERNAL",
        "the service failed; its log holds the cause under this correlation ID",
    )


def deadline_exceeded() -> ServiceError:
    """DEADLINE_EXCEEDED: the call's time is over; what it did may have happened."""
    return ServiceError(
        grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "the call's deadline has passed"
    )


def unavailable(reason: str, text: str, retry_after_seconds: float) -> ServiceError:
    """UNAVAILABLE with RetryInfo: the same call may succeed after the delay."""
    return ServiceError(
        grpc.StatusCode.UNAVAILABLE, reason, text, retry_after_seconds=retry_after_seconds
    )


def to_status(error: ServiceError, domain: str, correlation_id: str) -> grpc.Status:
    """Encodes an error for `abort_with_status`, with its ErrorInfo and details."""
    metadata = {**error.metadata, CORRELATION_ID_KEY: correlation_id}
    details: list[message.Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=domain, metadata=metadata)
    ]
    if error.violations:
        bad_request = error_details_pb2.BadRequest()
        for violation in error.violations:
            bad_request.field_violations.add(
                field=violation.field, description=violation.description
            )
        details.append(bad_request)
    if error.retry_after_seconds is not None:
        delay = duration_pb2.Duration()
        delay.FromMicroseconds(int(error.retry_after_seconds * 1_000_000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    if error.resource is not None:
        details.append(
            error_details_pb2.ResourceInfo(
                resource_type=error.resource.kind, resource_name=error.resource.name
            )
        )
    status = status_pb2.Status(
        code=code_pb2.Code.Value(error.code.name),
        message=f"{error.reason}: {error.text}",
        details=[_packed(detail) for detail in details],
    )
    encoded: grpc.Status = rpc_status.to_status(status)
    return encoded


def error_info(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo | None:
    """The ErrorInfo of a failed call to another service; None when it carries none."""
    try:
        # It reads code, details and trailing metadata only, which this error has too.
        status = rpc_status.from_call(cast("grpc.Call", error))
    except ValueError:
        # A status whose two copies of code and message disagree cannot be trusted.
        return None
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Is(info.DESCRIPTOR) and detail.Unpack(info):
            return info
    return None


def _packed(detail: message.Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
