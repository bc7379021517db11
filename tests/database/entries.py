"""The ledger's mutations for tests of the SQL: a request of each kind, and the way to send it.

    entry = await redeem_points_as_service(ledger, RedemptionRequest(player_id=…, points=50))

Each is sent as the service does, by a role that may; `send` takes a request of any
kind. Accruals, and what else an accrual's test needs, are in `tests.database.accruals`.
"""

from __future__ import annotations

import dataclasses
import uuid
from decimal import Decimal
from typing import TypeAlias

from chassis.context import Role
from chassis.idempotency import fingerprint
from loyalty_service.ledger import Attribution, Ledger
from loyalty_service.manual_reward import ManualReward
from loyalty_service.promotion import Promotion
from loyalty_service.redemption import Redemption
from tests.database.accruals import Row, SlipCredit, accrue_as_service, calling

NOTE = "a wheel that stood still"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RewardRequest:
    """A manual reward, or an adjustment when the points are below zero."""

    casino_id: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)
    player_id: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)
    points: int = 100
    note: str = NOTE
    rating_slip_id: uuid.UUID | None = None
    visit_id: uuid.UUID | None = None
    reward_id: uuid.UUID | None = None
    staff_id: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)
    role: Role = Role.ADMIN
    # Derived in the database when it is empty.
    idempotency_key: str = ""

    @property
    def reward(self) -> ManualReward:
        return ManualReward(
            player_id=self.player_id,
            points=self.points,
            note=self.note,
            rating_slip_id=self.rating_slip_id,
            visit_id=self.visit_id,
            reward_id=self.reward_id,
        )

    @property
    def fingerprint(self) -> bytes:
        return fingerprint("IssueManualReward", *self.reward)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RedemptionRequest:
    """A redemption. Its key is required, so each request begins with one of its own."""

    casino_id: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)
    player_id: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)
    points: int = 100
    note: str = NOTE
    allow_overdraw: bool = False
    reward_id: uuid.UUID | None = None
    campaign_id: uuid.UUID | None = None
    visit_id: uuid.UUID | None = None
    staff_id: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)
    role: Role = Role.PIT_BOSS
    idempotency_key: str = dataclasses.field(default_factory=lambda: f"spent-{uuid.uuid4()}")

    @property
    def redemption(self) -> Redemption:
        return Redemption(
            player_id=self.player_id,
            points=self.points,
            note=self.note,
            allow_overdraw=self.allow_overdraw,
            reward_id=self.reward_id,
            campaign_id=self.campaign_id,
            visit_id=self.visit_id,
        )

    @property
    def fingerprint(self) -> bytes:
        return fingerprint("RedeemPoints", *self.redemption)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PromotionRequest:
    """A promotion: bonus points, unless there is a multiplier.

    It pays for the rating slip, else for the visit, else for the player.
    """

    casino_id: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)
    player_id: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)
    campaign_id: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)
    rating_slip_id: uuid.UUID | None = None
    visit_id: uuid.UUID | None = None
    bonus_points: int = 100
    multiplier: str | None = None
    note: str = NOTE
    staff_id: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)
    role: Role = Role.PIT_BOSS
    # Derived when it is empty.
    idempotency_key: str = ""

    @property
    def promotion(self) -> Promotion:
        kind, source_id = "player", self.player_id
        if self.rating_slip_id is not None:
            kind, source_id = "rating_slip", self.rating_slip_id
        elif self.visit_id is not None:
            kind, source_id = "visit", self.visit_id
        return Promotion(
            player_id=self.player_id,
            campaign_id=self.campaign_id,
            source_kind=kind,
            source_id=source_id,
            bonus_points=self.bonus_points if self.multiplier is None else None,
            multiplier=None if self.multiplier is None else Decimal(self.multiplier),
            note=self.note,
        )

    @property
    def key(self) -> str:
        return self.idempotency_key or self.promotion.derived_key

    @property
    def fingerprint(self) -> bytes:
        return fingerprint("ApplyPromotion", *self.promotion)


@dataclasses.dataclass(frozen=True)
class ReversalRequest:
    """A reversal of an earlier entry."""

    entry_id: uuid.UUID
    casino_id: uuid.UUID
    note: str = NOTE
    staff_id: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)
    role: Role = Role.ADMIN
    # Derived when it is empty.
    idempotency_key: str = ""

    @property
    def key(self) -> str:
        return self.idempotency_key or f"reversal_{self.entry_id}"

    @property
    def fingerprint(self) -> bytes:
        return fingerprint("ReverseEntry", self.entry_id, self.note)


Request: TypeAlias = (
    SlipCredit | RewardRequest | RedemptionRequest | PromotionRequest | ReversalRequest
)


async def issue_manual_reward_as_service(ledger: Ledger, request: RewardRequest) -> Row:
    """Raises `ServiceError`."""
    attribution = Attribution(None, request.idempotency_key or None, request.fingerprint)
    with calling(request.casino_id, request.staff_id, request.role):
        return dict(await ledger.issue_manual_reward(attribution, request.reward))


async def redeem_points_as_service(ledger: Ledger, request: RedemptionRequest) -> Row:
    """Raises `ServiceError`."""
    attribution = Attribution(None, request.idempotency_key, request.fingerprint)
    with calling(request.casino_id, request.staff_id, request.role):
        return dict(await ledger.redeem_points(attribution, request.redemption))


async def apply_promotion_as_service(ledger: Ledger, request: PromotionRequest) -> Row:
    """Raises `ServiceError`."""
    attribution = Attribution(None, request.key, request.fingerprint)
    with calling(request.casino_id, request.staff_id, request.role):
        return dict(await ledger.apply_promotion(attribution, request.promotion))


async def reverse_entry_as_service(ledger: Ledger, request: ReversalRequest) -> Row:
    """Raises `ServiceError`."""
    attribution = Attribution(None, request.key, request.fingerprint)
    with calling(request.casino_id, request.staff_id, request.role):
        return dict(await ledger.reverse_entry(attribution, request.entry_id, request.note))


async def send(ledger: Ledger, request: Request) -> Row:
    """Sends a request of any kind; raises `ServiceError`."""
    match request:
        case SlipCredit():
            return await accrue_as_service(ledger, request)
        case RewardRequest():
            return await issue_manual_reward_as_service(ledger, request)
        case RedemptionRequest():
            return await redeem_points_as_service(ledger, request)
        case PromotionRequest():
            return await apply_promotion_as_service(ledger, request)
        case ReversalRequest():
            return await reverse_entry_as_service(ledger, request)


async def suggest_points_as_service(ledger: Ledger, credit: SlipCredit) -> Row:
    """What the credit's slip would earn; raises `ServiceError`."""
    with calling(credit.casino_id, credit.staff_id, Role.CASHIER):
        row = await ledger.suggest_points(credit.player_id, credit.rating_slip_id, credit.play)
    return dict(row)
