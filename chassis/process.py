"""The process around a service: `serve` or `migrate`, the event loop, and exit codes.

Owns how a start that cannot succeed says why: one clear sentence on standard error
and an exit code, never a stack. It must not know what is served.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pathlib
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import asyncpg

from chassis import config, logs, migrate

# sysexits.h: the configuration is wrong; something needed is unavailable.
EXIT_CONFIGURATION = 78
EXIT_UNAVAILABLE = 69
EXIT_USAGE = 64

# Work that does not let itself be cancelled by then is left behind.
CANCEL_TIMEOUT_SECONDS = 2.0

_logger = logging.getLogger(__name__)


def main(
    serve: Callable[[], Coroutine[Any, Any, None]],
    schema_name: str,
    sql_directory: pathlib.Path,
    environment_prefix: str,
) -> None:
    """Runs `python -m <service> [migrate]` and exits with a code that says how it went."""
    arguments = sys.argv[1:]
    if arguments not in ([], ["migrate"]):
        _exit(EXIT_USAGE, "usage: python -m <service> [migrate]")
    work = _migrate(schema_name, sql_directory, environment_prefix) if arguments else serve()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(work)
    except config.ConfigurationError as error:
        _exit(EXIT_CONFIGURATION, f"the configuration is not complete:\n{error}")
    except migrate.SchemaError as error:
        _exit(EXIT_CONFIGURATION, str(error))
    except (OSError, ValueError, TimeoutError, asyncpg.PostgresError) as error:
        _exit(EXIT_UNAVAILABLE, f"cannot start: {error}")


@contextlib.asynccontextmanager
async def in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs endless work of the service's own beside a block, and cancels it at the end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_TIMEOUT_SECONDS)


async def _migrate(schema_name: str, sql_directory: pathlib.Path, prefix: str) -> None:
    url = config.migration_database_url(prefix, os.environ)
    logs.set_up("INFO")
    applied = await migrate.migrate(migrate.Schema(schema_name, sql_directory), url)
    _logger.info("migrated", extra={"schema": schema_name, "applied": applied})


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


def _exit(code: int, text: str) -> None:
    sys.stderr.write(f"{text}\n")
    raise SystemExit(code)
