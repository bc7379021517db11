"""Shifts a process's clock, from before its first line of code; Python imports this by its name.

    PYTHONPATH=tests/fault/shifted_clock:… SHIFTED_CLOCK_SECONDS=86400 python -m loyalty_service

The calendar's clock only: the monotonic one, which measures waits, goes on as it is. SIGUSR1
sets the clock right, as a time server does that is heard at last. It must not know which
program it runs in.
"""

from __future__ import annotations

import datetime
import importlib
import os
import signal
import types
from types import FrameType

import time_machine

SHIFT_VARIABLE = "SHIFTED_CLOCK_SECONDS"


def shift_clock(seconds: int) -> None:
    """Moves the clock of this process by so many seconds, until SIGUSR1."""
    shift = datetime.timedelta(seconds=seconds)
    traveller = time_machine.travel(shift, tick=True).start()

    def set_right(_number: int, _frame: FrameType | None) -> None:
        traveller.shift(-shift)

    signal.signal(signal.SIGUSR1, set_right)


def leave_grpc_alone() -> None:
    """Gives gRPC's Python the clock that its C++ has.

    On a machine whose clock is wrong both read the same one, and what they compare, the
    deadlines of calls, is right. C++ reads the machine's, which is right here.
    """
    right = types.SimpleNamespace(time=time_machine.escape_hatch.time.time)
    for name in ("grpc._cython.cygrpc", "grpc.aio._utils"):
        importlib.import_module(name).__dict__["time"] = right


if SHIFT_VARIABLE in os.environ:
    leave_grpc_alone()
    shift_clock(int(os.environ[SHIFT_VARIABLE]))
