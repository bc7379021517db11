"""The clock of one service is a day off. It may refuse; nothing is lost, nothing given twice.

    whose clock   how it is off   what Loyalty refuses                 until
    Loyalty       a day ahead     RatingSlip's tokens: expired         it is set right
    Loyalty       a day behind    everybody's tokens: not valid yet    a new start
    RatingSlip    a day ahead     its tokens: not valid yet            it is set right
    RatingSlip    a day behind    its tokens: expired                  a new start

Whatever is written meanwhile bears the time of the database. Afterwards every slip gets its
points with nobody asking.
"""

from __future__ import annotations

import datetime
import os
import signal
from collections.abc import Iterator, Mapping

import pytest

from casino.ratingslip.v1 import ratingslip_pb2
from tests.databases import LOYALTY, PROJECT_DIRECTORY, RATINGSLIP, Service
from tests.fault.backlog import close_without_points, standings
from tests.fault.evidence import Evidence
from tests.fault.invariants import require_invariants, settled_evidence
from tests.fault.service_checks import ask
from tests.fault.stage import Stage
from tests.fault.workload import Workload
from tests.integration.casino import Casino, new_id, new_reward, new_slip
from tests.integration.patience import eventually
from tests.integration.services import ServiceProcess

SEED = 20_264
DAY_SECONDS = 24 * 60 * 60
# Before the clock goes wrong, and after it is right again.
OPERATIONS = 15
# A slip that was refused, and refused again, is one that a wrong answer could have ended.
SEVERAL_ATTEMPTS = 2
SHIFTED_CLOCK = PROJECT_DIRECTORY / "tests" / "fault" / "shifted_clock"
RIGHT_CLOCK: Mapping[str, str | None] = {"PYTHONPATH": None, "SHIFTED_CLOCK_SECONDS": None}


@pytest.mark.parametrize(
    ("service", "shift_seconds", "reason", "is_set_right"),
    [
        pytest.param(LOYALTY, DAY_SECONDS, "TOKEN_EXPIRED", True, id="loyalty-ahead"),
        pytest.param(LOYALTY, -DAY_SECONDS, "TOKEN_INVALID", False, id="loyalty-behind"),
        pytest.param(RATINGSLIP, DAY_SECONDS, "TOKEN_INVALID", True, id="ratingslip-ahead"),
        pytest.param(RATINGSLIP, -DAY_SECONDS, "TOKEN_EXPIRED", False, id="ratingslip-behind"),
    ],
)
async def test_with_a_wrong_clock_a_service_may_refuse_and_every_slip_waits_until_it_is_right(
    stage: Stage, service: Service, shift_seconds: int, reason: str, *, is_set_right: bool
) -> None:
    workload = Workload(stage, seed=SEED)
    began = await present(stage)
    async with workload.running():
        await workload.acknowledges(OPERATIONS)
        await stage.restart(service, **clock_off_by(shift_seconds))
        (waiting,) = await close_without_points(stage, new_id(), 1)
        undated = await play_without_times(stage.casino())
        await refused_again_and_again(stage, waiting, reason)
        assert (await standings(stage))[waiting].loyalty_state == "PENDING"

        if is_set_right:
            current(stage, service).send_signal(signal.SIGUSR1)
        else:
            await stage.restart(service, **RIGHT_CLOCK)
        await workload.acknowledges(OPERATIONS)
    await require_invariants(stage, workload.history)

    evidence = await settled_evidence(stage)
    ended = await present(stage)
    wrong = [time for time in written_times(evidence, undated) if not began <= time <= ended]
    assert wrong == []


def clock_off_by(seconds: int) -> Mapping[str, str]:
    """The environment of a service whose clock is off."""
    roots = (SHIFTED_CLOCK, PROJECT_DIRECTORY, PROJECT_DIRECTORY / "protos")
    return {
        "PYTHONPATH": os.pathsep.join(map(str, roots)),
        "SHIFTED_CLOCK_SECONDS": str(seconds),
    }


def current(stage: Stage, service: Service) -> ServiceProcess:
    """The process of a service that runs."""
    return stage.loyalty if service is LOYALTY else stage.ratingslip


async def play_without_times(casino: Casino) -> str:
    """A slip from its start to its close, and a reward, none of which say when; the slip's ID.

    Their token says not when it was issued, so that no clock has anything against it.
    """
    boss = casino.with_token(casino.token("pit_boss", claims={"iat": None}))
    request = new_slip(start_time=None, idempotency_key=new_id())
    # The channels have seen one of the services go, and may take a moment to find the next.
    slip = (await ask(boss, boss.slips.StartRatingSlip, request)).rating_slip
    reward = new_reward(player_id=slip.player_id, idempotency_key=new_id())
    await ask(boss, boss.points.IssueManualReward, reward)
    pause = ratingslip_pb2.PauseRatingSlipRequest(rating_slip_id=slip.rating_slip_id)
    await boss.call(boss.slips.PauseRatingSlip, pause)
    resume = ratingslip_pb2.ResumeRatingSlipRequest(rating_slip_id=slip.rating_slip_id)
    await boss.call(boss.slips.ResumeRatingSlip, resume)
    close = ratingslip_pb2.CompleteRatingSlipRequest(rating_slip_id=slip.rating_slip_id)
    refusal = await boss.refusal(boss.slips.CompleteRatingSlip, close)
    assert refusal.reason == "PARTIAL_COMPLETION"
    slip_id: str = slip.rating_slip_id
    return slip_id


async def refused_again_and_again(stage: Stage, slip_id: str, reason: str) -> None:
    """Returns when Loyalty has refused a slip's points several times, with this reason."""

    async def refused() -> bool:
        failures = stage.ratingslip.log.events(
            "slip_completion_failed", rating_slip_id=slip_id, error=reason
        )
        return len(failures) >= SEVERAL_ATTEMPTS

    await eventually(refused, f"the points of slip {slip_id} are refused with {reason}")


async def present(stage: Stage) -> datetime.datetime:
    """What time it is for the databases."""
    async with stage.superuser(LOYALTY) as superuser:
        moment: datetime.datetime = await superuser.fetchval("SELECT clock_timestamp()")
    return moment


def written_times(evidence: Evidence, undated_slip_id: str) -> Iterator[datetime.datetime]:
    """Every time that says when something was written, or happened when nobody said when."""
    for entry in evidence.entries:
        yield entry["recorded_time"]
    for player in evidence.players:
        yield player["updated_time"]
    for event in evidence.events:
        yield event["recorded_time"]
    for slip in evidence.slips:
        yield from (slip["created_time"], slip["updated_time"])
        if str(slip["id"]) == undated_slip_id:
            yield from (slip["start_time"], slip["end_time"])
    for event in evidence.events:
        if str(event["rating_slip_id"]) == undated_slip_id:
            yield event["event_time"]
