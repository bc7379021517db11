"""How long calls take, by method and how they ended: the same for both sides of a call.

This file must not know which side it measures, nor what a method does.
"""

from __future__ import annotations

import functools

import grpc
from opentelemetry import metrics

from chassis import telemetry

# Their calls are no work of ours, and a prober's would outnumber all others.
PUBLIC_SERVICES = frozenset({"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"})


class CallDurations:
    """The histogram of one side's calls; it counts them, too."""

    def __init__(self, meter: metrics.Meter, side: str) -> None:
        """`side` is `server` or `client`."""
        self._durations = telemetry.duration_histogram(
            meter, f"rpc.{side}.call.duration", f"How long calls took, measured at the {side}"
        )

    def record(self, method: str, code: grpc.StatusCode, error_type: str, seconds: float) -> None:
        """Counts a call that has ended; `error_type` is empty for one that went well.

        It is to be called within the call's span, which the exemplar names.
        """
        if not is_public(method):
            self._durations.record(seconds, _attributes(method, code.name, error_type))


def is_public(method: str) -> bool:
    """Whether a full method name is of health or reflection."""
    return method.partition("/")[0] in PUBLIC_SERVICES


# The methods are those that are served, and the reasons those that our code names.
@functools.cache
def _attributes(method: str, code: str, error_type: str) -> dict[str, str]:
    attributes = {
        telemetry.RPC_SYSTEM: "grpc",
        telemetry.RPC_METHOD: method,
        telemetry.RPC_STATUS_CODE: code,
    }
    return {**attributes, telemetry.ERROR_TYPE: error_type} if error_type else attributes
