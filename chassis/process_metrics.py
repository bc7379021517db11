"""What is measured of the process itself: processor time, memory, and a busy event loop.

It must not know what the process does.
"""

from __future__ import annotations

import asyncio
import os
import pathlib
import sys
import time
from collections.abc import Iterable

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from chassis import telemetry

# Often enough to see a loop that is held up for long, and far too seldom to cost anything.
LOOP_CHECK_INTERVAL_SECONDS = 0.5
# `ru_maxrss` is in bytes there, and in kibibytes everywhere else.
_MAXRSS_IN_BYTES_ON = "darwin"

_USER = {telemetry.CPU_MODE: "user"}
_SYSTEM = {telemetry.CPU_MODE: "system"}


async def follow_process(meter: metrics.Meter) -> None:
    """Measures the process and the running event loop until it is cancelled.

    How late a timer fires is how long a call would have waited for its turn just then.
    """
    meter.create_observable_counter(
        "process.cpu.time",
        [_observe_cpu_time],
        unit="s",
        description="Processor time that the process has used",
    )
    meter.create_observable_up_down_counter(
        "process.memory.usage",
        [_observe_memory],
        unit="By",
        description="Resident memory of the process",
    )
    delays = telemetry.duration_histogram(
        meter, "casino.event_loop.delay", "How late timers of the event loop fire"
    )
    while True:
        # Not the loop's own clock, which stands still while it is held up.
        due = time.perf_counter() + LOOP_CHECK_INTERVAL_SECONDS
        await asyncio.sleep(LOOP_CHECK_INTERVAL_SECONDS)
        delays.record(max(time.perf_counter() - due, 0.0))


def _observe_cpu_time(_: CallbackOptions) -> Iterable[Observation]:
    times = os.times()
    yield Observation(times.user, _USER)
    yield Observation(times.system, _SYSTEM)


def _observe_memory(_: CallbackOptions) -> Iterable[Observation]:
    resident = _resident_bytes()
    if resident is not None:
        yield Observation(resident)


def _resident_bytes() -> int | None:
    """Resident memory now; where only its peak can be learnt, the peak; else None."""
    if sys.platform == "win32":
        return None
    try:
        pages = pathlib.Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == _MAXRSS_IN_BYTES_ON else peak * 1024
