"""Whether a service has all of its connections: as many statements run at once as it may keep.

Looks from outside, at who waits for a row in PostgreSQL. It must not know what has
happened to the connections before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from casino.ratingslip.v1 import ratingslip_pb2
from tests.databases import LOYALTY, RATINGSLIP, Service
from tests.fault.process_checks import POOL_SIZE
from tests.fault.service_checks import ask
from tests.fault.stage import Stage
from tests.integration.casino import an_hour_of, money, new_redemption, new_slip
from tests.integration.clients import Client
from tests.integration.locks import held_player, held_slip
from tests.integration.patience import eventually

_WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = $1 AND wait_event_type = 'Lock'
"""
# What the usual slip does not have.
ANOTHER_BET = money(60)


async def waiting_count(stage: Stage, service: Service) -> int:
    """How many of a service's statements wait for somebody's lock."""
    async with stage.superuser(service) as superuser:
        count: int = await superuser.fetchval(_WAITING, service.service_role)
    return count


async def require_whole_pool(stage: Stage, service: Service) -> None:
    """Fails unless as many statements wait for one row at once as the pool has connections."""
    casino = stage.casino()
    boss = casino.for_role("pit_boss")
    size = stage.pool_size(service, POOL_SIZE)
    slip = (await ask(boss, boss.slips.StartRatingSlip, new_slip())).rating_slip
    if service is LOYALTY:
        await ask(boss, boss.slips.CompleteRatingSlip, an_hour_of(slip))
        held = held_player(stage.databases[LOYALTY].superuser_url, casino.id, slip.player_id)
    else:
        held = held_slip(stage.databases[RATINGSLIP].superuser_url, casino.id, slip.rating_slip_id)

    async def are_waiting() -> bool:
        return await waiting_count(stage, service) == size

    async with asyncio.TaskGroup() as calls, held:
        for _ in range(size):
            calls.create_task(_locking_call(boss, service, slip))
        await eventually(are_waiting, f"{size} statements of {service} wait at once")


def _locking_call(
    boss: Client, service: Service, slip: ratingslip_pb2.RatingSlip
) -> Coroutine[Any, Any, object]:
    """A call that locks the slip's player, or the slip, before it changes anything."""
    if service is LOYALTY:
        return boss.call(boss.points.RedeemPoints, new_redemption(player_id=slip.player_id))
    request = ratingslip_pb2.UpdateAverageBetRequest(
        rating_slip_id=slip.rating_slip_id, average_bet=ANOTHER_BET
    )
    return boss.call(boss.slips.UpdateAverageBet, request)
