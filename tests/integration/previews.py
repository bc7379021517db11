"""Previews as the tests ask for them: of a slip, at a time counted from its start."""

from __future__ import annotations

import datetime
from typing import Any

from google.protobuf import timestamp_pb2

from casino.ratingslip.v1 import ratingslip_pb2
from tests.integration.casino import later
from tests.integration.clients import Client


def preview_of(
    slip: ratingslip_pb2.RatingSlip, **changes: Any
) -> ratingslip_pb2.PreviewSlipPointsRequest:
    """Asks what a slip would earn; `changes` are the request's fields."""
    return ratingslip_pb2.PreviewSlipPointsRequest(rating_slip_id=slip.rating_slip_id, **changes)


async def preview(
    client: Client,
    slip: ratingslip_pb2.RatingSlip,
    *,
    correlation_id: str | None = None,
    **changes: Any,
) -> ratingslip_pb2.PreviewSlipPointsResponse:
    """What a slip would earn; `changes` are the request's fields."""
    request = preview_of(slip, **changes)
    return await client.call(client.slips.PreviewSlipPoints, request, correlation_id=correlation_id)


def after(slip: ratingslip_pb2.RatingSlip, seconds: float) -> timestamp_pb2.Timestamp:
    """So many seconds from the slip's start."""
    return later(slip.start_time, datetime.timedelta(seconds=seconds))


async def pause(client: Client, slip: ratingslip_pb2.RatingSlip, seconds: float) -> None:
    """Stops the slip's clock at a time from its start."""
    request = ratingslip_pb2.PauseRatingSlipRequest(
        rating_slip_id=slip.rating_slip_id, event_time=after(slip, seconds)
    )
    await client.call(client.slips.PauseRatingSlip, request)


async def resume(client: Client, slip: ratingslip_pb2.RatingSlip, seconds: float) -> None:
    """Starts it again at a time from its start."""
    request = ratingslip_pb2.ResumeRatingSlipRequest(
        rating_slip_id=slip.rating_slip_id, event_time=after(slip, seconds)
    )
    await client.call(client.slips.ResumeRatingSlip, request)
