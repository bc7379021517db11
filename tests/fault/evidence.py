"""What both databases say when a fault is over, read past the services as a superuser.

Reads everything at one moment and sorts it for the checks. It must not know what must
hold of it.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias

from tests.databases import Connection

Row: TypeAlias = Mapping[str, Any]
# A casino, and one of its players, slips or keys: IDs as text, as clients have them.
Name: TypeAlias = tuple[str, str]

# Hashes are computed where the rows are: what goes into one is the function's business.
_ENTRIES = """
    SELECT l.*, loyalty.entry_hash(l) AS computed_hash
    FROM loyalty.loyalty_ledger AS l
    ORDER BY l.casino_id, l.player_id, l.entry_number, l.id
"""
_PLAYERS = "SELECT * FROM loyalty.player_loyalty"
_PROGRAMS = "SELECT * FROM loyalty.loyalty_program"
_SLIPS = "SELECT * FROM ratingslip.rating_slip"
_EVENTS = """
    SELECT *
    FROM ratingslip.rating_slip_event
    ORDER BY casino_id, rating_slip_id, event_number
"""


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Every row that matters, whole tables, sorted in several ways."""

    entries: Sequence[Row]
    players: Sequence[Row]
    programs: Sequence[Row]
    slips: Sequence[Row]
    events: Sequence[Row]

    @cached_property
    def chains(self) -> dict[Name, list[Row]]:
        """Each player's entries, by their numbers."""
        return _grouped(self.entries, lambda row: name_of(row, "player_id"))

    @cached_property
    def standings(self) -> dict[Name, Row]:
        """What is cached of each player."""
        return {name_of(row, "player_id"): row for row in self.players}

    @cached_property
    def slips_by_id(self) -> dict[Name, Row]:
        """Each slip."""
        return {name_of(row, "id"): row for row in self.slips}

    @cached_property
    def entries_by_key(self) -> dict[Name, list[Row]]:
        """The entries of each idempotency key, of which there should be one."""
        return _grouped(self.entries, lambda row: name_of(row, "idempotency_key"))

    @cached_property
    def payments_by_slip(self) -> dict[Name, list[Row]]:
        """The entries that pay for each slip, of which there should be one."""
        payments = (
            row
            for row in self.entries
            if row["source_kind"] == "rating_slip"
            and row["reason"] in ("base_accrual", "manual_reward")
        )
        return _grouped(payments, lambda row: name_of(row, "source_id"))

    @cached_property
    def events_by_key(self) -> dict[Name, list[Row]]:
        """The events of each idempotency key, of which there should be one."""
        keyed = (row for row in self.events if row["idempotency_key"] is not None)
        return _grouped(keyed, lambda row: name_of(row, "idempotency_key"))

    @cached_property
    def events_by_slip(self) -> dict[Name, list[Row]]:
        """What happened to each slip, in order."""
        return _grouped(self.events, lambda row: name_of(row, "rating_slip_id"))

    @property
    def size(self) -> tuple[int, int, int]:
        """Grows with every write of a service."""
        return len(self.entries), len(self.slips), len(self.events)


def name_of(row: Row, column: str) -> Name:
    """A row's casino and what a column says, as text."""
    return str(row["casino_id"]), str(row[column])


async def read_evidence(loyalty: Connection, ratingslip: Connection) -> Evidence:
    """Reads both databases, each at one moment, as superusers."""
    slips, events = await _read(ratingslip, _SLIPS, _EVENTS)
    entries, players, programs = await _read(loyalty, _ENTRIES, _PLAYERS, _PROGRAMS)
    return Evidence(entries, players, programs, slips, events)


async def _read(connection: Connection, *queries: str) -> list[list[Any]]:
    if connection.is_in_transaction():
        # A test's own transaction, which alone sees the damage it has done.
        return [await connection.fetch(query) for query in queries]
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return [await connection.fetch(query) for query in queries]


def _grouped(rows: Iterable[Row], name: Callable[[Row], Name]) -> dict[Name, list[Row]]:
    found: dict[Name, list[Row]] = collections.defaultdict(list)
    for row in rows:
        found[name(row)].append(row)
    return dict(found)
