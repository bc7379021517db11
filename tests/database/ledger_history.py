"""What has happened in a casino, in plain Python: its terms, its entries, and what they add up to.

Part of the model in `tests.database.ledger_model`. An entry is a row as the database
returns it, all of its columns. This file must not know what may happen next.
"""

from __future__ import annotations

import datetime
import uuid

from tests.database.accruals import Row, SlipCredit
from tests.database.program_model import Price, Program


class History:
    """A casino's terms and entries, both in the order they came."""

    def __init__(self, casino_id: uuid.UUID) -> None:
        self.casino_id = casino_id
        self.programs = [Program()]
        self.entries: list[Row] = []

    def entries_of(self, player_id: uuid.UUID) -> list[Row]:
        """One player's entries, oldest first."""
        return [entry for entry in self.entries if entry["player_id"] == player_id]

    def balance(self, player_id: uuid.UUID) -> int:
        """What a player can spend."""
        return sum(entry["points_delta"] for entry in self.entries_of(player_id))

    def lifetime(self, player_id: uuid.UUID) -> int:
        """What a player has earned."""
        entries = self.entries_of(player_id)
        return entries[-1]["lifetime_after"] if entries else 0

    def program_at(self, moment: datetime.datetime) -> Program:
        """The version in force at a moment."""
        return [each for each in self.programs if each.effective_time <= moment][-1]

    def price(self, credit: SlipCredit) -> Price:
        """What a play is worth: the terms in force when it began pay."""
        program = self.program_at(credit.start_time)
        return program.price(credit, self.lifetime(credit.player_id))

    def slip_entry(self, rating_slip_id: uuid.UUID) -> Row | None:
        """What has paid a slip: its accrual, or a reward in its place."""
        slip = {"source_kind": "rating_slip", "source_id": rating_slip_id}
        return self.find(reason="base_accrual", **slip) or self.find(reason="manual_reward", **slip)

    def find(self, **columns: object) -> Row | None:
        """The first entry with these values."""
        for entry in self.entries:
            if all(entry[column] == value for column, value in columns.items()):
                return entry
        return None

    def players(self) -> list[Row]:
        """What the balances must be: the ends of the players' chains."""
        chains = [self.entries_of(each) for each in {entry["player_id"] for entry in self.entries}]
        return [
            {
                "casino_id": self.casino_id,
                "player_id": chain[-1]["player_id"],
                "current_balance": chain[-1]["balance_after"],
                "lifetime_points": chain[-1]["lifetime_after"],
                "entry_count": len(chain),
                "created_time": chain[0]["recorded_time"],
                "updated_time": chain[-1]["recorded_time"],
                "tier": chain[-1]["tier_after"],
                "head_hash": chain[-1]["hash"],
            }
            for chain in chains
        ]
