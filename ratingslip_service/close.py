"""The close of a slip: commit, one call to Loyalty, record the answer.

    1  commit   the slip is CLOSED and PENDING, whatever comes after
    2  accrue   one call to Loyalty, idempotent by the slip
    3  record   the slip is ACCRUED, or REFUSED when Loyalty says no for good

After step 1 nothing is undone. Steps 2 and 3 run in a task of their own with limits of
their own, so that a caller who goes away, or has no time left, does not stop them; what
they leave undone, `recovery` takes up. This file must not know a proto message, SQL, or
how points are computed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import time
import uuid
from typing import NamedTuple

import asyncpg
from opentelemetry import metrics, trace

from chassis import context, telemetry
from chassis.context import Deadline, current_call
from chassis.errors import ServiceError
from ratingslip_service import errors, events
from ratingslip_service.loyalty import (
    ANSWER_MARGIN_SECONDS,
    LONGEST_CALL_SECONDS,
    LoyaltyCallFailed,
    LoyaltyClient,
)
from ratingslip_service.slips import Accrual, Amount, Attempt, FailedAttempt, Slips

# What Loyalty answered must be recorded even when the caller's time is over: this
# long, counted from the answer.
RECORD_SECONDS = 2.0
# So steps 2 and 3 end by then, one way or the other. It is shorter than the shortest
# `recovery_delay`, so that no slip is taken up while its close is still at it.
LONGEST_FINISH_SECONDS = LONGEST_CALL_SECONDS + RECORD_SECONDS
# The cause a caller is told when its time was over first.
DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"

# The causes that are counted from the start, at 0: a counter that begins with its first
# event hides that event from a rate.
_USUAL_CAUSES = (DEADLINE_EXCEEDED, "UNAVAILABLE", "DATABASE_BUSY", "DATABASE_UNAVAILABLE")
_USUAL_REFUSALS = ("IDEMPOTENCY_KEY_CONFLICT", "POINTS_OUT_OF_RANGE")


class ClosedSlip(NamedTuple):
    """An accrued slip, and whether its points were there before this call."""

    slip: asyncpg.Record
    is_existing: bool


class SlipCloser:
    """Closes slips and recovers the ones that closed without points."""

    def __init__(
        self, slips: Slips, loyalty: LoyaltyClient, tracer: trace.Tracer, meter: metrics.Meter
    ) -> None:
        self._slips = slips
        self._loyalty = loyalty
        self._tracer = tracer
        self._refusals = meter.create_counter(
            "casino.ratingslip.refused_slips",
            unit="{slip}",
            description="Closed slips that Loyalty refused for good, by its reason",
        )
        self._partial_completions = meter.create_counter(
            "casino.ratingslip.partial_completions",
            unit="{slip}",
            description="Closes that were answered without their points, by the cause",
        )
        for reason in _USUAL_REFUSALS:
            self._refusals.add(0, {telemetry.ERROR_TYPE: reason})
        for cause in _USUAL_CAUSES:
            self._partial_completions.add(0, {telemetry.ERROR_TYPE: cause})
        self._under_way: set[asyncio.Task[ClosedSlip]] = set()

    async def complete(
        self,
        rating_slip_id: uuid.UUID,
        end_time: datetime.datetime | None,
        average_bet: Amount,
        chips_taken: Amount,
    ) -> ClosedSlip:
        """Closes a slip and credits its points; a closed slip is only finished.

        Raises RATING_SLIP_NOT_FOUND, the errors of a bad time or currency, and
        PARTIAL_COMPLETION when the slip is closed and the points are not credited.
        """
        with telemetry.step(self._tracer, "close.commit"):
            slip = await self._slips.complete_rating_slip(
                telemetry.trace_parent(), rating_slip_id, end_time, average_bet, chips_taken
            )
        try:
            return await self.finish(slip)
        except ServiceError as error:
            self._partial_completions.add(1, {telemetry.ERROR_TYPE: errors.cause_of(error)})
            raise

    async def recover(self, rating_slip_id: uuid.UUID) -> ClosedSlip:
        """Credits the points of a closed slip.

        Raises RATING_SLIP_NOT_FOUND, SLIP_NOT_CLOSED, PARTIAL_COMPLETION.
        """
        slip = await self._slips.get_rating_slip(rating_slip_id)
        if slip is None:
            raise errors.rating_slip_not_found(rating_slip_id)
        if slip["status"] != "CLOSED":
            raise errors.slip_not_closed(rating_slip_id)
        return await self.finish(slip)

    async def drain(self) -> None:
        """Waits for the closes under way; each has limits of its own."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def finish(self, slip: asyncpg.Record) -> ClosedSlip:
        """Steps 2 and 3, for a closed slip as it was read; raises PARTIAL_COMPLETION.

        They go on when the caller is cancelled, or its time is over before theirs.
        """
        if slip["loyalty_state"] == "ACCRUED":
            return ClosedSlip(slip, is_existing=True)
        task = asyncio.create_task(self._accrue_and_record(slip))
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        # Waiting for a task, unlike awaiting it, does not cancel it.
        await asyncio.wait([task], timeout=_time_to_wait_seconds())
        if not task.done():
            raise self._partial_completion(slip, DEADLINE_EXCEEDED, final=False)
        return task.result()

    def _ended(self, task: asyncio.Task[ClosedSlip]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            # The failure was logged where it happened; when the caller has gone away
            # nobody else fetches it.
            task.exception()

    async def _accrue_and_record(self, slip: asyncpg.Record) -> ClosedSlip:
        started = time.monotonic()
        try:
            accrual, is_existing = await self._accrue(slip)
        except LoyaltyCallFailed as failure:
            await self._record_failure(slip, _attempt_since(started), failure)
            raise self._partial_completion(slip, failure.reason, final=failure.final) from failure
        try:
            slip = await self._record(slip, _attempt_since(started), accrual)
        except ServiceError as error:
            raise self._partial_completion(slip, error.reason, final=False) from error
        if not slip["is_existing"]:
            # Of several attempts at once, one recorded the points and speaks of it.
            events.rating_slip_completed(slip)
        return ClosedSlip(slip, is_existing)

    async def _accrue(self, slip: asyncpg.Record) -> tuple[Accrual, bool]:
        links = telemetry.link_to(slip["close_trace_parent"] or "")
        with telemetry.step(self._tracer, "close.accrue", links=links):
            return await self._loyalty.accrue_points_from_slip(slip)

    async def _record(
        self, slip: asyncpg.Record, attempt: Attempt, accrual: Accrual
    ) -> asyncpg.Record:
        _extend_deadline()
        with telemetry.step(self._tracer, "close.record"):
            return await self._slips.record_accrual(attempt, slip["id"], accrual)

    async def _record_failure(
        self, slip: asyncpg.Record, attempt: Attempt, failure: LoyaltyCallFailed
    ) -> None:
        failed = FailedAttempt(failure.code.name, failure.reason)
        _extend_deadline()
        try:
            with telemetry.step(self._tracer, "close.record"):
                if not failure.final:
                    await self._slips.record_failure(attempt, slip["id"], failed)
                    return
                refused = await self._slips.record_refusal(attempt, slip["id"], failed)
        except ServiceError:
            # The slip stays PENDING, and this attempt stands in the log and the trace only;
            # one that is refused is refused again by the next, which records it.
            return
        if not refused["is_existing"]:
            self._refusals.add(1, {telemetry.ERROR_TYPE: failure.reason})
            events.slip_refused(refused)

    def _partial_completion(self, slip: asyncpg.Record, cause: str, *, final: bool) -> ServiceError:
        events.slip_completion_failed(slip, cause)
        return errors.partial_completion(
            slip["id"], current_call().correlation_id, cause, final=final
        )


def _time_to_wait_seconds() -> float:
    """How long the caller can wait and still be told how far its close has come."""
    return max(current_call().deadline.remaining_seconds() - ANSWER_MARGIN_SECONDS, 0.0)


def _attempt_since(started: float) -> Attempt:
    """The attempt whose call to Loyalty began then, on the monotonic clock, and has ended."""
    return Attempt(telemetry.trace_parent(), round((time.monotonic() - started) * 1000))


def _extend_deadline() -> None:
    """Gives this task's copy of the call time to record, also past the caller's deadline."""
    call = dataclasses.replace(current_call(), deadline=Deadline.after(RECORD_SECONDS))
    context.enter_call(call)
