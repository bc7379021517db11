"""Lists, a page at a time: in order, and with no row skipped or repeated.

The same promises hold for the slips of a casino, the ledger of a casino and the ledger
of one player, so each test here runs for all three.
"""

from __future__ import annotations

import asyncio
import base64
from typing import Any, ClassVar, NamedTuple

import pytest
from grpc import StatusCode

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from tests.integration.casino import Casino, new_accrual, new_id, start
from tests.integration.clients import Client, Refusal
from tests.integration.identity import Identity
from tests.integration.services import Pair

INVALID_PAGE_TOKEN = (StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN")
# More than the largest page holds.
CROWD = 105
# The largest page, which is what every larger size means too, and the usual one.
LARGEST, USUAL = 100, 20


class Page(NamedTuple):
    rows: list[Any]
    next_token: str


class Slips:
    """The slips of a casino."""

    # A row's ID.
    identity = "rating_slip_id"
    # A filter that every row fits, but that is another list than the one without it.
    filter: ClassVar[dict[str, Any]] = {"status": ratingslip_pb2.SLIP_STATUS_OPEN}

    def __init__(self, casino: Casino) -> None:
        self._boss = casino.for_role("pit_boss")

    async def add(self) -> None:
        await start(self._boss)

    async def page(self, **fields: Any) -> Page:
        request = ratingslip_pb2.ListRatingSlipsRequest(**fields)
        answer = await self._boss.call(self._boss.slips.ListRatingSlips, request)
        return Page(list(answer.rating_slips), answer.next_page_token)

    async def refusal(self, **fields: Any) -> Refusal:
        request = ratingslip_pb2.ListRatingSlipsRequest(**fields)
        return await self._boss.refusal(self._boss.slips.ListRatingSlips, request)

    @staticmethod
    def age(row: Any) -> tuple[Any, ...]:
        return row.create_time.ToMicroseconds(), row.rating_slip_id


class CasinoEntries:
    """The ledger of a casino."""

    identity = "entry_id"
    filter: ClassVar[dict[str, Any]] = {"reason": loyalty_pb2.LEDGER_REASON_BASE_ACCRUAL}

    def __init__(self, casino: Casino) -> None:
        self._service = casino.for_role("service")
        self._casino = casino

    async def add(self) -> None:
        await self._accrue(new_id())

    async def page(self, **fields: Any) -> Page:
        request = loyalty_pb2.ListLedgerEntriesRequest(**self._whole(fields))
        answer = await self._service.call(self._service.points.ListLedgerEntries, request)
        return Page(list(answer.entries), answer.next_page_token)

    async def refusal(self, **fields: Any) -> Refusal:
        request = loyalty_pb2.ListLedgerEntriesRequest(**self._whole(fields))
        return await self._service.refusal(self._service.points.ListLedgerEntries, request)

    @staticmethod
    def age(row: Any) -> tuple[Any, ...]:
        return row.recorded_time.ToMicroseconds(), row.entry_id

    async def _accrue(self, player_id: str) -> None:
        await self._service.call(
            self._service.points.AccruePointsFromSlip, new_accrual(player_id=player_id)
        )

    def _whole(self, fields: dict[str, Any]) -> dict[str, Any]:
        return fields


class PlayerEntries(CasinoEntries):
    """The ledger of one player."""

    def __init__(self, casino: Casino) -> None:
        super().__init__(casino)
        # The casino's own ID serves as its player's, so that each casino has one.
        self._player_id = casino.id

    async def add(self) -> None:
        await self._accrue(self._player_id)

    @staticmethod
    def age(row: Any) -> tuple[Any, ...]:
        return (row.entry_number,)

    def _whole(self, fields: dict[str, Any]) -> dict[str, Any]:
        return {"player_id": self._player_id, **fields}


Listing = Slips | CasinoEntries | PlayerEntries
LISTINGS: tuple[type[Listing], ...] = (Slips, CasinoEntries, PlayerEntries)


@pytest.fixture(params=LISTINGS, ids=lambda kind: kind.__name__)
def listing(request: pytest.FixtureRequest, casino: Casino) -> Listing:
    """An empty list."""
    kind: type[Listing] = request.param
    return kind(casino)


@pytest.fixture(scope="module", params=LISTINGS, ids=lambda kind: kind.__name__)
async def crowd(request: pytest.FixtureRequest, pair: Pair, identity: Identity) -> Listing:
    """A list of many rows, which tests only read."""
    kind: type[Listing] = request.param
    listing = kind(Casino(pair, identity))
    for _ in range(CROWD // 15):
        await asyncio.gather(*(listing.add() for _ in range(15)))
    return listing


def ids(listing: Listing, rows: list[Any]) -> list[str]:
    return [getattr(row, listing.identity) for row in rows]


async def read_all(listing: Listing, **fields: Any) -> list[Any]:
    page = await listing.page(**fields)
    rows = page.rows
    while page.next_token:
        page = await listing.page(page_token=page.next_token, **fields)
        # A token that promised a page kept it.
        assert page.rows
        rows = rows + page.rows
    return rows


async def test_the_pages_make_up_the_whole_list_newest_first(crowd: Listing) -> None:
    rows = await read_all(crowd, page_size=33)

    assert len(set(ids(crowd, rows))) == len(rows) == CROWD
    assert rows == sorted(rows, key=crowd.age, reverse=True)


@pytest.mark.parametrize(
    ("asked", "given"), [(0, USUAL), (1, 1), (100, LARGEST), (101, LARGEST), (2**31 - 1, LARGEST)]
)
async def test_a_page_holds_what_was_asked_for_within_limits(
    asked: int, given: int, crowd: Listing
) -> None:
    page = await crowd.page(page_size=asked)

    assert len(page.rows) == given
    assert page.next_token


async def test_the_last_page_has_no_token_even_when_it_is_full(listing: Listing) -> None:
    for _ in range(4):
        await listing.add()

    first = await listing.page(page_size=2)
    second = await listing.page(page_size=2, page_token=first.next_token)

    assert (len(first.rows), len(second.rows)) == (2, 2)
    assert second.next_token == ""


async def test_an_empty_list_is_one_empty_page(listing: Listing) -> None:
    assert await listing.page() == Page([], "")


async def test_rows_added_while_paging_are_neither_skipped_into_nor_repeated(
    listing: Listing,
) -> None:
    for _ in range(6):
        await listing.add()
    before = ids(listing, (await listing.page()).rows)
    seen = []

    page = await listing.page(page_size=2)
    seen += ids(listing, page.rows)
    while page.next_token:
        await listing.add()
        page = await listing.page(page_size=2, page_token=page.next_token)
        seen += ids(listing, page.rows)

    assert seen == before


async def test_the_size_may_change_from_page_to_page(crowd: Listing) -> None:
    whole = await crowd.page(page_size=50)
    first = await crowd.page(page_size=1)

    rest = await crowd.page(page_size=49, page_token=first.next_token)

    assert first.rows + rest.rows == whole.rows


async def test_a_token_that_was_not_given_out_is_refused(crowd: Listing) -> None:
    token = (await crowd.page(page_size=1)).next_token
    raw = base64.urlsafe_b64decode(token)
    forged = {
        "garbage": "garbage",
        "no base64": "!!!",
        "other letters": "č" * 8,
        "nothing but padding": "====",
        "truncated": token[: len(token) // 2],
        "short of a letter": token[:-1],
        "a signature alone": base64.urlsafe_b64encode(raw[:16]).decode(),
        "another first byte": base64.urlsafe_b64encode(bytes([raw[0] ^ 1]) + raw[1:]).decode(),
        "another position": base64.urlsafe_b64encode(raw[:-1] + bytes([raw[-1] ^ 1])).decode(),
        "something behind it": base64.urlsafe_b64encode(raw + b" ").decode(),
        "twice": token + token,
    }

    for flaw, bad in forged.items():
        refusal = await crowd.refusal(page_size=1, page_token=bad)
        assert refusal.kind == INVALID_PAGE_TOKEN, flaw


async def test_a_token_of_other_filters_is_refused(crowd: Listing) -> None:
    unfiltered = (await crowd.page(page_size=1)).next_token
    filtered = (await crowd.page(page_size=1, **crowd.filter)).next_token

    refusals = [
        await crowd.refusal(page_size=1, page_token=unfiltered, **crowd.filter),
        await crowd.refusal(page_size=1, page_token=filtered),
    ]

    assert [refusal.kind for refusal in refusals] == [INVALID_PAGE_TOKEN] * 2
    # With its own filters it is good.
    assert (await crowd.page(page_size=1, page_token=filtered, **crowd.filter)).rows


async def test_a_filter_by_the_word_none_is_not_the_list_without_a_filter(casino: Casino) -> None:
    entries = CasinoEntries(casino)
    await entries.add()
    await entries.add()
    unfiltered = (await entries.page(page_size=1)).next_token

    refusal = await entries.refusal(page_size=1, page_token=unfiltered, correlation_id="None")

    assert refusal.kind == INVALID_PAGE_TOKEN


async def test_a_token_of_another_list_is_refused(casino: Casino, boss: Client) -> None:
    listings: list[Listing] = [kind(casino) for kind in LISTINGS]
    tokens = []
    for listing in listings:
        await listing.add()
        await listing.add()
        tokens.append((await listing.page(page_size=1)).next_token)

    for listing, foreign in zip(listings, tokens[1:] + tokens[:1], strict=True):
        refusal = await listing.refusal(page_size=1, page_token=foreign)
        assert refusal.kind == INVALID_PAGE_TOKEN
