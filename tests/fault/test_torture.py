"""The torture for a moment: the same random faults in every run. `make torture` goes on."""

from __future__ import annotations

import random

from tests.fault.stage import Stage
from tests.fault.torture import torture_round

# Any would do; another one is another run.
SEED = 2


async def test_everything_holds_after_random_faults_under_load(stage: Stage) -> None:
    await torture_round(stage, random.Random(SEED), print)
