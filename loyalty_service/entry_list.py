"""Pages of the ledger: filters in, one page and its token out."""

from __future__ import annotations

import datetime
import uuid

import asyncpg

from casino.loyalty.v1 import loyalty_pb2
from chassis.paging import PageTokens
from chassis.validation import Fields
from loyalty_service.encoding import encode_entry, reason_word
from loyalty_service.ledger import EntryFilter, EntryPosition, Ledger


class EntryList:
    """Reads the ledger a page at a time."""

    def __init__(self, ledger: Ledger, page_tokens: PageTokens) -> None:
        self._ledger = ledger
        self._page_tokens = page_tokens

    async def page(
        self, casino_id: uuid.UUID, request: loyalty_pb2.ListLedgerEntriesRequest
    ) -> loyalty_pb2.ListLedgerEntriesResponse:
        """The page a request asks for; raises INVALID_REQUEST, INVALID_PAGE_TOKEN."""
        fields = Fields()
        size = fields.page_size("page_size", request.page_size)
        entry_filter = _parse_filter(fields, request)
        fields.check()
        binding = ["ListLedgerEntries", casino_id, *entry_filter]
        after = EntryPosition()
        if request.page_token:
            after = _parse_position(self._page_tokens.open(request.page_token, binding))
        # One row more than the page tells whether there is another page.
        rows = await self._ledger.list_ledger_entries(size + 1, after, entry_filter)
        page = rows[:size]
        token = ""
        if len(rows) > size:
            token = self._page_tokens.seal(_position(page[-1], entry_filter), binding)
        return loyalty_pb2.ListLedgerEntriesResponse(
            entries=[encode_entry(row) for row in page], next_page_token=token
        )


def _parse_filter(fields: Fields, request: loyalty_pb2.ListLedgerEntriesRequest) -> EntryFilter:
    if request.reason not in loyalty_pb2.LedgerReason.values():
        fields.reject("reason", "is not a reason of the ledger")
        reason = None
    else:
        reason = reason_word(request.reason)
    return EntryFilter(
        player_id=fields.optional_uuid("player_id", request.player_id),
        reason=reason,
        rating_slip_id=fields.optional_uuid("rating_slip_id", request.rating_slip_id),
        visit_id=fields.optional_uuid("visit_id", request.visit_id),
        campaign_id=fields.optional_uuid("campaign_id", request.campaign_id),
        staff_id=fields.optional_uuid("staff_id", request.staff_id),
        correlation_id=fields.correlation_id("correlation_id", request.correlation_id),
        recorded_from=fields.optional_time(request, "recorded_from"),
        recorded_before=fields.optional_time(request, "recorded_before"),
    )


def _position(row: asyncpg.Record, entry_filter: EntryFilter) -> list[str]:
    if entry_filter.player_id is not None:
        return [str(row["entry_number"])]
    return [row["recorded_time"].isoformat(), str(row["id"])]


def _parse_position(position: list[str]) -> EntryPosition:
    """Reads what `_position` wrote; the signature vouches for its form."""
    if len(position) == 1:
        return EntryPosition(entry_number=int(position[0]))
    recorded, entry_id = position
    return EntryPosition(
        recorded_time=datetime.datetime.fromisoformat(recorded), entry_id=uuid.UUID(entry_id)
    )
