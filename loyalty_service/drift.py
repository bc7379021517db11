"""The drift check: what is cached for each player against what the player's entries say.

Owns the walk over a casino in batches, the severity of a whole check, and how findings
are told: a log line and a count each. The comparison and the audit trail are SQL's. It
must not know who asked for a check, nor when the next one is.
"""

from __future__ import annotations

import collections
import heapq
import json
import logging
import time
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from opentelemetry import metrics

from chassis import telemetry
from chassis.context import current_call
from chassis.errors import ServiceError
from loyalty_service.ledger import Ledger

_logger = logging.getLogger(__name__)

# A batch is one statement, which has 4 s and some 10 µs for each of these when the pages
# are cached; from a cold disk a tenth of a millisecond each.
PLAYERS_A_BATCH = 500
ENTRIES_A_BATCH = 5_000
# The most findings an answer holds; all of them are in the audit trail.
MOST_FINDINGS = 100
# When more than this share of a casino's players drift, it is no accident of a few.
CRITICAL_SHARE_PERCENT = 5

# The metrics' own attribute; a check that found nothing has the severity `none`.
SEVERITY = "casino.loyalty.drift.severity"

# From bad to worse.
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.CRITICAL}

# A row of `loyalty.compare_balances` that drifts.
Finding: TypeAlias = Mapping[str, Any]


class DriftReport(NamedTuple):
    """What a check has found; `findings` are the largest, `severity` None when nothing drifts."""

    players_checked: int
    players_drifted: int
    severity: str | None
    findings: list[Finding]


class BalanceDriftCheck:
    """Checks a casino, or one player, in batches and in bounded memory."""

    def __init__(self, ledger: Ledger, meter: metrics.Meter) -> None:
        self._ledger = ledger
        self._checks = meter.create_counter(
            "casino.loyalty.drift.checks",
            unit="{check}",
            description="Drift checks, by the severity of what they found, or by their error",
        )
        self._findings = meter.create_counter(
            "casino.loyalty.drift.findings",
            unit="{player}",
            description="Players whose cached figures were not what their entries say",
        )
        # What was never seen at zero hides its first event from who asks for the increase.
        for severity in ("none", *_LEVELS):
            self._checks.add(0, {SEVERITY: severity})
        for severity in _LEVELS:
            self._findings.add(0, {SEVERITY: severity})

    async def run(self, player_id: uuid.UUID | None = None) -> DriftReport:
        """Checks the caller's casino, or one of its players; raises what the ledger raises."""
        started = time.perf_counter()
        try:
            report = await self._walk(player_id)
        except ServiceError as error:
            self._checks.add(1, {telemetry.ERROR_TYPE: error.reason})
            raise
        self._checks.add(1, {SEVERITY: report.severity or "none"})
        _log_summary(report, player_id, time.perf_counter() - started)
        return report

    async def _walk(self, player_id: uuid.UUID | None) -> DriftReport:
        checked = 0
        found: collections.Counter[str] = collections.Counter()
        largest: list[Finding] = []
        after: uuid.UUID | None = None
        while True:
            batch = await self._ledger.check_balance_drift(
                player_id, after, PLAYERS_A_BATCH, ENTRIES_A_BATCH
            )
            findings: list[Finding] = json.loads(batch["findings"])
            self._tell(findings)
            checked += batch["players_checked"]
            found.update(finding["severity"] for finding in findings)
            largest = heapq.nsmallest(MOST_FINDINGS, [*largest, *findings], key=_largest_first)
            after = batch["last_player"]
            if after is None:
                # What is a share of the casino says nothing about one player.
                whole = checked if player_id is None else None
                return DriftReport(checked, found.total(), _severity(found, whole), largest)

    def _tell(self, findings: list[Finding]) -> None:
        casino_id = str(current_call().verified_caller.casino_id)
        for finding in findings:
            self._findings.add(1, {SEVERITY: finding["severity"]})
            _logger.log(
                _LEVELS[finding["severity"]],
                "balance_drift",
                extra={telemetry.CASINO_ID: casino_id, **finding},
            )


def _largest_first(finding: Finding) -> tuple[int, str]:
    return -finding["drift_points"], finding["player_id"]


def _severity(found: collections.Counter[str], players: int | None) -> str | None:
    """The worst of the findings; critical when they are too many of a casino's `players`."""
    if not found:
        return None
    if players is not None and found.total() * 100 > players * CRITICAL_SHARE_PERCENT:
        return "critical"
    return max(found, key=_LEVELS.__getitem__)


def _log_summary(report: DriftReport, player_id: uuid.UUID | None, seconds: float) -> None:
    caller = current_call().verified_caller
    _logger.log(
        _LEVELS[report.severity or "info"],
        "drift_check",
        extra={
            telemetry.CASINO_ID: str(caller.casino_id),
            telemetry.ROLE: caller.role.value,
            "player_id": "" if player_id is None else str(player_id),
            "players_checked": report.players_checked,
            "players_drifted": report.players_drifted,
            "severity": report.severity or "none",
            "largest_drift_points": report.findings[0]["drift_points"] if report.findings else 0,
            "duration_ms": round(seconds * 1000, 3),
        },
    )
