"""The demo's input: what a gaming-day file may say, and how its faults are named."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import pytest

from deploy.local.demo.gaming_day import (
    CLOCK_MARGIN,
    GAMING_DAY_CSV,
    ONE_HOUR,
    GamingDay,
    RowFault,
    Slip,
    UnreadableFile,
    moved_before,
    read_gaming_day,
)
from deploy.local.demo.slip_cells import BetChange, Pause

# RatingSlip's rule for late paper slips.
OLDEST_START = datetime.timedelta(hours=48)

GOOD_ROW = {
    "player": "P-1",
    "visit": "V-1",
    "table": "BJ-1",
    "seat": "3",
    "game": "blackjack",
    "house_edge_percent": "0.28",
    "decisions_per_hour": "70",
    "point_multiplier": "1",
    "average_bet": "25.00",
    "currency": "USD",
    "start": "14:00",
    "pauses": "",
    "bet_changes": "",
    "end": "16:00",
    "chips_taken": "",
}
BEFORE = GOOD_ROW | {"player": "P-8", "visit": "V-8", "seat": "8"}
AFTER = GOOD_ROW | {"player": "P-9", "visit": "V-9", "seat": "9"}


def csv_text(rows: Iterable[dict[str, str]]) -> str:
    """A file of such rows; the cells of these tests need no quotes."""
    lines = [",".join(GOOD_ROW), *(",".join(row.values()) for row in rows)]
    return "\n".join(lines) + "\n"


def read_text(directory: Path, text: str | bytes) -> GamingDay:
    path = directory / "slips.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_gaming_day(path)


def read_rows(directory: Path, *rows: dict[str, str]) -> GamingDay:
    return read_text(directory, csv_text(rows))


def at(clock: str, days: int = 0) -> datetime.datetime:
    """A time of day on the nominal day that times of day stand on."""
    time = datetime.time.fromisoformat(clock)
    day = datetime.date(2000, 1, 1) + datetime.timedelta(days=days)
    return datetime.datetime.combine(day, time, tzinfo=datetime.UTC)


NOT_DECIMAL = "is not a decimal number such as 12.50"
NOT_TIME_OF_DAY = "is not a time of day such as 14:05 or 14:05:30"
OUT_OF_ORDER = "pause 2 overlaps the one before it, or is out of order"
BAD_CELLS = [
    ("player", "", "is empty"),
    ("visit", "V" * 65, "has 65 characters; at most 64 are allowed"),
    ("table", "BJ\x07", r"'BJ\x07' has characters that cannot be printed"),
    ("seat", "0", "0 is not between 1 and 99"),
    ("seat", "100", "100 is not between 1 and 99"),
    ("seat", "three", "'three' is not a whole number"),
    ("seat", "1.0", "'1.0' is not a whole number"),
    ("game", "", "is empty"),
    ("house_edge_percent", "1.5%", f"'1.5%' {NOT_DECIMAL}"),
    ("house_edge_percent", "100.01", "100.01 is not between 0 and 100"),
    ("house_edge_percent", "1.23456", "1.23456 has more than 4 decimal places"),
    ("decisions_per_hour", "0", "0 is not between 1 and 10000"),
    ("point_multiplier", "-1", "-1 is not between 0 and 1000"),
    ("average_bet", "", "is empty"),
    ("average_bet", "NaN", f"'NaN' {NOT_DECIMAL}"),
    ("average_bet", "1e3", f"'1e3' {NOT_DECIMAL}"),
    ("average_bet", "٢٥", f"'٢٥' {NOT_DECIMAL}"),
    ("average_bet", "25.001", "25.001 has more than 2 decimal places"),
    ("average_bet", "10000000.01", "10000000.01 is not between 0 and 10000000"),
    ("currency", "usd", "'usd' is not a currency code of three capital letters"),
    ("start", "", "is empty"),
    ("start", "2pm", f"'2pm' {NOT_TIME_OF_DAY}"),
    ("end", "24:00", f"'24:00' {NOT_TIME_OF_DAY}"),
    ("end", "2026-03-14T16:00:00Z", f"'2026-03-14T16:00:00Z' {NOT_TIME_OF_DAY}"),
    ("end", "13:59", "lies before the start (times of day run from 06:00 to 06:00)"),
    ("pauses", "14:30", "'14:30' is not a pause written as start/end"),
    ("pauses", "14:30/15", f"'15' {NOT_TIME_OF_DAY}"),
    ("pauses", "13:50/14:10", "pause 1 lies outside the play"),
    ("pauses", "15:50/16:10", "pause 1 lies outside the play"),
    ("pauses", "16:10/", "pause 1 lies outside the play"),
    ("pauses", "14:30/14:30", "pause 1 does not end after it begins"),
    ("pauses", "14:40/14:30", "pause 1 does not end after it begins"),
    ("pauses", "14:10/14:30;14:20/14:40", OUT_OF_ORDER),
    ("pauses", "15:00/15:10;14:10/14:20", OUT_OF_ORDER),
    ("pauses", "14:10/;15:00/15:10", "pause 1 has no end and is not the last"),
    ("pauses", "14:10/14:11;" * 101, "has 101 entries; at most 100 are read"),
    ("bet_changes", "15:00", "'15:00' is not a bet change written as time=bet"),
    ("bet_changes", "15:00=lots", f"'lots' {NOT_DECIMAL}"),
    ("bet_changes", "16:01=50", "a change lies outside the play"),
    ("bet_changes", "15:00=50;14:30=40", "the changes are out of order"),
    ("chips_taken", "1000000000.01", "1000000000.01 is not between 0 and 1000000000"),
]


@pytest.mark.parametrize(("column", "cell", "reason"), BAD_CELLS)
def test_a_bad_cell_is_named_and_refuses_its_row_alone(
    tmp_path: Path, column: str, cell: str, reason: str
) -> None:
    day = read_rows(tmp_path, BEFORE, GOOD_ROW | {column: cell}, AFTER)

    assert day.faults == (RowFault(3, column, reason),)
    assert [slip.line for slip in day.slips] == [2, 4]


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        ("P-1,V-1,BJ-1", "seat", "is missing: the row is too short"),
        (",".join((*GOOD_ROW.values(), "tip")), "(field 16)", "has 16 fields; the header names 15"),
        ('P-1,"V-1,BJ-1,3', "(row)", "is not CSV: unexpected end of data"),
    ],
)
def test_a_bad_line_is_named_and_refuses_its_row_alone(
    tmp_path: Path, line: str, column: str, reason: str
) -> None:
    before, after = (",".join(row.values()) for row in (BEFORE, AFTER))
    day = read_text(tmp_path, "\n".join((",".join(GOOD_ROW), before, line, after)))

    assert RowFault(3, column, reason) in day.faults
    assert {fault.line for fault in day.faults} == {3}
    assert [slip.line for slip in day.slips] == [2, 4]


def test_text_in_another_encoding_refuses_its_row_alone(tmp_path: Path) -> None:
    latin = GOOD_ROW | {"player": "José"}
    lines = [csv_text([BEFORE]).encode(), ",".join(latin.values()).encode("latin-1"), b"\n"]
    day = read_text(tmp_path, b"".join((*lines, ",".join(AFTER.values()).encode())))

    reason = r"'Jos\udce9' has characters that cannot be printed"
    assert day.faults == (RowFault(3, "player", reason),)
    assert [slip.line for slip in day.slips] == [2, 4]


def test_every_fault_of_a_row_is_named_and_the_row_counts_once(tmp_path: Path) -> None:
    day = read_rows(tmp_path, GOOD_ROW | {"seat": "0", "average_bet": "", "end": "never"})

    assert [fault.column for fault in day.faults] == ["seat", "average_bet", "end"]
    assert day.refused_lines == 1


def test_of_two_slips_in_one_seat_or_visit_at_a_time_the_later_is_refused(tmp_path: Path) -> None:
    next_in_seat = GOOD_ROW | {"player": "P-2", "visit": "V-2", "start": "16:00", "end": "17:00"}
    day = read_rows(
        tmp_path,
        GOOD_ROW | {"player": "P-3", "visit": "V-3", "start": "15:59", "end": "16:30"},
        GOOD_ROW,
        GOOD_ROW | {"seat": "4", "start": "15:30"},
        next_in_seat,
    )

    assert day.faults == (
        RowFault(2, "seat", "has a slip open at this row's start: line 3"),
        RowFault(4, "visit", "has a slip open at this row's start: line 3"),
    )
    assert [slip.line for slip in day.slips] == [3, 5]


def test_a_visit_of_two_players_is_refused(tmp_path: Path) -> None:
    day = read_rows(tmp_path, GOOD_ROW, AFTER | {"visit": "V-1", "start": "16:00"})

    assert day.faults == (RowFault(3, "visit", "is the visit of 'P-1' on line 2"),)


def test_columns_may_stand_in_any_order_and_the_optional_ones_may_be_missing(
    tmp_path: Path,
) -> None:
    header = "end,start,average_bet,decisions_per_hour,house_edge_percent,game,seat,table,visit"
    day = read_text(tmp_path, f"{header},Player ,pasues\n16:00,14:00,25,70,1.5,bj,3,T,V,P,x\n")

    (slip,) = day.slips
    assert (slip.player, slip.currency, slip.point_multiplier) == ("P", "USD", Decimal(1))
    assert (slip.pauses, slip.bet_changes, slip.chips_taken) == ((), (), None)
    # A misspelt column is not passed over in silence.
    assert day.unknown_columns == ("pasues",)


def test_what_spreadsheets_write_is_read(tmp_path: Path) -> None:
    quoted = GOOD_ROW | {"game": '"blackjack, ""fast"""', "seat": '"3"'}
    text = csv_text([quoted]).replace("\n", "\r\n")
    extra_commas = ",".join((*AFTER.values(), "", ""))
    day = read_text(tmp_path, f"\ufeff\r\n{text}\r\n,,,,,\r\n{extra_commas}\r\n")

    assert day.faults == ()
    assert [(slip.line, slip.game) for slip in day.slips] == [
        (3, 'blackjack, "fast"'),
        (6, "blackjack"),
    ]


def test_times_of_day_lie_in_one_gaming_day_from_six_to_six(tmp_path: Path) -> None:
    night = {
        "start": "6:00",
        "pauses": "23:30/00:15;05:30/06:00",
        "bet_changes": "00:30=75.50",
        "end": "06:00",
    }
    (slip,) = read_rows(tmp_path, GOOD_ROW | night).slips

    assert (slip.start, slip.end) == (at("06:00"), at("06:00", days=1))
    assert slip.pauses == (
        Pause(at("23:30"), at("00:15", days=1)),
        Pause(at("05:30", days=1), at("06:00", days=1)),
    )
    assert slip.bet_changes == (BetChange(at("00:30", days=1), Decimal("75.50")),)


def test_a_player_who_did_not_come_back_has_a_pause_without_an_end(tmp_path: Path) -> None:
    (slip,) = read_rows(tmp_path, GOOD_ROW | {"pauses": "14:10/14:20; 15:40/"}).slips

    assert slip.pauses == (Pause(at("14:10"), at("14:20")), Pause(at("15:40"), None))


def test_timestamps_are_read_with_and_without_an_offset(tmp_path: Path) -> None:
    times = {
        "start": "2026-03-14T14:00:00+02:00",
        "pauses": "2026-03-14T12:30:00Z/2026-03-14 12:45",
        "end": "2026-03-14T13:00:00.250000",
    }
    (slip,) = read_rows(tmp_path, GOOD_ROW | times).slips

    day = datetime.datetime(2026, 3, 14, tzinfo=datetime.UTC)
    assert slip.start == day.replace(hour=12)
    assert slip.pauses == (Pause(day.replace(hour=12, minute=30), day.replace(hour=12, minute=45)),)
    assert slip.end == day.replace(hour=13, microsecond=250_000)


def test_a_file_keeps_to_one_style_of_times(tmp_path: Path) -> None:
    times = {"start": "2026-03-14T14:00:00Z", "end": "2026-03-14T16:00:00Z"}
    day = read_rows(tmp_path, GOOD_ROW | times, AFTER)

    named = "is not an ISO 8601 timestamp such as 2026-03-14T14:05:00Z"
    assert day.faults == (
        RowFault(3, "start", f"'14:00' {named}"),
        RowFault(3, "end", f"'16:00' {named}"),
    )


@pytest.mark.parametrize("year", ["1999", "2100", "9999"])
def test_a_year_that_must_be_a_slip_of_the_pen_is_refused(tmp_path: Path, year: str) -> None:
    times = {"start": "2026-03-14T14:00:00Z", "end": f"{year}-12-31T23:59:59-12:00"}
    day = read_rows(tmp_path, GOOD_ROW | times)

    reason = f"'{year}-12-31T23:59:59-12:00' is not in the years 2000 to 2099"
    assert day.faults == (RowFault(2, "end", reason),)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "The slips file {path} is empty; its first line must be a header."),
        (
            csv_text([GOOD_ROW]).replace("average_bet", "bet", 1).replace("seat,", "", 1),
            "The header of {path} lacks: seat, average_bet (comma-separated columns).",
        ),
        (
            csv_text([GOOD_ROW]).replace("currency", "player", 1),
            "The header of {path} names twice: player.",
        ),
        ('player,"visit\n', "The header of {path} is not CSV: unexpected end of data."),
    ],
)
def test_a_file_without_a_usable_header_is_refused_in_one_sentence(
    tmp_path: Path, text: str, sentence: str
) -> None:
    with pytest.raises(UnreadableFile) as refusal:
        read_text(tmp_path, text)

    assert str(refusal.value) == sentence.format(path=tmp_path / "slips.csv")


@pytest.mark.parametrize(
    ("name", "why"), [("missing.csv", "No such file or directory"), (".", "Is a directory")]
)
def test_a_file_that_cannot_be_opened_is_refused_in_one_sentence(
    tmp_path: Path, name: str, why: str
) -> None:
    with pytest.raises(UnreadableFile) as refusal:
        read_gaming_day(tmp_path / name)

    assert str(refusal.value) == f"Cannot read the slips file {tmp_path / name}: {why}."


@pytest.mark.parametrize("hour", range(24))
def test_the_moved_day_lies_within_what_the_service_takes(hour: int) -> None:
    now = datetime.datetime(2026, 11, 21, hour, 59, 59, 999_999, tzinfo=datetime.UTC)
    slips = read_gaming_day(GAMING_DAY_CSV).slips
    moved = moved_before(slips, now)

    last = max(slip.end for slip in moved)
    assert now - CLOCK_MARGIN - ONE_HOUR < last <= now - CLOCK_MARGIN
    assert all(now - slip.start < OLDEST_START for slip in moved)
    assert all(
        shifts(before, after) == shifts(slips[0], moved[0])
        for before, after in zip(slips, moved, strict=True)
    )


def shifts(before: Slip, after: Slip) -> set[datetime.timedelta]:
    """How far each time of a slip was moved; the same for all of them, and whole hours."""
    moved = {after.start - before.start, after.end - before.end}
    for old, new in zip(before.pauses, after.pauses, strict=True):
        moved.add(new.start - old.start)
        if old.end is not None and new.end is not None:
            moved.add(new.end - old.end)
    for old_bet, new_bet in zip(before.bet_changes, after.bet_changes, strict=True):
        moved.add(new_bet.time - old_bet.time)
    assert len(moved) == 1
    assert all(shift % ONE_HOUR == datetime.timedelta(0) for shift in moved)
    return moved


@pytest.mark.parametrize("year", ["2001", "2098"])
def test_timestamps_of_any_year_are_moved_before_now(tmp_path: Path, year: str) -> None:
    now = datetime.datetime(2026, 11, 21, 12, 34, 56, tzinfo=datetime.UTC)
    times = {"start": f"{year}-03-14T14:20:00Z", "end": f"{year}-03-14T16:40:00Z"}
    (slip,) = moved_before(read_rows(tmp_path, GOOD_ROW | times).slips, now)

    assert slip.end == now.replace(hour=11, minute=40, second=0)
    assert slip.start == now.replace(hour=9, minute=20, second=0)


def test_a_file_that_spans_too_much_is_left_to_the_service_to_refuse(tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    first = {"start": "2026-03-10T14:00:00Z", "end": "2026-03-10T16:00:00Z"}
    last = {"start": "2026-03-14T14:00:00Z", "end": "2026-03-14T16:00:00Z"}
    day = read_rows(tmp_path, GOOD_ROW | first, AFTER | last)
    early, late = moved_before(day.slips, now)

    assert day.faults == ()
    assert now - early.start > OLDEST_START
    assert now - late.start < OLDEST_START


def test_an_empty_day_is_moved_nowhere(tmp_path: Path) -> None:
    day = read_rows(tmp_path)

    assert (day.slips, day.faults) == ((), ())
    assert moved_before(day.slips, datetime.datetime.now(datetime.UTC)) == ()
