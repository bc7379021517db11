"""The Loyalty service's RPCs: validate, call the ledger, encode.

Identity, deadlines, errors and logs are the interceptor's; points are computed in
SQL. This file must know neither.
"""

from __future__ import annotations

from typing import Any

import grpc

from casino.loyalty.v1 import loyalty_pb2, loyalty_pb2_grpc
from chassis import telemetry
from chassis.context import current_call
from chassis.idempotency import fingerprint
from chassis.validation import Fields
from loyalty_service import events
from loyalty_service.encoding import encode_accrual, encode_player
from loyalty_service.entry_list import EntryList
from loyalty_service.errors import player_not_found
from loyalty_service.ledger import Ledger
from loyalty_service.play import parse_play

Context = grpc.aio.ServicerContext[Any, Any]


class LoyaltyServicer(loyalty_pb2_grpc.LoyaltyServiceServicer):
    """Implements `casino.loyalty.v1.LoyaltyService`; the proto file is its documentation."""

    def __init__(self, ledger: Ledger, entry_list: EntryList) -> None:
        self._ledger = ledger
        self._entry_list = entry_list

    async def AccruePointsFromSlip(
        self, request: loyalty_pb2.AccruePointsFromSlipRequest, context: Context
    ) -> loyalty_pb2.AccruePointsFromSlipResponse:
        fields = Fields()
        player_id = fields.uuid("player_id", request.player_id)
        rating_slip_id = fields.uuid("rating_slip_id", request.rating_slip_id)
        visit_id = fields.uuid("visit_id", request.visit_id)
        play = parse_play(fields, request.play)
        key = fields.idempotency_key("idempotency_key", request.idempotency_key)
        fields.check()

        call = current_call()
        call.facts[telemetry.RATING_SLIP_ID] = str(rating_slip_id)
        row = await self._ledger.accrue_points_from_slip(
            call.verified_caller.acting_service,
            key or str(rating_slip_id),
            fingerprint("AccruePointsFromSlip", player_id, rating_slip_id, visit_id, *play),
            player_id,
            rating_slip_id,
            visit_id,
            play,
        )
        response = encode_accrual(row)
        call.facts[telemetry.LEDGER_ENTRY_ID] = response.entry.entry_id
        call.facts[telemetry.IS_REPLAY] = response.is_existing
        events.points_update_requested(response)
        return response

    async def GetPlayerLoyalty(
        self, request: loyalty_pb2.GetPlayerLoyaltyRequest, context: Context
    ) -> loyalty_pb2.GetPlayerLoyaltyResponse:
        fields = Fields()
        player_id = fields.uuid("player_id", request.player_id)
        fields.check()

        row = await self._ledger.get_player_loyalty(player_id)
        if row is None:
            raise player_not_found(player_id)
        return loyalty_pb2.GetPlayerLoyaltyResponse(player_loyalty=encode_player(row))

    async def ListLedgerEntries(
        self, request: loyalty_pb2.ListLedgerEntriesRequest, context: Context
    ) -> loyalty_pb2.ListLedgerEntriesResponse:
        return await self._entry_list.page(current_call().verified_caller.casino_id, request)
