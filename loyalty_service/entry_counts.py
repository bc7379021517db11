"""What is counted of the ledger's entries: how many, and how many points they moved.

Owns the counters and the values their attributes can take. The ledger itself has the exact
figures; this file must not know how an entry comes to be.
"""

from __future__ import annotations

from opentelemetry import metrics

from casino.loyalty.v1 import loyalty_pb2
from chassis import telemetry
from loyalty_service.encoding import reason_word

REASON = "casino.ledger.reason"

# Every reason, and which of them give points or take them: a counter that was never seen at
# zero hides its first event from whoever asks for its increase.
REASONS = ("base_accrual", "manual_reward", "promotion", "adjustment", "redemption", "reversal")
CREDITING = ("base_accrual", "manual_reward", "promotion", "adjustment", "reversal")
DEBITING = ("adjustment", "redemption", "reversal")

# One entry can hold as many points as 64 bits do. A sum of two such would not fit into what
# is exported, and nothing at all would arrive any more: so these two are counted as floats.
NO_POINTS = 0.0


class EntryCounts:
    """Counts entries as they are answered, replays included."""

    def __init__(self, meter: metrics.Meter) -> None:
        self._entries = meter.create_counter(
            "casino.loyalty.entries",
            unit="{entry}",
            description="Entries that calls were answered with, new ones and replays",
        )
        self._credited = meter.create_counter(
            "casino.loyalty.points.credited",
            unit="{point}",
            description="Points that new entries have given",
        )
        self._debited = meter.create_counter(
            "casino.loyalty.points.debited",
            unit="{point}",
            description="Points that new entries have taken",
        )
        for reason in REASONS:
            for is_replay in (False, True):
                self._entries.add(0, {REASON: reason, telemetry.IS_REPLAY: is_replay})
        for reason in CREDITING:
            self._credited.add(NO_POINTS, {REASON: reason})
        for reason in DEBITING:
            self._debited.add(NO_POINTS, {REASON: reason})

    def count(self, entry: loyalty_pb2.LedgerEntry, *, is_existing: bool) -> None:
        """Counts the entry of an answer; one that was there before moved nothing again."""
        reason = reason_word(entry.reason) or ""
        self._entries.add(1, {REASON: reason, telemetry.IS_REPLAY: is_existing})
        if not is_existing and entry.points_delta > 0:
            self._credited.add(entry.points_delta, {REASON: reason})
        elif not is_existing and entry.points_delta < 0:
            self._debited.add(-entry.points_delta, {REASON: reason})
