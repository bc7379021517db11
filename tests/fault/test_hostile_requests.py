"""Requests that no honest caller sends, to every RPC, in every role.

Each is a good request with some fields changed, so that it is refused at any depth, or
done. Whichever it is, the answer is one the proto documents, tells nothing of what is
inside, and leaves the casino's ledger whole. Which fields there are is read from the
protos: a new RPC and a new field are attacked as soon as they are there.
"""

from __future__ import annotations

from typing import Any

import pytest
from grpc import StatusCode
from hypothesis import given, settings
from hypothesis import strategies as st

from casino.loyalty.v1 import loyalty_pb2
from tests.fault.hostile_calls import ROLES, RPCS, Attempt, Rpc, require_by_role
from tests.fault.hostile_fixtures import LONGEST_SECONDS, Besieged, besieged
from tests.fault.hostile_requests import changed, changes, marked, texts_of
from tests.fault.hostile_values import LARGEST_MESSAGE_BYTES
from tests.integration.requests import prepared

# The fixture belongs to this file.
__all__ = ["besieged"]
# The short profile takes seconds, the long one minutes; a failure is shrunk after that.
pytestmark = pytest.mark.timeout(LONGEST_SECONDS)

# Each example is so many calls at once; there are more than 20 RPCs with examples each.
LEAST_CALLS, MOST_CALLS = 4, 12
EXAMPLES = settings().max_examples // 10


@pytest.mark.parametrize("rpc", RPCS, ids=str)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
async def test_a_hostile_request_is_done_or_refused_in_documented_words(
    rpc: Rpc, besieged: Besieged, data: Any
) -> None:
    # Mostly somebody who may call, or nothing gets past the door.
    roles = st.sampled_from(sorted(rpc.roles)) | st.sampled_from(ROLES)
    shots = data.draw(
        st.lists(
            st.tuples(roles, changes(rpc.method.input_type)),
            min_size=LEAST_CALLS,
            max_size=MOST_CALLS,
        )
    )
    casino = besieged.casino()
    good = await prepared(str(rpc), casino)
    known_ids = [*texts_of(good), casino.id, casino.staff_id("pit_boss")]
    attempts = [
        Attempt(
            rpc,
            changed(good, wanted, known_ids).SerializeToString(),
            [besieged.bearer(casino, role)],
        )
        for role, wanted in shots
    ]

    answers = await besieged.answers(attempts)

    for (role, _), attempt, answer in zip(shots, attempts, answers, strict=True):
        if answer.is_of_the_transport:
            assert answer.code is StatusCode.RESOURCE_EXHAUSTED
            assert len(attempt.body) > LARGEST_MESSAGE_BYTES
        else:
            require_by_role(rpc, role, answer)
    await besieged.require_sound(casino)


@pytest.mark.parametrize("rpc", RPCS, ids=str)
async def test_what_a_caller_writes_is_in_no_refusal_and_in_no_log(
    rpc: Rpc, besieged: Besieged
) -> None:
    casino = besieged.casino()
    sent = [besieged.bearer(casino, "service" if "service" in rpc.roles else "admin")]
    good = await prepared(str(rpc), casino)

    await besieged.answers(
        Attempt(rpc, changed(good, [change]).SerializeToString(), sent)
        for change in marked(rpc.method.input_type)
    )

    besieged.require_quiet_logs()


async def test_a_request_with_more_flaws_than_fit_into_headers_is_refused_in_words(
    besieged: Besieged,
) -> None:
    # Each tier has three; all of them would be more than clients take as headers.
    tiers = [loyalty_pb2.ProgramTier(name="é", lifetime_start=-1, multiplier="x")] * 20
    request = loyalty_pb2.UpdateLoyaltyProgramRequest(terms=loyalty_pb2.LoyaltyTerms(tiers=tiers))
    admin = besieged.casino().somebody("admin")

    refusal = await admin.refusal(admin.points.UpdateLoyaltyProgram, request)

    assert refusal.kind == (StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert refusal.fields[:3] == (
        "terms.points_per_unit",
        "terms.rounding",
        "terms.tiers[0].name",
    )
    assert refusal.message.endswith("; and 44 more")
