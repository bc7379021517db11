"""Closes a rating slip, as any internal service would: the README shows this file."""

import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from casino.ratingslip.v1 import ratingslip_pb2, ratingslip_pb2_grpc

DEADLINE_SECONDS = 2.0


def close_slip(channel: grpc.Channel, token: str, rating_slip_id: str) -> int:
    """Closes the slip and returns the points it earned; safe to call again."""
    stub = ratingslip_pb2_grpc.RatingSlipServiceStub(channel)
    response = stub.CompleteRatingSlip(
        ratingslip_pb2.CompleteRatingSlipRequest(rating_slip_id=rating_slip_id),
        timeout=DEADLINE_SECONDS,
        metadata=(
            ("authorization", f"Bearer {token}"),
            ("x-correlation-id", f"close-{uuid.uuid4()}"),
        ),
    )
    return response.loyalty.points_delta


def error_info(error: grpc.Call) -> error_details_pb2.ErrorInfo:
    """The reason and facts of a failed call: branch on `reason`, never on the message."""
    info = error_details_pb2.ErrorInfo()
    for detail in rpc_status.from_call(error).details:
        if detail.Unpack(info):
            break
    return info
