"""Clients at work: slips opened, played and closed, points given and spent, all at once.

Every choice comes from one seed, and everything that happens goes into a history. It
must not know which fault strikes, nor what must hold when it is over.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import random
import uuid
from collections.abc import AsyncIterator
from typing import NamedTuple

from google.protobuf.message import Message

from casino.ratingslip.v1 import ratingslip_pb2
from tests.fault.history import Acknowledged, History, Operation, Unknown, Verb
from tests.fault.recorder import USUAL_DEADLINE_SECONDS, Recorder
from tests.fault.stage import Stage
from tests.integration.casino import (
    HOUR,
    MINUTE,
    Casino,
    ago,
    money,
    new_redemption,
    new_reward,
    new_slip,
    timestamp,
)
from tests.integration.clients import Client
from tests.integration.patience import eventually

CLIENTS = 8
CASINOS = 2
PLAYERS_OF_A_CASINO = 3
# The same person plays in every casino, as a player of each.
PLAYERS_SHARED = 1
# A person's pause between two things, at most.
LONGEST_PAUSE_SECONDS = 0.02
# How often a client asks again while nobody knows, at most.
MOST_ATTEMPTS = 4
# Between two attempts: a service that restarts is back within a few of these.
RETRY_PAUSE_SECONDS = (0.05, 0.2)
# Of the operations that nobody knows the outcome of, so many are tried again; of the
# closes that are given up, so many are recovered by hand.
RETRIED_SHARE = 0.7
RECOVERED_SHARE = 0.3
# So many are sent twice at once, and of those that were acknowledged so many once more.
TWICE_AT_ONCE_SHARE = 0.1
REPEATED_SHARE = 0.1
# So many slips are updated, and so many paused; so many redemptions may overdraw.
STEP_SHARE = 0.4
OVERDRAWN_SHARE = 0.5
# How often a client does what.
TASKS = {"play": 5, "reward": 2, "redeem": 4}
# Earned and spent are of one size, so that balances move around zero and down to the floor.
LARGEST_REWARD = 900
LARGEST_REDEMPTION = 8_000
LARGEST_BET = 100


class Workload:
    """N clients over a few casinos and players.

    workload = Workload(stage, seed=7)
    async with workload.running():
        … the fault …
    await require_invariants(stage, workload.history)
    """

    def __init__(
        self,
        stage: Stage,
        seed: int,
        *,
        clients: int = CLIENTS,
        casinos: int = CASINOS,
        players: int = PLAYERS_OF_A_CASINO,
        deadline_seconds: float = USUAL_DEADLINE_SECONDS,
        history: History | None = None,
    ) -> None:
        self.seed = seed
        self.history = History() if history is None else history
        choices = random.Random(seed)
        self.casinos = [stage.casino() for _ in range(casinos)]
        shared = [_new_id(choices) for _ in range(PLAYERS_SHARED)]
        self.players = {
            casino.id: shared + [_new_id(choices) for _ in range(players - PLAYERS_SHARED)]
            for casino in self.casinos
        }
        self._deadline_seconds = deadline_seconds
        self._clients = [
            _WorkingClient(self, number, random.Random(choices.random()), deadline_seconds)
            for number in range(1, clients + 1)
        ]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The clients are at work while the block lasts; at its end each finishes its call."""
        stopping = asyncio.Event()
        tasks = [asyncio.create_task(client.work(stopping)) for client in self._clients]
        try:
            yield
        finally:
            stopping.set()
            await asyncio.gather(*tasks)

    async def acknowledges(self, more: int = 1) -> None:
        """Returns when so many more operations have been acknowledged than are now."""
        wanted = len(self.history.acknowledged()) + more

        async def reached() -> bool:
            return len(self.history.acknowledged()) >= wanted

        await eventually(reached, f"{more} more operations are acknowledged")


class _Wish(NamedTuple):
    """Who wants something for whom."""

    casino: Casino
    client: Client
    player_id: str


class _WorkingClient:
    """One of them: does one thing after the other, and again what failed."""

    def __init__(
        self, workload: Workload, number: int, choices: random.Random, deadline_seconds: float
    ) -> None:
        self._workload = workload
        self._name = f"client-{number}"
        self._choices = choices
        self._deadline_seconds = deadline_seconds
        self._key_counts: collections.Counter[str] = collections.Counter()
        self._stopping = asyncio.Event()

    async def work(self, stopping: asyncio.Event) -> None:
        """Goes on until it is told to stop."""
        self._stopping = stopping
        while not stopping.is_set():
            casino = self._choices.choice(self._workload.casinos)
            player_id = self._choices.choice(self._workload.players[casino.id])
            match self._choices.choices([*TASKS], [*TASKS.values()])[0]:
                case "play":
                    await self._play(casino, player_id)
                case "reward":
                    await self._reward(casino, player_id)
                case _:
                    await self._redeem(casino, player_id)

    async def _play(self, casino: Casino, player_id: str) -> None:
        """A slip from its start to its close, an hour of play with what happens on the way."""
        wish = _Wish(casino, casino.for_role("pit_boss"), player_id)
        began = ago(2 * HOUR)
        slip = new_slip(
            player_id=player_id,
            visit_id=_new_id(self._choices),
            table_id=_new_id(self._choices),
            average_bet=self._money(),
            start_time=timestamp(began),
            idempotency_key=self._next_key(casino),
        )
        opened = (await self._do(Verb.START, wish, slip)).outcome
        if not isinstance(opened, Acknowledged):
            return
        if self._chance(STEP_SHARE):
            bet = ratingslip_pb2.UpdateAverageBetRequest(
                rating_slip_id=opened.slip_id,
                average_bet=self._money(),
                event_time=timestamp(began + 10 * MINUTE),
                idempotency_key=self._next_key(casino),
            )
            await self._do(Verb.UPDATE_AVERAGE_BET, wish, bet)
        if self._chance(STEP_SHARE):
            pause = ratingslip_pb2.PauseRatingSlipRequest(
                rating_slip_id=opened.slip_id,
                event_time=timestamp(began + 20 * MINUTE),
                idempotency_key=self._next_key(casino),
            )
            await self._do(Verb.PAUSE, wish, pause)
            resume = ratingslip_pb2.ResumeRatingSlipRequest(
                rating_slip_id=opened.slip_id,
                event_time=timestamp(began + 30 * MINUTE),
                idempotency_key=self._next_key(casino),
            )
            await self._do(Verb.RESUME, wish, resume)
        close = ratingslip_pb2.CompleteRatingSlipRequest(
            rating_slip_id=opened.slip_id, end_time=timestamp(began + HOUR)
        )
        closed = await self._do(Verb.COMPLETE, wish, close)
        if isinstance(closed.outcome, Unknown) and self._chance(RECOVERED_SHARE):
            recovery = ratingslip_pb2.RecoverSlipLoyaltyRequest(rating_slip_id=opened.slip_id)
            await self._do(Verb.RECOVER, wish, recovery)

    async def _reward(self, casino: Casino, player_id: str) -> None:
        reward = new_reward(
            player_id=player_id,
            points=self._choices.randint(1, LARGEST_REWARD),
            idempotency_key=self._next_key(casino),
        )
        # Each by a new member of staff: the limit counts what one of them gives.
        wish = _Wish(casino, casino.somebody("pit_boss"), player_id)
        await self._do(Verb.MANUAL_REWARD, wish, reward)

    async def _redeem(self, casino: Casino, player_id: str) -> None:
        redemption = new_redemption(
            player_id=player_id,
            points=self._choices.randint(1, LARGEST_REDEMPTION),
            allow_overdraw=self._chance(OVERDRAWN_SHARE),
            idempotency_key=self._next_key(casino),
        )
        wish = _Wish(casino, casino.for_role("pit_boss"), player_id)
        await self._do(Verb.REDEMPTION, wish, redemption)

    async def _do(self, verb: Verb, wish: _Wish, request: Message) -> Operation:
        """One operation, tried again while nobody knows.

        Now and then the same is sent once more, at the same time or after.
        """
        await asyncio.sleep(self._choices.uniform(0, LONGEST_PAUSE_SECONDS))
        if self._chance(TWICE_AT_ONCE_SHARE):
            both = await asyncio.gather(
                self._call(verb, wish, request), self._call(verb, wish, request)
            )
            # Whoever of the two was answered knows; else it is the first who asks again.
            operation = min(both, key=lambda each: not isinstance(each.outcome, Acknowledged))
        else:
            operation = await self._call(verb, wish, request)
        recorder = self._recorder(wish)
        while (
            isinstance(operation.outcome, Unknown)
            and operation.attempt_count < MOST_ATTEMPTS
            and self._chance(RETRIED_SHARE)
            and not self._stopping.is_set()
        ):
            await asyncio.sleep(self._choices.uniform(*RETRY_PAUSE_SECONDS))
            await recorder.repeat(operation, wish.client, deadline_seconds=self._deadline_seconds)
        if isinstance(operation.outcome, Acknowledged) and self._chance(REPEATED_SHARE):
            await self._call(verb, wish, request)
        return operation

    async def _call(self, verb: Verb, wish: _Wish, request: Message) -> Operation:
        return await self._recorder(wish).call(
            verb, wish.client, request, wish.player_id, deadline_seconds=self._deadline_seconds
        )

    def _recorder(self, wish: _Wish) -> Recorder:
        return Recorder(self._workload.history, wish.casino, self._name)

    def _next_key(self, casino: Casino) -> str:
        # The same keys in every casino: a key is a casino's own.
        self._key_counts[casino.id] += 1
        return f"{self._name}-{self._key_counts[casino.id]}"

    def _money(self) -> object:
        return money(self._choices.randint(1, LARGEST_BET), self._choices.randint(0, 99))

    def _chance(self, share: float) -> bool:
        return self._choices.random() < share


def _new_id(choices: random.Random) -> str:
    return str(uuid.UUID(int=choices.getrandbits(128), version=4))
