"""A verification goes through any ledger, in batches, while the casino is at work."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
from opentelemetry.metrics import NoOpMeter

from casino.loyalty.v1 import loyalty_pb2
from chassis.context import Role
from chassis.errors import ServiceError
from chassis.paging import PageTokens
from loyalty_service import verification
from loyalty_service.ledger import Ledger
from loyalty_service.verification import BATCH_ENTRIES, MOST_BREAKS, LedgerVerification
from tests.database.accruals import SlipCredit, accrue, accrue_as_service, calling, opened_ledger
from tests.database.verifying import fill, verify
from tests.databases import Connection, TestDatabase
from tests.integration.locks import HeldRow

# One player's chain takes many batches, and one batch holds many players.
LONG_CHAIN = 25 * BATCH_ENTRIES
SHORT_CHAINS = 2_500
# Writers come in between two of these.
SMALL_BATCH = 7
WRITERS = 4
ACCRUALS_EACH = 40
# At how many different lengths a ledger is verified while it grows, at least.
LEAST_LOOKS = 10


@pytest.fixture
async def ledger(loyalty_database: TestDatabase) -> AsyncIterator[Ledger]:
    async with opened_ledger(loyalty_database, WRITERS + 1) as ledger:
        yield ledger


@pytest.fixture
async def answers(ledger: Ledger) -> Answers:
    return Answers(LedgerVerification(ledger, PageTokens("k" * 32), NoOpMeter("test")))


class Answers:
    """The service's answers, page after page."""

    def __init__(self, ledger_verification: LedgerVerification) -> None:
        self._verification = ledger_verification

    async def page(
        self, casino_id: uuid.UUID, page_token: str = "", player_id: str = ""
    ) -> loyalty_pb2.VerifyLedgerResponse:
        request = loyalty_pb2.VerifyLedgerRequest(player_id=player_id, page_token=page_token)
        with calling(casino_id, uuid.uuid4(), Role.ADMIN):
            return await self._verification.verify(request)

    async def pages(self, casino_id: uuid.UUID) -> list[loyalty_pb2.VerifyLedgerResponse]:
        pages = [await self.page(casino_id)]
        while pages[-1].next_page_token:
            pages.append(await self.page(casino_id, pages[-1].next_page_token))
        return pages


async def test_a_large_ledger_is_verified_in_one_call_when_there_is_time(
    superuser: Connection, answers: Answers
) -> None:
    casino_id = uuid.uuid4()
    await fill(superuser, casino_id, 1, LONG_CHAIN)
    await fill(superuser, casino_id, SHORT_CHAINS, 2)

    (answer,) = await answers.pages(casino_id)

    assert answer.entries_verified == LONG_CHAIN + 2 * SHORT_CHAINS
    assert answer.players_verified == 1 + SHORT_CHAINS
    assert not answer.breaks


async def test_without_time_an_answer_is_one_batch_and_says_where_to_go_on(
    superuser: Connection, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    casino_id = uuid.uuid4()
    await fill(superuser, casino_id, 1, 3 * BATCH_ENTRIES)
    await fill(superuser, casino_id, BATCH_ENTRIES, 1)
    # No deadline of any caller leaves so much time to answer in.
    monkeypatch.setattr(verification, "ANSWER_MARGIN_SECONDS", 1e9)

    pages = await answers.pages(casino_id)

    assert len(pages) > 4
    assert max(page.entries_verified for page in pages) == BATCH_ENTRIES
    assert sum(page.entries_verified for page in pages) == 4 * BATCH_ENTRIES
    assert sum(page.players_verified for page in pages) == 1 + BATCH_ENTRIES


async def test_players_without_entries_do_not_make_a_batch_long(superuser: Connection) -> None:
    casino_id = uuid.uuid4()
    await fill(superuser, casino_id, 10 * SMALL_BATCH, 0)

    findings = await verify(superuser, casino_id, limit=SMALL_BATCH)

    assert (findings.batches, findings.players_verified) == (10, 0)


async def test_an_answer_holds_a_hundred_breaks_and_the_next_one_goes_on_behind_them(
    superuser: Connection, answers: Answers
) -> None:
    casino_id = uuid.uuid4()
    players = await fill(superuser, casino_id, 2 * MOST_BREAKS + 50, 15)
    broken = players[: 2 * MOST_BREAKS + 1]
    # So late that one batch alone does not come upon a hundred of them.
    await superuser.execute(
        "UPDATE loyalty.loyalty_ledger SET note = 'x'"
        " WHERE player_id = ANY ($1) AND entry_number = 14",
        broken,
    )

    pages = await answers.pages(casino_id)

    assert [len(page.breaks) for page in pages] == [MOST_BREAKS, MOST_BREAKS, 1]
    found = [each for page in pages for each in page.breaks]
    assert [each.player_id for each in found] == [str(player_id) for player_id in broken]
    assert {(each.entry_number, each.fault) for each in found} == {
        (14, loyalty_pb2.CHAIN_FAULT_CONTENT)
    }
    assert sum(page.players_verified for page in pages) == len(players) - len(broken)


async def test_a_token_is_good_for_its_own_casino_and_player_only(
    superuser: Connection, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    casino_id = uuid.uuid4()
    (player_id,) = await fill(superuser, casino_id, 1, 2 * BATCH_ENTRIES)
    monkeypatch.setattr(verification, "ANSWER_MARGIN_SECONDS", 1e9)
    token = (await answers.page(casino_id)).next_page_token
    own_token = (await answers.page(casino_id, player_id=str(player_id))).next_page_token

    for bad in (
        answers.page(uuid.uuid4(), token),
        answers.page(casino_id, token, str(player_id)),
        answers.page(casino_id, own_token),
        answers.page(casino_id, own_token, str(uuid.uuid4())),
        answers.page(casino_id, token[:-4]),
    ):
        with pytest.raises(ServiceError, match="INVALID_PAGE_TOKEN"):
            await bad

    assert (await answers.page(casino_id, own_token, str(player_id))).entries_verified


async def test_an_entry_that_is_committed_halfway_through_is_not_a_fault(
    superuser: Connection, loyalty_service_role: Connection
) -> None:
    credit = SlipCredit()
    await accrue(superuser, credit)
    # The first time on a connection the tables are looked at before anything is read.
    assert (await verify(loyalty_service_role, credit.casino_id)).breaks == []

    async with superuser.transaction():
        # The player's row can be read, and the entries cannot until this is over.
        await superuser.execute("LOCK TABLE loyalty.loyalty_ledger IN ACCESS EXCLUSIVE MODE")
        verifying = asyncio.create_task(
            verify(loyalty_service_role, credit.casino_id, credit.player_id)
        )
        await HeldRow(superuser).awaited()
        await accrue(superuser, credit.for_another_slip())

    assert (await verifying).breaks == []
    assert (await verify(superuser, credit.casino_id)).entries_verified == 2


async def test_a_writer_at_work_never_looks_like_a_fault(
    ledger: Ledger, loyalty_service_role: Connection
) -> None:
    casino_id, player_ids = uuid.uuid4(), [uuid.uuid4() for _ in range(2)]

    async def write(writer: int) -> None:
        for _ in range(ACCRUALS_EACH):
            player_id = player_ids[writer % len(player_ids)]
            await accrue_as_service(ledger, SlipCredit(casino_id, player_id))

    looks = []
    async with asyncio.TaskGroup() as writing:
        tasks = [writing.create_task(write(writer)) for writer in range(WRITERS)]
        while not all(task.done() for task in tasks):
            for limit in (1_000, SMALL_BATCH):
                findings = await verify(loyalty_service_role, casino_id, limit=limit)
                assert findings.breaks == []
                looks.append(findings.entries_verified)

    # It was looked at while it grew.
    assert len(set(looks)) >= LEAST_LOOKS
    assert (await verify(loyalty_service_role, casino_id)).entries_verified == (
        WRITERS * ACCRUALS_EACH
    )
