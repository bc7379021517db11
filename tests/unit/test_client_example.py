"""The README's client example, on grpc_testing's channel: its one honest use here."""

from __future__ import annotations

import concurrent.futures
import pathlib
from collections.abc import Callable
from typing import Any, cast

import grpc
import grpc_testing
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from casino.ratingslip.v1 import ratingslip_pb2
from docs import client_example

ROOT = pathlib.Path(__file__).parents[2]
SERVICE = ratingslip_pb2.DESCRIPTOR.services_by_name["RatingSlipService"]
COMPLETE = SERVICE.methods_by_name["CompleteRatingSlip"]
SLIP_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"


class DeadlineRecorder:
    """A channel in front of grpc_testing's, which drops each call's timeout: notes it."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self.timeouts: list[float | None] = []

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        call = self._channel.unary_unary(method, *args, **kwargs)

        def recorded(request: Any, *, timeout: float | None = None, metadata: Any = None) -> Any:
            self.timeouts.append(timeout)
            return call(request, timeout=timeout, metadata=metadata)

        return recorded


class Exchange:
    """One call of the example in a thread of its own, answered by hand."""

    def __init__(self) -> None:
        self._channel = grpc_testing.channel([SERVICE], grpc_testing.strict_fake_time(0))
        self.deadlines = DeadlineRecorder(self._channel)
        self._pool = concurrent.futures.ThreadPoolExecutor(max_workers=1)
        self.points = self._pool.submit(
            client_example.close_slip, cast("grpc.Channel", self.deadlines), "a-token", SLIP_ID
        )
        metadata, self.request, self._rpc = self._channel.take_unary_unary(COMPLETE)
        self.metadata = dict(metadata)

    def answer(
        self,
        response: ratingslip_pb2.CompleteRatingSlipResponse | None,
        code: grpc.StatusCode,
        trailers: tuple[tuple[str, str | bytes], ...] = (),
        details: str = "",
    ) -> None:
        self._rpc.terminate(response, trailers, code, details)
        self._pool.shutdown()


def test_it_sends_the_token_a_correlation_id_a_deadline_and_the_slip() -> None:
    exchange = Exchange()
    result = ratingslip_pb2.LoyaltyResult(points_delta=1050)
    response = ratingslip_pb2.CompleteRatingSlipResponse(loyalty=result)
    exchange.answer(response, grpc.StatusCode.OK)

    assert exchange.metadata["authorization"] == "Bearer a-token"
    assert exchange.metadata["x-correlation-id"].startswith("close-")
    assert exchange.deadlines.timeouts == [client_example.DEADLINE_SECONDS]
    assert exchange.request == ratingslip_pb2.CompleteRatingSlipRequest(rating_slip_id=SLIP_ID)
    assert exchange.points.result() == 1050


def test_a_failure_reaches_the_caller_with_its_reason() -> None:
    exchange = Exchange()
    info = error_details_pb2.ErrorInfo(
        reason="PARTIAL_COMPLETION", domain="ratingslip.casino", metadata={"slipId": SLIP_ID}
    )
    status = status_pb2.Status(code=code_pb2.UNAVAILABLE, message="closed, not credited")
    status.details.add().Pack(info)
    encoded = rpc_status.to_status(status)
    exchange.answer(None, encoded.code, encoded.trailing_metadata, encoded.details)

    with pytest.raises(grpc.RpcError) as failure:
        exchange.points.result()
    assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
    assert client_example.error_info(cast("grpc.Call", failure.value)) == info


def test_the_readme_shows_the_file_as_it_is() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = (ROOT / "docs" / "client_example.py").read_text(encoding="utf-8")
    assert f"```python\n{code}```\n" in readme
