"""Sends a gaming day to RatingSlip as any client would: through the stubs, with a token.

Owns the order of the slips, the steps of each one and what to do when a step
fails. It knows the contract of `casino.ratingslip.v1` and nothing of how the
services keep it; it reads no database.
"""

from __future__ import annotations

import asyncio
import datetime
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, NamedTuple, Self

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money

from casino.ratingslip.v1 import ratingslip_pb2 as pb
from deploy.local.demo.calls import RETRYABLE_CODES, Caller, described, new_trace_id, reason_of
from deploy.local.demo.gaming_day import RowFault, Slip

if TYPE_CHECKING:
    from casino.ratingslip.v1.ratingslip_pb2_grpc import RatingSlipServiceAsyncStub

# A busy pit has a handful of supervisors; more would only queue on two cores.
SLIPS_AT_A_TIME = 8
# With so many slips in a row unanswered, retries and all, the rest is not sent:
# nobody should wait for hundreds of slips to time out one by one.
UNANSWERED_SLIPS = SLIPS_AT_A_TIME
NOT_SENT = "not sent: the slips before it found no service"
# What the service answers to a row it does not want; anything else is a fault of the run.
REFUSING_CODES = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
    }
)
PARTIAL_COMPLETION = "PARTIAL_COMPLETION"
# The column a refusal of StartRatingSlip is about.
COLUMN_BY_REASON = {
    "START_TIME_TOO_OLD": "start",
    "EVENT_TIME_IN_FUTURE": "start",
    "VISIT_HAS_ACTIVE_SLIP": "visit",
    "SEAT_HAS_ACTIVE_SLIP": "seat",
}
# Enough that two runs on one machine never share them.
RUN_ID_DIGITS = 12
NANOS_PER_UNIT = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ClosedSlip:
    """A slip that was closed and paid."""

    slip: Slip
    slip_id: str
    player_id: str
    correlation_id: str
    # The trace of the close, 32 hexadecimal digits.
    trace_id: str
    entry_id: str
    points: int
    duration_seconds: int
    # From sending the close to holding the points, retries and recovery included.
    close_ms: float
    # True when the points came through RecoverSlipLoyalty.
    recovered: bool


@dataclass(frozen=True, slots=True)
class FailedSlip:
    """A slip that should have been closed and was not."""

    line: int
    # Empty when the slip was not even opened.
    slip_id: str
    reason: str
    # True when no attempt got more than "unavailable" or silence.
    unanswered: bool


Outcome = ClosedSlip | FailedSlip | RowFault


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of the slips that were sent, each in exactly one of the lists."""

    closed: list[ClosedSlip] = field(default_factory=list)
    failed: list[FailedSlip] = field(default_factory=list)
    # By RatingSlip, at the start; nothing was written.
    refused: list[RowFault] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        match outcome:
            case ClosedSlip():
                self.closed.append(outcome)
            case FailedSlip():
                self.failed.append(outcome)
            case RowFault():
                self.refused.append(outcome)


class _Event(NamedTuple):
    """A step between the start and the close."""

    time: datetime.datetime
    # Of events at one time, the player first comes back and last goes away.
    rank: int
    # None for a pause or a resumption.
    average_bet: Decimal | None


_RESUME, _BET, _PAUSE = range(3)


@dataclass(slots=True)
class _Progress:
    """How far one slip has come, for the report when a step fails."""

    step: str = "StartRatingSlip"
    slip_id: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """What keeps one run apart from all others: its own players, visits, tables and IDs."""

    namespace: uuid.UUID

    @classmethod
    def new(cls) -> Self:
        """A run like no other."""
        return cls(uuid.uuid4())

    @property
    def run_id(self) -> str:
        """What people call the run: twelve hexadecimal digits."""
        return self.namespace.hex[:RUN_ID_DIGITS]

    def correlation_id(self, part: object) -> str:
        """The correlation ID of one part of the run, such as a line of the file."""
        return f"demo-{self.run_id}-{part}"

    def uuid(self, kind: str, label: str) -> str:
        """The UUID that stands for a label of the file in this run."""
        return str(uuid.uuid5(self.namespace, f"{kind}:{label}"))


@dataclass(frozen=True)
class Replay:
    """Sends slips as part of one run.

    `caller` acts as a pit boss. `on_outcome` is called once for each slip, in the
    order in which they finish.
    """

    run: Run
    stub: RatingSlipServiceAsyncStub
    caller: Caller
    on_outcome: Callable[[], None]

    async def send(self, slips: Sequence[Slip]) -> Outcomes:
        """Sends every slip, several at a time, and returns what became of each."""
        by_line = {slip.line: slip for slip in slips}
        order = play_order(slips)
        order.prepare()
        places = asyncio.Semaphore(SLIPS_AT_A_TIME)
        outcomes = Outcomes()
        unanswered = 0

        async def send_then_release(line: int) -> None:
            nonlocal unanswered
            async with places:
                if unanswered < UNANSWERED_SLIPS:
                    outcome = await self._send_slip(by_line[line])
                else:
                    outcome = FailedSlip(line, "", NOT_SENT, unanswered=True)
            is_unanswered = isinstance(outcome, FailedSlip) and outcome.unanswered
            unanswered = unanswered + 1 if is_unanswered else 0
            outcomes.add(outcome)
            self.on_outcome()
            order.done(line)
            for released in order.get_ready():
                group.create_task(send_then_release(released))

        async with asyncio.TaskGroup() as group:
            for line in order.get_ready():
                group.create_task(send_then_release(line))
        return outcomes

    async def _send_slip(self, slip: Slip) -> Outcome:
        progress = _Progress()
        try:
            return await self._play(slip, progress)
        except grpc.aio.AioRpcError as error:
            if not progress.slip_id and error.code() in REFUSING_CODES:
                return _refusal(slip, error)
            reason = f"{progress.step}: {described(error)}"
            unanswered = error.code() in RETRYABLE_CODES
            return FailedSlip(slip.line, progress.slip_id, reason, unanswered)

    async def _play(self, slip: Slip, progress: _Progress) -> ClosedSlip:
        """Opens the slip, notes its events and closes it; raises `AioRpcError` where it stops."""
        correlation_id = self.run.correlation_id(slip.line)
        progress.slip_id = slip_id = await self._start(slip, correlation_id)
        for number, event in enumerate(_events(slip), start=1):
            progress.step = f"event {number}"
            await self._note(slip, slip_id, event, f"{correlation_id}-{number}", correlation_id)
        progress.step = "CompleteRatingSlip"
        trace_id = new_trace_id()
        began = time.perf_counter()
        answer, recovered = await self._close(slip, slip_id, correlation_id, trace_id)
        return ClosedSlip(
            slip=slip,
            slip_id=slip_id,
            player_id=answer.rating_slip.player_id,
            correlation_id=correlation_id,
            trace_id=trace_id,
            entry_id=answer.loyalty.entry_id,
            points=answer.loyalty.points_delta,
            duration_seconds=answer.rating_slip.duration_seconds,
            close_ms=(time.perf_counter() - began) * 1000,
            recovered=recovered,
        )

    async def _start(self, slip: Slip, correlation_id: str) -> str:
        request = pb.StartRatingSlipRequest(
            player_id=self.run.uuid("player", slip.player),
            visit_id=self.run.uuid("visit", slip.visit),
            table_id=self.run.uuid("table", slip.table),
            seat_number=slip.seat,
            average_bet=_money(slip.average_bet, slip.currency),
            game_settings=pb.GameSettings(
                game_name=slip.game,
                house_edge_percent=f"{slip.house_edge_percent:f}",
                decisions_per_hour=slip.decisions_per_hour,
                point_multiplier=f"{slip.point_multiplier:f}",
            ),
            start_time=_timestamp(slip.start),
            idempotency_key=f"{correlation_id}-start",
        )
        answer = await self.caller.call(self.stub.StartRatingSlip, request, correlation_id)
        return answer.rating_slip.rating_slip_id

    async def _note(
        self, slip: Slip, slip_id: str, event: _Event, key: str, correlation_id: str
    ) -> None:
        event_time, stub = _timestamp(event.time), self.stub
        if event.average_bet is not None:
            update = pb.UpdateAverageBetRequest(
                rating_slip_id=slip_id,
                average_bet=_money(event.average_bet, slip.currency),
                event_time=event_time,
                idempotency_key=key,
            )
            await self.caller.call(stub.UpdateAverageBet, update, correlation_id)
        elif event.rank == _PAUSE:
            pause = pb.PauseRatingSlipRequest(
                rating_slip_id=slip_id, event_time=event_time, idempotency_key=key
            )
            await self.caller.call(stub.PauseRatingSlip, pause, correlation_id)
        else:
            resume = pb.ResumeRatingSlipRequest(
                rating_slip_id=slip_id, event_time=event_time, idempotency_key=key
            )
            await self.caller.call(stub.ResumeRatingSlip, resume, correlation_id)

    async def _close(
        self, slip: Slip, slip_id: str, correlation_id: str, trace_id: str
    ) -> tuple[pb.CompleteRatingSlipResponse | pb.RecoverSlipLoyaltyResponse, bool]:
        """Closes the slip; when only its points are missing, recovers them (then True)."""
        request = pb.CompleteRatingSlipRequest(
            rating_slip_id=slip_id, end_time=_timestamp(slip.end)
        )
        if slip.chips_taken is not None:
            request.chips_taken.CopyFrom(_money(slip.chips_taken, slip.currency))
        try:
            answer = await self.caller.call(
                self.stub.CompleteRatingSlip,
                request,
                correlation_id,
                trace_id=trace_id,
                # The points have an RPC of their own.
                is_final=_is_half_done,
            )
            return answer, False
        except grpc.aio.AioRpcError as error:
            if not _is_half_done(error):
                raise
        recovery = pb.RecoverSlipLoyaltyRequest(rating_slip_id=slip_id)
        return await self.caller.call(self.stub.RecoverSlipLoyalty, recovery, correlation_id), True


def play_order(slips: Sequence[Slip]) -> TopologicalSorter[int]:
    """The lines of the slips, each after the earlier slips of its player, visit and seat.

    A visit and a seat hold one slip at a time; a player's slips go in as they
    were played because each one is paid at the tier held before it.
    """
    order: TopologicalSorter[int] = TopologicalSorter()
    latest: dict[tuple[str, ...], int] = {}
    for slip in sorted(slips, key=lambda slip: (slip.start, slip.line)):
        keys = (
            ("player", slip.player),
            ("visit", slip.visit),
            ("seat", slip.table, str(slip.seat)),
        )
        order.add(slip.line, *{latest[key] for key in keys if key in latest})
        latest.update(dict.fromkeys(keys, slip.line))
    return order


def _is_half_done(error: grpc.aio.AioRpcError) -> bool:
    """Whether the slip is closed, its points are missing, and asking for them can help."""
    return error.code() in RETRYABLE_CODES and reason_of(error) == PARTIAL_COMPLETION


def _refusal(slip: Slip, error: grpc.aio.AioRpcError) -> RowFault:
    return RowFault(
        slip.line, COLUMN_BY_REASON.get(reason_of(error), "(row)"), f"refused: {described(error)}"
    )


def _events(slip: Slip) -> Iterator[_Event]:
    """The slip's pauses, resumptions and bet changes in the order in which they happened."""
    events = [_Event(change.time, _BET, change.average_bet) for change in slip.bet_changes]
    for pause in slip.pauses:
        events.append(_Event(pause.start, _PAUSE, None))
        if pause.end is not None:
            events.append(_Event(pause.end, _RESUME, None))
    return iter(sorted(events, key=lambda event: (event.time, event.rank)))


def _money(amount: Decimal, currency: str) -> Money:
    units = int(amount)
    return Money(currency_code=currency, units=units, nanos=int((amount - units) * NANOS_PER_UNIT))


def _timestamp(moment: datetime.datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
