"""What is known about one case: the facts that a verdict is made from, and nothing decided yet."""

from __future__ import annotations

import dataclasses
import datetime
import enum

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2


class Service(enum.StrEnum):
    """The two services, as people call them."""

    RATINGSLIP = "RatingSlip"
    LOYALTY = "Loyalty"


class IdentifierKind(enum.StrEnum):
    """What an identifier turned out to be."""

    RATING_SLIP = "rating slip"
    CORRELATION_ID = "correlation ID"
    TRACE = "trace"


@dataclasses.dataclass(frozen=True)
class Trouble:
    """Something that could not be asked: of whom, the gRPC code's name, and the message."""

    service: Service
    code: str
    message: str


@dataclasses.dataclass(frozen=True)
class Step:
    """A span of the case's traces."""

    trace_id: str
    span_id: str
    parent_span_id: str
    service: str
    name: str
    start_time: datetime.datetime
    duration_ms: float
    failed: bool
    # The span's `error.type`: our reason, or the gRPC code's name; empty when there is none.
    error_type: str


@dataclasses.dataclass(frozen=True)
class SlipCase:
    """One slip: its events, oldest first, and what the ledger holds for it, newest first.

    `points_due` is what Loyalty would give for a slip that it has not paid; None when that
    was not asked, or not answered.
    """

    slip: ratingslip_pb2.RatingSlip
    events: list[ratingslip_pb2.SlipEvent]
    entries: list[loyalty_pb2.LedgerEntry]
    points_due: int | None = None

    @property
    def attempts(self) -> list[ratingslip_pb2.SlipEvent]:
        """The attempts to credit the slip's points, oldest first."""
        return [event for event in self.events if event.kind in _ATTEMPTS]

    @property
    def failures(self) -> list[ratingslip_pb2.SlipEvent]:
        """The attempts that failed or were refused, oldest first."""
        accrued = ratingslip_pb2.SLIP_EVENT_KIND_ACCRUE
        return [event for event in self.attempts if event.kind != accrued]

    @property
    def payment(self) -> loyalty_pb2.LedgerEntry | None:
        """The entry that pays the slip: its accrual, or the manual reward in its place."""
        for entry in self.entries:
            if entry.reason in _PAYMENTS and entry.source_id == self.slip.rating_slip_id:
                return entry
        return None


@dataclasses.dataclass
class Evidence:
    """All that was found out about an identifier."""

    identifier: str
    kind: IdentifierKind
    # The casino of the token that everything was asked with; empty when it names none.
    casino_id: str = ""
    slips: list[SlipCase] = dataclasses.field(default_factory=list)
    # What was written to the ledger under a correlation ID that no slip is known by.
    entries: list[loyalty_pb2.LedgerEntry] = dataclasses.field(default_factory=list)
    steps: list[Step] = dataclasses.field(default_factory=list)
    troubles: list[Trouble] = dataclasses.field(default_factory=list)
    # Which services say that they serve; one that does not answer is not among them.
    serving: set[Service] = dataclasses.field(default_factory=set)
    # Why the trace store could not be asked; empty when it could, or there is none.
    trace_trouble: str = ""

    def trace_ids(self) -> list[str]:
        """The traces of the close and of the attempts, oldest first, each once."""
        named = [event.trace_id for case in self.slips for event in case.events if event.trace_id]
        if self.kind is IdentifierKind.TRACE:
            named = [self.identifier, *named]
        return list(dict.fromkeys(named))

    def trouble_with(self, service: Service) -> Trouble | None:
        """The first thing this service could not be asked; None when it answered all."""
        return next((each for each in self.troubles if each.service is service), None)


_ATTEMPTS = frozenset(
    {
        ratingslip_pb2.SLIP_EVENT_KIND_ACCRUE,
        ratingslip_pb2.SLIP_EVENT_KIND_REFUSE,
        ratingslip_pb2.SLIP_EVENT_KIND_FAIL,
    }
)
_PAYMENTS = frozenset(
    {loyalty_pb2.LEDGER_REASON_BASE_ACCRUAL, loyalty_pb2.LEDGER_REASON_MANUAL_REWARD}
)
