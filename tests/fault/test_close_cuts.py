"""The path of one close, cut at each of its places: the table of CUTS says how.

Of each cut: what the caller is told, how it leaves the slip while it lasts, and that
afterwards the points are there once, with nobody asking.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Self, TypeAlias

import pytest

from chassis import telemetry
from deploy.local.proxy import Direction, Mode, TcpProxy
from tests.databases import LOYALTY, RATINGSLIP, connected
from tests.fault.closes import Closes, Left, Slip, Told, told
from tests.fault.conftest import NewStage
from tests.fault.history import Acknowledged, Operation
from tests.fault.invariants import quiet, require_invariants
from tests.fault.stage import Stage
from tests.integration.locks import HeldRow, held_player, held_slip
from tests.integration.patience import eventually

# Shorter than RatingSlip would wait for Loyalty, and Loyalty for a lock: it comes first.
SHORT_DEADLINE_SECONDS = 1.2


@dataclasses.dataclass(frozen=True)
class Scene:
    """A slip that is about to be closed, of a player whose row there is to hold."""

    stage: Stage
    closes: Closes
    slip: Slip

    @classmethod
    async def set_on(cls, stage: Stage) -> Self:
        """Both services have served a close: every path is connected."""
        closes = Closes(stage)
        known = await closes.paid()
        return cls(stage, closes, await closes.opened(known.player_id))

    def held_player(self) -> AbstractAsyncContextManager[HeldRow]:
        """Loyalty waits with the accrual, before it has written anything."""
        url = self.stage.databases[LOYALTY].superuser_url
        return held_player(url, self.closes.casino.id, self.slip.player_id)

    def held_slip(self) -> AbstractAsyncContextManager[HeldRow]:
        """RatingSlip waits with whatever it writes next."""
        url = self.stage.databases[RATINGSLIP].superuser_url
        return held_slip(url, self.closes.casino.id, self.slip.id)

    async def becomes(self, left: Left) -> None:
        """Returns when the slip stands like this."""

        async def reached() -> bool:
            return await self.closes.left(self.slip) is left

        await eventually(reached, f"the slip is {left}")


Cutting: TypeAlias = Callable[[Scene], AbstractAsyncContextManager[Operation]]


@contextlib.asynccontextmanager
async def backend_ends_before_the_slip_commits(scene: Scene) -> AsyncIterator[Operation]:
    async with scene.held_slip() as slip:
        close = scene.closes.closing(scene.slip)
        await slip.awaited()
        await scene.stage.postgres.terminate_backend(
            scene.stage.databases[RATINGSLIP], "complete_rating_slip"
        )
        yield await close


@contextlib.asynccontextmanager
async def ratingslip_is_killed_before_it_calls(scene: Scene) -> AsyncIterator[Operation]:
    """The slip is committed, and nothing of the call reaches Loyalty."""
    await scene.stage.loyalty_proxy.switch(Mode.STALL)
    close = scene.closes.closing(scene.slip)
    await scene.becomes(Left.UNPAID)
    await scene.stage.kill(scene.stage.ratingslip)
    # What had already been sent of the call is lost.
    await scene.stage.loyalty_proxy.switch(Mode.REFUSE)
    yield await close
    await scene.stage.loyalty_proxy.switch(Mode.PASS)
    await scene.stage.start(RATINGSLIP)


@contextlib.asynccontextmanager
async def backend_ends_before_the_entry(scene: Scene) -> AsyncIterator[Operation]:
    async with scene.held_player() as player:
        yield await _closed_while_the_backend_ends(scene, player)


@contextlib.asynccontextmanager
async def backend_ends_between_entry_and_balance(scene: Scene) -> AsyncIterator[Operation]:
    async with connected(scene.stage.databases[LOYALTY].superuser_url) as connection:
        async with connection.transaction():
            # Under this lock rows can still be locked, and none can be changed.
            await connection.execute("LOCK TABLE loyalty.player_loyalty IN SHARE MODE")
            yield await _closed_while_the_backend_ends(scene, HeldRow(connection))


async def _closed_while_the_backend_ends(scene: Scene, held: HeldRow) -> Operation:
    close = scene.closes.closing(scene.slip)
    await held.awaited()
    await scene.stage.postgres.terminate_backend(
        scene.stage.databases[LOYALTY], "accrue_points_from_slip"
    )
    return await close


@contextlib.asynccontextmanager
async def deadline_passes_while_loyalty_waits(scene: Scene) -> AsyncIterator[Operation]:
    """The caller is told just before; the accrual goes on without it."""
    async with scene.held_player():
        yield await scene.closes.close(scene.slip, deadline_seconds=SHORT_DEADLINE_SECONDS)


@contextlib.asynccontextmanager
async def one_reply_of_loyalty_is_lost(scene: Scene) -> AsyncIterator[Operation]:
    """RatingSlip asks again at once, and is answered with what is there."""
    scene.stage.loyalty_proxy.drop_next_reply()
    operation = await scene.closes.close(scene.slip)
    assert scene.stage.loyalty_proxy.dropped_reply_count == 1
    yield operation


@contextlib.asynccontextmanager
async def every_reply_of_loyalty_is_lost(scene: Scene) -> AsyncIterator[Operation]:
    await scene.stage.loyalty_proxy.switch(Mode.SWALLOW_REPLIES)
    yield await scene.closes.close(scene.slip)
    await scene.stage.loyalty_proxy.switch(Mode.PASS)


@contextlib.asynccontextmanager
async def backend_ends_before_the_record(scene: Scene) -> AsyncIterator[Operation]:
    async with _held_before_the_record(scene) as close:
        await scene.stage.postgres.terminate_backend(
            scene.stage.databases[RATINGSLIP], "record_accrual"
        )
        yield await close


@contextlib.asynccontextmanager
async def ratingslip_is_killed_before_the_record(scene: Scene) -> AsyncIterator[Operation]:
    async with _held_before_the_record(scene) as close:
        await scene.stage.kill(scene.stage.ratingslip)
        # A backend that waits for a lock does not notice whom it has lost, and would record.
        await scene.stage.postgres.terminate_backends(scene.stage.databases[RATINGSLIP])
        yield await close
    await scene.stage.start(RATINGSLIP)


@contextlib.asynccontextmanager
async def reply_of_the_close_is_lost(scene: Scene) -> AsyncIterator[Operation]:
    scene.stage.ratingslip_proxy.drop_next_reply()
    operation = await scene.closes.close(scene.slip)
    assert scene.stage.ratingslip_proxy.dropped_reply_count == 1
    yield operation


@contextlib.asynccontextmanager
async def _held_before_the_record(scene: Scene) -> AsyncIterator[asyncio.Task[Operation]]:
    """While it lasts, the accrual is committed and RatingSlip waits to record it."""
    async with contextlib.AsyncExitStack() as until_cut:
        async with scene.held_player() as player:
            close = scene.closes.closing(scene.slip)
            # Loyalty is asked, so the close is committed; only then the slip can be held.
            await player.awaited()
            slip = await until_cut.enter_async_context(scene.held_slip())
        await slip.awaited()
        yield close


# Where the path is cut, what the caller is told, and how the slip is left while it lasts.
CUTS: dict[Cutting, tuple[Told, Left]] = {
    backend_ends_before_the_slip_commits: (Told.DATABASE_AWAY, Left.OPEN),
    ratingslip_is_killed_before_it_calls: (Told.NOTHING, Left.UNPAID),
    backend_ends_before_the_entry: (Told.HALF_DONE, Left.UNPAID),
    backend_ends_between_entry_and_balance: (Told.HALF_DONE, Left.UNPAID),
    deadline_passes_while_loyalty_waits: (Told.HALF_DONE, Left.UNPAID),
    one_reply_of_loyalty_is_lost: (Told.THE_POINTS, Left.ACCRUED),
    every_reply_of_loyalty_is_lost: (Told.HALF_DONE, Left.PAID_AND_NOT_RECORDED),
    backend_ends_before_the_record: (Told.HALF_DONE, Left.PAID_AND_NOT_RECORDED),
    ratingslip_is_killed_before_the_record: (Told.NOTHING, Left.PAID_AND_NOT_RECORDED),
    reply_of_the_close_is_lost: (Told.NOTHING, Left.ACCRUED),
}


@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: cut.__name__)
async def test_wherever_a_close_is_cut_its_points_come_once_with_nobody_asking(
    stage: Stage, cut: Cutting
) -> None:
    scene = await Scene.set_on(stage)

    async with cut(scene) as close:
        found = told(close), await scene.closes.left(scene.slip)

    assert found == CUTS[cut]
    await quiet(stage)
    left = await scene.closes.left(scene.slip)
    assert left is (Left.OPEN if found[1] is Left.OPEN else Left.ACCRUED)

    # The same close again does what was not done, or tells what is there.
    again = await scene.closes.close(scene.slip)

    assert isinstance(again.outcome, Acknowledged)
    assert again.outcome.is_existing == (left is Left.ACCRUED)
    await require_invariants(stage, scene.closes.history)


async def test_a_close_whose_caller_is_gone_needs_no_recoverer(new_stage: NewStage) -> None:
    async with new_stage(ratingslip={"RATINGSLIP_RECOVERY_POLL_SECONDS": "3600"}) as stage:
        scene = await Scene.set_on(stage)

        async with scene.held_player() as player:
            close = scene.closes.closing(scene.slip)
            await player.awaited()
            await stage.ratingslip_proxy.reset_connections()
            found = told(await close), await scene.closes.left(scene.slip)
            # RatingSlip knows, too, that nobody will hear it.
            await stage.ratingslip.log.event("rpc", **{telemetry.RPC_STATUS_CODE: "CANCELLED"})

        assert found == (Told.NOTHING, Left.UNPAID)
        await require_invariants(stage, scene.closes.history)
        assert await scene.closes.left(scene.slip) is Left.ACCRUED


@dataclasses.dataclass(frozen=True)
class Path:
    """One of the stage's paths, the bytes between two cuts, and what its cuts leave among others.

    A close on new connections carries some ten times as many; odd numbers, so that cuts
    fall inside of frames and fields.
    """

    proxy: Callable[[Stage], TcpProxy]
    bytes_to_server: int
    bytes_from_server: int
    leaves: set[Left]

    def step(self, direction: Direction) -> int:
        """The bytes between two cuts in a direction."""
        to_server = direction is Direction.TO_SERVER
        return self.bytes_to_server if to_server else self.bytes_from_server


NOT_CLOSED, NOT_RECORDED = Left.OPEN, Left.PAID_AND_NOT_RECORDED
PATHS = {
    "client to RatingSlip": Path(
        lambda stage: stage.ratingslip_proxy, 101, 73, {NOT_CLOSED, Left.ACCRUED}
    ),
    "RatingSlip to Loyalty": Path(lambda stage: stage.loyalty_proxy, 127, 109, {NOT_RECORDED}),
    "RatingSlip to PostgreSQL": Path(
        lambda stage: stage.ratingslip_database_proxy, 131, 457, {NOT_CLOSED, NOT_RECORDED}
    ),
    "Loyalty to PostgreSQL": Path(
        lambda stage: stage.loyalty_database_proxy, 103, 257, {Left.UNPAID, NOT_RECORDED}
    ),
}
# In each direction; a path that was cut less often was hardly cut.
LEAST_CUTS = 6


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
async def test_cut_after_however_many_bytes_a_close_has_happened_or_not_and_is_paid_once(
    stage: Stage, path: Path
) -> None:
    closes = Closes(stage)
    known = await closes.paid()
    left: set[Left] = set()
    for direction in Direction:
        cut_count, byte_count = 0, 0
        while True:
            slip = await closes.opened(known.player_id)
            close, was_cut = await cut_close(closes, slip, path.proxy(stage), byte_count, direction)
            if was_cut:
                left.add(await closes.left(slip))
                cut_count += 1
                byte_count += path.step(direction)
            elif told(close) is Told.THE_POINTS:
                # The whole of it was shorter than that.
                break
        assert cut_count >= LEAST_CUTS

    assert left >= path.leaves
    await require_invariants(stage, closes.history)


async def cut_close(
    closes: Closes, slip: Slip, proxy: TcpProxy, byte_count: int, direction: Direction
) -> tuple[Operation, bool]:
    """Closes a slip on new connections, the first of which ends after so many bytes, if it does."""
    await proxy.reset_connections()
    before = proxy.cut_count
    proxy.cut_after(byte_count, direction, times=1)
    close = await closes.close(slip)
    was_cut = proxy.cut_count > before
    await proxy.switch(Mode.PASS)
    return close, was_cut
