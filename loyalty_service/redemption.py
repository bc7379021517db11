"""The redemption a request asks for, parsed and checked."""

from __future__ import annotations

import uuid
from typing import NamedTuple

from casino.loyalty.v1 import loyalty_pb2
from chassis.validation import Fields

MOST_POINTS = 2**63 - 1
LEAST_NOTE_CHARACTERS = 1


class Redemption(NamedTuple):
    """What is spent, in the order the SQL function takes it."""

    player_id: uuid.UUID
    points: int
    note: str
    allow_overdraw: bool
    reward_id: uuid.UUID | None
    campaign_id: uuid.UUID | None
    visit_id: uuid.UUID | None


def parse_redemption(fields: Fields, request: loyalty_pb2.RedeemPointsRequest) -> Redemption:
    """Reads the request but for its key; every violation goes to `fields`."""
    return Redemption(
        player_id=fields.uuid("player_id", request.player_id),
        points=fields.whole_number("points", request.points, 1, MOST_POINTS),
        note=fields.note("note", request.note, LEAST_NOTE_CHARACTERS),
        allow_overdraw=request.allow_overdraw,
        reward_id=fields.optional_uuid("reward_id", request.reward_id),
        campaign_id=fields.optional_uuid("campaign_id", request.campaign_id),
        visit_id=fields.optional_uuid("visit_id", request.visit_id),
    )
