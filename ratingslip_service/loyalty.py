"""The one call out: asks Loyalty to credit a closed slip, and sorts the ways it can fail.

It must not know how slips are stored, nor compute a point.
"""

from __future__ import annotations

import uuid

import asyncpg
import grpc

from casino.loyalty.v1 import loyalty_pb2, loyalty_pb2_grpc
from chassis import errors, wire
from chassis.client import RenewedChannel
from ratingslip_service.service_token import ServiceTokens
from ratingslip_service.slips import Accrual

# The call may be repeated: the slip is its natural key.
IDEMPOTENT_METHODS = [("casino.loyalty.v1.LoyaltyService", "AccruePointsFromSlip")]

# What is kept back from the caller's deadline, to record the result and to answer.
ANSWER_MARGIN_SECONDS = 0.1
# An accrual takes milliseconds; who waits longer than this waits for a dead server.
LONGEST_CALL_SECONDS = 2.5

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


class AccrualFailed(Exception):
    """The points were not credited as far as we know.

    `reason` is Loyalty's, or the name of the gRPC code; `final` says that trying again
    cannot help.
    """

    def __init__(self, reason: str, *, final: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final


class LoyaltyClient:
    """Calls Loyalty on behalf of the staff member who closed the slip."""

    def __init__(self, channel: RenewedChannel, tokens: ServiceTokens) -> None:
        self._channel = channel
        self._tokens = tokens

    async def accrue_points_from_slip(
        self, slip: asyncpg.Record, remaining_seconds: float
    ) -> tuple[Accrual, bool]:
        """The slip's accrual, and whether it was there before; raises `AccrualFailed`.

        `remaining_seconds` is what is left of the caller's deadline.
        """
        timeout = min(LONGEST_CALL_SECONDS, remaining_seconds - ANSWER_MARGIN_SECONDS)
        if timeout <= 0:
            raise AccrualFailed(grpc.StatusCode.DEADLINE_EXCEEDED.name, final=False)
        token = self._tokens.acting_for(slip["casino_id"], slip["closed_by_staff_id"])
        try:
            stub = loyalty_pb2_grpc.LoyaltyServiceStub(self._channel.current())
            response = await stub.AccruePointsFromSlip(
                _request(slip), timeout=timeout, metadata=(("authorization", f"Bearer {token}"),)
            )
        except grpc.aio.AioRpcError as error:
            info = errors.error_info(error)
            reason = info.reason if info is not None else error.code().name
            raise AccrualFailed(reason, final=error.code() in _FINAL) from error
        return _accrual(response), response.is_existing


def _request(slip: asyncpg.Record) -> loyalty_pb2.AccruePointsFromSlipRequest:
    """A closed slip as Loyalty's request: the same for every attempt."""
    return loyalty_pb2.AccruePointsFromSlipRequest(
        player_id=str(slip["player_id"]),
        rating_slip_id=str(slip["id"]),
        visit_id=str(slip["visit_id"]),
        play=loyalty_pb2.Play(
            average_bet=wire.decimal_to_money(slip["average_bet"], slip["currency_code"]),
            house_edge_percent=wire.decimal_text(slip["house_edge_percent"]),
            decisions_per_hour=slip["decisions_per_hour"],
            point_multiplier=wire.decimal_text(slip["point_multiplier"]),
            duration_seconds=slip["duration_seconds"],
            start_time=wire.datetime_to_timestamp(slip["start_time"]),
            end_time=wire.datetime_to_timestamp(slip["end_time"]),
        ),
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
