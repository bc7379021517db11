"""Whatever is asked of the ledger, in whatever order, it does what the model says.

A state machine sends every mutation, through the service's own `Ledger`, to real
PostgreSQL: fresh requests, replays, keys used twice, second tries of what was done, in
two casinos that know the same players, slips and keys. After every step the answer or
refusal, and all that both casinos hold, must be what `ledger_model` says; so a refused
call wrote nothing, balances are the ends of their chains, and every hash is right.

A failure prints the shortest sequence of calls that shows it, and a `@reproduce_failure`
line: put that on `LedgerMachine` to run just this sequence again. There are two profiles,
in `tests/conftest.py`: `pytest --hypothesis-profile=long` takes thousands of steps.
"""

from __future__ import annotations

import dataclasses
import logging

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from chassis.context import Role
from tests.database.accruals import (
    PROGRAM_START,
)
from tests.database.entries import (
    PromotionRequest,
    RedemptionRequest,
    Request,
    ReversalRequest,
    RewardRequest,
    suggest_points_as_service,
)
from tests.database.ledger_requests import (
    CAMPAIGNS,
    CASINOS,
    EDGES,
    KEYS,
    MAYBE,
    MULTIPLIERS,
    NOTES,
    PAID_SLIPS,
    PAUSES,
    PLAYERS,
    PLAYS,
    POINTS,
    PROGRAMS,
    REQUIRED_KEYS,
    SLIPS,
    STAFF,
    Edge,
    Start,
    maybe_named,
    named,
)
from tests.database.ledger_session import (
    FIRST_MOMENT,
    NOBODYS_ENTRY,
    LedgerSession,
    by_key,
    expecting,
)
from tests.database.program_model import Program
from tests.database.workbench import workbench
from tests.databases import TestDatabase

# The short profile takes some twenty seconds, the long one many minutes; a failure is
# shrunk after that.
LONGEST_SECONDS = 7200


class LedgerMachine(LedgerSession):
    """Sends requests to the ledger and to the model."""

    requests: Bundle[Request] = Bundle("requests")

    # What has happened before.

    @initialize(first=PROGRAMS | st.none(), second=PROGRAMS)
    def casinos_have_terms_of_their_own(self, first: Program | None, second: Program) -> None:
        """But for the one that nobody may have configured."""
        for casino, program in enumerate((first, second)):
            if program is not None:
                self._put_in_force(
                    casino, dataclasses.replace(program, effective_time=PROGRAM_START)
                )

    @initialize(plays=st.lists(st.sampled_from(["odd", "hour"]), min_size=3, max_size=3))
    def some_have_played(self, plays: list[str]) -> None:
        """In both casinos, so that most of what follows has an account to move."""
        for casino, model in enumerate(self._casinos):
            for slip, play in enumerate(plays):
                self._ask(self._slip_credit(casino, slip % 2, slip, 0, play, Start.NOW, ""))
            by_hand = RewardRequest(
                casino_id=model.casino_id,
                player_id=named("player", 0),
                rating_slip_id=named("slip", len(plays)),
                staff_id=named("staff", 0),
            )
            self._ask(by_hand)

    # What can be asked for.

    @rule(
        target=requests,
        casino=CASINOS,
        player=PLAYERS,
        slip=SLIPS,
        staff=STAFF,
        play=st.sampled_from(list(PLAYS)),
        start=st.sampled_from(Start),
        key=KEYS,
    )
    def accrue(
        self, casino: int, player: int, slip: int, staff: int, play: str, start: Start, key: str
    ) -> Request:
        return self._ask(self._slip_credit(casino, player, slip, staff, play, start, key))

    @rule(
        target=requests,
        casino=CASINOS,
        player=PLAYERS,
        points=POINTS,
        is_adjustment=st.booleans(),
        slip=st.none() | SLIPS,
        visit=MAYBE,
        reward=MAYBE,
        note=NOTES,
        staff=STAFF,
        key=KEYS,
    )
    def reward(
        self,
        casino: int,
        player: int,
        points: int | Edge,
        is_adjustment: bool,
        slip: int | None,
        visit: int | None,
        reward: int | None,
        note: str,
        staff: int,
        key: str,
    ) -> Request:
        amount = self._amount(casino, player, points)
        return self._ask(
            RewardRequest(
                casino_id=self._casinos[casino].casino_id,
                player_id=named("player", player),
                points=-amount if is_adjustment else amount,
                note=note,
                rating_slip_id=None if is_adjustment else maybe_named("slip", slip),
                visit_id=maybe_named("visit", visit),
                reward_id=maybe_named("reward", reward),
                staff_id=named("staff", staff),
                role=Role.ADMIN if is_adjustment else Role.PIT_BOSS,
                idempotency_key=key,
            )
        )

    @rule(
        target=requests,
        casino=CASINOS,
        player=PLAYERS,
        points=POINTS | EDGES,
        allow_overdraw=st.sampled_from([True, True, False]),
        reward=MAYBE,
        campaign=MAYBE,
        visit=MAYBE,
        staff=STAFF,
        key=REQUIRED_KEYS,
    )
    def redeem(
        self,
        casino: int,
        player: int,
        points: int | Edge,
        allow_overdraw: bool,
        reward: int | None,
        campaign: int | None,
        visit: int | None,
        staff: int,
        key: str,
    ) -> Request:
        return self._ask(
            RedemptionRequest(
                casino_id=self._casinos[casino].casino_id,
                player_id=named("player", player),
                points=self._amount(casino, player, points),
                allow_overdraw=allow_overdraw,
                reward_id=maybe_named("reward", reward),
                campaign_id=maybe_named("campaign", campaign),
                visit_id=maybe_named("visit", visit),
                staff_id=named("staff", staff),
                role=Role.PIT_BOSS if allow_overdraw else Role.CASHIER,
                idempotency_key=key,
            )
        )

    @rule(
        target=requests,
        casino=CASINOS,
        player=PLAYERS,
        campaign=CAMPAIGNS,
        slip=st.none() | SLIPS,
        visit=MAYBE,
        points=POINTS,
        key=KEYS,
    )
    def promote(
        self,
        casino: int,
        player: int,
        campaign: int,
        slip: int | None,
        visit: int | None,
        points: int | Edge,
        key: str,
    ) -> Request:
        return self._ask(
            PromotionRequest(
                casino_id=self._casinos[casino].casino_id,
                player_id=named("player", player),
                campaign_id=named("campaign", campaign),
                rating_slip_id=maybe_named("slip", slip),
                visit_id=maybe_named("visit", visit),
                bonus_points=self._amount(casino, player, points),
                staff_id=named("staff", 0),
                idempotency_key=key,
            )
        )

    @rule(
        target=requests,
        casino=CASINOS,
        player=st.none() | PLAYERS,
        campaign=CAMPAIGNS,
        slip=PAID_SLIPS,
        multiplier=MULTIPLIERS,
        key=KEYS,
    )
    def multiply(
        self, casino: int, player: int | None, campaign: int, slip: int, multiplier: str, key: str
    ) -> Request:
        """Pays a multiple to the player who was paid for the slip, or to any other."""
        model = self._casinos[casino]
        paid = model.slip_entry(named("slip", slip))
        player_id = named("player", player or 0)
        if player is None and paid is not None:
            player_id = paid["player_id"]
        return self._ask(
            PromotionRequest(
                casino_id=model.casino_id,
                player_id=player_id,
                campaign_id=named("campaign", campaign),
                rating_slip_id=named("slip", slip),
                multiplier=multiplier,
                note="",
                staff_id=named("staff", 0),
                idempotency_key=key,
            )
        )

    @rule(
        target=requests,
        casino=CASINOS,
        number=st.integers(0, 40),
        is_elsewhere=st.sampled_from([False] * 7 + [True]),
        note=NOTES,
        key=KEYS,
    )
    def reverse(self, casino: int, number: int, is_elsewhere: bool, note: str, key: str) -> Request:
        """Takes back any entry of the casino, reversals too, or one that is the other's."""
        entries = self._casinos[casino - is_elsewhere].entries
        return self._ask(
            ReversalRequest(
                entry_id=entries[number % len(entries)]["id"] if entries else NOBODYS_ENTRY,
                casino_id=self._casinos[casino].casino_id,
                note=note,
                staff_id=named("staff", 0),
                idempotency_key=key,
            )
        )

    # What is asked for again.

    @rule(request=requests)
    def replay(self, request: Request) -> None:
        """Sends an earlier request again, whatever has happened since."""
        self._ask(request)

    @rule(target=requests, request=requests, staff=STAFF, key=KEYS)
    def try_again(self, request: Request, staff: int, key: str) -> Request:
        """Asks for the same under another key, or in another's name."""
        key = key or request.idempotency_key
        return self._ask(
            dataclasses.replace(request, idempotency_key=key, staff_id=named("staff", staff))
        )

    @rule(target=requests, request=requests, other=requests)
    def borrow_key(self, request: Request, other: Request) -> Request:
        """Uses the key of an earlier request for another one."""
        key = self._key_of(other) or other.idempotency_key or "key-0"
        return self._ask(dataclasses.replace(request, idempotency_key=key))

    # What changes around it.

    @rule(pause=st.sampled_from(list(PAUSES)))
    def time_passes(self, pause: str) -> None:
        self._move_clock(PAUSES[pause])

    @rule(casino=CASINOS, program=PROGRAMS)
    def terms_change(self, casino: int, program: Program) -> None:
        self._move_clock(PAUSES["a second"])
        self._put_in_force(casino, dataclasses.replace(program, effective_time=self._now))

    # What is read.

    @rule(
        casino=CASINOS,
        player=PLAYERS,
        slip=SLIPS,
        play=st.sampled_from(list(PLAYS)),
        start=st.sampled_from(Start),
    )
    def suggest(self, casino: int, player: int, slip: int, play: str, start: Start) -> None:
        credit = self._slip_credit(casino, player, slip, 0, play, start, "")
        actual = self.bench.outcome(suggest_points_as_service(self.bench.ledger, credit))
        with expecting(actual) as expected:
            expected.update(self._casinos[casino].suggest(credit, self._now))

    @invariant()
    def both_casinos_hold_what_the_model_says(self) -> None:
        held = self.bench.contents([each.casino_id for each in self._casinos])
        players = [player for each in self._casinos for player in each.players()]
        entries = [entry for each in self._casinos for entry in each.entries]
        assert by_key(held.players, "player_id") == by_key(players, "player_id")
        assert by_key(held.entries, "id") == by_key(entries, "id")


@pytest.mark.timeout(LONGEST_SECONDS)
def test_the_ledger_does_what_the_model_says(
    loyalty_database: TestDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    # What the shortest failing sequence logs, all the longer ones have logged before it.
    caplog.set_level(logging.CRITICAL, logger="chassis.database")
    with workbench(loyalty_database, FIRST_MOMENT) as bench:
        LedgerMachine.bench = bench
        run_state_machine_as_test(LedgerMachine, settings=settings.default)
