"""The promotion a request asks for, parsed and checked."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import NamedTuple

from casino.loyalty.v1 import loyalty_pb2
from chassis.validation import Fields

MOST_POINTS = 2**63 - 1
# A campaign that pays a slip more than a hundredfold was mistyped.
LARGEST_MULTIPLIER = 100


class Promotion(NamedTuple):
    """What a campaign pays for, and how much, in the order the SQL function takes it."""

    player_id: uuid.UUID
    campaign_id: uuid.UUID
    source_kind: str
    source_id: uuid.UUID
    bonus_points: int | None
    multiplier: Decimal | None
    note: str

    @property
    def derived_key(self) -> str:
        """The key of a request that brought none."""
        return f"promotion_{self.campaign_id}_{self.source_id}"


def parse_promotion(fields: Fields, request: loyalty_pb2.ApplyPromotionRequest) -> Promotion:
    """Reads the request but for its key; every violation goes to `fields`."""
    player_id = fields.uuid("player_id", request.player_id)
    source_kind, source_id = _parse_source(fields, request, player_id)
    bonus_points, multiplier = _parse_award(fields, request)
    return Promotion(
        player_id=player_id,
        campaign_id=fields.uuid("campaign_id", request.campaign_id),
        source_kind=source_kind,
        source_id=source_id,
        bonus_points=bonus_points,
        multiplier=multiplier,
        note=fields.note("note", request.note, 0),
    )


def _parse_source(
    fields: Fields, request: loyalty_pb2.ApplyPromotionRequest, player_id: uuid.UUID
) -> tuple[str, uuid.UUID]:
    match request.WhichOneof("source"):
        case "rating_slip_id":
            return "rating_slip", fields.uuid("rating_slip_id", request.rating_slip_id)
        case "visit_id":
            return "visit", fields.uuid("visit_id", request.visit_id)
        case _:
            return "player", player_id


def _parse_award(
    fields: Fields, request: loyalty_pb2.ApplyPromotionRequest
) -> tuple[int | None, Decimal | None]:
    match request.WhichOneof("award"):
        case "bonus_points":
            return fields.whole_number("bonus_points", request.bonus_points, 1, MOST_POINTS), None
        case "multiplier":
            return None, _parse_multiplier(fields, request)
        case _:
            fields.reject("award", "bonus_points or multiplier is required")
            return None, None


def _parse_multiplier(fields: Fields, request: loyalty_pb2.ApplyPromotionRequest) -> Decimal:
    multiplier = fields.decimal("multiplier", request.multiplier, LARGEST_MULTIPLIER)
    if fields.accepts("multiplier") and multiplier <= 1:
        fields.reject("multiplier", "must be more than 1")
    if request.WhichOneof("source") != "rating_slip_id":
        fields.reject("rating_slip_id", "is required with a multiplier")
    return multiplier
