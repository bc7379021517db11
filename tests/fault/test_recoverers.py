"""Several at once on the same closed slips: callers, recoverers, replicas. Each slip is paid once.

    fifty completes and recovers of one slip, both replicas' recoverers at it all the while
    two replicas on one backlog of a thousand slips
    one of two replicas killed with SIGKILL half way
    a thousand slips in one casino, and one each in two others: due with them · due after them

How long a claim keeps others from a slip is each test's to say: never, a moment, for good.
"""

from __future__ import annotations

import asyncio
import collections

from casino.ratingslip.v1 import ratingslip_pb2
from ratingslip_service.recovery import PARALLEL_RECOVERIES
from tests.databases import LOYALTY, RATINGSLIP
from tests.fault.backlog import (
    accruals_under_way,
    accrued,
    close_without_points,
    lease_slips,
    served_before,
    standings,
)
from tests.fault.history import Acknowledged, History, Operation, Verb
from tests.fault.invariants import require_invariants, settled_evidence
from tests.fault.recorder import Recorder
from tests.fault.stage import Stage
from tests.integration.casino import complete, new_id, new_slip, start
from tests.integration.clients import Client
from tests.integration.locks import held_player
from tests.integration.patience import eventually
from tests.integration.services import ServiceProcess

CALLERS = 50
# Each is told to come back while the others are at it; nobody needs as many.
PATIENT_ATTEMPTS = 40
BACKLOG = 1_000
# What each of two replicas must have worked off: not a fair share, but a share.
LEAST_SHARE = BACKLOG // 10
# No lease runs out before a test does, so that a second claim is one too many.
LONG_LEASE_SECONDS = 60
SMALL_BACKLOG = 200
# What the dead replica had in hand is due again while the other is still at work.
SHORT_LEASE_SECONDS = 1
# Log events, their field, and an RPC.
ATTEMPT = "recovery_attempt"
SLIP = "casino.rating_slip_id"
ACCRUAL = "casino.loyalty.v1.LoyaltyService/AccruePointsFromSlip"


async def test_fifty_callers_and_the_recoverers_at_one_slip_are_all_answered_with_one_entry(
    stage: Stage,
) -> None:
    await stage.start_replica(RATINGSLIP)
    # It is due at any moment, however often somebody has just claimed it.
    await lease_slips(stage, first_seconds=0, then_seconds=0)
    casino, history = stage.casino(), History()
    boss, recorder = casino.for_role("pit_boss"), Recorder(history, casino)
    # A first slip, so that there is a row in Loyalty that can be held.
    player_id = new_id()
    known = await opened(recorder, boss, player_id)
    await recorder.call(Verb.COMPLETE, boss, closing(known), player_id)
    slip_id = await opened(recorder, boss, player_id)

    async with held_player(stage.databases[LOYALTY].superuser_url, casino.id, player_id):
        calls = [ask_patiently(recorder, boss, Verb.COMPLETE, slip_id, player_id)]
        # Closed, and not paid yet.
        await accruals_under_way(stage, 1)
        calls += [
            ask_patiently(recorder, boss, verb, slip_id, player_id)
            for _ in range(CALLERS // 2)
            for verb in (Verb.COMPLETE, Verb.RECOVER)
        ]
        await claimed(stage, slip_id, more_often_than=PARALLEL_RECOVERIES)
    operations = await asyncio.gather(*calls)

    told = {entry_of(operation) for operation in operations}
    assert len(told) == 1 and None not in told
    await require_invariants(stage, history)
    # Of all who had an answer of Loyalty's, one has recorded it and speaks of it.
    evidence = await settled_evidence(stage)
    happened = evidence.events_by_slip[casino.id, slip_id]
    assert [event["kind"] for event in happened] == ["start", "complete", "accrue"]
    announced = [
        event
        for process in stage.running
        for event in process.log.events("RATING_SLIP_COMPLETED", session_id=slip_id)
    ]
    assert len(announced) == 1


async def test_two_replicas_share_a_backlog_and_nobody_asks_twice_for_a_slip(stage: Stage) -> None:
    replicas = stage.ratingslip, await stage.start_replica(RATINGSLIP)
    await lease_slips(stage, first_seconds=0, then_seconds=LONG_LEASE_SECONDS)

    slips = await close_without_points(stage, new_id(), BACKLOG)
    await accrued(stage, BACKLOG)

    shares = [attempts_of(replica) for replica in replicas]
    assert min(share.total() for share in shares) >= LEAST_SHARE
    assert shares[0] + shares[1] == dict.fromkeys(slips, 1)
    assert accruals_asked_for(stage.loyalty) == dict.fromkeys(slips, 1)
    await require_invariants(stage, History())


async def test_what_a_killed_replica_had_in_hand_the_other_finishes(stage: Stage) -> None:
    survivor, victim = await stage.start_replica(RATINGSLIP), stage.ratingslip
    await lease_slips(stage, first_seconds=0, then_seconds=SHORT_LEASE_SECONDS)
    casino = stage.casino()
    boss = casino.for_role("pit_boss")
    known = await start(boss)
    await complete(boss, known)

    stage.freeze(survivor)
    url = stage.databases[LOYALTY].superuser_url
    async with held_player(url, casino.id, known.player_id):
        (in_hand,) = await close_without_points(stage, casino.id, 1, known.player_id)
        await accruals_under_way(stage, 1)
        await close_without_points(stage, casino.id, SMALL_BACKLOG)
        stage.thaw(survivor)
        await accrued(stage, SMALL_BACKLOG // 2)
        await stage.kill(victim)
    await accrued(stage, SMALL_BACKLOG + 2)

    assert survivor.log.events(ATTEMPT, outcome="accrued", **{SLIP: in_hand})
    await stage.start(RATINGSLIP)
    await require_invariants(stage, History())


async def test_one_slip_of_a_casino_does_not_wait_for_the_thousand_of_another(stage: Stage) -> None:
    await lease_slips(stage, first_seconds=0, then_seconds=LONG_LEASE_SECONDS)
    stage.freeze(stage.ratingslip)
    await close_without_points(stage, new_id(), BACKLOG)
    (due_with_them,) = await close_without_points(stage, new_id(), 1)
    stage.thaw(stage.ratingslip)
    await accrued(stage, BACKLOG // 10)
    (due_after_them,) = await close_without_points(stage, new_id(), 1)
    await accrued(stage, BACKLOG + 2)

    for single in (due_with_them, due_after_them):
        assert await served_before(stage, single) < BACKLOG // 2
    await require_invariants(stage, History())


def ask_patiently(
    recorder: Recorder, boss: Client, verb: Verb, slip_id: str, player_id: str
) -> asyncio.Task[Operation]:
    """Closes or recovers a slip in the background, again and again until it is answered."""
    request = closing(slip_id) if verb is Verb.COMPLETE else recovering(slip_id)
    call = recorder.call(verb, boss, request, player_id, attempts=PATIENT_ATTEMPTS)
    return asyncio.create_task(call)


async def opened(recorder: Recorder, boss: Client, player_id: str) -> str:
    """A new slip of a player, by its ID."""
    request = new_slip(player_id=player_id, idempotency_key=new_id())
    operation = await recorder.call(Verb.START, boss, request, player_id)
    assert isinstance(operation.outcome, Acknowledged)
    return operation.outcome.slip_id


def closing(slip_id: str) -> ratingslip_pb2.CompleteRatingSlipRequest:
    """Closes a slip as of now."""
    return ratingslip_pb2.CompleteRatingSlipRequest(rating_slip_id=slip_id)


def recovering(slip_id: str) -> ratingslip_pb2.RecoverSlipLoyaltyRequest:
    """Asks for a slip's points."""
    return ratingslip_pb2.RecoverSlipLoyaltyRequest(rating_slip_id=slip_id)


def entry_of(operation: Operation) -> tuple[str, int, int] | None:
    """The entry that somebody was told of."""
    told = operation.outcome
    if not isinstance(told, Acknowledged):
        return None
    return told.entry_id, told.points_delta, told.balance_after


async def claimed(stage: Stage, slip_id: str, *, more_often_than: int) -> None:
    """Returns when recoverers have claimed a slip more often than so many times."""

    async def reached() -> bool:
        return (await standings(stage))[slip_id].attempts > more_often_than

    await eventually(reached, f"slip {slip_id} was claimed again and again")


def attempts_of(replica: ServiceProcess) -> collections.Counter[str]:
    """How often a replica's recoverer has tried each slip."""
    return collections.Counter(event[SLIP] for event in replica.log.events(ATTEMPT))


def accruals_asked_for(loyalty: ServiceProcess) -> collections.Counter[str]:
    """How often Loyalty was asked for the accrual of each slip."""
    calls = loyalty.log.events("rpc", **{"rpc.method": ACCRUAL})
    return collections.Counter(call[SLIP] for call in calls)
