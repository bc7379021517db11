"""One hostile call, and what any answer to it must be.

Whatever was sent, an answer is a message of the method or a refusal the proto documents,
never INTERNAL or UNKNOWN, and tells nothing of what is inside. The requests and headers
are somebody else's business.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.rpc import status_pb2
from grpc import StatusCode
from grpc_status import rpc_status

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from docs import rpc_tables
from tests.databases import PROJECT_DIRECTORY
from tests.fault.hostile_values import MARK
from tests.integration.clients import (
    CORRELATION_HEADER,
    Refusal,
    correlation_of,
    documented_kinds,
    read_refusal,
)
from tests.integration.patience import PATIENCE_SECONDS, eventually

Headers: TypeAlias = Sequence[tuple[str, str | bytes]]

ROLES = ("dealer", "cashier", "pit_boss", "admin", "service")
# No request can make a sound service say this.
NEVER = {StatusCode.INTERNAL, StatusCode.UNKNOWN, StatusCode.DATA_LOSS, StatusCode.UNIMPLEMENTED}
# What a machine that is too busy makes of any call. Nothing else may be the cause of
# UNAVAILABLE: a request that Loyalty cannot read would be called unavailable for ever.
BUSY = {"DATABASE_BUSY", "DEADLINE_EXCEEDED"}
NOT_PERMITTED = (StatusCode.PERMISSION_DENIED, "ROLE_NOT_PERMITTED")
NOT_KNOWN = (StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")
ANSWER_HEADERS = {CORRELATION_HEADER}
ANSWER_TRAILERS = {"grpc-status-details-bin"}

# Words of what is inside: SQL, PostgreSQL and its driver, Python, the machine.
INTERNALS = re.compile(
    r"(?i)\b(select|insert|delete|drop|grant)\s|\bsql|postgres|asyncpg|\bpg_|\brelation\b|"
    r"\bconstraint\b|violates|\bcolumn\b|traceback|\.py\b|\bline \d|python|protobuf|grpcio|"
    r"exception|[a-z]Error\b|NoneType|\bNone\b|\bobject at\b|0x[0-9a-f]{6}|<class|uvloop|"
    r"parsing|decod|wire format|utf-?8|127\.0\.0\.1|localhost|::1|/tmp/|/usr/|/home/|"
    r"site-packages|eyJ[\w-]{10}|" + re.escape(str(PROJECT_DIRECTORY))
)


class Rpc(NamedTuple):
    """A method of one of the services, as its descriptor and its proto's comment have it."""

    method: MethodDescriptor
    roles: frozenset[str]

    def __str__(self) -> str:
        return str(self.method.name)

    def __repr__(self) -> str:
        return str(self)

    @property
    def path(self) -> str:
        """What gRPC calls it."""
        return f"/{self.method.containing_service.full_name}/{self.method.name}"

    @property
    def is_loyalty(self) -> bool:
        """Which of the two services it belongs to."""
        return str(self.method.containing_service.full_name).startswith("casino.loyalty.")


class Attempt(NamedTuple):
    """A call as it is sent."""

    rpc: Rpc
    body: bytes
    headers: Headers
    deadline_seconds: float | None = PATIENCE_SECONDS

    @property
    def is_patient(self) -> bool:
        """Whether it waits as long as anything takes."""
        return self.deadline_seconds == PATIENCE_SECONDS


class Answer(NamedTuple):
    """What came back: the response, or how it was refused; neither, when gRPC refused it."""

    code: StatusCode
    correlation_id: str = ""
    response: Message | None = None
    refusal: Refusal | None = None

    @property
    def is_of_the_transport(self) -> bool:
        """Whether gRPC refused the call before the service saw it."""
        return self.response is None and self.refusal is None


def _rpcs() -> tuple[Rpc, ...]:
    roles = {
        (service.full_name, rpc.name): frozenset(rpc.roles)
        for service in rpc_tables.read_services()
        for rpc in service.rpcs
    }
    return tuple(
        Rpc(method, roles[service.full_name, method.name])
        for service in (
            ratingslip_pb2.DESCRIPTOR.services_by_name["RatingSlipService"],
            loyalty_pb2.DESCRIPTOR.services_by_name["LoyaltyService"],
        )
        for method in service.methods
    )


RPCS = _rpcs()


async def answer_to(channel: grpc.aio.Channel, attempt: Attempt) -> Answer:
    """Sends a call and reads what comes back; fails for an answer that nobody may get.

    A patient caller who is told that something is busy asks again until it is not.
    """
    answer = await _once(channel, attempt)
    if answer.code is not StatusCode.UNAVAILABLE or not attempt.is_patient:
        return answer

    async def again() -> Answer | None:
        later = await _once(channel, attempt)
        return None if later.code is StatusCode.UNAVAILABLE else later

    return await eventually(again, f"{attempt.rpc} answers better than {answer.refusal}")


def require_by_role(rpc: Rpc, role: str, answer: Answer) -> None:
    """Who may not call is told so whatever was asked, and who may is not."""
    refused = answer.refusal.kind if answer.refusal is not None else (answer.code, "")
    if role in rpc.roles:
        assert refused not in {NOT_PERMITTED, NOT_KNOWN}
    else:
        # RatingSlip takes no tokens of services at all.
        is_stranger = role == "service" and not rpc.is_loyalty
        assert refused == (NOT_KNOWN if is_stranger else NOT_PERMITTED)


async def _once(channel: grpc.aio.Channel, attempt: Attempt) -> Answer:
    call = _send(channel, attempt)
    try:
        response = await call
    except grpc.aio.AioRpcError as error:
        status = rpc_status.from_call(cast("grpc.Call", error))
        if status is None:
            return Answer(error.code())
        _require_silence(error, status)
        refusal = read_refusal(error)
        _require_known(attempt, refusal)
        return Answer(refusal.code, refusal.correlation_id, refusal=refusal)
    initial = await call.initial_metadata()
    assert {key for key, _ in initial} == ANSWER_HEADERS
    return Answer(StatusCode.OK, correlation_of(initial), response=response)


def _send(channel: grpc.aio.Channel, attempt: Attempt) -> Any:
    rpc = attempt.rpc
    # Bytes go out as they are; without a serializer gRPC takes nothing else.
    method: Any = channel.unary_unary(
        rpc.path,
        request_serializer=None,
        response_deserializer=message_factory.GetMessageClass(rpc.method.output_type).FromString,
    )
    metadata = grpc.aio.Metadata(*attempt.headers)
    return method(attempt.body, metadata=metadata, timeout=attempt.deadline_seconds)


def _require_known(attempt: Attempt, refusal: Refusal) -> None:
    assert refusal.code not in NEVER, refusal
    rpc = attempt.rpc
    assert refusal.kind in documented_kinds()[rpc.path], f"{rpc} does not document {refusal}"
    assert refusal.code is not StatusCode.DEADLINE_EXCEEDED or not attempt.is_patient, refusal
    cause = refusal.metadata.get("loyaltyReason", refusal.reason)
    assert refusal.code is not StatusCode.UNAVAILABLE or cause in BUSY, refusal


def _require_silence(error: grpc.aio.AioRpcError, status: status_pb2.Status) -> None:
    """Nothing of what is inside, and nothing of what the caller wrote, is in any part of it."""
    assert {key for key, _ in error.trailing_metadata()} == ANSWER_TRAILERS
    assert {key for key, _ in error.initial_metadata()} == ANSWER_HEADERS
    # As text the details are legible, whatever their types.
    told = f"{error.details()} {status}"
    found = INTERNALS.search(told)
    assert found is None, f"{found[0]!r} is told to a caller: {told}"
    assert MARK not in told, f"a caller's own words come back: {told}"
