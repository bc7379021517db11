"""Bodies that are no request, or one by accident, to every RPC: refused in our own words.

Whether a body is a request is what protobuf says of it here, in the test.
"""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from grpc import StatusCode
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fault.hostile_bytes import all_spliced, splices
from tests.fault.hostile_calls import INTERNALS, ROLES, RPCS, Attempt, Rpc, require_by_role
from tests.fault.hostile_fixtures import LONGEST_SECONDS, Besieged, besieged
from tests.fault.hostile_requests import changed, changes
from tests.fault.hostile_values import LARGEST_MESSAGE_BYTES
from tests.integration.patience import PATIENCE_SECONDS
from tests.integration.requests import prepared

# The fixture belongs to this file.
__all__ = ["besieged"]
# The short profile takes seconds, the long one minutes; a failure is shrunk after that.
pytestmark = pytest.mark.timeout(LONGEST_SECONDS)

# What answers without a token.
PUBLIC_METHODS = [
    method
    for service in (
        health_pb2.DESCRIPTOR.services_by_name["Health"],
        reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"],
    )
    for method in service.methods
]
# What they may answer a stranger: NOT_FOUND for a service that health does not know, and
# UNIMPLEMENTED for a method that the library does not have.
REFUSED = {StatusCode.INVALID_ARGUMENT, StatusCode.UNIMPLEMENTED}
PUBLIC_ANSWERS = {StatusCode.OK, StatusCode.NOT_FOUND, *REFUSED}
LEAST_CALLS, MOST_CALLS = 6, 16
EXAMPLES = settings().max_examples // 12
# A few kilobytes that unpack to this would fill a machine's memory, a call at a time.
UNPACKED_BYTES = 16 * 1024 * 1024
# Callers who never send their request, at once, and how long they stay.
SILENT_CALLS = 30
SILENCE_SECONDS = 0.5


def is_message(method: Any, body: bytes) -> bool:
    """Whether protobuf reads a body as a request of the method."""
    try:
        GetMessageClass(method.input_type).FromString(body)
    except DecodeError:
        return False
    return True


@pytest.mark.parametrize("rpc", RPCS, ids=str)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
async def test_a_body_that_is_no_request_is_refused_as_one(
    rpc: Rpc, besieged: Besieged, data: Any
) -> None:
    wanted = data.draw(st.lists(splices(), min_size=LEAST_CALLS, max_size=MOST_CALLS))
    role = data.draw(st.sampled_from(sorted(rpc.roles)) | st.sampled_from(ROLES))
    casino = besieged.casino()
    good = (await prepared(str(rpc), casino)).SerializeToString()
    attempts = [
        Attempt(rpc, body, [besieged.bearer(casino, role)]) for body in all_spliced(good, wanted)
    ]

    answers = await besieged.answers(attempts)

    for attempt, answer in zip(attempts, answers, strict=True):
        if answer.is_of_the_transport:
            assert answer.code is StatusCode.RESOURCE_EXHAUSTED
            assert len(attempt.body) > LARGEST_MESSAGE_BYTES
            continue
        require_by_role(rpc, role, answer)
        if role in rpc.roles and not is_message(rpc.method, attempt.body):
            assert answer.refusal is not None
            assert answer.refusal.kind == (StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
            assert not answer.refusal.fields
    await besieged.require_sound(casino)


@pytest.mark.parametrize("rpc", [RPCS[0], RPCS[-1]], ids=["ratingslip", "loyalty"])
async def test_a_body_that_swells_when_it_is_unpacked_is_not_read(
    rpc: Rpc, besieged: Besieged
) -> None:
    call: Any = besieged.channel(rpc).unary_unary(rpc.path)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(
            b"\0" * UNPACKED_BYTES,
            metadata=grpc.aio.Metadata(besieged.bearer(besieged.casino(), "admin")),
            compression=grpc.Compression.Gzip,
            timeout=PATIENCE_SECONDS,
        )

    assert caught.value.code() is StatusCode.RESOURCE_EXHAUSTED


async def test_a_call_that_never_sends_its_request_keeps_nobody_waiting(
    besieged: Besieged,
) -> None:
    rpc = RPCS[0]
    casino = besieged.casino()
    metadata = grpc.aio.Metadata(besieged.bearer(casino, "admin"))
    silent: Any = besieged.channel(rpc).stream_unary(rpc.path)
    calls = [
        silent(iter(()), metadata=metadata, timeout=SILENCE_SECONDS) for _ in range(SILENT_CALLS)
    ]

    body = (await prepared(str(rpc), casino)).SerializeToString()
    (answer,) = await besieged.answers([Attempt(rpc, body, [besieged.bearer(casino, "admin")])])

    assert answer.code is StatusCode.OK
    assert {await call.code() for call in calls} == {StatusCode.DEADLINE_EXCEEDED}


@pytest.mark.parametrize("method", PUBLIC_METHODS, ids=lambda method: method.full_name)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
async def test_what_answers_without_a_token_tells_a_stranger_nothing(
    method: Any, besieged: Besieged, data: Any
) -> None:
    good = GetMessageClass(method.input_type)()
    made = changed(good, data.draw(changes(method.input_type))).SerializeToString()
    bodies = [made, *all_spliced(made, data.draw(st.lists(splices(), max_size=MOST_CALLS)))]

    for body in bodies:
        for process in (besieged.pair.ratingslip, besieged.pair.loyalty):
            code, told = await public_answer(process.channel, method, body)
            if len(body) > LARGEST_MESSAGE_BYTES:
                assert code is StatusCode.RESOURCE_EXHAUSTED
                continue
            assert code in PUBLIC_ANSWERS
            assert INTERNALS.search(told) is None, told
            assert is_message(method, body) or code in REFUSED
    besieged.require_quiet_logs()


async def public_answer(
    channel: grpc.aio.Channel, method: Any, body: bytes
) -> tuple[StatusCode, str]:
    """The code of the first answer to a body, and the text of a refusal."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    # On the wire a single request or answer is a stream of one.
    stream: Any = channel.unary_stream(path)
    call = stream(body, timeout=PATIENCE_SECONDS)
    try:
        async for _ in call:
            # A watch goes on for ever.
            call.cancel()
            return StatusCode.OK, ""
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    return StatusCode.OK, ""
