"""The slips of one casino that is in the history: opened, closed, and looked at past the services.

Owns how a close is asked for and recorded, and what both databases say of its slip. It
must not know what is cut, nor when.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import enum

from casino.ratingslip.v1 import ratingslip_pb2
from tests.databases import LOYALTY, RATINGSLIP
from tests.fault.history import Acknowledged, History, Operation, Outcome, Refused, Verb
from tests.fault.recorder import USUAL_DEADLINE_SECONDS, Recorder
from tests.fault.stage import Stage
from tests.integration.casino import HOUR, later, new_id, new_slip

# Opening a slip is seldom what is cut: it is tried until the paths are whole again.
PATIENT_ATTEMPTS = 100


_STATES = """
    SELECT id, status, loyalty_state FROM ratingslip.rating_slip WHERE id = ANY ($1::uuid[])
"""
_PAYMENTS = """
    SELECT rating_slip_id FROM loyalty.loyalty_ledger WHERE rating_slip_id = ANY ($1::uuid[])
"""


class Told(enum.Enum):
    """What a caller can be told of a close: code and reason."""

    THE_POINTS = ("OK", "")
    # The slip is as it was before.
    DATABASE_AWAY = ("UNAVAILABLE", "DATABASE_UNAVAILABLE")
    # The slip is closed, and its points come.
    HALF_DONE = ("UNAVAILABLE", "PARTIAL_COMPLETION")
    # Nobody but the network has answered.
    NOTHING = ("UNAVAILABLE", "")


class Left(enum.Enum):
    """A slip's status, its loyalty state, and how many entries pay for it."""

    OPEN = ("OPEN", "NONE", 0)
    UNPAID = ("CLOSED", "PENDING", 0)
    PAID_AND_NOT_RECORDED = ("CLOSED", "PENDING", 1)
    ACCRUED = ("CLOSED", "ACCRUED", 1)


@dataclasses.dataclass(frozen=True)
class Slip:
    """An opened slip, and the close it will have."""

    id: str
    player_id: str
    close: ratingslip_pb2.CompleteRatingSlipRequest


class Closes:
    """One pit boss's slips in a casino of their own, all of them in the history."""

    def __init__(self, stage: Stage) -> None:
        self.history = History()
        self.casino = stage.casino()
        self._stage = stage
        self._boss = self.casino.for_role("pit_boss")
        self._recorder = Recorder(self.history, self.casino)

    async def opened(self, player_id: str = "", *, attempts: int = PATIENT_ATTEMPTS) -> Slip:
        """A new slip, begun two hours ago; of a player nobody has seen when none is named."""
        request = new_slip(player_id=player_id or new_id(), idempotency_key=new_id())
        operation = await self._recorder.call(
            Verb.START, self._boss, request, request.player_id, attempts=attempts
        )
        assert isinstance(operation.outcome, Acknowledged), operation
        slip_id = operation.outcome.slip_id
        close = ratingslip_pb2.CompleteRatingSlipRequest(
            rating_slip_id=slip_id, end_time=later(request.start_time, HOUR)
        )
        return Slip(slip_id, request.player_id, close)

    async def close(
        self, slip: Slip, *, deadline_seconds: float = USUAL_DEADLINE_SECONDS
    ) -> Operation:
        """Asks once for the slip's close, an hour after it began."""
        return await self._recorder.call(
            Verb.COMPLETE, self._boss, slip.close, slip.player_id, deadline_seconds=deadline_seconds
        )

    def closing(
        self, slip: Slip, *, deadline_seconds: float = USUAL_DEADLINE_SECONDS
    ) -> asyncio.Task[Operation]:
        """The same, under way."""
        return asyncio.create_task(self.close(slip, deadline_seconds=deadline_seconds))

    async def paid(self, player_id: str = "") -> Slip:
        """A slip that was closed undisturbed, whose player Loyalty therefore knows."""
        slip = await self.opened(player_id)
        assert told(await self.close(slip)) is Told.THE_POINTS
        return slip

    async def left(self, slip: Slip) -> Left:
        """How the slip stands in both databases."""
        (found,) = await self.all_left([slip])
        return found

    async def all_left(self, slips: list[Slip]) -> set[Left]:
        """How these slips stand, all of them."""
        slip_ids = [slip.id for slip in slips]
        async with self._stage.superuser(RATINGSLIP) as superuser:
            rows = await superuser.fetch(_STATES, slip_ids)
        async with self._stage.superuser(LOYALTY) as superuser:
            entries = await superuser.fetch(_PAYMENTS, slip_ids)
        counted = collections.Counter(entry["rating_slip_id"] for entry in entries)
        assert len(rows) == len(slips)
        return {Left((row["status"], row["loyalty_state"], counted[row["id"]])) for row in rows}


def told(operation: Operation) -> Told:
    """What the caller was told in the end."""
    outcome: Outcome = operation.outcome
    if isinstance(outcome, Acknowledged):
        return Told.THE_POINTS
    assert not isinstance(outcome, Refused), operation
    return Told((outcome.code, outcome.reason))
