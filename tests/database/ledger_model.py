"""What the ledger must answer and hold, in plain Python: the state machine holds it to that.

Written from the rules and not from the SQL. Here: which request repeats an earlier one, and
what is written when none does. What is allowed is in `tests.database.ledger_rules`, what is
looked up in `tests.database.ledger_history`.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import uuid
from typing import NamedTuple

from tests.database.accruals import ACTING_SERVICE, Row, SlipCredit
from tests.database.chain import FIRST_HASH, entry_hash, jsonb_text
from tests.database.entries import (
    PromotionRequest,
    RedemptionRequest,
    Request,
    ReversalRequest,
    RewardRequest,
)
from tests.database.ledger_history import History
from tests.database.ledger_rules import Draft, Refused, judge, refuse_beyond_range
from tests.reference import standing

CORRELATION_ID = "correlation-1"


class Answer(NamedTuple):
    """What a request must be answered with."""

    entry: Row
    is_existing: bool


class CasinoModel(History):
    """One casino's ledger."""

    def apply(self, request: Request, now: datetime.datetime, entry_id: uuid.UUID) -> Answer:
        """Answers a request; an entry that is written gets the given ID. Raises `Refused`."""
        key = self._key(request, now)
        under_key = self.find(idempotency_key=key)
        if under_key is not None:
            if under_key["fingerprint"] != request.fingerprint:
                raise Refused("IDEMPOTENCY_KEY_CONFLICT", entryId=under_key["id"])
            return Answer(under_key, True)
        repeated = self._entry_of_same_nature(request)
        if repeated is not None:
            return Answer(repeated, True)
        entry = self._entry(judge(self, request, now), request, key, now, entry_id)
        self.entries.append(entry)
        return Answer(entry, False)

    def suggest(self, credit: SlipCredit, now: datetime.datetime) -> Row:
        """What `suggest_points` must say about a play. Raises `Refused`."""
        lifetime = self.lifetime(credit.player_id)
        paid = self.slip_entry(credit.rating_slip_id)
        earned = 0
        if paid is None:
            price = self.price(credit)
            refuse_beyond_range(price.points, lifetime + price.points)
            points, metadata = price.points, jsonb_text(price.inputs)
            earned = points
        else:
            points, metadata = paid["points_delta"], paid["metadata"]
        tiers = self.program_at(now).tiers
        return {
            "points": points,
            "entry_id": paid and paid["id"],
            "current_balance": self.balance(credit.player_id),
            "tier": standing(lifetime, tiers).tier.name,
            "tier_after": standing(lifetime + earned, tiers).tier.name,
            "metadata": metadata,
        }

    def _key(self, request: Request, now: datetime.datetime) -> str:
        match request:
            case RewardRequest():
                return request.idempotency_key or self._reward_key(request, now)
            case RedemptionRequest():
                return request.idempotency_key
            case _:
                return request.key

    def _reward_key(self, request: RewardRequest, now: datetime.datetime) -> str:
        if request.reward_id is not None:
            return f"reward_{request.reward_id}"
        if request.rating_slip_id is not None:
            return f"recovery_{request.rating_slip_id}"
        day = self.program_at(now).gaming_day(now)
        player, staff = str(request.player_id), str(request.staff_id)
        same_today = jsonb_text([player, staff, request.points, request.note, str(day)])
        return hashlib.sha256(same_today.encode()).hexdigest()

    def _entry_of_same_nature(self, request: Request) -> Row | None:
        match request:
            case SlipCredit():
                return self.slip_entry(request.rating_slip_id)
            case RewardRequest(rating_slip_id=uuid.UUID() as slip_id, points=points) if points > 0:
                return self.slip_entry(slip_id)
            case PromotionRequest():
                return self.find(
                    reason="promotion",
                    source_kind=request.promotion.source_kind,
                    source_id=request.promotion.source_id,
                    campaign_id=request.campaign_id,
                )
            case ReversalRequest():
                return self.find(reversed_entry_id=request.entry_id)
            case _:
                return None

    def _entry(
        self,
        draft: Draft,
        request: Request,
        key: str,
        now: datetime.datetime,
        entry_id: uuid.UUID,
    ) -> Row:
        program, before = self.program_at(now), self.entries_of(draft.player_id)
        balance, lifetime = self.balance(draft.player_id), self.lifetime(draft.player_id)
        balance_after, lifetime_after = balance + draft.points_delta, lifetime + draft.earned
        refuse_beyond_range(draft.points_delta, balance_after, lifetime_after)
        after = standing(lifetime_after, program.tiers)
        row: Row = {
            **dataclasses.asdict(draft),
            "casino_id": self.casino_id,
            "id": entry_id,
            "entry_number": len(before) + 1,
            "balance_before": balance,
            "balance_after": balance_after,
            "lifetime_before": lifetime,
            "lifetime_after": lifetime_after,
            "tier_before": before[-1]["tier_after"] if before else program.tiers[0].name,
            "tier_after": after.tier.name,
            "tier_progress_percent": after.progress_percent,
            "recorded_time": now,
            "effective_time": draft.effective_time or now,
            "gaming_day": program.gaming_day(now),
            "staff_id": request.staff_id,
            "acting_service": ACTING_SERVICE if isinstance(request, SlipCredit) else None,
            "correlation_id": CORRELATION_ID,
            "idempotency_key": key,
            "fingerprint": request.fingerprint,
            "metadata": jsonb_text(dict(draft.metadata)),
            "previous_hash": before[-1]["hash"] if before else FIRST_HASH,
        }
        del row["earned"]
        return {**row, "hash": entry_hash(row)}
