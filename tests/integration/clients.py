"""A caller of the services: whose token it sends, what it gets back, how it is refused.

A refusal that the protos do not document for the RPC fails whatever test meets it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeVar, cast

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from casino.loyalty.v1 import loyalty_pb2_grpc
from casino.ratingslip.v1 import ratingslip_pb2_grpc
from docs import rpc_tables
from tests.integration.patience import PATIENCE_SECONDS

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
Method: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[Request, Response]"
Call: TypeAlias = "grpc.aio.UnaryUnaryCall[Request, Response]"
Headers: TypeAlias = Sequence[tuple[str, str]]
# Code and reason of a refusal.
Kind: TypeAlias = tuple[grpc.StatusCode, str]

CORRELATION_HEADER = "x-correlation-id"


@dataclasses.dataclass(frozen=True)
class Refusal:
    """A failed call, with its details unpacked."""

    code: grpc.StatusCode
    # Of the ErrorInfo, of which there is exactly one.
    reason: str
    domain: str
    metadata: dict[str, str]
    message: str
    # The paths of the BadRequest's field violations.
    fields: tuple[str, ...]
    # Of RetryInfo, if there is one.
    retry_after_seconds: float | None
    # Type and name of ResourceInfo, if there is one.
    resource: tuple[str, str] | None
    # Of the initial metadata.
    correlation_id: str

    @property
    def kind(self) -> Kind:
        """Code and reason: what callers branch on."""
        return self.code, self.reason

    def text_without(self, *identifiers: str) -> str:
        """All of it as text, with its correlation ID and these IDs masked, to compare two."""
        text = repr(self)
        for identifier in (self.correlation_id, *identifiers):
            text = text.replace(identifier, "…")
        return text


class Client:
    """One caller: both services' stubs, and the token that goes with every call."""

    def __init__(
        self, ratingslip: grpc.aio.Channel, loyalty: grpc.aio.Channel, token: str | None
    ) -> None:
        self.slips = ratingslip_pb2_grpc.RatingSlipServiceStub(ratingslip)
        self.points = loyalty_pb2_grpc.LoyaltyServiceStub(loyalty)
        self._token = token

    def send(
        self,
        method: Method[Request, Response],
        request: Request,
        *,
        headers: Headers = (),
        deadline_seconds: float | None = PATIENCE_SECONDS,
    ) -> Call[Request, Response]:
        """Starts a call; the caller awaits or cancels it."""
        sent = [*headers]
        if self._token is not None:
            sent.append(("authorization", f"Bearer {self._token}"))
        metadata = grpc.aio.Metadata(*sent)
        return method(request, metadata=metadata, timeout=deadline_seconds)

    async def call(
        self,
        method: Method[Request, Response],
        request: Request,
        *,
        correlation_id: str | None = None,
        headers: Headers = (),
        deadline_seconds: float | None = PATIENCE_SECONDS,
    ) -> Response:
        """The answer to a call that must succeed, under a correlation ID if one is given."""
        identified = [*headers, *_correlation(correlation_id)]
        call = self.send(method, request, headers=identified, deadline_seconds=deadline_seconds)
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            # What gRPC itself refuses, or the network, comes without details.
            if _status_of(error) is not None:
                _require_documented(method, read_refusal(error))
            raise

    async def refusal(
        self,
        method: Method[Request, Response],
        request: Request,
        *,
        correlation_id: str | None = None,
        headers: Headers = (),
        deadline_seconds: float | None = PATIENCE_SECONDS,
    ) -> Refusal:
        """How a call that must fail is refused, with the details every refusal carries."""
        identified = [*headers, *_correlation(correlation_id)]
        call = self.send(method, request, headers=identified, deadline_seconds=deadline_seconds)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        refusal = read_refusal(caught.value)
        _require_documented(method, refusal)
        return refusal


@functools.cache
def documented_kinds() -> Mapping[str, frozenset[Kind]]:
    """How each RPC may be refused, by the comments in the protos."""
    return {
        f"/{service.full_name}/{rpc.name}": frozenset(
            kind
            for failure in (*service.common_failures, *rpc.failures)
            for kind in failure.kinds()
        )
        for service in rpc_tables.read_services()
        for rpc in service.rpcs
    }


def read_refusal(error: grpc.aio.AioRpcError) -> Refusal:
    """Unpacks an error, and checks what holds for every one the services send."""
    status = _status_of(error)
    assert status is not None, f"an error without details: {error!r}"
    unpacked = [_unpacked(detail) for detail in status.details]
    (info,) = (each for each in unpacked if isinstance(each, error_details_pb2.ErrorInfo))
    bad = [each for each in unpacked if isinstance(each, error_details_pb2.BadRequest)]
    retry = [each for each in unpacked if isinstance(each, error_details_pb2.RetryInfo)]
    resources = [each for each in unpacked if isinstance(each, error_details_pb2.ResourceInfo)]
    correlation_id = correlation_of(error.initial_metadata())
    assert info.metadata["correlationId"] == correlation_id
    # Command-line clients show details badly, so the key facts stand in the message too.
    assert status.message.startswith(f"{info.reason}: ")
    return Refusal(
        code=error.code(),
        reason=info.reason,
        domain=info.domain,
        metadata=dict(info.metadata),
        message=status.message,
        fields=tuple(violation.field for each in bad for violation in each.field_violations),
        retry_after_seconds=retry[0].retry_delay.ToMicroseconds() / 1e6 if retry else None,
        resource=(resources[0].resource_type, resources[0].resource_name) if resources else None,
        correlation_id=correlation_id,
    )


def correlation_of(initial_metadata: grpc.aio.Metadata) -> str:
    """The one correlation ID an answer came back with."""
    (correlation_id,) = initial_metadata.get_all(CORRELATION_HEADER)
    assert isinstance(correlation_id, str)
    return correlation_id


def _status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    # It reads code, details and trailing metadata only, which this error has too.
    return rpc_status.from_call(cast("grpc.Call", error))


def _require_documented(method: Method[Request, Response], refusal: Refusal) -> None:
    # A stub's method has no public name.
    name = method._method.decode()  # type: ignore[attr-defined]
    assert refusal.kind in documented_kinds()[name], (
        f"{name} was refused with {refusal.kind}, which its proto does not document"
    )


def _correlation(correlation_id: str | None) -> Headers:
    return [] if correlation_id is None else [(CORRELATION_HEADER, correlation_id)]


def _unpacked(packed: object) -> Message:
    """A detail as the message it is; fails for a type the services do not use."""
    for kind in ("ErrorInfo", "BadRequest", "RetryInfo", "ResourceInfo"):
        detail: Message = getattr(error_details_pb2, kind)()
        if packed.Unpack(detail):  # type: ignore[attr-defined]
            return detail
    raise AssertionError(f"a detail nobody expects: {packed}")
