"""What a slip would earn if it were closed: read it, ask Loyalty, change nothing.

The play is what the close would freeze, and Loyalty prices it as it prices an accrual,
so a preview and the close agree when nothing changes between them. This file must not
know a proto message, SQL, or how points are computed.
"""

from __future__ import annotations

import datetime
import uuid
from typing import NamedTuple

import asyncpg
from opentelemetry import trace

from chassis import telemetry
from chassis.context import current_call
from ratingslip_service import errors
from ratingslip_service.loyalty import FrozenPlay, LoyaltyCallFailed, LoyaltyClient, Suggestion
from ratingslip_service.slips import Amount, Slips


class PreviewedSlip(NamedTuple):
    """A slip as it stands, what a close would freeze of it, and what that is worth."""

    slip: asyncpg.Record
    suggestion: Suggestion


class SlipPreviewer:
    """Asks Loyalty what slips would earn."""

    def __init__(self, slips: Slips, loyalty: LoyaltyClient, tracer: trace.Tracer) -> None:
        self._slips = slips
        self._loyalty = loyalty
        self._tracer = tracer

    async def preview(
        self, rating_slip_id: uuid.UUID, end_time: datetime.datetime | None, average_bet: Amount
    ) -> PreviewedSlip:
        """What the slip would earn if it were closed like this; what it earned, once it is paid.

        Raises RATING_SLIP_NOT_FOUND, the errors of a bad time or currency,
        LOYALTY_UNAVAILABLE and LOYALTY_REFUSED.
        """
        slip = await self._slips.preview_slip_points(rating_slip_id, end_time, average_bet)
        try:
            suggestion = await self._suggest(slip)
        except LoyaltyCallFailed as failure:
            error = errors.loyalty_refused if failure.final else errors.loyalty_unavailable
            raise error(rating_slip_id, failure.reason) from failure
        return PreviewedSlip(slip, suggestion)

    async def _suggest(self, slip: asyncpg.Record) -> Suggestion:
        play = FrozenPlay(
            slip["frozen_average_bet"], slip["frozen_duration_seconds"], slip["frozen_end_time"]
        )
        call = current_call()
        with telemetry.step(self._tracer, "preview.suggest"):
            return await self._loyalty.suggest_points(
                slip, play, call.verified_caller.staff_id, call.deadline.remaining_seconds()
            )
