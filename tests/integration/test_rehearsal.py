"""Five faults on the local stack: for each, `explain` alone names the cause and what to type."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from casino.loyalty.v1 import loyalty_pb2
from deploy.local import locks
from deploy.local.rehearsal.alerts import read_alert
from deploy.local.rehearsal.command import EXIT_PAID, Silence
from deploy.local.rehearsal.faults import (
    DRIFT,
    FAULTS,
    LOYALTY_DOWN,
    POISONED_SLIP,
    REPLY_LOST,
    SLOW_DATABASE,
    Fault,
)
from deploy.local.rehearsal.ground import Ground, prepared_ground
from deploy.local.rehearsal.shell import operators_shell
from deploy.local.rehearsal.walk import Walk
from deploy.local.state import PROJECT_DIRECTORY, StateDirectory
from tests.integration.on_ground import entries_of, spelt_alike
from tests.integration.patience import PATIENCE_SECONDS


@dataclasses.dataclass(frozen=True)
class Expected:
    """What `explain` must say of a fault, and what must come of typing it."""

    fault: Fault
    # What the next command does, and what it shows while the fault lasts.
    next_command: str
    shows: str
    # What finishes the case; empty where the next command does.
    afterwards: str = "RecoverSlipLoyalty"
    # The one entry that pays the slip in the end.
    paid_by: int = loyalty_pb2.LEDGER_REASON_BASE_ACCRUAL


EXPECTED = [
    Expected(LOYALTY_DOWN, "grpc.health.v1.Health/Check", "fail"),
    Expected(REPLY_LOST, "RecoverSlipLoyalty", "partialcompletion", afterwards=""),
    Expected(SLOW_DATABASE, "pg_blocking_pids", "idle in transaction"),
    Expected(
        POISONED_SLIP,
        "IssueManualReward",
        '"reason": "ledgerreasonmanualreward"',
        paid_by=loyalty_pb2.LEDGER_REASON_MANUAL_REWARD,
    ),
    Expected(DRIFT, "ReconcileBalance", '"isrepaired": true'),
]


@pytest.fixture(scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    state = StateDirectory(tmp_path_factory.mktemp("rehearsal") / "state")
    async with prepared_ground(state) as prepared:
        yield prepared


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda expected: expected.fault.name)
async def test_explain_alone_names_the_cause_and_what_it_says_to_type_gets_the_slip_paid(
    ground: Ground, expected: Expected
) -> None:
    with operators_shell(ground.facts) as shell:
        walk = Walk(ground, expected.fault, shell, Silence())
        seen = await walk.run()

    assert seen.finding is not None
    assert seen.finding.cause == expected.fault.cause
    assert seen.finding.verdict
    assert expected.next_command in seen.finding.next_command
    assert expected.afterwards in seen.finding.afterwards
    assert bool(expected.afterwards) == bool(seen.finding.afterwards)
    assert expected.shows in spelt_alike(seen.typed[0].output)
    assert seen.is_paid
    entries = await entries_of(ground, rating_slip_id=seen.rating_slip_id)
    assert [entry.reason for entry in entries] == [expected.paid_by], "once, by this"


@pytest.mark.parametrize("fault", FAULTS.values(), ids=lambda fault: fault.name)
def test_what_an_alert_compares_is_what_the_rehearsal_reads(fault: Fault) -> None:
    alert = read_alert(fault.alarm.alert)
    assert f"> {fault.alarm.threshold:g}" in alert.expression


def test_a_rehearsal_ends_with_the_slip_paid_and_leaves_nothing_running(tmp_path: Path) -> None:
    state = tmp_path / "state"
    command = [sys.executable, "-m", "deploy.local", "rehearse", DRIFT.name, "--json"]

    rehearsed = subprocess.run(
        [*command, "--state-directory", str(state)],
        cwd=PROJECT_DIRECTORY,
        capture_output=True,
        check=False,
        text=True,
        timeout=PATIENCE_SECONDS * 3,
    )

    assert rehearsed.returncode == EXIT_PAID, rehearsed.stderr
    seen = json.loads(rehearsed.stdout)
    assert seen["is_paid"]
    assert seen["figure_during"] - seen["figure_before"] > seen["threshold"]
    assert not any(locks.is_held(lock) for lock in StateDirectory(state).all_locks())
    assert not (state / "postgres").exists(), "what was broken is deleted"
