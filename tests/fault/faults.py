"""Everything that can break on a stage, by name: a fault is made, lasts a while, and is over.

Owns how each fault is made and mended. It must not know when it strikes, what the clients
do meanwhile, nor what must hold afterwards.
"""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from deploy.local.proxy import Direction, Mode, TcpProxy
from tests.databases import LOYALTY, RATINGSLIP
from tests.fault.postgres_server import Shutdown
from tests.fault.stage import Stage
from tests.integration.patience import PATIENCE_SECONDS

# Long enough for many calls to meet it; the longest are beyond the services' own limits.
SHORTEST_SECONDS = 0.05
LONGEST_SECONDS = 3.0
# A whole exchange is some thousand bytes; a cut may come anywhere in it.
LARGEST_CUT_BYTES = 4_000
# How many of the connections that come meanwhile are cut.
CUTS = 5

Fault: TypeAlias = Callable[[Stage, random.Random], Awaitable[None]]

_SERVICES = (LOYALTY, RATINGSLIP)
# Whatever an accrual or a close has to lock first.
_TABLES = {LOYALTY: "loyalty.player_loyalty", RATINGSLIP: "ratingslip.rating_slip"}


async def _wait(choices: random.Random) -> None:
    await asyncio.sleep(choices.uniform(SHORTEST_SECONDS, LONGEST_SECONDS))


async def kill_service(stage: Stage, choices: random.Random) -> None:
    """SIGKILL, and started again at once."""
    await stage.restart(choices.choice(_SERVICES))


async def keep_service_down(stage: Stage, choices: random.Random) -> None:
    """SIGKILL, and started again after a while."""
    service = choices.choice(_SERVICES)
    await stage.kill(stage.loyalty if service is LOYALTY else stage.ratingslip)
    await _wait(choices)
    await stage.start(service)


async def terminate_service(stage: Stage, choices: random.Random) -> None:
    """SIGTERM, which it follows in good order, and started again."""
    service = choices.choice(_SERVICES)
    process = stage.loyalty if service is LOYALTY else stage.ratingslip
    assert await stage.terminate(process) == 0, f"{service} did not end in good order"
    await stage.start(service)


async def freeze_service(stage: Stage, choices: random.Random) -> None:
    """SIGSTOP, and SIGCONT after a while."""
    process = choices.choice((stage.loyalty, stage.ratingslip))
    stage.freeze(process)
    try:
        await _wait(choices)
    finally:
        stage.thaw(process)


async def restart_database(stage: Stage, choices: random.Random) -> None:
    """The whole server, in good order, at once, or killed."""
    await stage.postgres.restart(choices.choice(list(Shutdown)))


async def keep_database_down(stage: Stage, choices: random.Random) -> None:
    """The same, and it stays away for a while."""
    async with stage.postgres.down(choices.choice(list(Shutdown))):
        await _wait(choices)


async def kill_backend(stage: Stage, choices: random.Random) -> None:
    """SIGKILL of one of a service's backends, which takes all others down."""
    await stage.postgres.kill_backend(stage.databases[choices.choice(_SERVICES)])


async def end_connections(stage: Stage, choices: random.Random) -> None:
    """The server ends all connections of a service."""
    await stage.postgres.terminate_backends(stage.databases[choices.choice(_SERVICES)])


async def refuse_writes(stage: Stage, choices: random.Random) -> None:
    """One database is read-only for a while, as after a failover to the wrong side."""
    async with stage.postgres.read_only(stage.databases[choices.choice(_SERVICES)]):
        await _wait(choices)


async def hold_rows(stage: Stage, choices: random.Random) -> None:
    """Somebody else holds every row that a call wants to lock, for a while."""
    service = choices.choice(_SERVICES)
    async with stage.superuser(service) as superuser, superuser.transaction():
        await superuser.execute(f"SELECT FROM {_TABLES[service]} FOR UPDATE")
        await _wait(choices)


async def _break_path(mode: Mode, stage: Stage, choices: random.Random) -> None:
    proxy = _path(stage, choices)
    await proxy.switch(mode)
    await _wait(choices)
    await proxy.switch(Mode.PASS)


async def drop_reply(stage: Stage, choices: random.Random) -> None:
    """What was asked is done, and its answer is lost."""
    proxy = _path(stage, choices)
    proxy.drop_next_reply()
    await _wait(choices)
    await proxy.switch(Mode.PASS)


async def cut_connections(stage: Stage, choices: random.Random) -> None:
    """Connections end after any byte, in either direction."""
    proxy = _path(stage, choices)
    for _ in range(CUTS):
        byte_count = choices.randrange(LARGEST_CUT_BYTES)
        proxy.cut_after(byte_count, choices.choice(list(Direction)), times=1)
        await asyncio.sleep(choices.uniform(SHORTEST_SECONDS, LONGEST_SECONDS) / CUTS)
    await proxy.switch(Mode.PASS)


def _path(stage: Stage, choices: random.Random) -> TcpProxy:
    return choices.choice(stage.proxies.all())


# Everything that may strike, by the name under which it is told.
FAULTS: Mapping[str, Fault] = {
    "kill a service": kill_service,
    "keep a service down": keep_service_down,
    "terminate a service": terminate_service,
    "freeze a service": freeze_service,
    "restart the database": restart_database,
    "keep the database down": keep_database_down,
    "kill a backend": kill_backend,
    "end a service's connections": end_connections,
    "refuse writes": refuse_writes,
    "hold rows": hold_rows,
    "refuse a path": functools.partial(_break_path, Mode.REFUSE),
    "stall a path": functools.partial(_break_path, Mode.STALL),
    "swallow a path's replies": functools.partial(_break_path, Mode.SWALLOW_REPLIES),
    "delay a path": functools.partial(_break_path, Mode.DELAY),
    "drop a reply": drop_reply,
    "cut connections": cut_connections,
}


async def strike(stage: Stage, name: str, choices: random.Random) -> None:
    """Makes a fault and returns when it is over; fails when it cannot be mended."""
    async with asyncio.timeout(PATIENCE_SECONDS + LONGEST_SECONDS):
        await FAULTS[name](stage, choices)
