"""Prints a run of the demo: coloured in a terminal, plain lines anywhere else.

Owns the looks and the wording, and nothing of where the figures come from.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from deploy.local.demo.figures import Figures
from deploy.local.demo.gaming_day import GamingDay, RowFault
from deploy.local.demo.reconciliation import Check
from deploy.local.demo.replay import ClosedSlip, FailedSlip
from deploy.local.traces import Span, render_trace

# The screen shows this many refused rows; the JSON document has all of them.
FAULTS_SHOWN = 25
# Without a terminal there is no bar, but so many lines on the way.
PLAIN_PROGRESS_LINES = 10
NANOS_PER_UNIT = 1_000_000_000


@dataclass(frozen=True)
class Report:
    """Everything the demo says, in the order in which it says it."""

    console: Console = field(default_factory=lambda: Console(highlight=False, emoji=False))

    def say(self, sentence: str) -> None:
        """One sentence, not broken into lines."""
        self.console.print(Text(sentence), soft_wrap=True)

    def file(self, name: str, day: GamingDay) -> None:
        """What was read."""
        self.heading(f"Gaming day: {name}")
        self.say(f"{len(day.slips)} slips read, {day.refused_lines} rows refused.")
        if day.unknown_columns:
            self.say(f"These columns mean nothing here: {', '.join(day.unknown_columns)}.")
        self.faults(day.faults)

    def faults(self, faults: Sequence[RowFault]) -> None:
        """Why rows were refused."""
        for fault in sorted(faults, key=lambda fault: fault.line)[:FAULTS_SHOWN]:
            self.say(f"  line {fault.line}, column {fault.column}: {fault.reason}")
        if len(faults) > FAULTS_SHOWN:
            self.say(f"  … and {len(faults) - FAULTS_SHOWN} more faults; see the JSON document.")

    def failures(self, failed: Sequence[FailedSlip]) -> None:
        """Which good rows were not closed."""
        for slip in sorted(failed, key=lambda slip: slip.line)[:FAULTS_SHOWN]:
            which = f"slip {slip.slip_id}" if slip.slip_id else "not opened"
            self.say(f"  line {slip.line} FAILED ({which}): {slip.reason}")
        if len(failed) > FAULTS_SHOWN:
            self.say(f"  … and {len(failed) - FAULTS_SHOWN} more; see the JSON document.")

    @contextlib.contextmanager
    def progress(self, slips: int) -> Iterator[Callable[[], None]]:
        """Shows how far the replay is; call what it yields once for each slip that is done."""
        if not self.console.is_terminal:
            yield _plain_progress(self.say, slips)
            return
        columns = (TextColumn("Replaying"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task("", total=slips)
            yield lambda: progress.advance(task)

    def figures(self, figures: Figures) -> None:
        """The run in numbers."""
        self.heading("The day in figures")
        recovered = f" ({figures.slips_recovered} recovered)" if figures.slips_recovered else ""
        self._facts(
            ("slips closed", f"{figures.slips_closed:,}{recovered}"),
            ("rows refused", f"{figures.rows_refused:,}"),
            ("points given", f"{figures.points_given:,}"),
            ("players", f"{figures.players:,}"),
            *((f"  {tier}", f"{count:,}") for tier, count in figures.players_by_tier.items()),
            ("close p50", _milliseconds(figures.close_p50_ms)),
            ("close p95", _milliseconds(figures.close_p95_ms)),
            ("close p99", _milliseconds(figures.close_p99_ms)),
            ("close maximum", _milliseconds(figures.close_max_ms)),
            ("wall time", f"{figures.wall_seconds:.2f} s"),
        )

    def slip(self, closed: ClosedSlip, slip: ratingslip_pb2.RatingSlip) -> None:
        """The facts of the followed slip."""
        self.heading("One slip all the way (the one with the median close)")
        game = slip.game_settings
        self._facts(
            ("slip", slip.rating_slip_id),
            ("from the file", f"line {closed.slip.line}: player {closed.slip.player}"),
            ("player", slip.player_id),
            ("game", f"{game.game_name}, table {closed.slip.table}, seat {slip.seat_number}"),
            ("house edge", f"{game.house_edge_percent} %"),
            ("decisions an hour", str(game.decisions_per_hour)),
            ("point multiplier", game.point_multiplier),
            ("average bet", _money(slip.average_bet)),
            ("play", f"{_time(slip.start_time)} to {_time(slip.end_time)}"),
            ("time played", f"{slip.duration_seconds} s, pauses taken out"),
            ("state", f"{_status(slip)}, points {_loyalty_state(slip)}"),
            ("close took", _milliseconds(closed.close_ms)),
            ("correlation ID", slip.close_correlation_id),
        )

    def entries(self, entries: Iterable[loyalty_pb2.LedgerEntry]) -> None:
        """The ledger entries of the followed slip."""
        self.heading("Its ledger entry")
        for entry in entries:
            self._facts(
                ("entry", entry.entry_id),
                ("reason", _reason(entry)),
                ("points", f"{entry.points_delta:+,}"),
                ("balance", f"{entry.balance_before:,} to {entry.balance_after:,}"),
                ("lifetime", f"{entry.lifetime_before:,} to {entry.lifetime_after:,}"),
                ("tier", f"{entry.tier_before} to {entry.tier_after}"),
                ("theoretical win", entry.metadata.get("theo", "")),
                ("tier multiplier", entry.metadata.get("tierMultiplier", "")),
                ("number", f"{entry.entry_number} of this player"),
                ("staff", f"{entry.staff_id} through {entry.acting_service}"),
                ("recorded", _time(entry.recorded_time)),
                ("correlation ID", entry.correlation_id),
            )

    def trace(self, trace_id: str, spans: list[Span], is_complete: bool) -> None:
        """The trace of the followed slip's close."""
        self.heading(f"Its trace {trace_id}")
        self.say(render_trace(spans) if spans else "No span has arrived.")
        if spans and not is_complete:
            self.say("Some of its spans have not arrived.")

    def commands(self, commands: Iterable[str]) -> None:
        """How to look the followed slip up by hand."""
        self.heading("To look it up by hand")
        for command in commands:
            self.say(command)

    def checks(self, checks: Iterable[Check]) -> None:
        """Which promises hold."""
        self.heading("The books of the casino")
        for check in checks:
            mark = Text("ok    ", "green") if check.passed else Text("FAILED", "bold red")
            line = Text.assemble(mark, f"  {check.promise}\n        {check.detail}")
            self.console.print(line, soft_wrap=True)

    def verdict(self, figures: Figures, document: str) -> None:
        """The last word."""
        self.say("")
        if figures.rows_refused:
            rows = "1 row was" if figures.rows_refused == 1 else f"{figures.rows_refused} rows were"
            self.say(f"{rows} refused, with the reasons above.")
        self.say(f"The same figures are in {document}.")
        if figures.passed:
            self.console.print(Text("Every check passed.", "green"))
        else:
            self.console.print(Text("A check FAILED.", "bold red"))

    def heading(self, title: str) -> None:
        """Begins a section."""
        self.console.print(Text(f"\n{title}", "bold"), soft_wrap=True)

    def _facts(self, *facts: tuple[str, str]) -> None:
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in facts:
            table.add_row(Text(name), Text(value))
        self.console.print(table)


def _plain_progress(say: Callable[[str], None], slips: int) -> Callable[[], None]:
    done = 0

    def advance() -> None:
        nonlocal done
        before, done = done, done + 1
        if before * PLAIN_PROGRESS_LINES // slips != done * PLAIN_PROGRESS_LINES // slips:
            say(f"Replayed {done} of {slips} slips.")

    return advance


def _milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} ms"


def _money(money: Money) -> str:
    amount = Decimal(money.units) + Decimal(money.nanos) / NANOS_PER_UNIT
    return f"{amount:,.2f} {money.currency_code}"


def _time(stamp: Timestamp) -> str:
    return f"{stamp.ToDatetime():%Y-%m-%d %H:%M:%S} UTC"


def _status(slip: ratingslip_pb2.RatingSlip) -> str:
    return ratingslip_pb2.SlipStatus.Name(slip.status).removeprefix("SLIP_STATUS_")


def _loyalty_state(slip: ratingslip_pb2.RatingSlip) -> str:
    return ratingslip_pb2.LoyaltyState.Name(slip.loyalty_state).removeprefix("LOYALTY_STATE_")


def _reason(entry: loyalty_pb2.LedgerEntry) -> str:
    return loyalty_pb2.LedgerReason.Name(entry.reason).removeprefix("LEDGER_REASON_")
