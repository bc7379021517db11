"""Bytes that are no request are the caller's mistake; how they were read stays inside."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc import StatusCode

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from tests.integration.casino import Casino
from tests.integration.clients import read_refusal
from tests.integration.patience import PATIENCE_SECONDS
from tests.integration.services import Pair

# Field 1, a string of three bytes: a lone surrogate as UTF-8 would never have it.
LONE_SURROGATE = b"\x0a\x03\xed\xa0\x80"
OVERLONG = b"\x0a\x02\xc0\xaf"
CUT_OFF = b"\x0a\x7fabc"
# A group that never ends, nested deeper than any message of ours.
NESTED = b"\x0b" * 200
NOT_A_MESSAGE = b"\xff" * 64

MALFORMED = {
    "lone surrogate": LONE_SURROGATE,
    "overlong encoding": OVERLONG,
    "cut off": CUT_OFF,
    "nested": NESTED,
    "noise": NOT_A_MESSAGE,
}
METHODS = [
    method
    for service in (
        ratingslip_pb2.DESCRIPTOR.services_by_name["RatingSlipService"],
        loyalty_pb2.DESCRIPTOR.services_by_name["LoyaltyService"],
    )
    for method in service.methods
    if method.input_type.fields[0].type == descriptor_pb2.FieldDescriptorProto.TYPE_STRING
]


async def sent_raw(channel: grpc.aio.Channel, path: str, token: str, body: bytes) -> Any:
    """Sends bytes as they are; whatever the error is, it is returned."""
    call: Any = channel.unary_unary(path, request_serializer=None, response_deserializer=None)
    metadata = grpc.aio.Metadata(("authorization", f"Bearer {token}"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(body, metadata=metadata, timeout=PATIENCE_SECONDS)
    return read_refusal(caught.value)


@pytest.mark.parametrize("flaw", MALFORMED)
async def test_what_is_no_request_is_invalid(flaw: str, pair: Pair, casino: Casino) -> None:
    refusals = {}
    for method in METHODS:
        service = method.containing_service.full_name
        channel = (pair.ratingslip if "ratingslip" in service else pair.loyalty).channel
        role = "service" if method.name == "AccruePointsFromSlip" else "admin"
        refusal = await sent_raw(
            channel, f"/{service}/{method.name}", casino.token(role), MALFORMED[flaw]
        )
        refusals[method.name] = (*refusal.kind, refusal.message)

    message = "INVALID_REQUEST: the body is not a message of this method"
    expected = (StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", message)
    assert refusals == dict.fromkeys(refusals, expected)
    assert len(refusals) > 10


async def test_who_may_not_call_learns_nothing_about_the_request(
    pair: Pair, casino: Casino
) -> None:
    path = "/casino.loyalty.v1.LoyaltyService/GetPlayerLoyalty"

    refusal = await sent_raw(pair.loyalty.channel, path, casino.token("dealer"), LONE_SURROGATE)

    assert refusal.kind == (StatusCode.PERMISSION_DENIED, "ROLE_NOT_PERMITTED")
