"""Channels to other services: keepalive, reconnection, and retries where they are safe.

It must not know which service is called, nor put a timeout into a service config:
grpcio fails such calls. Every call passes its own `timeout=`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import grpc
from opentelemetry import trace

from chassis.interceptors.client import ClientInterceptor

# An idle connection that a firewall dropped is noticed before the next call needs it;
# slower than the server's least accepted interval, or it would hang up on us.
KEEPALIVE_TIME_MS = 30_000
KEEPALIVE_TIMEOUT_MS = 5_000
# gRPC's defaults wait up to two minutes before trying a server that came back.
RECONNECT_FIRST_MS = 100
RECONNECT_LONGEST_MS = 1_000
# Three tries within a quarter of a second bridge a restart of one of several servers.
RETRY_ATTEMPTS = 3
RETRY_FIRST_BACKOFF = "0.05s"
RETRY_LONGEST_BACKOFF = "0.2s"


def open_channel(
    address: str,
    *,
    credentials: grpc.ChannelCredentials | None,
    idempotent_methods: Sequence[tuple[str, str]],
    tracer: trace.Tracer,
) -> grpc.aio.Channel:
    """A channel to `address`, in plain text without credentials.

    `idempotent_methods` are the (service, method) pairs that may be sent again when
    the server is unavailable; no other call is ever repeated.
    """
    options: list[tuple[str, str | int]] = [
        ("grpc.keepalive_time_ms", KEEPALIVE_TIME_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        # Without these two, gRPC stops pinging as soon as no call is under way.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", RECONNECT_FIRST_MS),
        ("grpc.min_reconnect_backoff_ms", RECONNECT_FIRST_MS),
        ("grpc.max_reconnect_backoff_ms", RECONNECT_LONGEST_MS),
        ("grpc.service_config", _service_config(idempotent_methods)),
    ]
    interceptors: Sequence[grpc.aio.ClientInterceptor] = [ClientInterceptor(tracer)]
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=options, interceptors=interceptors)
    return grpc.aio.secure_channel(address, credentials, options=options, interceptors=interceptors)


def _service_config(idempotent_methods: Sequence[tuple[str, str]]) -> str:
    return json.dumps(
        {
            "methodConfig": [
                {
                    "name": [
                        {"service": service, "method": method}
                        for service, method in idempotent_methods
                    ],
                    "retryPolicy": {
                        "maxAttempts": RETRY_ATTEMPTS,
                        "initialBackoff": RETRY_FIRST_BACKOFF,
                        "maxBackoff": RETRY_LONGEST_BACKOFF,
                        "backoffMultiplier": 2,
                        "retryableStatusCodes": ["UNAVAILABLE"],
                    },
                }
            ]
        }
    )
