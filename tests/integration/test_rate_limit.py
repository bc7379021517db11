"""Manual rewards are given by hand: ten a minute by one staff member in one casino, and no more.

The limit is kept by the service, or in Redis when there are several; a limiter that
cannot be asked lets nobody through.
"""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from grpc import StatusCode
from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage

from casino.loyalty.v1 import loyalty_pb2
from chassis.errors import ServiceError
from loyalty_service.rate_limit import REWARDS_A_MINUTE, RewardLimiter
from tests.integration.casino import Casino, new_id, new_reward, read_entries
from tests.integration.clients import Client
from tests.integration.identity import Identity
from tests.integration.redis_server import PROGRAM_VARIABLE, RedisServer, redis_program
from tests.integration.services import Launcher, Pair, ServiceProcess

LIMITED = (StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMIT_EXCEEDED")
UNAVAILABLE = (StatusCode.UNAVAILABLE, "RATE_LIMITER_UNAVAILABLE")
CALLS_AT_ONCE = 25
SECONDS_A_MINUTE = 60


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    program = redis_program()
    if program is None:
        pytest.skip(f"no Redis server here; {PROGRAM_VARIABLE} names one")
    server = await RedisServer(program, tmp_path).start()
    yield server
    await server.kill()


@pytest.fixture
async def replica(launcher: Launcher, redis: RedisServer) -> ServiceProcess:
    return await launcher.loyalty(LOYALTY_RATE_LIMIT_REDIS_URL=redis.url)


async def reward(client: Client, **changes: object) -> loyalty_pb2.IssueManualRewardResponse:
    return await client.call(client.points.IssueManualReward, new_reward(**changes))


async def use_up(client: Client, count: int = REWARDS_A_MINUTE) -> None:
    for _ in range(count):
        await reward(client)


async def test_the_eleventh_in_a_minute_is_told_when_to_come_back(boss: Client) -> None:
    await use_up(boss)

    refusal = await boss.refusal(boss.points.IssueManualReward, new_reward())

    assert refusal.kind == LIMITED
    assert refusal.retry_after_seconds is not None
    assert 0 < refusal.retry_after_seconds <= SECONDS_A_MINUTE
    assert len(await read_entries(boss)) == REWARDS_A_MINUTE


async def test_of_many_at_once_ten_are_let_through(boss: Client) -> None:
    answers = await asyncio.gather(
        *(reward(boss) for _ in range(CALLS_AT_ONCE)), return_exceptions=True
    )

    let_through = [each for each in answers if not isinstance(each, BaseException)]
    assert len(let_through) == REWARDS_A_MINUTE
    assert len(await read_entries(boss)) == REWARDS_A_MINUTE


async def test_it_is_counted_for_each_staff_member_in_each_casino(
    boss: Client, casino: Casino, pair: Pair, identity: Identity
) -> None:
    await use_up(boss)
    elsewhere = identity.staff_token("pit_boss", new_id(), casino.staff_id("pit_boss"))

    # A colleague, and the same person in another casino.
    await reward(casino.for_role("admin"))
    await reward(casino.with_token(elsewhere))
    # And only manual rewards are.
    promotion = loyalty_pb2.ApplyPromotionRequest(
        player_id=new_id(), campaign_id=new_id(), bonus_points=1
    )
    await boss.call(boss.points.ApplyPromotion, promotion)


async def test_a_call_counts_whatever_becomes_of_it_once_its_role_may_make_it(
    boss: Client,
) -> None:
    again = new_reward()
    for _ in range(REWARDS_A_MINUTE // 2):
        await boss.call(boss.points.IssueManualReward, again)
        await boss.refusal(boss.points.IssueManualReward, new_reward(reason="too short"))
        # Not this one: a pit boss may not take points at all.
        await boss.refusal(boss.points.IssueManualReward, new_reward(points=-1))

    refusal = await boss.refusal(boss.points.IssueManualReward, again)

    assert refusal.kind == LIMITED


async def test_role_comes_before_rate_and_rate_before_the_request(
    boss: Client, casino: Casino
) -> None:
    await use_up(boss)

    by_role = await boss.refusal(
        boss.points.IssueManualReward, new_reward(points=-1, reason="", player_id="nobody")
    )
    by_rate = await boss.refusal(
        boss.points.IssueManualReward, new_reward(points=0, reason="", player_id="nobody")
    )

    assert by_role.kind == (StatusCode.PERMISSION_DENIED, "ADJUSTMENT_NOT_AUTHORIZED")
    assert by_rate.kind == LIMITED


async def test_a_refused_call_leaves_its_key_free(boss: Client, casino: Casino) -> None:
    await use_up(boss)
    keyed = new_reward(idempotency_key="key")
    await boss.refusal(boss.points.IssueManualReward, keyed)

    admin = casino.for_role("admin")
    answer = await admin.call(admin.points.IssueManualReward, keyed)

    assert not answer.is_existing


async def test_who_waits_as_long_as_told_is_let_in() -> None:
    """The window slides: a place comes free when its call is a window old, not before."""
    limiter = RewardLimiter(MemoryStorage(), RateLimitItemPerSecond(2))
    casino_id, staff_id = uuid.uuid4(), uuid.uuid4()
    for _ in range(2):
        await limiter.count(casino_id, staff_id)

    with pytest.raises(ServiceError) as refused:
        await limiter.count(casino_id, staff_id)

    assert refused.value.retry_after_seconds is not None
    await asyncio.sleep(refused.value.retry_after_seconds)
    await limiter.count(casino_id, staff_id)


async def test_replicas_count_together_in_redis(
    casino: Casino, replica: ServiceProcess, launcher: Launcher, redis: RedisServer
) -> None:
    other = await launcher.loyalty(LOYALTY_RATE_LIMIT_REDIS_URL=redis.url)
    callers = [casino.for_role("pit_boss", loyalty=each) for each in (replica, other)]
    for caller in callers:
        await use_up(caller, REWARDS_A_MINUTE // 2)

    refusals = [
        await caller.refusal(caller.points.IssueManualReward, new_reward()) for caller in callers
    ]

    assert [refusal.kind for refusal in refusals] == [LIMITED, LIMITED]


@pytest.mark.parametrize("trouble", [signal.SIGKILL, signal.SIGSTOP], ids=["gone", "stalled"])
async def test_without_redis_nobody_is_let_through_and_nothing_else_suffers(
    trouble: signal.Signals, casino: Casino, replica: ServiceProcess, redis: RedisServer
) -> None:
    boss = casino.for_role("pit_boss", loyalty=replica)
    keyed = new_reward(idempotency_key="key")
    await reward(boss)
    redis.send_signal(trouble)

    refusal = await boss.refusal(boss.points.IssueManualReward, keyed)

    assert refusal.kind == UNAVAILABLE
    assert refusal.retry_after_seconds is not None
    assert refusal.retry_after_seconds > 0
    assert len(await read_entries(boss)) == 1
    if trouble is signal.SIGSTOP:
        redis.send_signal(signal.SIGCONT)
    else:
        await redis.kill()
        await redis.start()
    assert not (await boss.call(boss.points.IssueManualReward, keyed)).is_existing


async def test_a_service_starts_without_its_redis_and_refuses_rewards_until_it_is_there(
    casino: Casino, launcher: Launcher, redis: RedisServer
) -> None:
    await redis.kill()
    replica = await launcher.loyalty(LOYALTY_RATE_LIMIT_REDIS_URL=redis.url)
    boss = casino.for_role("pit_boss", loyalty=replica)

    refusal = await boss.refusal(boss.points.IssueManualReward, new_reward())

    assert refusal.kind == UNAVAILABLE
    await redis.start()
    await reward(boss)
