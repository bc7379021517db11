"""What is measured of the way to PostgreSQL: its operations, and its pool of connections.

It must not know how either of them works, nor which functions there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Iterable, Iterator
from typing import Protocol

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from chassis import telemetry


class Pool(Protocol):
    """What can be seen of a pool from outside."""

    def get_size(self) -> int: ...
    def get_idle_size(self) -> int: ...
    def get_max_size(self) -> int: ...


class DatabaseMetrics:
    """The instruments of one database and its pool."""

    def __init__(self, meter: metrics.Meter, namespace: str) -> None:
        """`namespace` names the database and its one pool."""
        self._namespace = namespace
        self._pool: Pool | None = None
        self._pending = 0
        self._of_pool = {telemetry.DB_POOL_NAME: namespace}
        self._used = {**self._of_pool, telemetry.DB_CONNECTION_STATE: "used"}
        self._idle = {**self._of_pool, telemetry.DB_CONNECTION_STATE: "idle"}
        self._durations = telemetry.duration_histogram(
            meter,
            "db.client.operation.duration",
            "How long operations took, with the wait for a connection and all attempts",
        )
        self._waits = telemetry.duration_histogram(
            meter, "db.client.connection.wait_time", "How long it took to get a connection"
        )
        self._timeouts = meter.create_counter(
            "db.client.connection.timeouts",
            unit="{timeout}",
            description="Operations that waited for a connection in vain",
        )
        self._timeouts.add(0, self._of_pool)
        meter.create_observable_up_down_counter(
            "db.client.connection.count",
            [self._observe_count],
            unit="{connection}",
            description="Connections that are open, used or idle",
        )
        meter.create_observable_up_down_counter(
            "db.client.connection.max",
            [self._observe_most],
            unit="{connection}",
            description="The most connections that may be open",
        )
        meter.create_observable_up_down_counter(
            "db.client.connection.pending_requests",
            [self._observe_pending],
            unit="{request}",
            description="Operations that wait for a connection",
        )

    def observe(self, pool: Pool) -> None:
        """Tells whose connections are to be counted from now on."""
        self._pool = pool

    @contextlib.contextmanager
    def operation(self, function: str) -> Iterator[None]:
        """Measures one operation; to be entered within its span, which the exemplar names."""
        started = time.perf_counter()
        error_type = ""
        try:
            yield
        except BaseException as error:
            error_type = telemetry.error_type_of(error)
            raise
        finally:
            attributes = _operation_attributes(self._namespace, function, error_type)
            self._durations.record(time.perf_counter() - started, attributes)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Measures the wait for one connection.

        A deadline may end it by a timeout or by a cancellation, whichever comes first: both
        were in vain.
        """
        started = time.perf_counter()
        self._pending += 1
        try:
            yield
        except (TimeoutError, asyncio.CancelledError):
            self._timeouts.add(1, self._of_pool)
            raise
        else:
            self._waits.record(time.perf_counter() - started, self._of_pool)
        finally:
            self._pending -= 1

    # These run in an exporter's thread: a figure may be a moment old, and none waits.

    def _observe_count(self, _: CallbackOptions) -> Iterable[Observation]:
        if self._pool is not None:
            idle = self._pool.get_idle_size()
            yield Observation(idle, self._idle)
            yield Observation(max(self._pool.get_size() - idle, 0), self._used)

    def _observe_most(self, _: CallbackOptions) -> Iterable[Observation]:
        if self._pool is not None:
            yield Observation(self._pool.get_max_size(), self._of_pool)

    def _observe_pending(self, _: CallbackOptions) -> Iterable[Observation]:
        yield Observation(self._pending, self._of_pool)


# The functions are those that our code names, and so are the reasons.
@functools.cache
def _operation_attributes(namespace: str, function: str, error_type: str) -> dict[str, str]:
    attributes = {
        telemetry.DB_SYSTEM: "postgresql",
        telemetry.DB_NAMESPACE: namespace,
        telemetry.DB_STORED_PROCEDURE: function,
    }
    return {**attributes, telemetry.ERROR_TYPE: error_type} if error_type else attributes
