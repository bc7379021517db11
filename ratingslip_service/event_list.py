"""Pages of slip events: filters in, one page and its token out."""

from __future__ import annotations

import datetime
import uuid

from casino.ratingslip.v1 import ratingslip_pb2
from chassis.paging import PageTokens
from chassis.validation import Fields
from ratingslip_service.encoding import encode_event
from ratingslip_service.slips import EventFilter, EventPosition, Slips


class EventList:
    """Reads what happened to slips, a page at a time."""

    def __init__(self, slips: Slips, page_tokens: PageTokens) -> None:
        self._slips = slips
        self._page_tokens = page_tokens

    async def page(
        self, casino_id: uuid.UUID, request: ratingslip_pb2.ListSlipEventsRequest
    ) -> ratingslip_pb2.ListSlipEventsResponse:
        """The page a request asks for; raises INVALID_REQUEST, INVALID_PAGE_TOKEN."""
        fields = Fields()
        size = fields.page_size("page_size", request.page_size)
        event_filter = _parse_filter(fields, request)
        fields.check()
        binding = ["ListSlipEvents", casino_id, *event_filter]
        after = EventPosition()
        if request.page_token:
            recorded, slip_id, number = self._page_tokens.open(request.page_token, binding)
            after = EventPosition(
                datetime.datetime.fromisoformat(recorded), uuid.UUID(slip_id), int(number)
            )
        # One row more than the page tells whether there is another page.
        rows = await self._slips.list_slip_events(size + 1, after, event_filter)
        page = rows[:size]
        token = ""
        if len(rows) > size:
            last = page[-1]
            position = [
                last["recorded_time"].isoformat(),
                str(last["rating_slip_id"]),
                str(last["event_number"]),
            ]
            token = self._page_tokens.seal(position, binding)
        return ratingslip_pb2.ListSlipEventsResponse(
            events=[encode_event(row) for row in page], next_page_token=token
        )


def _parse_filter(fields: Fields, request: ratingslip_pb2.ListSlipEventsRequest) -> EventFilter:
    if not (request.rating_slip_id or request.correlation_id or request.trace_id):
        # All events of a casino are no question that anybody has, and a long answer.
        fields.reject("rating_slip_id", "is required, or correlation_id, or trace_id")
    return EventFilter(
        rating_slip_id=fields.optional_uuid("rating_slip_id", request.rating_slip_id),
        correlation_id=fields.correlation_id("correlation_id", request.correlation_id),
        trace_id=fields.trace_id("trace_id", request.trace_id),
    )
