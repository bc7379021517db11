"""The demo's own gaming day: what is in it, and the order in which it is sent."""

from __future__ import annotations

import csv
import datetime
import io
from decimal import Decimal
from pathlib import Path

from deploy.local.demo.gaming_day import GAMING_DAY_CSV, Slip, read_gaming_day
from deploy.local.demo.make_gaming_day import write_gaming_day
from deploy.local.demo.replay import play_order

PUBLISHED_GAMES = Path(__file__).parents[1] / "golden" / "games.csv"


def test_the_committed_day_has_all_games_with_their_published_figures_and_no_bad_row() -> None:
    day = read_gaming_day(GAMING_DAY_CSV)

    assert day.faults == ()
    assert day.unknown_columns == ()
    assert len(day.slips) >= 200
    with PUBLISHED_GAMES.open(encoding="utf-8", newline="") as file:
        published = {
            (row["game"], Decimal(row["house_edge_percent"]), int(row["decisions_per_hour"]))
            for row in csv.DictReader(file)
        }
    assert len(published) == 9
    assert published == {
        (slip.game, slip.house_edge_percent, slip.decisions_per_hour) for slip in day.slips
    }


def test_the_committed_day_is_like_a_day_on_the_floor() -> None:
    slips = read_gaming_day(GAMING_DAY_CSV).slips

    assert any(len(slip.pauses) >= 3 for slip in slips)
    assert any(pause.end is None for slip in slips for pause in slip.pauses)
    assert any(slip.bet_changes for slip in slips)
    # Table moves, seats used one after another, and players who come back.
    assert len({slip.visit for slip in slips}) < len(slips)
    assert len({(slip.table, slip.seat) for slip in slips}) < len(slips)
    assert len({slip.player for slip in slips}) < len({slip.visit for slip in slips})


def test_the_committed_day_is_what_its_generator_writes() -> None:
    written = io.StringIO()
    write_gaming_day(written)

    assert GAMING_DAY_CSV.read_text(encoding="utf-8") == written.getvalue()


def test_slips_of_one_player_visit_or_seat_are_sent_one_after_another() -> None:
    slips = {slip.line: slip for slip in read_gaming_day(GAMING_DAY_CSV).slips}
    order = play_order(list(slips.values()))
    order.prepare()
    latest: dict[tuple[str, ...], datetime.datetime] = {}
    sent = 0
    while order.is_active():
        together = order.get_ready()
        keys = [key for line in together for key in keys_of(slips[line])]
        assert len(keys) == len(set(keys))
        for line in together:
            for key in keys_of(slips[line]):
                assert latest.get(key, slips[line].start) <= slips[line].start
                latest[key] = slips[line].start
        order.done(*together)
        sent += len(together)

    assert sent == len(slips)


def keys_of(slip: Slip) -> list[tuple[str, ...]]:
    return [
        ("player", slip.player),
        ("visit", slip.visit),
        ("seat", slip.table, str(slip.seat)),
    ]
