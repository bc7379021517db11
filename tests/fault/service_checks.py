"""What the services themselves must say when a fault is over, asked through their RPCs.

The ledger verifies and nothing drifts; a repeated call is answered with what it did the
first time; a casino sees its own rows and no other's. It must not read the databases.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import grpc

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from tests.fault.evidence import Evidence, Row
from tests.fault.history import EVENT_VERBS, Acknowledged, History, Operation
from tests.fault.recorder import RPCS, request_of
from tests.fault.stage import Stage
from tests.integration.casino import new_id
from tests.integration.clients import Client
from tests.integration.patience import PATIENCE_SECONDS, eventually

PAGE_SIZE = 100
# Of the acknowledged operations, so many are sent once more.
REPLAYS = 16
# And of each casino's slips and players, so many are asked for by another casino.
STRANGE_LOOKS = 3
# The sample is drawn the same way each time.
SAMPLE_SEED = 4
# A connection that the fault has broken may be noticed by the first call that gets it.
PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


async def check_ledger(stage: Stage, casino_id: str) -> AsyncIterator[str]:
    """VerifyLedger and CheckBalanceDrift find nothing."""
    admin = stage.client_of("admin", casino_id)
    request = loyalty_pb2.VerifyLedgerRequest()
    while True:
        answer = await ask(admin, admin.points.VerifyLedger, request)
        for each in answer.breaks:
            yield f"VerifyLedger found in casino {casino_id}: {_line(each)}"
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    drift = await ask(admin, admin.points.CheckBalanceDrift, loyalty_pb2.CheckBalanceDriftRequest())
    for finding in drift.findings:
        yield f"CheckBalanceDrift found in casino {casino_id}: {_line(finding)}"


class Listed(NamedTuple):
    """What a casino's own lists held."""

    entries: list[str]
    slips: list[str]


async def lists_of(stage: Stage, casino_id: str) -> Listed:
    """Everything that an administrator of a casino is shown."""
    admin = stage.client_of("admin", casino_id)
    entry_pages = _pages(
        admin, admin.points.ListLedgerEntries, loyalty_pb2.ListLedgerEntriesRequest()
    )
    slip_pages = _pages(admin, admin.slips.ListRatingSlips, ratingslip_pb2.ListRatingSlipsRequest())
    return Listed(
        [entry.entry_id async for page in entry_pages for entry in page.entries],
        [slip.rating_slip_id async for page in slip_pages for slip in page.rating_slips],
    )


def check_lists(casino_id: str, listed: Listed, before: Evidence, after: Evidence) -> Iterator[str]:
    """A casino is shown its own rows, all of them, each once, and no other's.

    `before` and `after` were read before and after it was asked.
    """
    for kind, shown, first, last in (
        ("entries", listed.entries, before.entries, after.entries),
        ("slips", listed.slips, before.slips, after.slips),
    ):
        if len(shown) != len(set(shown)):
            yield f"casino {casino_id} is shown some of its {kind} twice"
        if foreign := set(shown) - _ids_of(casino_id, last):
            yield f"casino {casino_id} is shown {kind} that are not its own: {foreign}"
        if missing := _ids_of(casino_id, first) - set(shown):
            yield f"casino {casino_id} is not shown {kind} of its own: {missing}"


def _ids_of(casino_id: str, rows: Sequence[Row]) -> set[str]:
    return {str(row["id"]) for row in rows if str(row["casino_id"]) == casino_id}


async def check_strangers(
    stage: Stage, casino_ids: Iterable[str], evidence: Evidence
) -> AsyncIterator[str]:
    """What a casino has is NOT_FOUND for every other, one without any rows included."""
    lookers = [*casino_ids, new_id()]
    choices = random.Random(SAMPLE_SEED)
    slips, players = sorted(evidence.slips_by_id), sorted(evidence.standings)
    for looker in lookers:
        admin = stage.client_of("admin", looker)
        foreign = [name for name in slips if name[0] != looker]
        for name in choices.sample(foreign, min(STRANGE_LOOKS, len(foreign))):
            request = ratingslip_pb2.GetRatingSlipRequest(rating_slip_id=name[1])
            if not await _is_not_found(admin, admin.slips.GetRatingSlip, request):
                yield f"casino {looker} can read slip {name}"
        # Somebody may be a player of both casinos.
        foreign = [name for name in players if (looker, name[1]) not in evidence.standings]
        for name in choices.sample(foreign, min(STRANGE_LOOKS, len(foreign))):
            asked = loyalty_pb2.GetPlayerLoyaltyRequest(player_id=name[1])
            if not await _is_not_found(admin, admin.points.GetPlayerLoyalty, asked):
                yield f"casino {looker} can read player {name}"


async def check_replays(stage: Stage, history: History) -> AsyncIterator[str]:
    """Same key, same entry: what was acknowledged is answered the same once more."""
    choices = random.Random(SAMPLE_SEED)
    acknowledged = history.acknowledged()
    for operation in choices.sample(acknowledged, min(REPLAYS, len(acknowledged))):
        # Whoever asks: keys and slips are the casino's. A new one each time, for the
        # limit counts what one member of staff gives.
        admin = stage.client_of("admin", operation.casino_id)
        rpc = RPCS[operation.verb]
        try:
            answer = rpc.acknowledged(await ask(admin, rpc.method(admin), request_of(operation)))
        except grpc.aio.AioRpcError as error:
            yield f"{operation}: repeated, it was refused: {error.details()}"
            continue
        if not answer.is_existing:
            yield f"{operation}: repeated, it was done again: {answer}"
        if _told(operation, answer) != _told(operation, operation.outcome):
            yield f"{operation}: repeated, it was answered with {answer}"


def _told(operation: Operation, outcome: Any) -> tuple[object, ...]:
    assert isinstance(outcome, Acknowledged)
    if operation.verb in EVENT_VERBS:
        return (outcome.slip_id,)
    return (
        outcome.entry_id,
        outcome.entry_number,
        outcome.points_delta,
        outcome.balance_after,
    )


async def ask(client: Client, method: Any, request: Any) -> Any:
    """The answer to a call that must succeed, if not at once."""

    async def answered() -> Any:
        try:
            return await client.send(method, request, deadline_seconds=PATIENCE_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() not in PASSING:
                raise
            return None

    return await eventually(answered, f"{method._method.decode()} is answered")


async def _is_not_found(client: Client, method: Any, request: Any) -> bool:
    try:
        await ask(client, method, request)
    except grpc.aio.AioRpcError as error:
        return error.code() is grpc.StatusCode.NOT_FOUND
    return False


async def _pages(client: Client, method: Any, request: Any) -> AsyncIterator[Any]:
    request.page_size = PAGE_SIZE
    while True:
        page = await ask(client, method, request)
        yield page
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def _line(message: Any) -> str:
    return str(message).replace("\n", " ")
