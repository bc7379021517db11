"""Reads and checks a gaming day: a CSV file with one rating slip on each line.

Owns what such a file may say and how its faults are named. It sends nothing and
knows neither services nor tokens.

FILE_FORMAT below is the description for whoever writes such a file.

A row is refused with its line, column and reason, and never stops another row:
each line is read on its own, so even a quote that is never closed harms one row.
"""

from __future__ import annotations

import csv
import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from deploy.local.demo import slip_cells as cells
from deploy.local.demo.slip_cells import BetChange, CellFault, Pause, TimeStyle

# The project's own; `make_gaming_day.py` writes it.
GAMING_DAY_CSV = Path(__file__).with_name("gaming_day.csv")
FILE_FORMAT = """\
A UTF-8 CSV file: a header with the column names, then one rating slip a line.
Empty lines are skipped, columns may stand in any order, and a line is one row
whatever its quotes say.

  player, visit, table  labels, up to 64 characters; each run makes new players
                        of them. A visit has one player.
  seat                  1 to 99
  game                  the game's name, up to 80 characters
  house_edge_percent    0 to 100, up to 4 decimal places; 1.5 means 1.5 %
  decisions_per_hour    1 to 10000
  average_bet           in currency units, up to 2 decimal places: 25 or 12.50
  start, end            when play began and ended
and optional, as columns or as cells:
  point_multiplier      the game's factor on points, 0 to 1000; 1 when empty
  currency              three capital letters; USD when empty
  pauses                start/end, separated by semicolons: 14:05/14:20;15:00/15:02
                        The last may lack its end when the player never came
                        back: 17:40/
  bet_changes           time=bet, separated by semicolons: 15:30=75.00;17:00=100
  chips_taken           what the player left with, in currency units

Times are either times of day (14:05 or 14:05:30) of one gaming day, which lasts
from 06:00 to 06:00 of the next morning, or ISO 8601 timestamps
(2026-03-14T14:05:00Z, UTC when no offset is given); one style for the whole file.
All are moved together, by whole hours, so that the last event of the file lies
within the last hour: slips can be entered up to 48 hours late and never ahead.
A file that spans more than 48 hours loses its earliest rows to that rule.

Two slips cannot hold one seat, or one visit, at the same time: the one that
began later is refused.
"""

REQUIRED_COLUMNS = (
    "player", "visit", "table", "seat", "game", "house_edge_percent",
    "decisions_per_hour", "average_bet", "start", "end",
)  # fmt: skip
OPTIONAL_COLUMNS = ("point_multiplier", "currency", "pauses", "bet_changes", "chips_taken")

ONE_HOUR = datetime.timedelta(hours=1)
# The newest event lands at least this far back: the services' clock may be a
# little behind the client's, and an event is never accepted ahead of it.
CLOCK_MARGIN = datetime.timedelta(seconds=30)


class UnreadableFile(Exception):
    """The file as a whole cannot be used; the text is one sentence for a person."""


@dataclass(frozen=True, slots=True)
class RowFault:
    """Why a row was refused; `line` counts from 1, the header being the first."""

    line: int
    column: str
    reason: str


@dataclass(frozen=True, slots=True)
class Slip:
    """One row of the file; times are absolute, money is in units of `currency`."""

    line: int
    player: str
    visit: str
    table: str
    seat: int
    game: str
    house_edge_percent: Decimal
    decisions_per_hour: int
    point_multiplier: Decimal
    average_bet: Decimal
    currency: str
    start: datetime.datetime
    pauses: tuple[Pause, ...]
    bet_changes: tuple[BetChange, ...]
    end: datetime.datetime
    chips_taken: Decimal | None


@dataclass(frozen=True, slots=True)
class GamingDay:
    """The slips of a file in the order of their starts, its faults in the order of their lines."""

    slips: tuple[Slip, ...]
    faults: tuple[RowFault, ...]
    # Columns that mean nothing here; a misspelt name must not pass unseen.
    unknown_columns: tuple[str, ...]

    @property
    def refused_lines(self) -> int:
        """How many rows were refused; a row may have several faults."""
        return len({fault.line for fault in self.faults})


def read_gaming_day(path: Path) -> GamingDay:
    """Reads a file in FILE_FORMAT.

    Raises `UnreadableFile` when there is no such file, or its header is missing
    a column.
    """
    try:
        # Text that is not UTF-8 becomes characters which no cell accepts, so it
        # is reported at its place.
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise UnreadableFile(f"Cannot read the slips file {path}: {error.strerror}.") from error
    numbered = enumerate(text.split("\n"), start=1)
    lines = ((number, line) for number, line in numbered if line.strip(" \t,;"))
    header_line = next(lines, None)
    if header_line is None:
        raise UnreadableFile(f"The slips file {path} is empty; its first line must be a header.")
    reader = _Reader(_read_header(path, header_line[1]))
    for number, line in lines:
        reader.read_line(number, line)
    return reader.gaming_day()


def moved_before(slips: Sequence[Slip], now: datetime.datetime) -> tuple[Slip, ...]:
    """The slips moved together by whole hours, so that the last ends within the hour before `now`.

    Whole hours keep the minutes of the file readable in the ledger.
    """
    if not slips:
        return ()
    last_end = max(slip.end for slip in slips)
    shift = (now - CLOCK_MARGIN - last_end) // ONE_HOUR * ONE_HOUR
    return tuple(_moved(slip, shift) for slip in slips)


def _moved(slip: Slip, shift: datetime.timedelta) -> Slip:
    return replace(
        slip,
        start=slip.start + shift,
        end=slip.end + shift,
        pauses=tuple(
            Pause(pause.start + shift, pause.end + shift if pause.end is not None else None)
            for pause in slip.pauses
        ),
        bet_changes=tuple(
            BetChange(change.time + shift, change.average_bet) for change in slip.bet_changes
        ),
    )


def _read_header(path: Path, line: str) -> tuple[str, ...]:
    try:
        header = tuple(cell.strip().lower() for cell in _split(line))
    except csv.Error as error:
        raise UnreadableFile(f"The header of {path} is not CSV: {error}.") from error
    missing = [column for column in REQUIRED_COLUMNS if column not in header]
    if missing:
        names = ", ".join(missing)
        raise UnreadableFile(f"The header of {path} lacks: {names} (comma-separated columns).")
    named = [column for column in header if column]
    repeated = sorted({column for column in named if named.count(column) > 1})
    if repeated:
        raise UnreadableFile(f"The header of {path} names twice: {', '.join(repeated)}.")
    return header


def _split(line: str) -> list[str]:
    """The cells of one line; raises `csv.Error` when its quotes do not match."""
    return next(csv.reader([line], strict=True), [])


@dataclass
class _Reader:
    """Takes the rows one by one and keeps what became of them."""

    header: tuple[str, ...]
    # Set by the first start that can be read; the whole file keeps to it.
    style: TimeStyle | None = None
    slips: list[Slip] = field(default_factory=list)
    faults: list[RowFault] = field(default_factory=list)

    def read_line(self, number: int, line: str) -> None:
        try:
            row = _split(line)
        except csv.Error as error:
            self.faults.append(RowFault(number, "(row)", f"is not CSV: {error}"))
            return
        while len(row) > len(self.header) and not row[-1].strip():
            row.pop()  # Spreadsheets leave commas behind.
        if len(row) > len(self.header):
            reason = f"has {len(row)} fields; the header names {len(self.header)}"
            self.faults.append(RowFault(number, f"(field {len(self.header) + 1})", reason))
            return
        self.read_row(number, dict(zip(self.header, (cell.strip() for cell in row), strict=False)))

    def read_row(self, number: int, row: Mapping[str, str]) -> None:
        self.style = self.style or cells.time_style_of(row.get("start", ""))
        style = self.style or TimeStyle.TIME_OF_DAY
        faults = list(_cell_faults(number, row, style))
        if not faults:
            slip = _slip(number, row, style)
            faults = list(_order_faults(slip))
            if not faults:
                self.slips.append(slip)
        self.faults.extend(faults)

    def gaming_day(self) -> GamingDay:
        known = {*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS}
        slips, overlaps = _without_overlaps(self.slips)
        return GamingDay(
            slips=tuple(slips),
            faults=tuple(sorted((*self.faults, *overlaps), key=lambda fault: fault.line)),
            unknown_columns=tuple(name for name in self.header if name and name not in known),
        )


def _cell_faults(number: int, row: Mapping[str, str], style: TimeStyle) -> Iterable[RowFault]:
    readers: dict[str, Callable[[str], object]] = {
        "player": cells.read_label,
        "visit": cells.read_label,
        "table": cells.read_label,
        "seat": cells.read_seat,
        "game": cells.read_game,
        "house_edge_percent": cells.read_house_edge,
        "decisions_per_hour": cells.read_decisions_per_hour,
        "point_multiplier": cells.read_point_multiplier,
        "average_bet": cells.read_bet,
        "currency": cells.read_currency,
        "start": lambda text: cells.read_time(text, style),
        "pauses": lambda text: cells.read_pauses(text, style),
        "bet_changes": lambda text: cells.read_bet_changes(text, style),
        "end": lambda text: cells.read_time(text, style, ends=True),
        "chips_taken": cells.read_chips,
    }
    for column, read in readers.items():
        text = row.get(column)
        if text is None and column in REQUIRED_COLUMNS:
            yield RowFault(number, column, "is missing: the row is too short")
            continue
        try:
            read(text or "")
        except CellFault as fault:
            yield RowFault(number, column, str(fault))


def _slip(number: int, row: Mapping[str, str], style: TimeStyle) -> Slip:
    """The row as a slip; every cell was found readable before."""
    return Slip(
        line=number,
        player=cells.read_label(row["player"]),
        visit=cells.read_label(row["visit"]),
        table=cells.read_label(row["table"]),
        seat=cells.read_seat(row["seat"]),
        game=cells.read_game(row["game"]),
        house_edge_percent=cells.read_house_edge(row["house_edge_percent"]),
        decisions_per_hour=cells.read_decisions_per_hour(row["decisions_per_hour"]),
        point_multiplier=cells.read_point_multiplier(row.get("point_multiplier", "")),
        average_bet=cells.read_bet(row["average_bet"]),
        currency=cells.read_currency(row.get("currency", "")),
        start=cells.read_time(row["start"], style),
        pauses=cells.read_pauses(row.get("pauses", ""), style),
        bet_changes=cells.read_bet_changes(row.get("bet_changes", ""), style),
        end=cells.read_time(row["end"], style, ends=True),
        chips_taken=cells.read_chips(row.get("chips_taken", "")),
    )


def _order_faults(slip: Slip) -> Iterable[RowFault]:
    """What the times of one slip contradict in each other."""
    if slip.end < slip.start:
        reason = "lies before the start (times of day run from 06:00 to 06:00)"
        yield RowFault(slip.line, "end", reason)
        return
    free_from = slip.start
    for number, pause in enumerate(slip.pauses, start=1):
        returned = pause.end if pause.end is not None else slip.end
        if pause.end is None and number < len(slip.pauses):
            reason = f"pause {number} has no end and is not the last"
        elif pause.start < slip.start or max(pause.start, returned) > slip.end:
            reason = f"pause {number} lies outside the play"
        elif returned <= pause.start and pause.end is not None:
            reason = f"pause {number} does not end after it begins"
        elif pause.start < free_from:
            reason = f"pause {number} overlaps the one before it, or is out of order"
        else:
            free_from = returned
            continue
        yield RowFault(slip.line, "pauses", reason)
    times = [change.time for change in slip.bet_changes]
    if times != sorted(times):
        yield RowFault(slip.line, "bet_changes", "the changes are out of order")
    if any(not slip.start <= time <= slip.end for time in times):
        yield RowFault(slip.line, "bet_changes", "a change lies outside the play")


def _without_overlaps(slips: Iterable[Slip]) -> tuple[list[Slip], list[RowFault]]:
    """The slips that could be open together, by their starts, and a fault for each other one."""
    kept: list[Slip] = []
    faults: list[RowFault] = []
    holders: dict[tuple[str, ...], Slip] = {}
    for slip in sorted(slips, key=lambda slip: (slip.start, slip.line)):
        visit, seat = ("visit", slip.visit), ("seat", slip.table, str(slip.seat))
        before = holders.get(visit)
        if before is not None and before.player != slip.player:
            reason = f"is the visit of {cells.quoted(before.player)} on line {before.line}"
            faults.append(RowFault(slip.line, "visit", reason))
            continue
        taken = [key for key in (visit, seat) if key in holders and holders[key].end > slip.start]
        for key in taken:
            reason = f"has a slip open at this row's start: line {holders[key].line}"
            faults.append(RowFault(slip.line, key[0], reason))
        if not taken:
            kept.append(slip)
            holders[visit] = holders[seat] = slip
    return kept, faults
