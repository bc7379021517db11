"""Makes calls and records what became of them: tried again with the same key, or not.

Owns what each answer and each failure means for what its client knows. It must not know
which call comes when, nor what must hold of them together.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from tests.fault.history import (
    UNANSWERED,
    Acknowledged,
    History,
    Operation,
    Outcome,
    Refused,
    SeenError,
    Unknown,
    Verb,
)
from tests.integration.casino import Casino
from tests.integration.clients import Client, documented_kinds, read_refusal

# What a person at a terminal waits; longer than the services' own limits for a lock.
USUAL_DEADLINE_SECONDS = 3.0
# Between two attempts; a service that restarts is back within a few of these.
RETRY_PAUSE_SECONDS = 0.1

Method: TypeAlias = Callable[[Client], Any]

# Whoever gets one of these does not know whether it was done. Every other code of a
# service, with its ErrorInfo, says that this attempt has written nothing.
_NOBODY_KNOWS = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)
# A close that got stuck half way: the slip is closed, and its points come or have come.
PARTIAL_COMPLETION = "PARTIAL_COMPLETION"
# What the network, and gRPC itself, say without a service's ErrorInfo.
_OF_THE_NETWORK = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    }
)


@dataclasses.dataclass(frozen=True)
class Rpc:
    """How a verb is sent, and what its answer acknowledges."""

    method: Method
    request: type[Message]
    acknowledged: Callable[[Any], Acknowledged]


def _slip(answer: Any) -> Acknowledged:
    return Acknowledged(answer.is_existing, slip_id=answer.rating_slip.rating_slip_id)


def _close(answer: Any) -> Acknowledged:
    return Acknowledged(
        answer.loyalty.is_existing,
        slip_id=answer.rating_slip.rating_slip_id,
        entry_id=answer.loyalty.entry_id,
        points_delta=answer.loyalty.points_delta,
        balance_after=answer.loyalty.balance_after,
    )


def _entry(answer: Any) -> Acknowledged:
    entry = answer.entry
    return Acknowledged(
        answer.is_existing,
        slip_id=entry.rating_slip_id,
        entry_id=entry.entry_id,
        entry_number=entry.entry_number,
        points_delta=entry.points_delta,
        balance_after=entry.balance_after,
    )


RPCS: Mapping[Verb, Rpc] = {
    Verb.START: Rpc(
        lambda client: client.slips.StartRatingSlip, ratingslip_pb2.StartRatingSlipRequest, _slip
    ),
    Verb.PAUSE: Rpc(
        lambda client: client.slips.PauseRatingSlip, ratingslip_pb2.PauseRatingSlipRequest, _slip
    ),
    Verb.RESUME: Rpc(
        lambda client: client.slips.ResumeRatingSlip, ratingslip_pb2.ResumeRatingSlipRequest, _slip
    ),
    Verb.UPDATE_AVERAGE_BET: Rpc(
        lambda client: client.slips.UpdateAverageBet, ratingslip_pb2.UpdateAverageBetRequest, _slip
    ),
    Verb.COMPLETE: Rpc(
        lambda client: client.slips.CompleteRatingSlip,
        ratingslip_pb2.CompleteRatingSlipRequest,
        _close,
    ),
    Verb.RECOVER: Rpc(
        lambda client: client.slips.RecoverSlipLoyalty,
        ratingslip_pb2.RecoverSlipLoyaltyRequest,
        _close,
    ),
    Verb.MANUAL_REWARD: Rpc(
        lambda client: client.points.IssueManualReward,
        loyalty_pb2.IssueManualRewardRequest,
        _entry,
    ),
    Verb.REDEMPTION: Rpc(
        lambda client: client.points.RedeemPoints, loyalty_pb2.RedeemPointsRequest, _entry
    ),
}


class Recorder:
    """One client's calls, written into a history.

        recorder = Recorder(history, casino)
        operation = await recorder.call(Verb.COMPLETE, boss, an_hour_of(slip), slip.player_id)

    All writes of a casino that is in the history must go through a recorder: what is
    found there and was never asked for is a violation.
    """

    def __init__(self, history: History, casino: Casino, name: str = "client") -> None:
        self.history = history
        self._casino = casino
        self._name = name

    async def call(
        self,
        verb: Verb,
        client: Client,
        request: Message,
        player_id: str,
        *,
        attempts: int = 1,
        deadline_seconds: float = USUAL_DEADLINE_SECONDS,
        pause_seconds: float = RETRY_PAUSE_SECONDS,
    ) -> Operation:
        """Asks, and asks again the same while nobody knows, at most so often; never raises.

        Writes need an idempotency key of their own, closes excepted: by it they are found.
        """
        operation = self.history.invoke(
            verb,
            json_format.MessageToDict(request, preserving_proto_field_name=True),
            client=self._name,
            casino_id=self._casino.id,
            player_id=player_id,
            key=getattr(request, "idempotency_key", ""),
            slip_id=getattr(request, "rating_slip_id", ""),
        )
        await self.repeat(
            operation,
            client,
            attempts=attempts,
            deadline_seconds=deadline_seconds,
            pause_seconds=pause_seconds,
        )
        return operation

    async def repeat(
        self,
        operation: Operation,
        client: Client,
        *,
        attempts: int = 1,
        deadline_seconds: float = USUAL_DEADLINE_SECONDS,
        pause_seconds: float = RETRY_PAUSE_SECONDS,
    ) -> Outcome:
        """Further attempts of an operation that nobody knows the outcome of."""
        rpc = RPCS[operation.verb]
        request = request_of(operation)
        for attempt in range(attempts):
            if attempt:
                await asyncio.sleep(pause_seconds)
            operation.attempt_count += 1
            outcome = await self._attempt(operation, rpc, client, request, deadline_seconds)
            operation.outcome = combined(operation, outcome)
            operation.answered_at = time.monotonic()
            if not isinstance(outcome, Unknown):
                break
        return operation.outcome

    async def _attempt(
        self,
        operation: Operation,
        rpc: Rpc,
        client: Client,
        request: Message,
        deadline_seconds: float,
    ) -> Outcome:
        try:
            answer = await client.send(
                rpc.method(client), request, deadline_seconds=deadline_seconds
            )
        except grpc.aio.AioRpcError as error:
            seen = seen_error(rpc.method(client), error)
            operation.errors.append(seen)
            return outcome_of_failure(error.code(), seen)
        return rpc.acknowledged(answer)


def request_of(operation: Operation) -> Message:
    """The request as it was sent."""
    return json_format.ParseDict(operation.request, RPCS[operation.verb].request())


def combined(operation: Operation, outcome: Outcome) -> Outcome:
    """What is known of an operation after one more attempt.

    A refusal speaks for its own attempt only: an earlier one may have been done, or may
    still be on its way.
    """
    earlier = operation.outcome
    if isinstance(outcome, Refused) and earlier is not UNANSWERED and isinstance(earlier, Unknown):
        return earlier
    return outcome


def outcome_of_failure(code: grpc.StatusCode, seen: SeenError) -> Outcome:
    """What a client knows after a failed attempt."""
    if code in _NOBODY_KNOWS or not seen.reason or seen.reason == PARTIAL_COMPLETION:
        return Unknown(code.name, seen.reason)
    return Refused(code.name, seen.reason)


def seen_error(method: Any, error: grpc.aio.AioRpcError) -> SeenError:
    """A failure as its client saw it, held against the rules for errors."""
    name = method._method.decode()
    code = error.code()
    text = " ".join((error.details() or "", *map(repr, error.trailing_metadata() or ())))
    if not _has_details(error):
        flaw = "" if code in _OF_THE_NETWORK else f"{name} failed with {code.name} and no ErrorInfo"
        return SeenError(code.name, "", text, flaw)
    try:
        refusal = read_refusal(error)
    except (AssertionError, ValueError) as broken:
        return SeenError(code.name, "", text, f"{name} failed with broken details: {broken}")
    documented = refusal.kind in documented_kinds()[name]
    flaw = "" if documented else f"{name} failed with {code.name} {refusal.reason}, undocumented"
    if code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN):
        flaw = f"{name} failed with {code.name}"
    return SeenError(code.name, refusal.reason, f"{text} {refusal!r}", flaw)


def _has_details(error: grpc.aio.AioRpcError) -> bool:
    return any(key == "grpc-status-details-bin" for key, _ in error.trailing_metadata() or ())
