"""A service's process dies, or is told to end, at any moment: nothing is lost, nothing doubled.

    SIGKILL at random moments under load            RatingSlip ten times, Loyalty three times
    SIGTERM under load                              RatingSlip, then Loyalty
    SIGTERM while the recoverer has slips in hand   Loyalty answers in time · never answers
    SIGTERM in the middle of a start                at random moments · no database to be had

What a process leaves pending the next one finishes, with nobody asking.
"""

from __future__ import annotations

import asyncio
import random
import signal

import pytest

from chassis.server import FLUSH_SECONDS
from deploy.local.proxy import Mode
from ratingslip_service.recovery import PARALLEL_RECOVERIES
from tests.databases import LOYALTY, RATINGSLIP, Service
from tests.fault.backlog import accruals_under_way, close_without_points, standings
from tests.fault.history import CLOSE_VERBS, Acknowledged, History
from tests.fault.history_checks import deeds_of
from tests.fault.invariants import require_invariants
from tests.fault.stage import Stage
from tests.fault.workload import Workload
from tests.integration.casino import Casino, complete, new_id, start
from tests.integration.locks import held_player
from tests.integration.services import ServiceProcess

SEED = 20_261
# Enough for calls of every kind to be under way when the signal comes.
OPERATIONS_BETWEEN = 15
# From one answer to the next kill: longer than any call takes that is not held up.
LONGEST_RESPITE_SECONDS = 0.1
STARTS_CUT_SHORT = 3
# From the birth of a process to its first call; later moments are those of a service at work.
LONGEST_START_SECONDS = 1.0
# The server has sent its last answers by then, and nothing but the slips in hand keeps it.
PAST_THE_FLUSH_SECONDS = 3 * FLUSH_SECONDS
# Every hand of the recoverer is full.
SLIPS_IN_HAND = PARALLEL_RECOVERIES


@pytest.mark.parametrize(
    ("service", "deaths"), [(RATINGSLIP, 10), (LOYALTY, 3)], ids=["ratingslip", "loyalty"]
)
async def test_killed_at_random_moments_under_load_a_service_loses_nothing(
    stage: Stage, service: Service, deaths: int
) -> None:
    moments = random.Random(SEED)
    workload = Workload(stage, seed=SEED)
    async with workload.running():
        for _ in range(deaths):
            await workload.acknowledges(OPERATIONS_BETWEEN)
            await asyncio.sleep(moments.uniform(0, LONGEST_RESPITE_SECONDS))
            await stage.restart(service)
        await workload.acknowledges(OPERATIONS_BETWEEN)

    assert [process.service for process in stage.started].count(service) == 1 + deaths
    await require_invariants(stage, workload.history)


async def test_told_to_end_under_load_a_service_answers_all_that_it_has_taken_on(
    stage: Stage,
) -> None:
    workload = Workload(stage, seed=SEED)
    async with workload.running():
        for service, process in ((RATINGSLIP, stage.ratingslip), (LOYALTY, stage.loyalty)):
            await workload.acknowledges(OPERATIONS_BETWEEN)
            assert await stage.terminate(process) == 0
            assert not interrupted_calls(process)
            await stage.start(service)
        await workload.acknowledges(OPERATIONS_BETWEEN)

    assert not unanswered(workload.history)
    await require_invariants(stage, workload.history)


async def test_the_slips_in_the_recoverers_hands_are_finished_before_the_service_ends(
    stage: Stage,
) -> None:
    casino = stage.casino()
    player_id = await known_player(casino)
    async with held_player(stage.databases[LOYALTY].superuser_url, casino.id, player_id):
        slips = await close_without_points(stage, casino.id, SLIPS_IN_HAND, player_id)
        await accruals_under_way(stage, SLIPS_IN_HAND)
        ending = asyncio.create_task(stage.terminate(stage.ratingslip))
        await stage.ratingslip.log.event("draining")
        await asyncio.sleep(PAST_THE_FLUSH_SECONDS)

    assert await ending == 0
    found = await standings(stage)
    assert [found[slip].loyalty_state for slip in slips] == ["ACCRUED"] * SLIPS_IN_HAND
    await stage.start(RATINGSLIP)
    await require_invariants(stage, History())


async def test_the_slips_that_a_service_cannot_finish_any_more_are_finished_by_the_next(
    stage: Stage,
) -> None:
    casino = stage.casino()
    player_id = await known_player(casino)
    async with held_player(stage.databases[LOYALTY].superuser_url, casino.id, player_id):
        # More than it has hands for, so that some have never been tried.
        slips = await close_without_points(stage, casino.id, 2 * SLIPS_IN_HAND, player_id)
        await accruals_under_way(stage, SLIPS_IN_HAND)
        # What Loyalty answers now does not arrive.
        await stage.loyalty_proxy.switch(Mode.STALL)
        assert await stage.terminate(stage.ratingslip) == 0
    await stage.loyalty_proxy.switch(Mode.PASS)

    found = await standings(stage)
    assert [found[slip].loyalty_state for slip in slips] == ["PENDING"] * len(slips)
    await stage.start(RATINGSLIP)
    await require_invariants(stage, History())


async def test_told_to_end_in_the_middle_of_its_start_a_service_ends_and_the_next_one_starts(
    bare_stage: Stage,
) -> None:
    stage, moments = bare_stage, random.Random(SEED)
    # Work for the recoverer from its first moment on.
    await close_without_points(stage, new_id(), STARTS_CUT_SHORT)

    for _ in range(STARTS_CUT_SHORT):
        await asyncio.gather(
            *(
                cut_start_short(stage, service, moments.uniform(0, LONGEST_START_SECONDS))
                for service in (LOYALTY, RATINGSLIP)
            )
        )

    await asyncio.gather(stage.start(LOYALTY), stage.start(RATINGSLIP))
    await require_invariants(stage, History())


@pytest.mark.parametrize("away", [Mode.REFUSE, Mode.STALL], ids=["refused", "black-holed"])
async def test_told_to_end_while_it_waits_for_its_database_a_service_ends_in_good_order(
    bare_stage: Stage, away: Mode
) -> None:
    await bare_stage.loyalty_database_proxy.switch(away)
    await bare_stage.ratingslip_database_proxy.switch(away)
    waiting = [await bare_stage.launch(service) for service in (LOYALTY, RATINGSLIP)]
    for process in waiting:
        await process.listening()

    assert [await bare_stage.terminate(process) for process in waiting] == [0, 0]


async def known_player(casino: Casino) -> str:
    """A player with points, whose row in Loyalty can be held."""
    boss = casino.for_role("pit_boss")
    slip = await start(boss)
    await complete(boss, slip)
    return slip.player_id


def interrupted_calls(process: ServiceProcess) -> list[dict[str, object]]:
    """The calls that a process began to answer and gave up."""
    return process.log.events("rpc", **{"rpc.response.status_code": "CANCELLED"})


def unanswered(history: History) -> list[str]:
    """What was done and told to nobody at first: all that ask for it find it there already.

    A close may be: it then says that its points are yet to come.
    """
    told = {
        target: [each.outcome for each in deed if isinstance(each.outcome, Acknowledged)]
        for target, deed in deeds_of(history).items()
        if deed[0].verb not in CLOSE_VERBS
    }
    return [
        str(target)
        for target, answers in told.items()
        if answers and all(answer.is_existing for answer in answers)
    ]


async def cut_start_short(stage: Stage, service: Service, after_seconds: float) -> None:
    """SIGTERM ends it, in good order once it can be called, and never with a stack."""
    process = await stage.launch(service)
    await asyncio.sleep(after_seconds)
    code = await stage.terminate(process)
    text = process.log.text()
    # Before it listens it has taken on nothing, and may just be gone.
    assert code == 0 or (code == -signal.SIGTERM and not process.log.events("listening")), text
    assert "Traceback" not in text
    # Judged here: the invariants know no process that was ended before it began.
    stage.started.remove(process)
