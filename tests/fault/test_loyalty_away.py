"""Loyalty is away, in every way in which it can be: closes are told so, and are paid afterwards.

Each way is one line of the table of AWAY; the last test takes Loyalty away in the midst
of a hundred closes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import pytest

from deploy.local.proxy import Mode
from tests.databases import LOYALTY
from tests.fault.closes import Closes, Left, Told, told
from tests.fault.invariants import require_invariants
from tests.fault.stage import Stage
from tests.integration.locks import held_player
from tests.integration.patience import PATIENCE_SECONDS, eventually

# Closes at once, of one player and so in each other's way.
CLOSES_WHILE_AWAY = 4
# A hundred closes. One player's are held up, and must not fill Loyalty's pool.
PLAYERS_AT_A_RESTART = 20
CLOSES_OF_A_PLAYER = 5

Away: TypeAlias = Callable[[Stage], AbstractAsyncContextManager[None]]


@contextlib.asynccontextmanager
async def killed(stage: Stage) -> AsyncIterator[None]:
    await stage.kill(stage.loyalty)
    yield
    await stage.start(LOYALTY)


@contextlib.asynccontextmanager
async def in_a_black_hole(stage: Stage) -> AsyncIterator[None]:
    """Connections stay and nothing moves; in the end all that was sent arrives."""
    await stage.loyalty_proxy.switch(Mode.STALL)
    yield
    await stage.loyalty_proxy.switch(Mode.PASS)


@contextlib.asynccontextmanager
async def stopped(stage: Stage) -> AsyncIterator[None]:
    """SIGSTOP; after SIGCONT it finds calls whose callers have long gone."""
    stage.freeze(stage.loyalty)
    yield
    stage.thaw(stage.loyalty)


@contextlib.asynccontextmanager
async def without_its_database(stage: Stage) -> AsyncIterator[None]:
    """It answers every call, and can do nothing."""
    await stage.loyalty_database_proxy.switch(Mode.REFUSE)
    yield
    await stage.loyalty_database_proxy.switch(Mode.PASS)


AWAY: tuple[Away, ...] = (killed, in_a_black_hole, stopped, without_its_database)


@pytest.mark.parametrize("away", AWAY, ids=lambda away: away.__name__)
async def test_while_loyalty_is_away_slips_close_and_their_points_come_when_it_is_back(
    stage: Stage, away: Away
) -> None:
    closes = Closes(stage)
    known = await closes.paid()
    slips = [await closes.opened(known.player_id) for _ in range(CLOSES_WHILE_AWAY)]

    async with away(stage):
        results = await asyncio.gather(*(closes.close(slip) for slip in slips))
        left = await closes.all_left(slips)
        # What needs no points goes on.
        another = await closes.opened(known.player_id, attempts=1)

    assert {told(close) for close in results} == {Told.HALF_DONE}
    assert left == {Left.UNPAID}
    await require_invariants(stage, closes.history)
    assert await closes.all_left(slips) == {Left.ACCRUED}
    assert told(await closes.close(another)) is Told.THE_POINTS


async def test_restarted_while_a_hundred_closes_are_under_way_loyalty_pays_each_once(
    stage: Stage,
) -> None:
    closes = Closes(stage)
    players = [(await closes.paid()).player_id for _ in range(PLAYERS_AT_A_RESTART)]
    slips = await asyncio.gather(
        *(closes.opened(player_id) for player_id in players * CLOSES_OF_A_PLAYER)
    )
    before = len(closes.history.acknowledged())

    async def some_are_paid() -> bool:
        return len(closes.history.acknowledged()) > before

    url = stage.databases[LOYALTY].superuser_url
    async with held_player(url, closes.casino.id, players[0]) as player:
        # Who is busy is no fault here: the services' own limits are to end what is cut.
        under_way = [closes.closing(slip, deadline_seconds=PATIENCE_SECONDS) for slip in slips]
        await player.awaited()
        await eventually(some_are_paid, "some of the closes are paid")
        await stage.restart(LOYALTY)
    results = await asyncio.gather(*under_way)

    assert {told(close) for close in results} == {Told.THE_POINTS, Told.HALF_DONE}
    await require_invariants(stage, closes.history)
    assert await closes.all_left(slips) == {Left.ACCRUED}
