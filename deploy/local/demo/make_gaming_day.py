"""Writes `gaming_day.csv`: one busy day of a mid-sized casino, the demo's own input.

`python -m deploy.local.demo.make_gaming_day` rebuilds the committed file, byte for
byte: the day is drawn from a fixed seed, and only through `Random.random()`,
whose sequence Python promises to keep from version to version.
"""

from __future__ import annotations

import csv
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TextIO, TypeVar

from deploy.local.demo.gaming_day import GAMING_DAY_CSV

T = TypeVar("T")

SEED = 20_261_121
MINUTES_A_DAY = 24 * 60
GAMING_DAY_BEGINS_MINUTE = 6 * 60
# Dealers and seats need a moment before the next player sits down.
SEAT_TURNOVER_MINUTES = 3
# A player who finds every seat of a game taken looks at this many other games.
GAMES_LOOKED_AT = 4
# Nobody sits down when less than this is left of the day.
SHORTEST_SITTING_MINUTES = 8

COLUMNS = (
    "player", "visit", "table", "seat", "game", "house_edge_percent", "decisions_per_hour",
    "point_multiplier", "average_bet", "currency", "start", "pauses", "bet_changes", "end",
    "chips_taken",
)  # fmt: skip


class Game(NamedTuple):
    """A game as the floor offers it; the figures are those of published tables."""

    name: str
    house_edge_percent: str
    decisions_per_hour: int
    seats: int
    # Labels of its tables.
    tables: tuple[str, ...]
    point_multiplier: str = "1"


GAMES = (
    Game("blackjack 6 decks", "0.28", 70, 7, ("BJ6-1", "BJ6-2", "BJ6-3", "BJ6-4")),
    Game("blackjack double deck", "1.50", 70, 7, ("BJ2-1", "BJ2-2")),
    Game("spanish 21", "0.76", 75, 7, ("SP21-1", "SP21-2")),
    Game("player's edge 21", "0.27", 75, 7, ("PE21-1",)),
    Game("mini-baccarat", "1.06", 72, 7, ("MB-1", "MB-2", "MB-3")),
    Game("baccarat commission-free", "1.02", 72, 7, ("BAC-1", "BAC-2")),
    Game("pai gow poker", "1.46", 30, 6, ("PGP-1", "PGP-2"), "1.25"),
    Game("ultimate texas hold'em", "2.19", 30, 7, ("UTH-1", "UTH-2"), "1.5"),
    Game("high card flush", "2.64", 50, 7, ("HCF-1",)),
)


class Kind(NamedTuple):
    """A kind of player: how they bet, how long they stay and how often they move."""

    players: int
    bets: tuple[int, ...]
    # Shortest and longest sitting at one table, in minutes.
    sitting: tuple[int, int]
    most_slips_a_visit: int


WHALE = Kind(4, (800, 1000, 1500, 2000, 2500, 5000), (60, 240), 4)
REGULAR = Kind(28, (25, 40, 50, 75, 100, 150, 200), (35, 200), 4)
LOCAL = Kind(46, (10, 15, 20, 25, 30), (15, 110), 3)
TOURIST = Kind(40, (10, 15, 25, 50), (8, 75), 2)
KINDS = (WHALE, REGULAR, LOCAL, TOURIST)

# How many arrivals each hour from 06:00 on gets, against the other hours.
ARRIVALS_BY_HOUR = (2, 2, 3, 4, 5, 6, 7, 7, 6, 6, 7, 9, 11, 13, 15, 15, 14, 12, 9, 6, 4, 3, 2, 1)


@dataclass
class Floor:
    """The seats of the floor, and until which minute each is taken."""

    taken_until: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))

    def sit_down(self, draw: Draw, game: Game, start: int, end: int) -> tuple[str, int] | None:
        """Takes a free seat of the game from `start` to `end`; None when all are taken."""
        seats = [(table, seat) for table in game.tables for seat in range(1, game.seats + 1)]
        free = [seat for seat in seats if self.taken_until[seat] <= start]
        if not free:
            return None
        chosen = draw.one_of(free)
        self.taken_until[chosen] = end + SEAT_TURNOVER_MINUTES
        return chosen


class Draw:
    """Draws from one seeded sequence."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def below(self, limit: int) -> int:
        return int(self._random.random() * limit)

    def between(self, lowest: int, highest: int) -> int:
        return lowest + self.below(highest - lowest + 1)

    def one_of(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def chance(self, percent: int) -> bool:
        return self.below(100) < percent


class Arrival(NamedTuple):
    """A player who comes in: the start of a visit."""

    minute: int
    player: str
    kind: Kind


def arrivals(draw: Draw) -> list[Arrival]:
    """Every visit of the day by its time; regulars may come twice."""
    hours = [hour for hour, weight in enumerate(ARRIVALS_BY_HOUR) for _ in range(weight)]
    found: list[Arrival] = []
    number = 0
    for kind in KINDS:
        for _ in range(kind.players):
            number += 1
            player = f"P-{number:03}"
            minute = draw.one_of(hours) * 60 + draw.below(60)
            found.append(Arrival(minute, player, kind))
            later = minute + 600
            if kind is not TOURIST and later < MINUTES_A_DAY - 120 and draw.chance(40):
                found.append(Arrival(later + draw.below(60), player, kind))
    return sorted(found)


def slips_of_visit(
    draw: Draw, floor: Floor, visit: str, arrival: Arrival
) -> Iterator[dict[str, object]]:
    """The slips of one visit, one table after another."""
    minute = arrival.minute
    bet = draw.one_of(arrival.kind.bets)
    for _ in range(draw.between(1, arrival.kind.most_slips_a_visit)):
        left = MINUTES_A_DAY - minute
        if left < SHORTEST_SITTING_MINUTES:
            return
        end = minute + min(draw.between(*arrival.kind.sitting), left)
        for game in [draw.one_of(GAMES) for _ in range(GAMES_LOOKED_AT)]:
            place = floor.sit_down(draw, game, minute, end)
            if place is not None:
                who = {"player": arrival.player, "visit": visit}
                yield who | sitting(draw, game, place, bet, minute, end)
                break
        minute = end + draw.between(4, 45)


def sitting(
    draw: Draw, game: Game, place: tuple[str, int], bet: int, start: int, end: int
) -> dict[str, object]:
    """One slip: what was played where, with its pauses and bet changes."""
    return {
        "table": place[0],
        "seat": place[1],
        "game": game.name,
        "house_edge_percent": game.house_edge_percent,
        "decisions_per_hour": game.decisions_per_hour,
        "point_multiplier": game.point_multiplier,
        "average_bet": f"{bet}.00",
        "currency": "USD",
        "start": clock(start),
        "pauses": ";".join(pauses(draw, start, end)),
        "bet_changes": ";".join(bet_changes(draw, bet, start, end)),
        "end": clock(end),
        "chips_taken": f"{draw.below(60) * bet // 2}.00" if draw.chance(70) else "",
    }


def pauses(draw: Draw, start: int, end: int) -> Iterator[str]:
    """Breaks: longer sittings have more; now and then a player does not come back."""
    minute = start + draw.between(10, 50)
    while minute + 5 < end:
        if draw.chance(6):
            yield f"{clock(minute)}/"
            return
        back = min(minute + draw.one_of((2, 4, 5, 8, 10, 12, 15, 20, 30)), end)
        if draw.chance(75):
            yield f"{clock(minute)}/{clock(back)}"
        minute = back + draw.between(15, 60)


def bet_changes(draw: Draw, bet: int, start: int, end: int) -> Iterator[str]:
    """What the supervisor noted as the player warmed up or cooled down."""
    minute = start + draw.between(20, 90)
    while minute < end and draw.chance(45):
        percent = draw.one_of((50, 75, 125, 150, 200))
        yield f"{clock(minute)}={bet * percent // 100}.{bet * percent % 100:02}"
        minute += draw.between(30, 120)


def clock(minute: int) -> str:
    """The time of day that lies this many minutes after the gaming day began."""
    hours, minutes = divmod((GAMING_DAY_BEGINS_MINUTE + minute) % MINUTES_A_DAY, 60)
    return f"{hours:02}:{minutes:02}"


def gaming_day() -> list[dict[str, object]]:
    """The day's slips in the order in which the visits began; always the same ones."""
    draw, floor = Draw(SEED), Floor()
    return [
        slip
        for number, arrival in enumerate(arrivals(draw), start=1)
        for slip in slips_of_visit(draw, floor, f"V-{number:03}", arrival)
    ]


def write_gaming_day(file: TextIO) -> None:
    """Writes the day as CSV."""
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(gaming_day())


if __name__ == "__main__":
    with GAMING_DAY_CSV.open("w", encoding="utf-8", newline="") as target:
        write_gaming_day(target)
