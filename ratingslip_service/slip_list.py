"""Pages of slips: filters in, one page and its token out."""

from __future__ import annotations

import datetime
import uuid

from casino.ratingslip.v1 import ratingslip_pb2
from chassis.paging import PageTokens
from chassis.validation import Fields
from ratingslip_service.encoding import encode_slip, loyalty_state_word, status_word
from ratingslip_service.slips import SlipFilter, SlipPosition, Slips


class SlipList:
    """Reads the slips a page at a time."""

    def __init__(self, slips: Slips, page_tokens: PageTokens) -> None:
        self._slips = slips
        self._page_tokens = page_tokens

    async def page(
        self, casino_id: uuid.UUID, request: ratingslip_pb2.ListRatingSlipsRequest
    ) -> ratingslip_pb2.ListRatingSlipsResponse:
        """The page a request asks for; raises INVALID_REQUEST, INVALID_PAGE_TOKEN."""
        fields = Fields()
        size = fields.page_size("page_size", request.page_size)
        slip_filter = _parse_filter(fields, request)
        fields.check()
        binding = ["ListRatingSlips", casino_id, *slip_filter]
        after = SlipPosition()
        if request.page_token:
            created, slip_id = self._page_tokens.open(request.page_token, binding)
            after = SlipPosition(datetime.datetime.fromisoformat(created), uuid.UUID(slip_id))
        # One row more than the page tells whether there is another page.
        rows = await self._slips.list_rating_slips(size + 1, after, slip_filter)
        page = rows[:size]
        token = ""
        if len(rows) > size:
            position = [page[-1]["created_time"].isoformat(), str(page[-1]["id"])]
            token = self._page_tokens.seal(position, binding)
        return ratingslip_pb2.ListRatingSlipsResponse(
            rating_slips=[encode_slip(row) for row in page], next_page_token=token
        )


def _parse_filter(fields: Fields, request: ratingslip_pb2.ListRatingSlipsRequest) -> SlipFilter:
    status, state = None, None
    if request.status in ratingslip_pb2.SlipStatus.values():
        status = status_word(request.status)
    else:
        fields.reject("status", "is not a status of a slip")
    if request.loyalty_state in ratingslip_pb2.LoyaltyState.values():
        state = loyalty_state_word(request.loyalty_state)
    else:
        fields.reject("loyalty_state", "is not a loyalty state of a slip")
    return SlipFilter(
        status=status,
        loyalty_state=state,
        player_id=fields.optional_uuid("player_id", request.player_id),
        table_id=fields.optional_uuid("table_id", request.table_id),
        started_from=fields.optional_time(request, "started_from"),
        started_before=fields.optional_time(request, "started_before"),
    )
