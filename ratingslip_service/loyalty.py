"""The one service we call: Loyalty credits a closed slip, or says what a slip would earn.

Both calls describe the play by the same words, and fail in the same ways, which are
sorted here. It must not know how slips are stored, nor compute a point.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple, TypeAlias, TypeVar

import asyncpg
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from casino.loyalty.v1 import loyalty_pb2, loyalty_pb2_grpc
from chassis import errors, wire
from chassis.client import RenewedChannel
from ratingslip_service.service_token import ServiceTokens
from ratingslip_service.slips import Accrual

# Both calls may be repeated: the slip is an accrual's natural key, and a suggestion
# writes nothing.
SERVICE_NAME = "casino.loyalty.v1.LoyaltyService"
IDEMPOTENT_METHODS = [(SERVICE_NAME, "AccruePointsFromSlip"), (SERVICE_NAME, "SuggestPoints")]

# What is kept back from the caller's deadline, to answer in.
ANSWER_MARGIN_SECONDS = 0.1
# A call takes milliseconds; who waits longer than this waits for a dead server.
LONGEST_CALL_SECONDS = 2.5
# A server that is well says so at once.
HEALTH_CHECK_SECONDS = 1.0

# Loyalty has understood the request and will never accept it. Everything else, a
# rejected token included, is mended without touching the slip and then tried again.
_FINAL = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
    }
)


Request = TypeVar("Request")
Response = TypeVar("Response")
Method: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[Request, Response]"


class LoyaltyCallFailed(Exception):
    """Loyalty did not do what it was asked, as far as we know.

    `code` is the gRPC code, `reason` is Loyalty's, or the code's name when it gave none.
    """

    def __init__(self, code: grpc.StatusCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason

    @property
    def final(self) -> bool:
        """Whether trying again cannot help."""
        return self.code in _FINAL


class FrozenPlay(NamedTuple):
    """What a close freezes of a slip's play: all that the points depend on beyond the game."""

    average_bet: Decimal
    duration_seconds: int
    end_time: datetime.datetime


class Suggestion(NamedTuple):
    """What a slip would earn; `entry_id` when it is paid already, and this is what was paid."""

    points: int
    entry_id: uuid.UUID | None
    tier: str
    tier_after: str


class LoyaltyClient:
    """Calls Loyalty on behalf of a staff member.

    Both raise `LoyaltyCallFailed`.
    """

    def __init__(self, channel: RenewedChannel, tokens: ServiceTokens) -> None:
        self._channel = channel
        self._tokens = tokens

    async def accrue_points_from_slip(self, slip: asyncpg.Record) -> tuple[Accrual, bool]:
        """The closed slip's accrual, and whether it was there before.

        It is asked for in the name of who closed the slip. The points are due whoever waits
        for them, so no caller's deadline bounds the call.
        """
        response = await self._call(
            lambda stub: stub.AccruePointsFromSlip,
            _accrual_request(slip),
            casino_id=slip["casino_id"],
            staff_id=slip["closed_by_staff_id"],
            timeout_seconds=LONGEST_CALL_SECONDS,
        )
        return _accrual(response), response.is_existing

    async def suggest_points(
        self,
        slip: asyncpg.Record,
        play: FrozenPlay,
        staff_id: uuid.UUID,
        remaining_seconds: float,
    ) -> Suggestion:
        """What the slip would earn by this play, or has earned; `staff_id` is who asks.

        `remaining_seconds` is what is left of the caller's deadline.
        """
        response = await self._call(
            lambda stub: stub.SuggestPoints,
            _suggestion_request(slip, play),
            casino_id=slip["casino_id"],
            staff_id=staff_id,
            timeout_seconds=min(LONGEST_CALL_SECONDS, remaining_seconds - ANSWER_MARGIN_SECONDS),
        )
        return _suggestion(response)

    async def is_serving(self) -> bool:
        """Whether Loyalty says that it can work; False, too, when it does not answer."""
        stub = health_pb2_grpc.HealthStub(self._channel.current())
        request = health_pb2.HealthCheckRequest(service=SERVICE_NAME)
        try:
            # The generated stub is not typed.
            answer = await stub.Check(request, timeout=HEALTH_CHECK_SECONDS)  # type: ignore[attr-defined]
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def _call(
        self,
        method: Callable[[loyalty_pb2_grpc.LoyaltyServiceAsyncStub], Method[Request, Response]],
        request: Request,
        *,
        casino_id: uuid.UUID,
        staff_id: uuid.UUID,
        timeout_seconds: float,
    ) -> Response:
        if timeout_seconds <= 0:
            code = grpc.StatusCode.DEADLINE_EXCEEDED
            raise LoyaltyCallFailed(code, code.name)
        token = self._tokens.acting_for(casino_id, staff_id)
        stub = loyalty_pb2_grpc.LoyaltyServiceStub(self._channel.current())
        try:
            return await method(stub)(
                request, timeout=timeout_seconds, metadata=(("authorization", f"Bearer {token}"),)
            )
        except grpc.aio.AioRpcError as error:
            info = errors.error_info(error)
            reason = info.reason if info is not None else error.code().name
            raise LoyaltyCallFailed(error.code(), reason) from error


def _accrual_request(slip: asyncpg.Record) -> loyalty_pb2.AccruePointsFromSlipRequest:
    """A closed slip as Loyalty's request: the same for every attempt."""
    frozen = FrozenPlay(slip["average_bet"], slip["duration_seconds"], slip["end_time"])
    return loyalty_pb2.AccruePointsFromSlipRequest(
        player_id=str(slip["player_id"]),
        rating_slip_id=str(slip["id"]),
        visit_id=str(slip["visit_id"]),
        play=_play(slip, frozen),
    )


def _suggestion_request(slip: asyncpg.Record, play: FrozenPlay) -> loyalty_pb2.SuggestPointsRequest:
    """The slip is always named: one that is paid is answered with what was paid."""
    return loyalty_pb2.SuggestPointsRequest(
        player_id=str(slip["player_id"]),
        play=_play(slip, play),
        rating_slip_id=str(slip["id"]),
    )


def _play(slip: asyncpg.Record, frozen: FrozenPlay) -> loyalty_pb2.Play:
    """The one place where a slip becomes a Play, so that a preview and the close agree."""
    return loyalty_pb2.Play(
        average_bet=wire.decimal_to_money(frozen.average_bet, slip["currency_code"]),
        house_edge_percent=wire.decimal_text(slip["house_edge_percent"]),
        decisions_per_hour=slip["decisions_per_hour"],
        point_multiplier=wire.decimal_text(slip["point_multiplier"]),
        duration_seconds=frozen.duration_seconds,
        start_time=wire.datetime_to_timestamp(slip["start_time"]),
        end_time=wire.datetime_to_timestamp(frozen.end_time),
    )


def _accrual(response: loyalty_pb2.AccruePointsFromSlipResponse) -> Accrual:
    entry = response.entry
    return Accrual(
        entry_id=uuid.UUID(entry.entry_id),
        points_delta=entry.points_delta,
        balance_after=entry.balance_after,
        lifetime_points=response.lifetime_points,
        tier_before=entry.tier_before,
        tier_after=entry.tier_after,
        tier_progress_percent=response.tier_progress_percent,
    )


def _suggestion(response: loyalty_pb2.SuggestPointsResponse) -> Suggestion:
    return Suggestion(
        points=response.points,
        entry_id=uuid.UUID(response.entry_id) if response.entry_id else None,
        tier=response.tier,
        tier_after=response.tier_after,
    )
