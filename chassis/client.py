"""Channels to other services: keepalive, reconnection, retries where they are safe, TLS
that follows its files.

It must not know which service is called, nor put a timeout into a service config:
grpcio fails such calls. Every call passes its own `timeout=`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence

import grpc
from opentelemetry import metrics, trace

from chassis import tls
from chassis.interceptors.client import ClientInterceptor

# An idle connection that a firewall dropped is noticed before the next call needs it;
# slower than the server's least accepted interval, or it would hang up on us.
KEEPALIVE_TIME_MS = 30_000
KEEPALIVE_TIMEOUT_MS = 5_000
# gRPC's defaults wait up to two minutes before trying a server that came back.
RECONNECT_FIRST_MS = 100
RECONNECT_LONGEST_MS = 1_000
# Three tries within a quarter of a second bridge a restart of one of several servers. They
# are made for calls that no server has begun to answer: an UNAVAILABLE of a service's own
# comes after its headers, and is the caller's to judge.
RETRY_ATTEMPTS = 3
RETRY_FIRST_BACKOFF = "0.05s"
RETRY_LONGEST_BACKOFF = "0.2s"


# A look at the files' times is cheap; this keeps it off most calls all the same.
CERTIFICATE_CHECK_INTERVAL_SECONDS = 1.0
# Calls under way on a replaced channel may end; none of ours takes longer.
REPLACED_CHANNEL_GRACE_SECONDS = 10.0


class RenewedChannel:
    """A channel that is opened anew when the certificate files behind it are replaced.

    gRPC keeps the credentials a channel was opened with for as long as it lives, and
    would show an expired certificate at the next reconnection.
    """

    def __init__(self, opener: Callable[[], grpc.aio.Channel], files: tls.WatchedFiles) -> None:
        self._opener = opener
        self._files = files
        self._channel = opener()
        self._checked = time.monotonic()
        self._closing: set[asyncio.Task[None]] = set()

    def current(self) -> grpc.aio.Channel:
        """The channel for the next call."""
        if time.monotonic() - self._checked >= CERTIFICATE_CHECK_INTERVAL_SECONDS:
            self._checked = time.monotonic()
            self._renew()
        return self._channel

    async def close(self) -> None:
        """Closes the channel, and whatever is left of the ones before."""
        for task in self._closing:
            task.cancel()
        await self._channel.close()

    def _renew(self) -> None:
        try:
            if not self._files.have_changed():
                return
            fresh = self._opener()
        except OSError:
            # A file is being replaced; the old channel serves until the next check.
            return
        replaced, self._channel = self._channel, fresh
        task = asyncio.create_task(replaced.close(REPLACED_CHANNEL_GRACE_SECONDS))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def open_channel(
    address: str,
    *,
    credentials: grpc.ChannelCredentials | None,
    idempotent_methods: Sequence[tuple[str, str]],
    tracer: trace.Tracer,
    meter: metrics.Meter,
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
    interceptors: Sequence[grpc.aio.ClientInterceptor] = [ClientInterceptor(tracer, meter)]
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
