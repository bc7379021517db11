"""The way to PostgreSQL: a bounded pool, one function call per round trip, typed errors.

Owns waiting, deadlines, retries, spans and metrics, and the meaning of every SQLSTATE that
PostgreSQL itself raises. It must not know a function or a rule of a service; what a
service's own SQLSTATEs mean comes in through the constructor.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
from collections.abc import Callable, Mapping
from typing import Any

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from opentelemetry import metrics, trace

from chassis import telemetry
from chassis.context import Call, Caller, current_call
from chassis.database_metrics import DatabaseMetrics
from chassis.errors import ServiceError, deadline_exceeded, internal, unavailable

_logger = logging.getLogger(__name__)

# A call that has not got a connection by then is better told to come back.
POOL_WAIT_SECONDS = 2.0
CONNECT_TIMEOUT_SECONDS = 3.0
# Asking the server to cancel a statement has no limit of its own.
CLOSE_TIMEOUT_SECONDS = 5.0
# How long a connection may take to come back from a cancelled statement before it is cut.
RELEASE_TIMEOUT_SECONDS = 2.0
# The database gives up before the callers do, so that they get a reason.
STATEMENT_TIMEOUT_MS = 4_000
LOCK_TIMEOUT_MS = 2_000
IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000
# Deadlocks and lost races are over in milliseconds; more attempts would only queue.
ATTEMPTS = 4
RETRY_DELAY_SECONDS = 0.005
# What RetryInfo tells a caller when the database is busy or away.
RETRY_AFTER_SECONDS = 1.0

# A transaction that lost against a concurrent one runs again: serialization failure,
# deadlock, and a unique violation, where the second run finds the winner's row.
_LOST_RACE = frozenset({"40001", "40P01", "23505"})
# Lock not available, statement timeout, too many connections.
_BUSY = frozenset({"55P03", "57014", "53300"})
# Connection failures, shutdown and start-up, out of disk, a read-only replica.
_AWAY_CLASSES = ("08", "57P", "53", "25006", "58")

# Turns a service's own SQLSTATE into the error its callers see; None when it has none.
ErrorMapping = Callable[[asyncpg.PostgresError], ServiceError | None]


class _StatelessConnection(asyncpg.Connection):
    """A connection that keeps no session state, so that nothing needs a reset.

    Everything we set is local to a transaction; without the reset query a call is
    one round trip and not two.
    """

    def get_reset_query(self) -> str:
        return ""


class Database:
    """Calls SQL functions, one transaction and one round trip each."""

    def __init__(
        self,
        url: str,
        *,
        schema: str,
        pool_size: int,
        tracer: trace.Tracer,
        meter: metrics.Meter,
        error_mapping: ErrorMapping,
    ) -> None:
        self._url = url
        self._schema = schema
        self._pool_size = pool_size
        self._tracer = tracer
        self._metrics = DatabaseMetrics(meter, schema)
        self._error_mapping = error_mapping
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._releasing: set[asyncio.Task[None]] = set()
        self._probe_connection: asyncpg.Connection[asyncpg.Record] | None = None

    async def open(self) -> None:
        """Makes the pool. Connects to nothing yet: the database may come up later."""
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=self._pool_size,
            timeout=CONNECT_TIMEOUT_SECONDS,
            connection_class=_StatelessConnection,
            server_settings={
                "application_name": self._schema,
                "statement_timeout": str(STATEMENT_TIMEOUT_MS),
                "lock_timeout": str(LOCK_TIMEOUT_MS),
                "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_TIMEOUT_MS),
                "timezone": "UTC",
                # Our statements are far too short for compilation to pay.
                "jit": "off",
            },
        )
        self._metrics.observe(self._pool)

    async def close(self) -> None:
        """Closes every connection: politely for a bounded time, then for good."""
        self._drop_probe_connection()
        if self._pool is None:
            return
        try:
            await asyncio.wait_for(self._pool.close(), CLOSE_TIMEOUT_SECONDS)
        except TimeoutError:
            self._pool.terminate()

    async def probe(self, statement: str) -> list[asyncpg.Record]:
        """Runs a statement outside of any call; raises what asyncpg raises.

        It has a connection of its own: a pool that is busy is no database that is lost.
        """
        try:
            if self._probe_connection is None:
                self._probe_connection = await asyncpg.connect(
                    self._url, timeout=CONNECT_TIMEOUT_SECONDS
                )
            rows: list[asyncpg.Record] = await self._probe_connection.fetch(
                statement, timeout=CONNECT_TIMEOUT_SECONDS
            )
        except BaseException:
            self._drop_probe_connection()
            raise
        return rows

    def _drop_probe_connection(self) -> None:
        if self._probe_connection is not None:
            self._probe_connection.terminate()
            self._probe_connection = None

    async def fetch(self, function: str, columns: str, *arguments: Any) -> list[asyncpg.Record]:
        """Calls a SQL function with the verified context as its first four arguments.

        `columns` is what to select of its result, which is named `r`. Raises
        `ServiceError`: the service's own, or UNAVAILABLE, DEADLINE_EXCEEDED, INTERNAL.
        """
        call = current_call()
        attributes = {
            telemetry.DB_SYSTEM: "postgresql",
            telemetry.DB_NAMESPACE: self._schema,
            telemetry.DB_OPERATION: "SELECT",
            telemetry.DB_STORED_PROCEDURE: function,
            **_caller_attributes(call),
        }
        kind = trace.SpanKind.CLIENT
        with (
            telemetry.step(self._tracer, function, kind=kind, attributes=attributes),
            self._metrics.operation(function),
        ):
            context = _context_arguments(call, call.verified_caller)
            values = (*context, *arguments)
            statement = _call_statement(self._schema, function, columns, len(values))
            return await self._fetch_retrying(call, statement, values)

    async def _fetch_retrying(
        self, call: Call, statement: str, arguments: tuple[Any, ...]
    ) -> list[asyncpg.Record]:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._fetch_once(call, statement, arguments)
            except asyncpg.PostgresError as error:
                if error.sqlstate in _LOST_RACE and attempt < ATTEMPTS:
                    await asyncio.sleep(RETRY_DELAY_SECONDS * attempt * random.random())  # noqa: S311
                    continue
                raise self._typed(call, error) from error
            except asyncpg.InterfaceError as error:
                raise self._interface_error(call, error) from error
            except TimeoutError as error:
                raise deadline_exceeded() from error
            except (asyncpg.InternalClientError, OSError) as error:
                _note_cause(call, type(error).__name__)
                raise _away() from error
        raise AssertionError("the last attempt returns or raises")

    async def _fetch_once(
        self, call: Call, statement: str, arguments: tuple[Any, ...]
    ) -> list[asyncpg.Record]:
        remaining = call.deadline.remaining_seconds()
        if remaining <= 0:
            raise deadline_exceeded()
        try:
            with self._metrics.waiting():
                connection = await self._connections.acquire(
                    timeout=min(POOL_WAIT_SECONDS, remaining)
                )
        except TimeoutError as error:
            # Which limit it was; the clock does not tell, for timers may be a little early.
            if remaining <= POOL_WAIT_SECONDS:
                raise deadline_exceeded() from error
            raise unavailable(
                "DATABASE_BUSY", "no database connection came free in time", RETRY_AFTER_SECONDS
            ) from error
        try:
            rows: list[asyncpg.Record] = await connection.fetch(
                statement, *arguments, timeout=max(call.deadline.remaining_seconds(), 0.001)
            )
        except asyncpg.InternalClientError:
            # The server has ended the session and the socket is still open, or a type has
            # changed under the session: either way it is of no more use.
            connection.terminate()
            raise
        except BaseException as error:
            # A statement that is being cancelled keeps its connection until the server says
            # so, which one that is gone never does. The caller does not wait for that.
            self._release_in_background(
                connection, is_answered=isinstance(error, asyncpg.PostgresError)
            )
            raise
        await self._connections.release(connection)
        return rows

    def _release_in_background(self, connection: PoolConnectionProxy, *, is_answered: bool) -> None:
        releasing = asyncio.create_task(self._release(connection, is_answered=is_answered))
        self._releasing.add(releasing)
        releasing.add_done_callback(self._released)

    async def _release(self, connection: PoolConnectionProxy, *, is_answered: bool) -> None:
        """Gives a connection back; `is_answered` says that the server has ended the statement."""
        if not is_answered:
            # A statement given up between its preparation and its execution has begun a
            # transaction, which only another statement ends, and be it an empty one.
            try:
                await connection.execute("", timeout=RELEASE_TIMEOUT_SECONDS)
            except BaseException:
                connection.terminate()
                raise
        await self._connections.release(connection, timeout=RELEASE_TIMEOUT_SECONDS)

    def _released(self, task: asyncio.Task[None]) -> None:
        self._releasing.discard(task)
        if not task.cancelled():
            # A connection that did not come back in time was closed; the pool replaces it.
            task.exception()

    @property
    def _connections(self) -> asyncpg.Pool[asyncpg.Record]:
        if self._pool is None:
            raise RuntimeError("the database was not opened")
        return self._pool

    def _typed(self, call: Call, error: asyncpg.PostgresError) -> ServiceError:
        mapped = self._error_mapping(error)
        if mapped is not None:
            return mapped
        _note_cause(call, error.sqlstate or type(error).__name__)
        if error.sqlstate in _BUSY or error.sqlstate in _LOST_RACE:
            return unavailable(
                "DATABASE_BUSY", "the database is too busy for this call", RETRY_AFTER_SECONDS
            )
        if (error.sqlstate or "").startswith(_AWAY_CLASSES):
            return _away()
        _logger.error("database_error", extra={"sqlstate": error.sqlstate}, exc_info=error)
        return internal()

    def _interface_error(self, call: Call, error: asyncpg.InterfaceError) -> ServiceError:
        _note_cause(call, type(error).__name__)
        if isinstance(error, ValueError):
            # asyncpg.DataError: an argument does not fit its SQL type; our own mistake.
            _logger.error("database_argument_error", exc_info=error)
            return internal()
        return _away()


@functools.cache
def _call_statement(schema: str, function: str, columns: str, argument_count: int) -> str:
    """The statement that calls a function; all parts are names in our code, never input."""
    placeholders = ", ".join(f"${number}" for number in range(1, argument_count + 1))
    return f"SELECT {columns} FROM {schema}.{function}({placeholders}) AS r"  # noqa: S608


def _note_cause(call: Call, cause: str) -> None:
    """Leaves what happened on the span and in the call's log event; callers never see it."""
    trace.get_current_span().set_attribute(telemetry.DB_STATUS_CODE, cause)
    call.facts[telemetry.DB_STATUS_CODE] = cause


def _context_arguments(call: Call, caller: Caller) -> tuple[Any, ...]:
    return caller.casino_id, caller.staff_id, caller.role.value, call.correlation_id


def _caller_attributes(call: Call) -> Mapping[str, str]:
    return {
        telemetry.CASINO_ID: str(call.verified_caller.casino_id),
        telemetry.CORRELATION_ID: call.correlation_id,
    }


def _away() -> ServiceError:
    return unavailable(
        "DATABASE_UNAVAILABLE", "the database cannot be reached", RETRY_AFTER_SECONDS
    )
