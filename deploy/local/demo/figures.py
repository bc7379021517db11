"""The figures of one run of the demo, as they are printed and as `.local/demo.json` keeps them.

Does the arithmetic; knows neither how the figures came about nor how they look.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.local.demo.gaming_day import GamingDay, RowFault
from deploy.local.demo.reconciliation import Check
from deploy.local.demo.replay import ClosedSlip, FailedSlip, Outcomes
from deploy.local.state import write_private

# Milliseconds are kept to the microsecond, seconds to the millisecond.
DECIMAL_PLACES = 3


@dataclasses.dataclass(frozen=True)
class Figures:
    """One run. Each field is a key of the JSON document."""

    # Whether the run ended well: every check passed.
    passed: bool
    # What the run's correlation IDs begin with: `demo-<run_id>-<line>`.
    run_id: str
    # When it ended, ISO 8601 in UTC.
    finished_time: str
    # The file as it was named.
    slips_file: str
    # Columns of the file that mean nothing to the demo.
    ignored_columns: Sequence[str]
    # Rows of the file, the header and empty lines not counted.
    rows_read: int
    # Rows that were refused, by the demo or by RatingSlip; why, is in `refused`.
    rows_refused: int
    # Rows that were good and yet not closed; why, is in `failed`.
    rows_failed: int
    slips_closed: int
    # Of these, how many got their points through RecoverSlipLoyalty.
    slips_recovered: int
    # The sum over the closed slips.
    points_given: int
    # Distinct players of the closed slips.
    players: int
    # How many of them hold each tier after the run, the lowest tier first.
    players_by_tier: Mapping[str, int]
    # From sending CompleteRatingSlip to holding the points, in milliseconds, by
    # nearest rank; null when no slip was closed.
    close_p50_ms: float | None
    close_p95_ms: float | None
    close_p99_ms: float | None
    close_max_ms: float | None
    # From the first slip sent to the last one closed.
    wall_seconds: float
    # The slip that was followed; null when no slip was closed.
    followed_line: int | None
    followed_slip_id: str | None
    followed_player_id: str | None
    followed_entry_id: str | None
    followed_correlation_id: str | None
    followed_trace_id: str | None
    followed_points: int | None
    followed_close_ms: float | None
    # Each with name, promise, passed and detail.
    checks: Sequence[Check]
    # Each with line, column and reason; a row can have several.
    refused: Sequence[RowFault]
    # Each with line, slip_id (empty when it was not opened), reason and unanswered
    # (true when no attempt got more than "unavailable" or silence).
    failed: Sequence[FailedSlip]

    def write(self, path: Path) -> None:
        """Writes the document, all at once."""
        write_private(path, json.dumps(dataclasses.asdict(self), indent=2) + "\n")


def figures_of(
    *,
    run_id: str,
    slips_file: str,
    day: GamingDay,
    outcomes: Outcomes,
    wall_seconds: float,
    players_by_tier: Mapping[str, int],
    checks: Sequence[Check],
) -> Figures:
    """Adds up one run. The file's own faults are those of `day`."""
    closed = outcomes.closed
    times_ms = sorted(slip.close_ms for slip in closed)
    followed = typical(closed)
    refused = sorted((*day.faults, *outcomes.refused), key=lambda fault: fault.line)
    return Figures(
        passed=all(check.passed for check in checks),
        run_id=run_id,
        finished_time=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        slips_file=slips_file,
        ignored_columns=day.unknown_columns,
        rows_read=len(day.slips) + day.refused_lines,
        rows_refused=day.refused_lines + len(outcomes.refused),
        rows_failed=len(outcomes.failed),
        slips_closed=len(closed),
        slips_recovered=sum(slip.recovered for slip in closed),
        points_given=sum(slip.points for slip in closed),
        players=len({slip.player_id for slip in closed}),
        players_by_tier=players_by_tier,
        close_p50_ms=percentile(times_ms, 50),
        close_p95_ms=percentile(times_ms, 95),
        close_p99_ms=percentile(times_ms, 99),
        close_max_ms=percentile(times_ms, 100),
        wall_seconds=round(wall_seconds, DECIMAL_PLACES),
        followed_line=followed.slip.line if followed else None,
        followed_slip_id=followed.slip_id if followed else None,
        followed_player_id=followed.player_id if followed else None,
        followed_entry_id=followed.entry_id if followed else None,
        followed_correlation_id=followed.correlation_id if followed else None,
        followed_trace_id=followed.trace_id if followed else None,
        followed_points=followed.points if followed else None,
        followed_close_ms=round(followed.close_ms, DECIMAL_PLACES) if followed else None,
        checks=checks,
        refused=refused,
        failed=sorted(outcomes.failed, key=lambda slip: slip.line),
    )


def typical(closed: Sequence[ClosedSlip]) -> ClosedSlip | None:
    """The slip whose close took what the median close took; None when there is none."""
    by_time = sorted(closed, key=lambda slip: (slip.close_ms, slip.slip.line))
    return by_time[(len(by_time) - 1) // 2] if by_time else None


def percentile(sorted_values: Sequence[float], percent: int) -> float | None:
    """The smallest value that so many percent of all values do not exceed (nearest rank)."""
    if not sorted_values:
        return None
    rank = max(1, math.ceil(len(sorted_values) * percent / 100))
    return round(sorted_values[rank - 1], DECIMAL_PLACES)
