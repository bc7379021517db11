"""One run of the state machine: what it knows, and how it asks the ledger and the model alike.

Which questions there are is the machine's business, in `test_ledger_machine`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import uuid
from collections.abc import Iterator
from typing import Any, ClassVar

from hypothesis.stateful import RuleBasedStateMachine

from tests.database.accruals import (
    PLAY_START,
    PROGRAM_START,
    Row,
    SlipCredit,
    insert_program,
)
from tests.database.entries import Request, send
from tests.database.ledger_model import CasinoModel
from tests.database.ledger_requests import PLAYS, Edge, Start, named
from tests.database.ledger_rules import Refused
from tests.database.program_model import Program
from tests.database.workbench import Workbench

# An hour before a gaming day begins where time is UTC.
FIRST_MOMENT = datetime.datetime(2026, 6, 1, 5, 0, tzinfo=datetime.UTC)
NOBODYS_ENTRY = named("entry that never was", 0)


class LedgerSession(RuleBasedStateMachine):
    """Two casinos in the database and in the model, and one clock."""

    bench: ClassVar[Workbench]

    def __init__(self) -> None:
        super().__init__()
        self._casinos = [CasinoModel(uuid.uuid4()), CasinoModel(uuid.uuid4())]
        # What answered a request last; nothing when it was refused.
        self._entry_ids: dict[Request, uuid.UUID] = {}
        self._now = FIRST_MOMENT
        self.bench.set_clock(self._now)

    def _ask(self, request: Request) -> Request:
        actual = self.bench.outcome(send(self.bench.ledger, request))
        model = self._model_of(request)
        with expecting(actual) as expected:
            answer = model.apply(request, self._now, actual.get("id", NOBODYS_ENTRY))
            expected.update({**answer.entry, "is_existing": answer.is_existing})
        if "id" in actual:
            self._entry_ids[request] = actual["id"]
        return request

    def _model_of(self, request: Request) -> CasinoModel:
        return next(each for each in self._casinos if each.casino_id == request.casino_id)

    def _key_of(self, request: Request) -> str:
        """The key, given or derived, of the entry that answered a request."""
        for entry in self._model_of(request).entries:
            if entry["id"] == self._entry_ids.get(request):
                return str(entry["idempotency_key"])
        return ""

    def _slip_credit(
        self, casino: int, player: int, slip: int, staff: int, play: str, start: Start, key: str
    ) -> SlipCredit:
        starts = {
            Start.BEFORE_ANY_PROGRAM: PROGRAM_START - datetime.timedelta(microseconds=1),
            Start.UNDER_THE_FIRST: PLAY_START,
            Start.NOW: self._now,
        }
        return SlipCredit(
            casino_id=self._casinos[casino].casino_id,
            player_id=named("player", player),
            rating_slip_id=named("slip", slip),
            visit_id=named("visit", slip),
            staff_id=named("staff", staff),
            terms=PLAYS[play],
            start_time=starts[start],
            idempotency_key=key,
        )

    def _amount(self, casino: int, player: int, points: int | Edge) -> int:
        if not isinstance(points, Edge):
            return points
        model = self._casinos[casino]
        floor = model.program_at(self._now).overdraw_floor
        return points.points(model.balance(named("player", player)), floor)

    def _move_clock(self, pause: datetime.timedelta) -> None:
        self._now += pause
        self.bench.set_clock(self._now)

    def _put_in_force(self, casino: int, program: Program) -> None:
        model = self._casinos[casino]
        program = dataclasses.replace(program, version=model.programs[-1].version + 1)
        model.programs.append(program)
        self.bench.run(
            insert_program(
                self.bench.superuser,
                model.casino_id,
                version=program.version,
                effective_time=program.effective_time,
                points_per_unit=program.points_per_unit,
                rounding=program.rounding,
                tiers=program.tiers,
                overdraw_floor=program.overdraw_floor,
                time_zone=program.time_zone,
                gaming_day_start=program.gaming_day_start,
            )
        )


@contextlib.contextmanager
def expecting(actual: Row) -> Iterator[Row]:
    """Compares an outcome with what the block fills in, or with the refusal it raises."""
    expected: Row = {}
    try:
        yield expected
    except Refused as refused:
        expected = {"reason": refused.reason, "metadata": refused.metadata}
    assert actual == expected


def by_key(rows: list[Row], column: str) -> dict[tuple[Any, Any], Row]:
    """Rows of several casinos, whatever their order."""
    return {(row["casino_id"], row[column]): row for row in rows}
