"""What the ledger allows and what it then moves, in plain Python.

Part of the model in `tests.database.ledger_model`. Written from the rules and not from
the SQL. `judge` decides on a request that repeats no earlier one.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import uuid
from collections.abc import Mapping
from fractions import Fraction

from tests.database.accruals import SlipCredit
from tests.database.entries import (
    PromotionRequest,
    RedemptionRequest,
    Request,
    ReversalRequest,
    RewardRequest,
)
from tests.database.ledger_history import History
from tests.database.program_model import Price
from tests.reference import rounded

MOST_POINTS = 2**63 - 1
LEAST_POINTS = -(2**63)

EARNINGS = ("base_accrual", "manual_reward", "promotion")


class Refused(Exception):
    """The request must be refused, for this reason and with these facts."""

    def __init__(self, reason: str, **metadata: object) -> None:
        super().__init__(reason)
        self.reason = reason
        self.metadata = {name: str(value) for name, value in metadata.items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Draft:
    """What a request moves and says: columns of its entry."""

    player_id: uuid.UUID
    reason: str
    points_delta: int
    source_kind: str
    source_id: uuid.UUID
    rating_slip_id: uuid.UUID | None = None
    visit_id: uuid.UUID | None = None
    campaign_id: uuid.UUID | None = None
    reversed_entry_id: uuid.UUID | None = None
    note: str = ""
    metadata: Mapping[str, str] = dataclasses.field(default_factory=dict)
    effective_time: datetime.datetime | None = None
    # What it adds to the lifetime points, which is no column.
    earned: int = 0


def judge(history: History, request: Request, now: datetime.datetime) -> Draft:
    """What a request moves; raises `Refused` when it is not allowed."""
    match request:
        case SlipCredit():
            return _accrual(history, request)
        case RewardRequest():
            return _reward_or_adjustment(history, request)
        case RedemptionRequest():
            return _redemption(history, request, now)
        case PromotionRequest():
            return _promotion(history, request)
        case ReversalRequest():
            return _reversal(history, request)


def refuse_beyond_range(*numbers: int) -> None:
    """Raises `Refused` when a number takes more than 64 bits."""
    if not all(LEAST_POINTS <= number <= MOST_POINTS for number in numbers):
        raise Refused("POINTS_OUT_OF_RANGE")


def _accrual(history: History, credit: SlipCredit) -> Draft:
    price = history.price(credit)
    return Draft(
        player_id=credit.player_id,
        reason="base_accrual",
        points_delta=price.points,
        earned=price.points,
        source_kind="rating_slip",
        source_id=credit.rating_slip_id,
        rating_slip_id=credit.rating_slip_id,
        visit_id=credit.visit_id,
        metadata=price.inputs,
        effective_time=credit.play.end_time,
    )


def _reward_or_adjustment(history: History, request: RewardRequest) -> Draft:
    is_reward = request.points > 0
    if not is_reward:
        _refuse_unknown_player(history, request.player_id)
    sources = {
        "rating_slip": request.rating_slip_id,
        "reward": request.reward_id,
        "staff": request.staff_id,
    }
    source_kind, source_id = next((kind, each) for kind, each in sources.items() if each)
    return Draft(
        player_id=request.player_id,
        reason="manual_reward" if is_reward else "adjustment",
        points_delta=request.points,
        earned=request.points if is_reward else 0,
        source_kind=source_kind,
        source_id=source_id,
        rating_slip_id=request.rating_slip_id,
        visit_id=request.visit_id,
        note=request.note,
        metadata=_known(rewardId=request.reward_id),
    )


def _redemption(history: History, request: RedemptionRequest, now: datetime.datetime) -> Draft:
    _refuse_unknown_player(history, request.player_id)
    points, balance = request.points, history.balance(request.player_id)
    floor = history.program_at(now).overdraw_floor
    is_overdraw = balance < points
    if is_overdraw and not request.allow_overdraw:
        raise Refused("INSUFFICIENT_BALANCE", balance=balance, points=points)
    if is_overdraw and balance - points < floor:
        raise Refused("OVERDRAW_EXCEEDS_CAP", balance=balance, points=points, overdrawFloor=floor)
    return Draft(
        player_id=request.player_id,
        reason="redemption",
        points_delta=-points,
        source_kind="reward" if request.reward_id else "staff",
        source_id=request.reward_id or request.staff_id,
        visit_id=request.visit_id,
        campaign_id=request.campaign_id,
        note=request.note,
        metadata=_known(rewardId=request.reward_id, overdrawFloor=floor if is_overdraw else None),
    )


def _promotion(history: History, request: PromotionRequest) -> Draft:
    source_kind, source_id = request.promotion.source_kind, request.promotion.source_id
    price = (
        Price(request.bonus_points, _known(bonusPoints=request.bonus_points))
        if request.multiplier is None
        else _price_multiple(history, request.player_id, source_id, request.multiplier)
    )
    return Draft(
        player_id=request.player_id,
        reason="promotion",
        points_delta=price.points,
        earned=price.points,
        source_kind=source_kind,
        source_id=source_id,
        rating_slip_id=source_id if source_kind == "rating_slip" else None,
        visit_id=source_id if source_kind == "visit" else None,
        campaign_id=request.campaign_id,
        note=request.note,
        metadata=price.inputs,
    )


def _price_multiple(
    history: History, player_id: uuid.UUID, rating_slip_id: uuid.UUID, multiplier: str
) -> Price:
    base = history.slip_entry(rating_slip_id)
    if (
        base is None
        or base["reason"] != "base_accrual"
        or base["player_id"] != player_id
        or history.find(reversed_entry_id=base["id"]) is not None
    ):
        raise Refused("SLIP_NOT_ACCRUED", slipId=rating_slip_id)
    base_points = base["points_delta"]
    rounding = json.loads(base["metadata"])["rounding"]
    points = rounded(base_points * (Fraction(multiplier) - 1), rounding)
    if points == 0:
        raise Refused("PROMOTION_WITHOUT_POINTS", basePoints=base_points, multiplier=multiplier)
    return Price(
        points,
        _known(
            multiplier=multiplier,
            baseEntryId=base["id"],
            basePoints=base_points,
            rounding=rounding,
        ),
    )


def _reversal(history: History, request: ReversalRequest) -> Draft:
    entry = history.find(id=request.entry_id)
    if entry is None:
        raise Refused("ENTRY_NOT_FOUND", entryId=request.entry_id)
    if entry["reason"] == "reversal":
        raise Refused("NOT_REVERSIBLE", entryId=request.entry_id)
    return Draft(
        player_id=entry["player_id"],
        reason="reversal",
        points_delta=-entry["points_delta"],
        earned=-entry["points_delta"] if entry["reason"] in EARNINGS else 0,
        source_kind="entry",
        source_id=request.entry_id,
        rating_slip_id=entry["rating_slip_id"],
        visit_id=entry["visit_id"],
        campaign_id=entry["campaign_id"],
        reversed_entry_id=request.entry_id,
        note=request.note,
    )


def _refuse_unknown_player(history: History, player_id: uuid.UUID) -> None:
    if not history.entries_of(player_id):
        raise Refused("PLAYER_NOT_FOUND", playerId=player_id)


def _known(**values: object) -> dict[str, str]:
    """What there is, as metadata has it."""
    return {name: str(value) for name, value in values.items() if value is not None}
