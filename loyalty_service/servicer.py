"""The Loyalty service's RPCs: validate, call the ledger, encode.

Identity, deadlines, errors and logs are the interceptor's; points are computed in
SQL. This file must know neither.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg
import grpc

from casino.loyalty.v1 import loyalty_pb2, loyalty_pb2_grpc
from chassis import telemetry
from chassis.context import current_call
from chassis.idempotency import Value, fingerprint
from chassis.validation import Fields
from loyalty_service import access, errors, events
from loyalty_service.drift import BalanceDriftCheck
from loyalty_service.drift_schedule import DriftSchedule
from loyalty_service.encoding import (
    Written,
    encode_drift,
    encode_player,
    encode_reconciliation,
    encode_suggestion,
    encode_written,
)
from loyalty_service.entry_counts import EntryCounts
from loyalty_service.entry_list import EntryList
from loyalty_service.ledger import Attribution, Ledger
from loyalty_service.manual_reward import LEAST_REASON_CHARACTERS, parse_manual_reward
from loyalty_service.play import parse_play
from loyalty_service.program import encode_program, parse_update
from loyalty_service.promotion import parse_promotion
from loyalty_service.rate_limit import RewardLimiter
from loyalty_service.redemption import parse_redemption
from loyalty_service.verification import LedgerVerification

Context = grpc.aio.ServicerContext[Any, Any]


class LoyaltyServicer(loyalty_pb2_grpc.LoyaltyServiceServicer):
    """Implements `casino.loyalty.v1.LoyaltyService`; the proto file is its documentation."""

    def __init__(
        self,
        ledger: Ledger,
        entry_list: EntryList,
        limiter: RewardLimiter,
        verification: LedgerVerification,
        drift_check: BalanceDriftCheck,
        drift_schedule: DriftSchedule,
        entry_counts: EntryCounts,
    ) -> None:
        self._ledger = ledger
        self._entry_list = entry_list
        self._limiter = limiter
        self._verification = verification
        self._drift_check = drift_check
        self._drift_schedule = drift_schedule
        self._entry_counts = entry_counts

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

        _note_slip(rating_slip_id)
        row = await self._ledger.accrue_points_from_slip(
            _attribution(
                key or str(rating_slip_id),
                "AccruePointsFromSlip",
                player_id,
                rating_slip_id,
                visit_id,
                *play,
            ),
            player_id,
            rating_slip_id,
            visit_id,
            play,
        )
        return self._written(loyalty_pb2.AccruePointsFromSlipResponse, row)

    async def IssueManualReward(
        self, request: loyalty_pb2.IssueManualRewardRequest, context: Context
    ) -> loyalty_pb2.IssueManualRewardResponse:
        # Permission, rate and request are checked in this order: whoever is refused
        # for one learns nothing of the next.
        caller = current_call().verified_caller
        if request.points < 0 and caller.role not in access.ADJUSTERS:
            raise errors.adjustment_not_authorized(caller.role)
        await self._limiter.count(caller.casino_id, caller.staff_id)
        fields = Fields()
        reward = parse_manual_reward(fields, request)
        key = fields.idempotency_key("idempotency_key", request.idempotency_key)
        fields.check()

        _note_slip(reward.rating_slip_id)
        attribution = _attribution(key, "IssueManualReward", *reward)
        row = await self._ledger.issue_manual_reward(attribution, reward)
        return self._written(loyalty_pb2.IssueManualRewardResponse, row)

    async def RedeemPoints(
        self, request: loyalty_pb2.RedeemPointsRequest, context: Context
    ) -> loyalty_pb2.RedeemPointsResponse:
        caller = current_call().verified_caller
        if request.allow_overdraw and caller.role not in access.OVERDRAW_ALLOWERS:
            raise errors.overdraw_not_authorized(caller.role)
        fields = Fields()
        redemption = parse_redemption(fields, request)
        key = fields.required_idempotency_key("idempotency_key", request.idempotency_key)
        fields.check()

        attribution = _attribution(key, "RedeemPoints", *redemption)
        row = await self._ledger.redeem_points(attribution, redemption)
        return self._written(loyalty_pb2.RedeemPointsResponse, row)

    async def ApplyPromotion(
        self, request: loyalty_pb2.ApplyPromotionRequest, context: Context
    ) -> loyalty_pb2.ApplyPromotionResponse:
        fields = Fields()
        promotion = parse_promotion(fields, request)
        key = fields.idempotency_key("idempotency_key", request.idempotency_key)
        fields.check()

        attribution = _attribution(key or promotion.derived_key, "ApplyPromotion", *promotion)
        row = await self._ledger.apply_promotion(attribution, promotion)
        return self._written(loyalty_pb2.ApplyPromotionResponse, row)

    async def ReverseEntry(
        self, request: loyalty_pb2.ReverseEntryRequest, context: Context
    ) -> loyalty_pb2.ReverseEntryResponse:
        fields = Fields()
        entry_id = fields.uuid("entry_id", request.entry_id)
        note = fields.note("reason", request.reason, LEAST_REASON_CHARACTERS)
        key = fields.idempotency_key("idempotency_key", request.idempotency_key)
        fields.check()

        attribution = _attribution(key or f"reversal_{entry_id}", "ReverseEntry", entry_id, note)
        row = await self._ledger.reverse_entry(attribution, entry_id, note)
        return self._written(loyalty_pb2.ReverseEntryResponse, row)

    async def SuggestPoints(
        self, request: loyalty_pb2.SuggestPointsRequest, context: Context
    ) -> loyalty_pb2.SuggestPointsResponse:
        fields = Fields()
        player_id = fields.uuid("player_id", request.player_id)
        rating_slip_id = fields.optional_uuid("rating_slip_id", request.rating_slip_id)
        play = parse_play(fields, request.play)
        fields.check()

        _note_slip(rating_slip_id)
        row = await self._ledger.suggest_points(player_id, rating_slip_id, play)
        return encode_suggestion(row)

    async def GetPlayerLoyalty(
        self, request: loyalty_pb2.GetPlayerLoyaltyRequest, context: Context
    ) -> loyalty_pb2.GetPlayerLoyaltyResponse:
        fields = Fields()
        player_id = fields.uuid("player_id", request.player_id)
        fields.check()

        row = await self._ledger.get_player_loyalty(player_id)
        if row is None:
            raise errors.player_not_found(player_id)
        return loyalty_pb2.GetPlayerLoyaltyResponse(player_loyalty=encode_player(row))

    async def ListLedgerEntries(
        self, request: loyalty_pb2.ListLedgerEntriesRequest, context: Context
    ) -> loyalty_pb2.ListLedgerEntriesResponse:
        return await self._entry_list.page(current_call().verified_caller.casino_id, request)

    async def CheckBalanceDrift(
        self, request: loyalty_pb2.CheckBalanceDriftRequest, context: Context
    ) -> loyalty_pb2.CheckBalanceDriftResponse:
        fields = Fields()
        player_id = fields.optional_uuid("player_id", request.player_id)
        fields.check()

        return encode_drift(await self._drift_check.run(player_id))

    async def ReconcileBalance(
        self, request: loyalty_pb2.ReconcileBalanceRequest, context: Context
    ) -> loyalty_pb2.ReconcileBalanceResponse:
        fields = Fields()
        player_id = fields.uuid("player_id", request.player_id)
        reason = fields.note("reason", request.reason, LEAST_REASON_CHARACTERS)
        fields.check()

        row = await self._ledger.reconcile_balance(player_id, reason)
        return encode_reconciliation(row)

    async def VerifyLedger(
        self, request: loyalty_pb2.VerifyLedgerRequest, context: Context
    ) -> loyalty_pb2.VerifyLedgerResponse:
        return await self._verification.verify(request)

    async def GetLoyaltyProgram(
        self, request: loyalty_pb2.GetLoyaltyProgramRequest, context: Context
    ) -> loyalty_pb2.GetLoyaltyProgramResponse:
        fields = Fields()
        moment = fields.optional_time(request, "time")
        fields.check()

        row = await self._ledger.get_loyalty_program(moment)
        return loyalty_pb2.GetLoyaltyProgramResponse(
            program=encode_program(row), newest_version=row["newest_version"]
        )

    async def UpdateLoyaltyProgram(
        self, request: loyalty_pb2.UpdateLoyaltyProgramRequest, context: Context
    ) -> loyalty_pb2.UpdateLoyaltyProgramResponse:
        fields = Fields()
        update = parse_update(fields, request)
        fields.check()

        row = await self._ledger.update_loyalty_program(update)
        current_call().facts[telemetry.IS_REPLAY] = row["is_existing"]
        return loyalty_pb2.UpdateLoyaltyProgramResponse(
            program=encode_program(row), is_existing=row["is_existing"]
        )

    def _written(self, answer: type[Written], row: asyncpg.Record) -> Written:
        """The answer with the entry, which the call's span, log and event name too."""
        response = encode_written(answer, row)
        call = current_call()
        call.facts[telemetry.LEDGER_ENTRY_ID] = response.entry.entry_id
        call.facts[telemetry.IS_REPLAY] = response.is_existing
        events.points_update_requested(response.entry, is_existing=response.is_existing)
        self._entry_counts.count(response.entry, is_existing=response.is_existing)
        self._drift_schedule.notice(call.verified_caller.casino_id)
        return response


def _attribution(key: str | None, verb: str, *request: Value) -> Attribution:
    acting_service = current_call().verified_caller.acting_service
    return Attribution(acting_service, key, fingerprint(verb, *request))


def _note_slip(rating_slip_id: UUID | None) -> None:
    if rating_slip_id is not None:
        current_call().facts[telemetry.RATING_SLIP_ID] = str(rating_slip_id)
