"""The dashboard "Ledger": where points come from and go to, what is refused, and what is proved.

It knows the names of Loyalty's metrics and of the recording rules of the ledger.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.observability.dashboards.panels import (
    Levels,
    Panel,
    Query,
    Section,
    choice,
    figure,
    page,
    traces,
    trend,
)

UID = "casino-ledger"
SERVICE = "loyalty"
ANY = Levels(doubtful=None, bad=1)

_OF_REPLICA = 'job="loyalty", instance=~"$instance"'
_FAILED_CALLS = traces("Traces of failed calls", SERVICE, "error=true")
_REFUSED_FOR_THIS = traces(
    "Traces of calls refused for this reason",
    SERVICE,
    'error.type="${__field.labels.error_type}"',
)


def dashboard() -> Dashboard:
    """Builds it."""
    return page(
        "Ledger",
        UID,
        "Where do points come from and go to, what is refused, and does the ledger prove itself?",
        [choice("instance", "Replica", 'label_values(up{job="loyalty"}, instance)')],
        [
            Section("Now, over all replicas", _now()),
            Section("Points", _points()),
            Section("Calls", [*_calls(), *_durations()]),
            Section("Proof", _proof()),
        ],
        ["drift", "chain-broken", "rate-limit"],
    )


def _now() -> list[Panel]:
    return [
        figure(
            "Entries per second",
            "Entries that calls were answered with. None while slips are closed: Loyalty is not "
            "reached, and slips are closed without points.",
            "cps",
            Query(
                'sum(rate(casino_loyalty_entries_total{job="loyalty"}[$__rate_interval]))',
                "entries",
            ),
        ),
        figure(
            "Points credited in an hour",
            "New entries only. Far more than on other days: look which reason below.",
            "short",
            Query(
                'sum(increase(casino_loyalty_points_credited_total{job="loyalty"}[1h]))', "points"
            ),
        ),
        figure(
            "Points debited in an hour",
            "Redemptions, corrections and reversals. Far more than on other days: look which "
            "reason below.",
            "short",
            Query(
                'sum(increase(casino_loyalty_points_debited_total{job="loyalty"}[1h]))', "points"
            ),
        ),
        figure(
            "Drift findings in a day",
            "Players whose balance was more than 100 points off what their entries say. Any: see "
            "the runbook.",
            "short",
            Query(
                "loyalty:drift_warnings:increase26h + loyalty:drift_criticals:increase26h",
                "players",
            ),
            levels=ANY,
        ),
        figure(
            "Broken chains in a day",
            "Chains of entries that did not verify. Any: somebody has changed the ledger; see the "
            "runbook before you touch the database.",
            "short",
            Query("loyalty:broken_chains:increase26h", "players"),
            levels=ANY,
        ),
        figure(
            "Replicas",
            "How many replicas of Loyalty can be scraped. Fewer than were started: look at the "
            "dashboard Machine.",
            "short",
            Query('sum(up{job="loyalty"})', "replicas"),
        ),
    ]


def _points() -> list[Panel]:
    return [
        _by_reason(
            "Points credited by reason",
            "base_accrual follows play. manual_reward is staff's own doing: a burst outside of an "
            "outage is worth a question. adjustment is an administrator's.",
            "casino_loyalty_points_credited_total",
        ),
        _by_reason(
            "Points debited by reason",
            "redemption follows guests. reversal and adjustment are corrections: a burst is "
            "somebody cleaning up, or worse.",
            "casino_loyalty_points_debited_total",
        ),
        trend(
            "Entries and replays",
            "Entries by reason; a replay is an answer with an entry that was there. Replays after "
            "an outage are retries doing their work. Replays all the time: a client repeats what "
            "succeeded, or its answers get lost.",
            "cps",
            [
                Query(
                    "sum by (casino_ledger_reason) (rate(casino_loyalty_entries_total"
                    f'{{{_OF_REPLICA}, casino_idempotency_replay="false"}}[$__rate_interval]))',
                    "{{casino_ledger_reason}}",
                ),
                Query(
                    "sum(rate(casino_loyalty_entries_total"
                    f'{{{_OF_REPLICA}, casino_idempotency_replay="true"}}[$__rate_interval]))',
                    "replays",
                ),
            ],
        ),
    ]


def _by_reason(title: str, description: str, metric: str) -> Panel:
    return trend(
        title,
        description,
        "short",
        [
            Query(
                f"sum by (casino_ledger_reason) (increase({metric}{{{_OF_REPLICA}}}"
                "[$__rate_interval]))",
                "{{casino_ledger_reason}}",
            )
        ],
        stacked=True,
    )


def _calls() -> list[Panel]:
    return [
        trend(
            "Calls by method",
            "What Loyalty is asked for. AccruePointsFromSlip follows the closes on the dashboard "
            "Close; ApplyPromotion and IssueManualReward come from people and campaigns.",
            "reqps",
            [
                Query(
                    "sum by (rpc_method) (rate(rpc_server_call_duration_seconds_count"
                    f"{{{_OF_REPLICA}}}[$__rate_interval]))",
                    "{{rpc_method}}",
                )
            ],
            stacked=True,
        ),
        trend(
            "Refusals by reason",
            "Calls that got no entry. BALANCE_DRIFTED: a balance must be repaired. "
            "UNAUTHENTICATED: keys. INTERNAL and DATABASE_…: our fault. The others are the "
            "caller's. Click a line for the traces of its calls.",
            "reqps",
            [
                Query(
                    "sum by (error_type) (rate(rpc_server_call_duration_seconds_count"
                    f'{{{_OF_REPLICA}, error_type!=""}}[$__rate_interval]))',
                    "{{error_type}}",
                )
            ],
            links=[_REFUSED_FOR_THIS, _FAILED_CALLS],
        ),
        trend(
            "Rate limits",
            "Manual rewards that were refused by the limit of each member of staff, or because "
            "the limiter could not be asked, which refuses everybody. One member of staff at the "
            "limit: see the runbook before you raise it.",
            "reqps",
            [
                Query(
                    "sum by (error_type) (rate(rpc_server_call_duration_seconds_count"
                    f'{{{_OF_REPLICA}, error_type=~"RATE_LIMIT.*"}}[$__rate_interval]))',
                    "{{error_type}}",
                )
            ],
            links=[_REFUSED_FOR_THIS],
        ),
    ]


def _durations() -> list[Panel]:
    return [
        trend(
            "Duration by method",
            "The 99th percentile. A dot is one call: click it for its trace. One method high: its "
            "statement, or one player's row that is held. All high: the database.",
            "s",
            [
                Query(
                    "histogram_quantile(0.99, sum by (le, rpc_method) (rate("
                    f"rpc_server_call_duration_seconds_bucket{{{_OF_REPLICA}}}[$__rate_interval])))",
                    "{{rpc_method}}",
                    exemplars=True,
                )
            ],
            links=[_FAILED_CALLS],
        ),
        trend(
            "Promotions and programs",
            "Calls of campaigns and of those who change the terms. Promotions that are refused "
            "after a change of terms: the campaign's multiplier gives nothing more.",
            "reqps",
            [
                Query(
                    "sum by (rpc_method, rpc_response_status_code) (rate("
                    "rpc_server_call_duration_seconds_count"
                    f'{{{_OF_REPLICA}, rpc_method=~".*/(ApplyPromotion|UpdateLoyaltyProgram)"}}'
                    "[$__rate_interval]))",
                    "{{rpc_method}} {{rpc_response_status_code}}",
                )
            ],
            links=[_FAILED_CALLS],
        ),
    ]


def _proof() -> list[Panel]:
    return [
        trend(
            "Drift checks",
            "Checks by the worst they found, or by the error that ended them. One for each casino "
            "a day, at 03:00 in its time zone, and one whenever somebody asks. None for a day: "
            "the schedule does not run.",
            "short",
            [
                Query(
                    "sum by (casino_loyalty_drift_severity, error_type) (increase("
                    f"casino_loyalty_drift_checks_total{{{_OF_REPLICA}}}[$__rate_interval]))",
                    "{{casino_loyalty_drift_severity}}{{error_type}}",
                )
            ],
            links=[_FAILED_CALLS],
        ),
        trend(
            "Drift findings",
            "Players whose cached figures were not what their entries say. info is up to 100 "
            "points, warning up to 1000, critical more. The same number each day: nobody has "
            "repaired them.",
            "short",
            [
                Query(
                    "sum by (casino_loyalty_drift_severity) (increase("
                    f"casino_loyalty_drift_findings_total{{{_OF_REPLICA}}}[$__rate_interval]))",
                    "{{casino_loyalty_drift_severity}}",
                )
            ],
        ),
        trend(
            "Verifications of the chain",
            "Walks over the hash chains by what they found, and how many players' chains were "
            "broken. A broken chain does not heal: it is found again by each walk.",
            "short",
            [
                Query(
                    "sum by (casino_outcome) (increase(casino_loyalty_verifications_total"
                    f"{{{_OF_REPLICA}}}[$__rate_interval]))",
                    "{{casino_outcome}}",
                ),
                Query(
                    "sum(increase(casino_loyalty_broken_chains_total"
                    f"{{{_OF_REPLICA}}}[$__rate_interval]))",
                    "broken chains",
                ),
            ],
        ),
    ]
