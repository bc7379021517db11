"""Reads the cells of a gaming day's rows: labels, numbers, money and times.

Owns what one cell may hold. It knows neither files nor lines nor how the cells
of a row belong together; `gaming_day` does. Every reader takes the cell's text,
stripped, and raises `CellFault` with a reason for people when it cannot be read.
The limits are RatingSlip's own (see its proto), so that a row which is read here
is not refused there.
"""

from __future__ import annotations

import datetime
import enum
import re
from decimal import Decimal
from typing import NamedTuple

# Labels become UUIDs, so their length is a matter of taste; a game's name is the service's limit.
LABEL_CHARACTERS = 64
GAME_CHARACTERS = 80
SEAT_NUMBERS = (1, 99)
DECISIONS_PER_HOUR = (1, 10_000)
BET_LIMIT = Decimal(10_000_000)
CHIPS_LIMIT = Decimal(1_000_000_000)
HOUSE_EDGE_LIMIT = Decimal(100)
POINT_MULTIPLIER_LIMIT = Decimal(1000)
MONEY_PLACES = 2
RATE_PLACES = 4
# A bet of many hours is noted a few times; a cell of thousands is a broken file.
MAX_EVENTS_IN_CELL = 100
# A reason quotes the cell it is about; a longer one is cut so that it stays one line.
QUOTED_CHARACTERS = 40

GAMING_DAY_BEGINS = datetime.time(6)
ONE_DAY = datetime.timedelta(days=1)
# Where times of day stand until the whole day is moved to now; any day would do.
NOMINAL_DAY = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
# Times outside these years are slips of the pen, and would not survive being moved.
FIRST_YEAR, LAST_YEAR = 2000, 2099

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_DECIMAL = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
_CURRENCY = re.compile(r"[A-Z]{3}")
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9].*")


class CellFault(Exception):
    """A cell that cannot be read; the text says why, to a person."""


class TimeStyle(enum.Enum):
    """How a file writes its times; one style for the whole file."""

    TIME_OF_DAY = "a time of day such as 14:05 or 14:05:30"
    TIMESTAMP = "an ISO 8601 timestamp such as 2026-03-14T14:05:00Z"


class Pause(NamedTuple):
    """A stretch the player was away; `end` is None when the player never came back."""

    start: datetime.datetime
    end: datetime.datetime | None


class BetChange(NamedTuple):
    """From `time` on the average bet is noted as `average_bet`, in currency units."""

    time: datetime.datetime
    average_bet: Decimal


def quoted(text: str) -> str:
    """The cell's text as a reason may show it: one line, no control characters, cut."""
    cut = text if len(text) <= QUOTED_CHARACTERS else text[: QUOTED_CHARACTERS - 1] + "…"
    return repr(cut)


def read_label(text: str) -> str:
    """A player, visit or table: any printable text up to 64 characters."""
    return _read_text(text, LABEL_CHARACTERS)


def read_game(text: str) -> str:
    """A game's name for people: any printable text up to 80 characters."""
    return _read_text(text, GAME_CHARACTERS)


def read_seat(text: str) -> int:
    """A seat number, 1 to 99."""
    return _read_whole(text, *SEAT_NUMBERS)


def read_decisions_per_hour(text: str) -> int:
    """Decisions (hands, spins, rolls) per hour, 1 to 10,000."""
    return _read_whole(text, *DECISIONS_PER_HOUR)


def read_house_edge(text: str) -> Decimal:
    """The house edge in percent, 0 to 100: `1.5` is 1.5 %."""
    return _read_decimal(text, HOUSE_EDGE_LIMIT, RATE_PLACES)


def read_point_multiplier(text: str) -> Decimal:
    """The game's factor on points, 0 to 1000; an empty cell means 1."""
    return _read_decimal(text, POINT_MULTIPLIER_LIMIT, RATE_PLACES) if text else Decimal(1)


def read_bet(text: str) -> Decimal:
    """An average bet in currency units, 0 to 10,000,000."""
    return _read_decimal(text, BET_LIMIT, MONEY_PLACES)


def read_chips(text: str) -> Decimal | None:
    """Chips taken in currency units, 0 to 1,000,000,000; None when nobody noted them."""
    return _read_decimal(text, CHIPS_LIMIT, MONEY_PLACES) if text else None


def read_currency(text: str) -> str:
    """A currency code of three capital letters; an empty cell means USD."""
    if not text:
        return "USD"
    if not _CURRENCY.fullmatch(text):
        raise CellFault(f"{quoted(text)} is not a currency code of three capital letters")
    return text


def time_style_of(text: str) -> TimeStyle | None:
    """Which style a time is written in; None when it is in neither."""
    if _CLOCK.fullmatch(text):
        return TimeStyle.TIME_OF_DAY
    return TimeStyle.TIMESTAMP if _TIMESTAMP.fullmatch(text) else None


def read_time(text: str, style: TimeStyle, *, ends: bool = False) -> datetime.datetime:
    """A time in the file's style.

    A time of day lies in the gaming day that begins at 06:00, so 02:30 is the
    next morning. 06:00 itself is the day's first moment, unless something `ends`
    then: that is the day's last.
    """
    if not text:
        raise CellFault("is empty")
    if time_style_of(text) is not style:
        raise CellFault(f"{quoted(text)} is not {style.value}")
    return _time_of_day(text, ends) if style is TimeStyle.TIME_OF_DAY else _timestamp(text)


def read_pauses(text: str, style: TimeStyle) -> tuple[Pause, ...]:
    """Pauses as `14:05/14:20;15:00/15:02`; the last may lack its end: `17:40/`."""
    pauses = []
    for part in _parts(text):
        start, slash, end = (piece.strip() for piece in part.partition("/"))
        if not slash:
            raise CellFault(f"{quoted(part)} is not a pause written as start/end")
        returned = read_time(end, style, ends=True) if end else None
        pauses.append(Pause(read_time(start, style), returned))
    return tuple(pauses)


def read_bet_changes(text: str, style: TimeStyle) -> tuple[BetChange, ...]:
    """Changes of the average bet as `15:30=75.00;17:00=100`."""
    changes = []
    for part in _parts(text):
        time, equals, bet = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise CellFault(f"{quoted(part)} is not a bet change written as time=bet")
        changes.append(BetChange(read_time(time, style), read_bet(bet)))
    return tuple(changes)


def _parts(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(";") if part.strip()]
    if len(parts) > MAX_EVENTS_IN_CELL:
        raise CellFault(f"has {len(parts)} entries; at most {MAX_EVENTS_IN_CELL} are read")
    return parts


def _read_text(text: str, most_characters: int) -> str:
    if not text:
        raise CellFault("is empty")
    if len(text) > most_characters:
        raise CellFault(f"has {len(text)} characters; at most {most_characters} are allowed")
    if not text.isprintable():
        raise CellFault(f"{quoted(text)} has characters that cannot be printed")
    return text


def _read_whole(text: str, lowest: int, highest: int) -> int:
    if not text:
        raise CellFault("is empty")
    if not _WHOLE.fullmatch(text):
        raise CellFault(f"{quoted(text)} is not a whole number")
    number = int(text)
    if not lowest <= number <= highest:
        raise CellFault(f"{number} is not between {lowest} and {highest}")
    return number


def _read_decimal(text: str, highest: Decimal, most_places: int) -> Decimal:
    if not text:
        raise CellFault("is empty")
    if not _DECIMAL.fullmatch(text):
        raise CellFault(f"{quoted(text)} is not a decimal number such as 12.50")
    number = Decimal(text)
    if not 0 <= number <= highest:
        raise CellFault(f"{text} is not between 0 and {highest}")
    if len(text.partition(".")[2]) > most_places:
        raise CellFault(f"{text} has more than {most_places} decimal places")
    return number


def _time_of_day(text: str, ends: bool) -> datetime.datetime:
    hours, minutes, seconds = (int(piece) for piece in (*text.split(":"), "0")[:3])
    clock = datetime.time(hours, minutes, seconds)
    next_morning = clock < GAMING_DAY_BEGINS or (ends and clock == GAMING_DAY_BEGINS)
    moment = datetime.datetime.combine(NOMINAL_DAY, clock, tzinfo=datetime.UTC)
    return moment + ONE_DAY if next_morning else moment


def _timestamp(text: str) -> datetime.datetime:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise CellFault(f"{quoted(text)} is not {TimeStyle.TIMESTAMP.value}") from error
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise CellFault(f"{quoted(text)} is not in the years {FIRST_YEAR} to {LAST_YEAR}")
    if moment.tzinfo is None:
        return moment.replace(tzinfo=datetime.UTC)
    return moment.astimezone(datetime.UTC)
