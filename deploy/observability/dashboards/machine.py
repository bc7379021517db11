"""The dashboard "Machine": what both services run on, which is database, event loop, CPU, memory.

It knows the names of the metrics that both services have.
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

UID = "casino-machine"
# Where a chosen service is called by its job, its traces are, too.
SERVICE = "${__field.labels.job}"
ANY = Levels(doubtful=None, bad=1)
# A loop that is late by this much delays every call by as much.
LOOP_DELAY_SECONDS = Levels(doubtful=0.05, bad=0.25)

_OF_REPLICA = 'job=~"$job", instance=~"$instance"'
_FAILED_CALLS = traces("Traces of failed calls", SERVICE, "error=true")
_FAILED_FOR_THIS = traces(
    "Traces with this error", SERVICE, 'error.type="${__field.labels.error_type}"'
)


def dashboard() -> Dashboard:
    """Builds it."""
    return page(
        "Machine",
        UID,
        "What do the services run on, and what of it is scarce?",
        [
            choice("job", "Service", 'label_values(up{job=~"ratingslip|loyalty"}, job)'),
            choice("instance", "Replica", 'label_values(up{job=~"$job"}, instance)'),
        ],
        [
            Section("Now", _now()),
            Section("Database", [*_connections(), *_operations()]),
            Section("Process", _process()),
            Section("Calls", _calls()),
        ],
        ["database-failover", "key-rotation"],
    )


def _now() -> list[Panel]:
    return [
        figure(
            "RatingSlip serves",
            "1 when at least one replica takes calls. 0: nobody can close a slip.",
            "short",
            Query('job:health_serving:max{job="ratingslip"}', "serves"),
        ),
        figure(
            "Loyalty serves",
            "1 when at least one replica takes calls. 0: slips close without points, which come "
            "later, and nobody can redeem.",
            "short",
            Query('job:health_serving:max{job="loyalty"}', "serves"),
        ),
        figure(
            "Replicas that do not serve",
            "Replicas that run and take no calls: they start, drain, or have lost their database.",
            "short",
            Query(f"sum(1 - casino_health_serving{{{_OF_REPLICA}}})", "replicas"),
            levels=ANY,
        ),
        figure(
            "Replicas that cannot be scraped",
            "Down, or their metrics endpoint is: what happens there is on no dashboard.",
            "short",
            Query(f"sum(1 - up{{{_OF_REPLICA}}})", "replicas"),
            levels=ANY,
        ),
        figure(
            "Calls that wait for a connection",
            "More than none for long: the database is slow, a lock is held, or the pool is too "
            "small.",
            "short",
            Query(f"sum(db_client_connection_pending_requests{{{_OF_REPLICA}}})", "calls"),
            levels=ANY,
        ),
        figure(
            "Event loop's worst delay",
            "The 99th percentile of five minutes. High: something computes for long between two "
            "waits, or the processor is taken by others.",
            "s",
            Query(
                "histogram_quantile(0.99, sum by (le) (rate(casino_event_loop_delay_seconds_bucket"
                f"{{{_OF_REPLICA}}}[5m])))",
                "delay",
            ),
            levels=LOOP_DELAY_SECONDS,
        ),
    ]


def _connections() -> list[Panel]:
    return [
        trend(
            "Pool",
            "Connections by state, and the most there can be. used at the maximum: calls begin to "
            "wait. Nothing at all: the database cannot be reached.",
            "short",
            [
                Query(
                    "sum by (job, instance, db_client_connection_state) (db_client_connection_count"
                    f"{{{_OF_REPLICA}}})",
                    "{{job}} {{instance}} {{db_client_connection_state}}",
                ),
                Query(
                    f"sum by (job, instance) (db_client_connection_max{{{_OF_REPLICA}}})",
                    "{{job}} {{instance}} max",
                ),
            ],
        ),
        trend(
            "Waiting for a connection",
            "Calls in the queue for a connection, and calls that gave up there, which were "
            "answered UNAVAILABLE. The queue grows before durations do.",
            "short",
            [
                Query(
                    "sum by (job, instance) (db_client_connection_pending_requests"
                    f"{{{_OF_REPLICA}}})",
                    "{{job}} {{instance}} waiting",
                ),
                Query(
                    "sum by (job, instance) (increase(db_client_connection_timeouts_total"
                    f"{{{_OF_REPLICA}}}[$__rate_interval]))",
                    "{{job}} {{instance}} gave up",
                ),
            ],
            links=[_FAILED_CALLS],
        ),
        trend(
            "Time to get a connection",
            "The 99th percentile. As a rule well below a millisecond: connections are there. "
            "Milliseconds: new ones are opened. More: all are used.",
            "s",
            [
                Query(
                    "histogram_quantile(0.99, sum by (le, job) (rate("
                    f"db_client_connection_wait_time_seconds_bucket{{{_OF_REPLICA}}}"
                    "[$__rate_interval])))",
                    "{{job}}",
                    exemplars=True,
                )
            ],
        ),
    ]


def _operations() -> list[Panel]:
    return [
        trend(
            "Duration by function",
            "The 99th percentile of each SQL function. A dot is one operation: click it for its "
            "trace. One function high: its plan, or a lock on what it writes. All high: the "
            "database itself.",
            "s",
            [
                Query(
                    "histogram_quantile(0.99, sum by (le, job, db_stored_procedure_name) (rate("
                    f"db_client_operation_duration_seconds_bucket{{{_OF_REPLICA}}}"
                    "[$__rate_interval])))",
                    "{{db_stored_procedure_name}}",
                    exemplars=True,
                )
            ],
            links=[_FAILED_CALLS],
        ),
        trend(
            "Operations by function",
            "How often each SQL function is called. One that grows without more calls is called "
            "again and again: lost races, or a loop.",
            "ops",
            [
                Query(
                    "sum by (job, db_stored_procedure_name) (rate("
                    f"db_client_operation_duration_seconds_count{{{_OF_REPLICA}}}"
                    "[$__rate_interval]))",
                    "{{db_stored_procedure_name}}",
                )
            ],
        ),
        trend(
            "Errors by function",
            "Operations that failed, by our reason. What a caller did wrong is here, too; "
            "DATABASE_BUSY, DATABASE_UNAVAILABLE and DEADLINE_EXCEEDED are the database's. Click "
            "a line for its traces.",
            "ops",
            [
                Query(
                    "sum by (job, db_stored_procedure_name, error_type) (rate("
                    f'db_client_operation_duration_seconds_count{{{_OF_REPLICA}, error_type!=""}}'
                    "[$__rate_interval]))",
                    "{{db_stored_procedure_name}} {{error_type}}",
                )
            ],
            links=[_FAILED_FOR_THIS, _FAILED_CALLS],
        ),
    ]


def _process() -> list[Panel]:
    return [
        trend(
            "Event loop delay",
            "How late timers fire: the 50th and 99th percentile. Every call of the replica waits "
            "this long at each step. High with a busy processor: too much work, start another "
            "replica. High without: something blocks the loop.",
            "s",
            [
                Query(
                    f"histogram_quantile({quantile}, sum by (le, job, instance) (rate("
                    f"casino_event_loop_delay_seconds_bucket{{{_OF_REPLICA}}}[$__rate_interval])))",
                    f"{{{{job}}}} {{{{instance}}}} {quantile}",
                )
                for quantile in ("0.5", "0.99")
            ],
            levels=LOOP_DELAY_SECONDS,
        ),
        trend(
            "Processor",
            "Processors used, 1 being one whole. A replica cannot use more than one: near 1 it is "
            "at its limit, and another replica helps.",
            "short",
            [
                Query(
                    "sum by (job, instance, cpu_mode) (rate(process_cpu_time_seconds_total"
                    f"{{{_OF_REPLICA}}}[$__rate_interval]))",
                    "{{job}} {{instance}} {{cpu_mode}}",
                )
            ],
            stacked=True,
        ),
        trend(
            "Memory",
            "Resident memory. It levels off within an hour; a line that climbs for days is a "
            "leak, and ends at the limit of the container.",
            "bytes",
            [
                Query(
                    f"sum by (job, instance) (process_memory_usage_bytes{{{_OF_REPLICA}}})",
                    "{{job}} {{instance}}",
                )
            ],
        ),
    ]


def _calls() -> list[Panel]:
    return [
        trend(
            "Calls by service",
            "Calls that each replica answers. One replica far below the others: the balancer has "
            "left it out, or clients hold on to old connections.",
            "reqps",
            [
                Query(
                    "sum by (job, instance) (rate(rpc_server_call_duration_seconds_count"
                    f"{{{_OF_REPLICA}}}[$__rate_interval]))",
                    "{{job}} {{instance}}",
                )
            ],
        ),
        trend(
            "Failures by code",
            "Calls by gRPC code, without OK. UNAUTHENTICATED of everybody: a key was rotated on "
            "one side only. INTERNAL: a fault of ours; its trace and its log line say where.",
            "reqps",
            [
                Query(
                    "sum by (job, rpc_response_status_code) (rate("
                    f'rpc_server_call_duration_seconds_count{{{_OF_REPLICA}, error_type!=""}}'
                    "[$__rate_interval]))",
                    "{{job}} {{rpc_response_status_code}}",
                )
            ],
            links=[_FAILED_CALLS],
        ),
        trend(
            "Calls from RatingSlip to Loyalty",
            "The 99th percentile at the caller. Far more than Loyalty's own duration on the "
            "dashboard Ledger: the time goes by on the way, or in a queue before Loyalty's event "
            "loop.",
            "s",
            [
                Query(
                    "histogram_quantile(0.99, sum by (le, job, rpc_method) (rate("
                    f"rpc_client_call_duration_seconds_bucket{{{_OF_REPLICA}}}[$__rate_interval])))",
                    "{{rpc_method}}",
                    exemplars=True,
                )
            ],
        ),
    ]
