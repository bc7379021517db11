"""The dashboard "Close": do closes work, how fast, and what became of those that did not.

It knows the names of RatingSlip's metrics and of the recording rules of the close.
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
    spread,
    traces,
    trend,
)

UID = "casino-close"
SERVICE = "ratingslip"
CLOSE = "casino.ratingslip.v1.RatingSlipService/CompleteRatingSlip"

# The objectives, as docs/dashboards.md states them.
ALLOWED_FAILED_SHARE = "0.001"
ALLOWED_SLOW_SHARE = "0.01"
LATENCY_OBJECTIVE_SECONDS = 0.5
BURN_RATES = Levels(doubtful=6, bad=14.4)
# When the alerts on a slip that waits go off.
PENDING_AGE_SECONDS = Levels(doubtful=60, bad=600)
ANY = Levels(doubtful=None, bad=1)

_OF_REPLICA = 'job="ratingslip", instance=~"$instance"'
_CALLS = f'{_OF_REPLICA}, rpc_method="{CLOSE}"'

_SLOW_CLOSES = traces("Traces of closes", SERVICE, "", CLOSE)
_FAILED_CLOSES = traces("Traces of failed closes", SERVICE, "error=true", CLOSE)
_FAILED_FOR_THIS = traces(
    "Traces of closes that failed for this reason",
    SERVICE,
    'error.type="${__field.labels.error_type}"',
    CLOSE,
)
_FAILED_CALLS = traces("Traces of failed calls", SERVICE, "error=true")


def dashboard() -> Dashboard:
    """Builds it."""
    return page(
        "Close",
        UID,
        "Do closes work, how fast are they, and what became of those that did not?",
        [choice("instance", "Replica", 'label_values(up{job="ratingslip"}, instance)')],
        [
            Section("Now, over all replicas", _now()),
            Section("Closes", _closes()),
            Section("Objectives", _objectives()),
            Section("Points that are due", [*_due(), *_attempts()]),
            Section("The way to Loyalty", _loyalty()),
        ],
        ["saga-recovery", "correlation-tracing"],
    )


def _now() -> list[Panel]:
    return [
        figure(
            "Alerts that fire",
            "Of both services. More than none: the alert names its runbook, and this row which of "
            "the panels below to look at first.",
            "short",
            Query('count(ALERTS{alertstate="firing"}) or vector(0)', "alerts"),
            levels=ANY,
        ),
        figure(
            "Closes per second",
            "None at a time when there is play: nobody can reach RatingSlip, or its clients are "
            "refused before they get to close.",
            "reqps",
            Query(
                f'sum(rate(rpc_server_call_duration_seconds_count{{job="ratingslip", '
                f'rpc_method="{CLOSE}"}}[$__rate_interval]))',
                "closes",
            ),
        ),
        figure(
            "Closes that fail",
            "The share in the last hour that failed by our fault. 0.1 % is what the objective "
            "allows over a month.",
            "percentunit",
            Query("ratingslip:closes_failed:ratio1h", "failed"),
            levels=Levels(doubtful=0.001, bad=0.0144),
            links=[_FAILED_CLOSES],
        ),
        figure(
            "Oldest slip without points",
            "How long the oldest closed slip has waited for its points. A few seconds are an "
            "attempt under way; a minute is several failed attempts.",
            "s",
            Query(
                'max(casino_ratingslip_oldest_pending_slip_age_seconds{job="ratingslip"})', "age"
            ),
            levels=PENDING_AGE_SECONDS,
        ),
        figure(
            "Slips refused",
            "Closed slips that Loyalty refused for good. Each stays until somebody recovers it or "
            "pays it by hand.",
            "short",
            Query(
                "max(casino_ratingslip_unsettled_slips"
                '{job="ratingslip", casino_loyalty_state="REFUSED"})',
                "refused",
            ),
            levels=ANY,
        ),
        figure(
            "Replicas",
            "How many replicas of RatingSlip can be scraped. Fewer than were started: look at the "
            "dashboard Machine.",
            "short",
            Query('sum(up{job="ratingslip"})', "replicas"),
        ),
    ]


def _closes() -> list[Panel]:
    return [
        trend(
            "Closes by result",
            "All closes by gRPC code. UNAVAILABLE and FAILED_PRECONDITION that grow while OK "
            "shrinks: Loyalty is away, or refuses. All of it going to nothing: the callers cannot "
            "reach us.",
            "reqps",
            [
                Query(
                    "sum by (rpc_response_status_code) (rate(rpc_server_call_duration_seconds_count"
                    f"{{{_CALLS}}}[$__rate_interval]))",
                    "{{rpc_response_status_code}}",
                )
            ],
            stacked=True,
            links=[_FAILED_CLOSES],
        ),
        trend(
            "Errors by reason",
            "Refused and failed closes by reason. PARTIAL_COMPLETION is a slip that is closed and "
            "has no points yet. What is not in capitals of ours is a fault of the network. Click "
            "a line for the traces of its calls.",
            "reqps",
            [
                Query(
                    "sum by (error_type) (rate(rpc_server_call_duration_seconds_count"
                    f'{{{_CALLS}, error_type!=""}}[$__rate_interval]))',
                    "{{error_type}}",
                )
            ],
            links=[_FAILED_FOR_THIS, _FAILED_CLOSES],
        ),
        trend(
            "Duration",
            "How long closes take, with the call to Loyalty. A dot is one call: click it for its "
            "trace. Only the 99th percentile high: one player or one replica. All of them high: "
            "the database or Loyalty is slow. The line is the objective.",
            "s",
            [
                Query(
                    f"histogram_quantile({quantile}, sum by (le) (rate("
                    f"rpc_server_call_duration_seconds_bucket{{{_CALLS}}}[$__rate_interval])))",
                    f"{quantile}",
                    exemplars=quantile == "0.99",
                )
                for quantile in ("0.5", "0.95", "0.99")
            ],
            levels=Levels(doubtful=None, bad=LATENCY_OBJECTIVE_SECONDS),
            links=[_SLOW_CLOSES],
        ),
        spread(
            "Durations, all of them",
            "How many closes took how long. Two bands instead of one are two kinds of closes: with "
            "retries and without, or two replicas.",
            "s",
            "sum by (le) (increase(rpc_server_call_duration_seconds_bucket"
            f"{{{_CALLS}}}[$__rate_interval]))",
        ),
    ]


def _objectives() -> list[Panel]:
    def burn_rates(share: str, allowed: str) -> list[Query]:
        return [
            Query(f"ratingslip:closes_{share}:ratio{window} / {allowed}", window)
            for window in ("5m", "30m", "1h", "6h")
        ]

    return [
        trend(
            "Error budget, burn rate",
            "How many times as fast as allowed the budget of 0.1 % failed closes is spent. Above "
            "14.4 in 5m and 1h somebody is paged; above 6 in 30m and 6h there is a ticket. 5m "
            "falls first when it is over.",
            "none",
            burn_rates("failed", ALLOWED_FAILED_SHARE),
            levels=BURN_RATES,
            links=[_FAILED_CLOSES],
        ),
        trend(
            "Latency budget, burn rate",
            "The same for the budget of 1 % of closes over 500 ms.",
            "none",
            burn_rates("slow", ALLOWED_SLOW_SHARE),
            levels=BURN_RATES,
            links=[_SLOW_CLOSES],
        ),
    ]


def _due() -> list[Panel]:
    return [
        trend(
            "Partial completions by cause",
            "Closes that were answered without their points. UNAVAILABLE: Loyalty is not reached. "
            "DEADLINE_EXCEEDED: its answer came too late, and the points may be there. "
            "BALANCE_DRIFTED: this player's balance must be repaired. Click a line for its traces.",
            "short",
            [
                Query(
                    "sum by (error_type) (increase(casino_ratingslip_partial_completions_total"
                    f"{{{_OF_REPLICA}}}[$__rate_interval]))",
                    "{{error_type}}",
                )
            ],
            links=[_FAILED_CLOSES],
        ),
        trend(
            "Slips without points",
            "Closed slips of all casinos whose points are not there. PENDING must go down by "
            "itself; a level that stays is one that no attempt helps. REFUSED goes down by hand "
            "only.",
            "short",
            [
                Query(
                    "max by (casino_loyalty_state) (casino_ratingslip_unsettled_slips"
                    f"{{{_OF_REPLICA}}})",
                    "{{casino_loyalty_state}}",
                )
            ],
        ),
        trend(
            "Age of the oldest slip without points",
            "A line that climbs without a break is one slip that no attempt helps, or a recoverer "
            "that does not run. The lines across are the alerts.",
            "s",
            [
                Query(
                    f"max(casino_ratingslip_oldest_pending_slip_age_seconds{{{_OF_REPLICA}}})",
                    "oldest",
                )
            ],
            levels=PENDING_AGE_SECONDS,
        ),
    ]


def _attempts() -> list[Panel]:
    return [
        trend(
            "Refused slips by reason",
            "What Loyalty said no to for good. A reason that comes often is a fault in what "
            "RatingSlip sends, or in the terms of one casino.",
            "short",
            [
                Query(
                    "sum by (error_type) (increase(casino_ratingslip_refused_slips_total"
                    f"{{{_OF_REPLICA}}}[$__rate_interval]))",
                    "{{error_type}}",
                )
            ],
            links=[_FAILED_CALLS],
        ),
        trend(
            "Recoveries",
            "Attempts of the recoverer by how they ended. Only failed: Loyalty is back for its "
            "health check and for nothing else, or one slip fails again and again.",
            "short",
            [
                Query(
                    "sum by (casino_outcome) (increase(casino_ratingslip_recoveries_total"
                    f"{{{_OF_REPLICA}}}[$__rate_interval]))",
                    "{{casino_outcome}}",
                )
            ],
            links=[_FAILED_CALLS],
        ),
        trend(
            "Rounds of the recoverer",
            "Each replica looks for work at every poll, as a rule once a second. Paused: Loyalty "
            "or the database is away. A line at zero: this recoverer is stuck.",
            "cps",
            [
                Query(
                    "sum by (instance, casino_outcome) (rate("
                    f"casino_ratingslip_recovery_rounds_total{{{_OF_REPLICA}}}[$__rate_interval]))",
                    "{{instance}} {{casino_outcome}}",
                )
            ],
        ),
    ]


def _loyalty() -> list[Panel]:
    return [
        trend(
            "Calls to Loyalty by result",
            "As RatingSlip sees them. UNAVAILABLE here and a healthy Loyalty: the network, TLS or "
            "the address. UNAUTHENTICATED: the service's key; see the runbook on keys.",
            "reqps",
            [
                Query(
                    "sum by (rpc_response_status_code) (rate(rpc_client_call_duration_seconds_count"
                    f"{{{_OF_REPLICA}}}[$__rate_interval]))",
                    "{{rpc_response_status_code}}",
                )
            ],
            links=[_FAILED_CALLS],
        ),
        trend(
            "Duration of calls to Loyalty",
            "The 99th percentile by method; 2.5 s is where RatingSlip gives up. As high as the "
            "close itself: look at Loyalty's database on the dashboard Machine. Far below it: "
            "look at RatingSlip's own.",
            "s",
            [
                Query(
                    "histogram_quantile(0.99, sum by (le, rpc_method) (rate("
                    f"rpc_client_call_duration_seconds_bucket{{{_OF_REPLICA}}}[$__rate_interval])))",
                    "{{rpc_method}}",
                    exemplars=True,
                )
            ],
            links=[_FAILED_CALLS],
        ),
    ]
