"""Good requests at every limit, one after the other: done, or refused in documented words.

What no single request shows, such as points that fit under one program and not under the
next, or a tier that begins at the last number there is.
"""

from __future__ import annotations

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings

from tests.fault.hostile_calls import RPCS, Answer, Attempt
from tests.fault.hostile_fixtures import LONGEST_SECONDS, Besieged, besieged
from tests.fault.hostile_sequences import Step, sequences

# The fixture belongs to this file.
__all__ = ["besieged"]
# The short profile takes seconds, the long one minutes; a failure is shrunk after that.
pytestmark = pytest.mark.timeout(LONGEST_SECONDS)

EXAMPLES = settings().max_examples // 2
RPC_BY_NAME = {str(rpc): rpc for rpc in RPCS}
# Of answers before, which name what a later request needs.
NOBODYS_ID = "00000000-0000-4000-8000-000000000000"


class Known:
    """The IDs that answers have given so far."""

    def __init__(self) -> None:
        self.slip_id = self.entry_id = NOBODYS_ID

    def learn(self, answer: Answer) -> None:
        response = answer.response
        if response is None:
            return
        names = response.DESCRIPTOR.fields_by_name
        if "entry" in names:
            self.entry_id = response.entry.entry_id  # type: ignore[attr-defined]
        if "rating_slip" in names:
            self.slip_id = response.rating_slip.rating_slip_id  # type: ignore[attr-defined]

    def complete(self, request: Message) -> bytes:
        """The request with what it needs to name."""
        sent = type(request)()
        sent.CopyFrom(request)
        for name, known in (("entry_id", self.entry_id), ("rating_slip_id", self.slip_id)):
            if sent.DESCRIPTOR.fields[0].name == name:
                setattr(sent, name, known)
        return sent.SerializeToString()


@settings(max_examples=EXAMPLES)
@given(wanted=sequences())
async def test_good_requests_at_their_limits_are_done_or_refused_in_documented_words(
    besieged: Besieged, wanted: list[Step]
) -> None:
    casino, known = besieged.casino(), Known()

    for step in wanted:
        rpc = RPC_BY_NAME[step.rpc]
        role = "service" if "admin" not in rpc.roles else "admin"
        attempt = Attempt(rpc, known.complete(step.request), [besieged.bearer(casino, role)])
        (answer,) = await besieged.answers([attempt])
        assert not answer.is_of_the_transport
        known.learn(answer)

    await besieged.require_sound(casino)
