"""Tokens and headers that no honest caller sends: refused in documented words, or ignored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from grpc import StatusCode
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.context import CORRELATION_ID
from tests.fault.hostile_calls import NOT_KNOWN, RPCS, Attempt, Rpc
from tests.fault.hostile_fixtures import LONGEST_SECONDS, Besieged, besieged
from tests.fault.hostile_metadata import Header, headers, may_be_too_large, size_of
from tests.fault.hostile_tokens import Token, may_be_taken, one_claim_wrong, signed, tokens
from tests.integration.clients import CORRELATION_HEADER
from tests.integration.requests import prepared

# The fixture belongs to this file.
__all__ = ["besieged"]
# The short profile takes seconds, the long one minutes; a failure is shrunk after that.
pytestmark = pytest.mark.timeout(LONGEST_SECONDS)

LEAST_TOKENS, MOST_TOKENS = 16, 40
LEAST_CALLS, MOST_CALLS = 8, 16
EXAMPLES = settings().max_examples // 4
# These call the other service with what they were sent.
CALLING_ON = [rpc for rpc in RPCS if str(rpc) in {"CompleteRatingSlip", "PreviewSlipPoints"}]

# What a client may say of its patience, in seconds: over at once, for ever, and not at all.
DEADLINES_SECONDS = (-1.0, 0.0, 1e-9, 1e-6, 0.001, 0.005, 0.02, 0.1, 1e6, 1e9, 1e300, None)

# It was done, now or by somebody before.
DONE = {
    *(StatusCode.OK, StatusCode.FAILED_PRECONDITION, StatusCode.ALREADY_EXISTS),
    StatusCode.ABORTED,
}
UNAUTHENTICATED = {
    (StatusCode.UNAUTHENTICATED, reason)
    for reason in ("TOKEN_MISSING", "TOKEN_INVALID", "TOKEN_EXPIRED")
}
INVALID_CORRELATION_ID = (StatusCode.INVALID_ARGUMENT, "INVALID_CORRELATION_ID")
GOOD_SCHEMES = ("Bearer ", "bearer ", "BEARER   ")
SCHEMES = st.sampled_from(GOOD_SCHEMES)
NO_SCHEMES = st.sampled_from(["", "Bearer", "Basic ", "Bearer:", "Bearer, Bearer "])

Offer = tuple[Rpc, list[tuple[str, Token]]]


def offers() -> st.SearchStrategy[Offer]:
    """What stands in `authorization`, once, not at all or several times."""
    one = st.lists(st.tuples(SCHEMES, tokens()), min_size=1, max_size=1)
    any_number = st.lists(st.tuples(SCHEMES | NO_SCHEMES, tokens()), max_size=3)
    return st.tuples(st.sampled_from(RPCS), st.one_of(one, one, one, any_number))


async def test_a_claim_of_any_other_value_lets_in_who_could_be_meant_and_nobody_else(
    besieged: Besieged,
) -> None:
    rpc = next(rpc for rpc in RPCS if str(rpc) == "GetLoyaltyProgram")
    every = one_claim_wrong()
    for first in range(0, len(every), MOST_TOKENS):
        await require_judged(
            besieged, [(rpc, [("Bearer ", token)]) for token in every[first : first + MOST_TOKENS]]
        )


@settings(max_examples=EXAMPLES)
@given(wanted=st.lists(offers(), min_size=LEAST_TOKENS, max_size=MOST_TOKENS))
async def test_a_hostile_token_lets_nobody_in(besieged: Besieged, wanted: list[Offer]) -> None:
    await require_judged(besieged, wanted)


async def require_judged(besieged: Besieged, wanted: Sequence[Offer]) -> None:
    """Who is let in could be meant, and who is kept out was not sent in good order."""
    casino, key = besieged.casino(), besieged.identity.keyring.staff
    attempts = []
    for rpc, offered in wanted:
        sent: list[Header] = [
            ("authorization", scheme + signed(token, key, casino.id)) for scheme, token in offered
        ]
        attempts.append(Attempt(rpc, b"", sent))

    answers = await besieged.answers(attempts)

    for (_, offered), attempt, answer in zip(wanted, attempts, answers, strict=True):
        if answer.is_of_the_transport:
            assert answer.code is StatusCode.RESOURCE_EXHAUSTED
            assert may_be_too_large(attempt.headers)
            continue
        kind = answer.refusal.kind if answer.refusal is not None else (answer.code, "")
        if kind in UNAUTHENTICATED:
            flaws = [(scheme in GOOD_SCHEMES, token.is_untouched) for scheme, token in offered]
            assert flaws != [(True, True)]
        else:
            ((_, token),) = offered
            assert may_be_taken(token), token
    besieged.require_quiet_logs()


@settings(max_examples=EXAMPLES)
@given(data=st.data())
async def test_hostile_headers_change_nothing(besieged: Besieged, data: Any) -> None:
    rpc = data.draw(st.sampled_from(CALLING_ON) | st.sampled_from(RPCS))
    wanted = data.draw(st.lists(headers(), min_size=LEAST_CALLS, max_size=MOST_CALLS))
    casino = besieged.casino()
    body = (await prepared(str(rpc), casino)).SerializeToString()
    role = "service" if "service" in rpc.roles else "admin"
    attempts = [Attempt(rpc, body, [*sent, besieged.bearer(casino, role)]) for sent in wanted]

    answers = await besieged.answers(attempts)

    for attempt, answer in zip(attempts, answers, strict=True):
        if answer.is_of_the_transport:
            assert answer.code is StatusCode.RESOURCE_EXHAUSTED
            assert may_be_too_large(attempt.headers), size_of(attempt.headers)
            continue
        offered = [value for key, value in attempt.headers if key == CORRELATION_HEADER]
        kind = answer.refusal.kind if answer.refusal is not None else (answer.code, "")
        if len(offered) == 1 and CORRELATION_ID.fullmatch(str(offered[0])):
            assert answer.correlation_id == offered[0]
        else:
            assert answer.correlation_id not in offered
            assert (kind == INVALID_CORRELATION_ID) == bool(offered)
        assert kind != NOT_KNOWN
    await besieged.require_sound(casino)


@settings(max_examples=EXAMPLES)
@given(
    rpc=st.sampled_from(CALLING_ON) | st.sampled_from(RPCS),
    deadlines_seconds=st.lists(
        st.sampled_from(DEADLINES_SECONDS) | st.floats(0, 0.03),
        min_size=1,
        max_size=MOST_CALLS,
    ),
)
async def test_whoever_waits_too_briefly_is_told_so_and_loses_nothing(
    besieged: Besieged, rpc: Rpc, deadlines_seconds: list[float | None]
) -> None:
    casino = besieged.casino()
    body = (await prepared(str(rpc), casino)).SerializeToString()
    sent = [besieged.bearer(casino, "service" if "service" in rpc.roles else "admin")]

    answers = await besieged.answers(
        Attempt(rpc, body, sent, deadline_seconds) for deadline_seconds in deadlines_seconds
    )
    (patient,) = await besieged.answers([Attempt(rpc, body, sent)])

    for answer in answers:
        assert not answer.is_of_the_transport or answer.code is StatusCode.DEADLINE_EXCEEDED
    assert patient.code in DONE
    await besieged.require_sound(casino)
