"""The recoverer: finishes, in the background, the slips that closed without points.

    1  look     which casinos have slips that are due
    2  claim    one slip of one casino, which puts off its next attempt
    3  finish   as the close would have: accrue, record

Owns who is tried when, how many at once, and the pause while Loyalty is away. A claim is
the lease: any number of replicas share the work, and what one of them leaves undone is
due again. This file must not know how a slip is finished; `close` does.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import random
import time
import uuid
from collections.abc import Iterator

import asyncpg
from opentelemetry import metrics, trace

from chassis import telemetry
from chassis.context import (
    NOBODY,
    Call,
    Caller,
    Deadline,
    Role,
    call_of_our_own,
    enter_call,
    leave_call,
)
from chassis.errors import ServiceError
from ratingslip_service import errors
from ratingslip_service.close import LONGEST_FINISH_SECONDS, SlipCloser
from ratingslip_service.loyalty import ANSWER_MARGIN_SECONDS, LoyaltyClient
from ratingslip_service.service_token import ACTOR_NAME
from ratingslip_service.slips import Slips

_logger = logging.getLogger(__name__)

# Few enough to leave Loyalty and our own pool to the callers, enough to work off a
# thousand slips in seconds.
PARALLEL_RECOVERIES = 4
# An attempt is waited for until its end, with something over to be told of it.
ATTEMPT_DEADLINE_SECONDS = LONGEST_FINISH_SECONDS + 2 * ANSWER_MARGIN_SECONDS
# The other calls are one small statement each.
CALL_DEADLINE_SECONDS = 2.0
# How many casinos are looked at in one round; the others are still due in the next.
CASINOS_A_ROUND = 1_000
# While Loyalty or the database is away the polls come at longer and longer intervals, up
# to this; one health check each is all that they send.
LONGEST_PAUSE_SECONDS = 10.0
# Enough to get from the shortest poll to the longest pause.
MOST_DOUBLINGS = 10

# How an attempt ends, and a round.
ACCRUED, REFUSED, FAILED = "accrued", "refused", "failed"
WORKED, PAUSED = "worked", "paused"


class SlipRecoverer:
    """Finishes slips whose points are due, of every casino, until it is cancelled."""

    def __init__(
        self,
        slips: Slips,
        closer: SlipCloser,
        loyalty: LoyaltyClient,
        tracer: trace.Tracer,
        meter: metrics.Meter,
        *,
        poll_seconds: float,
    ) -> None:
        self._slips = slips
        self._closer = closer
        self._loyalty = loyalty
        self._tracer = tracer
        self._poll_seconds = poll_seconds
        self._failed_rounds = 0
        self._recoveries = meter.create_counter(
            "casino.ratingslip.recoveries",
            unit="{attempt}",
            description="Attempts to get closed slips their points, by how they ended",
        )
        # The recoverer's heartbeat: one that stands still is stuck, or has ended.
        self._rounds = meter.create_counter(
            "casino.ratingslip.recovery.rounds",
            unit="{round}",
            description="Looks for slips whose points are due; paused while Loyalty or the "
            "database is away",
        )
        for outcome in (ACCRUED, REFUSED, FAILED):
            self._recoveries.add(0, {telemetry.OUTCOME: outcome})
        for outcome in (WORKED, PAUSED):
            self._rounds.add(0, {telemetry.OUTCOME: outcome})

    async def run(self) -> None:
        """Runs a round at each poll, whatever happens to Loyalty and the database."""
        while True:
            await asyncio.sleep(self._pause_seconds())
            went_well = False
            try:
                went_well = await self.run_round()
            except Exception:
                # Nobody else would start the recoverer again.
                _logger.exception("recovery_failed", extra={"step": "round", "reason": ""})
            self._failed_rounds = 0 if went_well else self._failed_rounds + 1
            self._rounds.add(1, {telemetry.OUTCOME: WORKED if went_well else PAUSED})

    async def run_round(self) -> bool:
        """Tries every slip that is due once; False when Loyalty or the database is away.

        While a long backlog is worked off it looks again at each poll, so that a casino
        which comes to be due in the meantime does not wait for the end of it.
        """
        while True:
            queue = await self._casinos_to_serve()
            if queue is None or not await self._work_off(queue):
                return False
            if not queue:
                return True

    async def _casinos_to_serve(self) -> collections.deque[uuid.UUID] | None:
        """The casinos with slips that are due; None when Loyalty or the database is away."""
        casinos: list[uuid.UUID] | None = None
        with self._unrecorded_call("list_casinos_with_due_slips", NOBODY):
            casinos = await self._slips.list_casinos_with_due_slips(CASINOS_A_ROUND)
        if casinos is None:
            return None
        if casinos and not await self._loyalty_serves():
            _logger.warning("recovery_paused", extra={"casinos_waiting": len(casinos)})
            return None
        # With more casinos than get a turn until the next look, chance decides which do.
        random.shuffle(casinos)
        return collections.deque(casinos)

    async def _work_off(self, queue: collections.deque[uuid.UUID]) -> bool:
        """Serves these casinos until it is time to look again; which are not done, stay.

        False when Loyalty or the database is away.
        """
        look_again_at = time.monotonic() + self._poll_seconds
        async with asyncio.TaskGroup() as group:
            workers = [
                group.create_task(self._work(queue, look_again_at))
                for _ in range(PARALLEL_RECOVERIES)
            ]
        return all(worker.result() for worker in workers)

    def _pause_seconds(self) -> float:
        pause = self._poll_seconds * 2.0 ** min(self._failed_rounds, MOST_DOUBLINGS)
        longest = max(LONGEST_PAUSE_SECONDS, self._poll_seconds)
        # Replicas that were started together must not keep polling together.
        return min(pause, longest) * random.uniform(0.75, 1.25)  # noqa: S311

    async def _work(self, queue: collections.deque[uuid.UUID], look_again_at: float) -> bool:
        """Takes one slip of each casino in turn, so that none waits for another's backlog.

        An empty queue ends every worker: because nothing is due, or because Loyalty or
        the database is away, which returns False.
        """
        while queue and time.monotonic() < look_again_at:
            casino_id = queue[0]
            queue.rotate(-1)
            claimed: list[asyncpg.Record] | None = None
            with self._unrecorded_call("claim_due_slip", casino_id):
                claimed = await self._slips.claim_due_slip()
            if claimed is None:
                queue.clear()
                return False
            if not claimed:
                with contextlib.suppress(ValueError):
                    queue.remove(casino_id)
            elif not await self._recover(claimed[0]) and not await self._loyalty_serves():
                queue.clear()
                return False
        return True

    async def _recover(self, slip: asyncpg.Record) -> bool:
        """One attempt, in the name of who closed the slip and under the close's correlation ID.

        False when it failed and a later one may succeed.
        """
        call = Call(
            method="recover_slip",
            correlation_id=slip["close_correlation_id"],
            deadline=Deadline.after(ATTEMPT_DEADLINE_SECONDS),
            caller=Caller(
                slip["casino_id"], slip["closed_by_staff_id"], Role.SCHEDULER, ACTOR_NAME
            ),
        )
        outcome = FAILED
        with self._attempt_span(call, slip) as span:
            try:
                await self._closer.finish(slip)
                outcome = ACCRUED
            except ServiceError as error:
                # A slip that is refused has found its end, and is out of the way.
                outcome = REFUSED if errors.is_final(error) else FAILED
                telemetry.mark_failed(span, errors.cause_of(error))
            except Exception as error:
                _logger.exception("unexpected_error", extra={"rpc.method": call.method})
                telemetry.mark_failed(span, type(error).__name__)
            span.set_attribute(telemetry.OUTCOME, outcome)
            _log_attempt(slip, outcome)
        self._recoveries.add(1, {telemetry.OUTCOME: outcome})
        return outcome != FAILED

    async def _loyalty_serves(self) -> bool:
        with self._unrecorded_call("check_loyalty", NOBODY):
            return await self._loyalty.is_serving()
        return False

    @contextlib.contextmanager
    def _attempt_span(self, call: Call, slip: asyncpg.Record) -> Iterator[trace.Span]:
        entered = enter_call(call)
        try:
            with telemetry.step(
                self._tracer,
                call.method,
                attributes={
                    telemetry.CASINO_ID: str(slip["casino_id"]),
                    telemetry.CORRELATION_ID: call.correlation_id,
                    telemetry.RATING_SLIP_ID: str(slip["id"]),
                    telemetry.ROLE: Role.SCHEDULER.value,
                },
                links=telemetry.link_to(slip["close_trace_parent"] or ""),
            ) as span:
                yield span
        finally:
            leave_call(entered)

    @contextlib.contextmanager
    def _unrecorded_call(self, step: str, casino_id: uuid.UUID) -> Iterator[None]:
        """A call of the recoverer's own that leaves no trace but a log line when it fails.

        One poll a second for each replica would bury the traces that people look for.
        """
        call = call_of_our_own("recovery", step, casino_id, CALL_DEADLINE_SECONDS)
        entered = enter_call(call)
        try:
            with telemetry.unrecorded():
                yield
        except ServiceError as error:
            _logger.warning(
                "recovery_failed", extra={"step": step, "reason": error.reason, **call.facts}
            )
        except Exception:
            _logger.exception("recovery_failed", extra={"step": step, "reason": ""})
        finally:
            leave_call(entered)


def _log_attempt(slip: asyncpg.Record, outcome: str) -> None:
    _logger.info(
        "recovery_attempt",
        extra={
            telemetry.CASINO_ID: str(slip["casino_id"]),
            telemetry.RATING_SLIP_ID: str(slip["id"]),
            "attempt": slip["recovery_attempt_count"],
            "outcome": outcome,
        },
    )
