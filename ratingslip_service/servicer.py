"""The RatingSlip service's RPCs: validate, call, encode.

Identity, deadlines, errors and logs are the interceptor's; play time is computed in
SQL, points in Loyalty. This file must know none of them.
"""

from __future__ import annotations

import datetime
from typing import Any
from uuid import UUID

import grpc

from casino.ratingslip.v1 import ratingslip_pb2, ratingslip_pb2_grpc
from chassis import telemetry
from chassis.context import current_call
from chassis.idempotency import Value, fingerprint
from chassis.validation import Fields
from ratingslip_service import amounts, errors
from ratingslip_service.close import ClosedSlip, SlipCloser
from ratingslip_service.encoding import encode_loyalty_result, encode_preview, encode_slip
from ratingslip_service.event_list import EventList
from ratingslip_service.preview import SlipPreviewer
from ratingslip_service.slip_list import SlipList
from ratingslip_service.slips import IdempotencyKey, Slips

Context = grpc.aio.ServicerContext[Any, Any]


class RatingSlipServicer(ratingslip_pb2_grpc.RatingSlipServiceServicer):
    """Implements `casino.ratingslip.v1.RatingSlipService`; the proto file is its documentation."""

    def __init__(
        self,
        slips: Slips,
        closer: SlipCloser,
        previewer: SlipPreviewer,
        slip_list: SlipList,
        event_list: EventList,
    ) -> None:
        self._slips = slips
        self._closer = closer
        self._previewer = previewer
        self._slip_list = slip_list
        self._event_list = event_list

    async def StartRatingSlip(
        self, request: ratingslip_pb2.StartRatingSlipRequest, context: Context
    ) -> ratingslip_pb2.StartRatingSlipResponse:
        fields = Fields()
        new_slip = amounts.parse_new_slip(fields, request)
        key = _key(fields, request.idempotency_key, "StartRatingSlip", *new_slip)
        fields.check()

        row = await self._slips.start_rating_slip(key, new_slip)
        _note_slip(row["id"])
        return ratingslip_pb2.StartRatingSlipResponse(
            rating_slip=encode_slip(row), is_existing=row["is_existing"]
        )

    async def PauseRatingSlip(
        self, request: ratingslip_pb2.PauseRatingSlipRequest, context: Context
    ) -> ratingslip_pb2.PauseRatingSlipResponse:
        fields = Fields()
        slip_id, event_time = _event(fields, request)
        key = _key(fields, request.idempotency_key, "PauseRatingSlip", slip_id, event_time)
        fields.check()

        _note_slip(slip_id)
        row = await self._slips.pause_rating_slip(key, slip_id, event_time)
        return ratingslip_pb2.PauseRatingSlipResponse(
            rating_slip=encode_slip(row), is_existing=row["is_existing"]
        )

    async def ResumeRatingSlip(
        self, request: ratingslip_pb2.ResumeRatingSlipRequest, context: Context
    ) -> ratingslip_pb2.ResumeRatingSlipResponse:
        fields = Fields()
        slip_id, event_time = _event(fields, request)
        key = _key(fields, request.idempotency_key, "ResumeRatingSlip", slip_id, event_time)
        fields.check()

        _note_slip(slip_id)
        row = await self._slips.resume_rating_slip(key, slip_id, event_time)
        return ratingslip_pb2.ResumeRatingSlipResponse(
            rating_slip=encode_slip(row), is_existing=row["is_existing"]
        )

    async def UpdateAverageBet(
        self, request: ratingslip_pb2.UpdateAverageBetRequest, context: Context
    ) -> ratingslip_pb2.UpdateAverageBetResponse:
        fields = Fields()
        slip_id, event_time = _event(fields, request)
        bet = amounts.parse_bet(fields, request)
        key = _key(fields, request.idempotency_key, "UpdateAverageBet", slip_id, event_time, *bet)
        fields.check()

        _note_slip(slip_id)
        row = await self._slips.update_average_bet(key, slip_id, bet, event_time)
        return ratingslip_pb2.UpdateAverageBetResponse(
            rating_slip=encode_slip(row), is_existing=row["is_existing"]
        )

    async def CompleteRatingSlip(
        self, request: ratingslip_pb2.CompleteRatingSlipRequest, context: Context
    ) -> ratingslip_pb2.CompleteRatingSlipResponse:
        fields = Fields()
        slip_id = fields.uuid("rating_slip_id", request.rating_slip_id)
        end_time = fields.optional_time(request, "end_time")
        bet = amounts.parse_optional_amount(
            fields, request, "average_bet", amounts.LARGEST_BET_UNITS
        )
        chips = amounts.parse_optional_amount(
            fields, request, "chips_taken", amounts.LARGEST_CHIPS_UNITS
        )
        fields.check()

        _note_slip(slip_id)
        closed = await self._closer.complete(slip_id, end_time, bet, chips)
        _note_points(closed)
        return ratingslip_pb2.CompleteRatingSlipResponse(
            rating_slip=encode_slip(closed.slip),
            loyalty=encode_loyalty_result(closed.slip, is_existing=closed.is_existing),
        )

    async def RecoverSlipLoyalty(
        self, request: ratingslip_pb2.RecoverSlipLoyaltyRequest, context: Context
    ) -> ratingslip_pb2.RecoverSlipLoyaltyResponse:
        fields = Fields()
        slip_id = fields.uuid("rating_slip_id", request.rating_slip_id)
        fields.check()

        _note_slip(slip_id)
        closed = await self._closer.recover(slip_id)
        _note_points(closed)
        return ratingslip_pb2.RecoverSlipLoyaltyResponse(
            rating_slip=encode_slip(closed.slip),
            loyalty=encode_loyalty_result(closed.slip, is_existing=closed.is_existing),
        )

    async def PreviewSlipPoints(
        self, request: ratingslip_pb2.PreviewSlipPointsRequest, context: Context
    ) -> ratingslip_pb2.PreviewSlipPointsResponse:
        fields = Fields()
        slip_id = fields.uuid("rating_slip_id", request.rating_slip_id)
        end_time = fields.optional_time(request, "end_time")
        bet = amounts.parse_optional_amount(
            fields, request, "average_bet", amounts.LARGEST_BET_UNITS
        )
        fields.check()

        _note_slip(slip_id)
        return encode_preview(await self._previewer.preview(slip_id, end_time, bet))

    async def GetRatingSlip(
        self, request: ratingslip_pb2.GetRatingSlipRequest, context: Context
    ) -> ratingslip_pb2.GetRatingSlipResponse:
        fields = Fields()
        slip_id = fields.uuid("rating_slip_id", request.rating_slip_id)
        fields.check()

        _note_slip(slip_id)
        row = await self._slips.get_rating_slip(slip_id)
        if row is None:
            raise errors.rating_slip_not_found(slip_id)
        return ratingslip_pb2.GetRatingSlipResponse(rating_slip=encode_slip(row))

    async def ListRatingSlips(
        self, request: ratingslip_pb2.ListRatingSlipsRequest, context: Context
    ) -> ratingslip_pb2.ListRatingSlipsResponse:
        return await self._slip_list.page(current_call().verified_caller.casino_id, request)

    async def ListSlipEvents(
        self, request: ratingslip_pb2.ListSlipEventsRequest, context: Context
    ) -> ratingslip_pb2.ListSlipEventsResponse:
        return await self._event_list.page(current_call().verified_caller.casino_id, request)


def _event(
    fields: Fields,
    request: ratingslip_pb2.PauseRatingSlipRequest
    | ratingslip_pb2.ResumeRatingSlipRequest
    | ratingslip_pb2.UpdateAverageBetRequest,
) -> tuple[UUID, datetime.datetime | None]:
    """What every step of an active slip names: the slip and, for a paper slip, the time."""
    return (
        fields.uuid("rating_slip_id", request.rating_slip_id),
        fields.optional_time(request, "event_time"),
    )


def _key(fields: Fields, text: str, verb: str, *request: Value) -> IdempotencyKey:
    key = fields.idempotency_key("idempotency_key", text)
    return IdempotencyKey(key, None if key is None else fingerprint(verb, *request))


def _note_slip(rating_slip_id: UUID) -> None:
    current_call().facts[telemetry.RATING_SLIP_ID] = str(rating_slip_id)


def _note_points(closed: ClosedSlip) -> None:
    facts = current_call().facts
    facts[telemetry.LEDGER_ENTRY_ID] = str(closed.slip["loyalty_entry_id"])
    facts[telemetry.IS_REPLAY] = closed.is_existing
