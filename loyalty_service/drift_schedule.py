"""The daily checks of a casino's books: which casino's is due, and which instance runs it.

    1  drift   what is cached for each player against what the player's entries say
    2  chains  the entries themselves, by their hashes

Owns the loop in the background and the lease that makes it exactly one of any number of
replicas. It must not know what a check does, nor when a casino's next one is: SQL does.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import uuid
from collections.abc import Iterator

from opentelemetry import trace

from chassis import telemetry
from chassis.context import NOBODY, Call, Role, call_of_our_own, enter_call, leave_call
from chassis.errors import ServiceError
from loyalty_service.drift import BalanceDriftCheck
from loyalty_service.ledger import Ledger
from loyalty_service.verification import LedgerVerification

_logger = logging.getLogger(__name__)

# How long a casino's checks may take: enough for some thirty million entries, which a casino
# writes in ten years. Where it is not, the chains are verified as far as it goes.
CHECK_DEADLINE_SECONDS = 25 * 60.0
# Longer than a check may take, so that no two instances are ever at the same one; as long
# waits the check of an instance that died.
LEASE = datetime.timedelta(minutes=30)
# The other calls are one small statement each.
CALL_DEADLINE_SECONDS = 10.0
# How many due checks are taken up in one round; the rest are still due in the next.
CHECKS_A_ROUND = 100


class DriftSchedule:
    """Runs the checks that are due, in the background; `notice` tells it of casinos."""

    def __init__(
        self,
        ledger: Ledger,
        check: BalanceDriftCheck,
        verification: LedgerVerification,
        tracer: trace.Tracer,
        *,
        poll_seconds: float,
    ) -> None:
        self._ledger = ledger
        self._drift_check = check
        self._verification = verification
        self._tracer = tracer
        self._poll_seconds = poll_seconds
        self._holder = uuid.uuid4()
        self._noticed: set[uuid.UUID] = set()
        self._enrolled: set[uuid.UUID] = set()

    def notice(self, casino_id: uuid.UUID) -> None:
        """Says that a casino has points; the next round puts it on the schedule."""
        if casino_id not in self._enrolled:
            self._noticed.add(casino_id)

    async def run(self) -> None:
        """Runs a round at each poll until it is cancelled, whatever happens to the database."""
        while True:
            await asyncio.sleep(self._poll_seconds)
            await self.run_round()

    async def run_round(self) -> None:
        """Enrols who was noticed, then runs the checks that are due and free, one by one.

        A failure is logged and left to a later round.
        """
        for casino_id in tuple(self._noticed):
            if not await self._enrol(casino_id):
                break
        due: list[uuid.UUID] = []
        with self._call("list_due_drift_checks", NOBODY, CALL_DEADLINE_SECONDS):
            due = await self._ledger.list_due_drift_checks(CHECKS_A_ROUND)
        for casino_id in due:
            await self._check(casino_id)

    async def _enrol(self, casino_id: uuid.UUID) -> bool:
        with self._call("enrol_casino", casino_id, CALL_DEADLINE_SECONDS):
            if await self._ledger.enrol_casino():
                _logger.info("casino_enrolled", extra={telemetry.CASINO_ID: str(casino_id)})
            self._enrolled.add(casino_id)
            self._noticed.discard(casino_id)
            return True
        return False

    async def _check(self, casino_id: uuid.UUID) -> None:
        with self._call("drift_check", casino_id, CHECK_DEADLINE_SECONDS):
            # A check that fails keeps its lease, so that it is not tried again at once.
            if not await self._ledger.claim_drift_check(self._holder, LEASE):
                return
            await self._drift_check.run()
            await self._verification.verify_casino()
            if not await self._ledger.finish_drift_check(self._holder):
                _logger.warning("drift_lease_lost", extra={telemetry.CASINO_ID: str(casino_id)})

    @contextlib.contextmanager
    def _call(self, step: str, casino_id: uuid.UUID, deadline_seconds: float) -> Iterator[None]:
        """A call of the scheduler's own, with a span at its root; logs a failure and ends."""
        call = call_of_our_own("drift", step, casino_id, deadline_seconds)
        attributes = {
            telemetry.CASINO_ID: str(casino_id),
            telemetry.CORRELATION_ID: call.correlation_id,
            telemetry.ROLE: Role.SCHEDULER.value,
        }
        entered = enter_call(call)
        try:
            with telemetry.step(self._tracer, step, attributes=attributes) as span:
                try:
                    yield
                except Exception as error:
                    _log_failure(call, casino_id, error)
                    telemetry.mark_failed(span, getattr(error, "reason", type(error).__name__))
        finally:
            leave_call(entered)


def _log_failure(call: Call, casino_id: uuid.UUID, error: Exception) -> None:
    expected = isinstance(error, ServiceError)
    _logger.log(
        logging.WARNING if expected else logging.ERROR,
        "drift_schedule_failed",
        extra={
            "step": call.method,
            telemetry.CASINO_ID: str(casino_id),
            "reason": error.reason if isinstance(error, ServiceError) else "",
            **call.facts,
        },
        exc_info=None if expected else error,
    )
