"""The manual reward a request asks for, parsed and checked."""

from __future__ import annotations

import uuid
from typing import NamedTuple

from casino.loyalty.v1 import loyalty_pb2
from chassis.validation import Fields

# A word or two explain nothing to an auditor.
LEAST_REASON_CHARACTERS = 10
# Beyond this the opposite would not fit in 64 bits, and no reversal could be written.
MOST_POINTS = 2**63 - 1


class ManualReward(NamedTuple):
    """What is given or taken, in the order the SQL function takes it."""

    player_id: uuid.UUID
    points: int
    note: str
    rating_slip_id: uuid.UUID | None
    visit_id: uuid.UUID | None
    reward_id: uuid.UUID | None


def parse_manual_reward(
    fields: Fields, request: loyalty_pb2.IssueManualRewardRequest
) -> ManualReward:
    """Reads the request but for its key; every violation goes to `fields`."""
    reward = ManualReward(
        player_id=fields.uuid("player_id", request.player_id),
        points=fields.whole_number("points", request.points, -MOST_POINTS, MOST_POINTS),
        note=fields.note("reason", request.reason, LEAST_REASON_CHARACTERS),
        rating_slip_id=fields.optional_uuid("rating_slip_id", request.rating_slip_id),
        visit_id=fields.optional_uuid("visit_id", request.visit_id),
        reward_id=fields.optional_uuid("reward_id", request.reward_id),
    )
    if request.points == 0:
        fields.reject("points", "must not be 0")
    if request.points < 0 and reward.rating_slip_id is not None:
        fields.reject("rating_slip_id", "is paid for with more than 0 points only")
    return reward
