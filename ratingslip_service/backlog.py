"""The slips that closed without points, counted for the gauges of every casino together.

Owns how often they are counted, and what is said while they cannot be. Each replica says
the same figures. It must not know how a slip gets its points.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable

from opentelemetry import metrics

from chassis import telemetry
from chassis.context import NOBODY, call_of_our_own, enter_call, leave_call
from chassis.errors import ServiceError
from ratingslip_service.slips import Slips

_logger = logging.getLogger(__name__)

# One small query each time; the alerts on these gauges wait a minute and longer.
COUNT_INTERVAL_SECONDS = 5.0
CALL_DEADLINE_SECONDS = 2.0
# Older figures are no answer any more; a gauge that is missing says so.
STALE_SECONDS = 60.0

PENDING, REFUSED = "PENDING", "REFUSED"
LOYALTY_STATE = "casino.loyalty_state"


class SlipBacklog:
    """Counts the unsettled slips in the background, and shows them as gauges."""

    def __init__(self, slips: Slips, meter: metrics.Meter) -> None:
        self._slips = slips
        self._counted_at: float | None = None
        self._counts: dict[str, int] = {}
        self._oldest_pending_age_seconds = 0.0
        meter.create_observable_gauge(
            "casino.ratingslip.unsettled_slips",
            [self._observe_counts],
            unit="{slip}",
            description="Closed slips without points, by where those are",
        )
        meter.create_observable_gauge(
            "casino.ratingslip.oldest_pending_slip.age",
            [self._observe_age],
            unit="s",
            description="How long the oldest closed slip has waited for its points, or 0",
        )

    async def run(self) -> None:
        """Counts until it is cancelled, whatever happens to the database."""
        while True:
            try:
                await self._count()
            except ServiceError as error:
                _logger.warning("count_failed", extra={"reason": error.reason})
            except Exception:
                # Nobody else would start the counting again.
                _logger.exception("count_failed", extra={"reason": ""})
            await asyncio.sleep(COUNT_INTERVAL_SECONDS)

    async def _count(self) -> None:
        # The question is of no casino.
        call = call_of_our_own("backlog", "count_unsettled_slips", NOBODY, CALL_DEADLINE_SECONDS)
        entered = enter_call(call)
        try:
            with telemetry.unrecorded():
                rows = await self._slips.count_unsettled_slips()
        finally:
            leave_call(entered)
        ages = {row["loyalty_state"]: row["oldest_age_seconds"] for row in rows}
        self._counts = {row["loyalty_state"]: row["slip_count"] for row in rows}
        self._oldest_pending_age_seconds = ages.get(PENDING, 0.0)
        self._counted_at = time.monotonic()

    def _is_fresh(self) -> bool:
        return self._counted_at is not None and time.monotonic() - self._counted_at < STALE_SECONDS

    def _observe_counts(self, _: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        if self._is_fresh():
            for state in (PENDING, REFUSED):
                yield metrics.Observation(self._counts.get(state, 0), {LOYALTY_STATE: state})

    def _observe_age(self, _: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        if self._is_fresh():
            yield metrics.Observation(max(self._oldest_pending_age_seconds, 0.0))
