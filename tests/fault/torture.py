"""Random faults under load, for as long as somebody likes: `make torture SECONDS=… SEED=…`.

A seed decides which fault strikes when, how it strikes and what the clients do; it is
printed first, and given again it makes the same run, as far as machines repeat
themselves. After each round everything must hold that must hold after any fault.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.databases import databases_of
from tests.fault.faults import FAULTS, strike
from tests.fault.invariants import require_invariants
from tests.fault.postgres_server import running_postgres_server
from tests.fault.stage import Stage, raised_stage
from tests.fault.workload import Workload
from tests.integration.identity import Identity

# How many faults strike before the books are looked at.
FAULTS_A_ROUND = 5
# What the clients get done between two faults, so that each finds work under way.
WORK_BETWEEN = 5
# Now and then one fault comes before the last one is over.
OVERLAPPING_SHARE = 0.2
USUAL_SECONDS = 60.0
SEED_BITS = 32

Say = Callable[[str], None]
# These take a service or the server away and bring it back themselves; two of them at once
# would get in each other's way, which tells of the faults and not of the services.
EXCLUSIVE = frozenset(
    {
        "kill a service",
        "keep a service down",
        "terminate a service",
        "freeze a service",
        "restart the database",
        "keep the database down",
        "kill a backend",
        "end a service's connections",
        "refuse writes",
        "hold rows",
    }
)


async def torture_round(stage: Stage, choices: random.Random, say: Say) -> None:
    """Some faults under load, one after the other or two at once; then everything must hold."""
    workload = Workload(stage, seed=choices.getrandbits(SEED_BITS))
    async with workload.running():
        for _ in range(FAULTS_A_ROUND):
            await workload.acknowledges(WORK_BETWEEN)
            names = _next_faults(choices)
            say(f"  {' and '.join(names)}")
            # Each has choices of its own: which of two comes first is the machine's affair.
            seeds = [choices.getrandbits(SEED_BITS) for _ in names]
            async with asyncio.TaskGroup() as group:
                for name, seed in zip(names, seeds, strict=True):
                    group.create_task(strike(stage, name, random.Random(seed)))
        await workload.acknowledges(WORK_BETWEEN)
    await require_invariants(stage, workload.history)
    acknowledged = len(workload.history.acknowledged())
    say(f"  {len(workload.history)} operations, {acknowledged} acknowledged: everything holds")


def _next_faults(choices: random.Random) -> list[str]:
    first = choices.choice([*FAULTS])
    if choices.random() >= OVERLAPPING_SHARE:
        return [first]
    paths = [name for name in FAULTS if name not in EXCLUSIVE and name != first]
    return [first, choices.choice(paths)]


async def torture(directory: Path, seed: int, seconds: float, say: Say) -> None:
    """Rounds on one stage until the time is over; raises `AssertionError` with the findings."""
    choices = random.Random(seed)
    give_up_at = time.monotonic() + seconds
    identity = Identity(directory / "identity")
    async with running_postgres_server() as postgres, databases_of(postgres.cluster) as databases:
        async with raised_stage(directory, postgres, databases, identity) as stage:
            number = 0
            while not number or time.monotonic() < give_up_at:
                number += 1
                say(f"round {number}")
                await torture_round(stage, choices, say)


def main() -> None:
    """Runs from the command line; the exit code is 1 when something did not hold."""
    parser = argparse.ArgumentParser(prog="torture", description=__doc__)
    parser.add_argument("--seconds", type=float, default=USUAL_SECONDS)
    parser.add_argument("--seed", type=int, default=None, help="of an earlier run, to repeat it")
    arguments = parser.parse_args()
    seed = secrets.randbits(SEED_BITS) if arguments.seed is None else arguments.seed
    directory = Path(tempfile.mkdtemp(prefix="torture-"))
    _say(f"seed {seed}")
    try:
        asyncio.run(torture(directory, seed, arguments.seconds, _say))
    except (AssertionError, ExceptionGroup) as failure:
        _say(f"FAILED, seed {seed}; the history and the logs are in {directory}\n{failure}")
        raise
    shutil.rmtree(directory, ignore_errors=True)
    _say(f"Everything holds, seed {seed}.")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
