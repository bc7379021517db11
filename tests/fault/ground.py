"""What the tests of the checks stand on: a stage after a workload without any fault.

Finds in it what is to be damaged. It must not know how.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from tests.databases import Databases
from tests.fault.evidence import Evidence
from tests.fault.history import History, Verb
from tests.fault.invariants import settled_evidence
from tests.fault.postgres_server import PostgresServer
from tests.fault.stage import Stage, raised_stage
from tests.fault.workload import Workload
from tests.integration.identity import Identity

# A slow machine works for longer: some of each verb, and long chains, are among so many.
ENOUGH_WORK = 250
# Any would do; a failing run can be looked at again.
SEED = 11


class Ground(NamedTuple):
    """A stage after a workload, and what was there before any damage."""

    stage: Stage
    history: History
    evidence: Evidence

    def longest_chain(self) -> tuple[str, str, int]:
        """Casino and player with most entries, and how many."""
        (casino_id, player_id), chain = max(
            self.evidence.chains.items(), key=lambda item: len(item[1])
        )
        return casino_id, player_id, len(chain)

    def keyed_entry(self, casino_id: str, player_id: str) -> int:
        """The number of an entry of theirs that a client's own key stands with."""
        return next(
            int(entry["entry_number"])
            for entry in self.evidence.chains[casino_id, player_id]
            if entry["reason"] != "base_accrual"
        )

    def paused_slip(self) -> str:
        """A closed slip that was paused on the way."""
        closed = {each.slip_id for each in self.history if each.verb is Verb.COMPLETE}
        return next(
            each.slip_id
            for each in self.history
            if each.verb is Verb.PAUSE and each.slip_id in closed
        )


@contextlib.asynccontextmanager
async def laid_ground(
    directory: Path, postgres: PostgresServer, databases: Databases, identity: Identity
) -> AsyncIterator[Ground]:
    """A stage on which a workload has run, for as long as the block lasts."""
    async with raised_stage(directory, postgres, databases, identity) as stage:
        workload = Workload(stage, seed=SEED)
        async with workload.running():
            await workload.acknowledges(ENOUGH_WORK)
        yield Ground(stage, workload.history, await settled_evidence(stage))


def require_found(finding: str, findings: list[str]) -> None:
    """One of the findings says this."""
    assert any(finding in each for each in findings), findings or "nothing was found"
