"""Asks both services, with the operator's token, and remembers what could not be asked.

Owns the calls and their limits. It must not know what the answers mean.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from casino.loyalty.v1 import loyalty_pb2, loyalty_pb2_grpc
from casino.ratingslip.v1 import ratingslip_pb2, ratingslip_pb2_grpc
from deploy.explain.evidence import Service, Trouble

# Who was just paged waits for this program; a service that is away must not hold it up.
CALL_TIMEOUT_SECONDS = 3.0
HEALTH_TIMEOUT_SECONDS = 1.0
# The largest page there is, and enough of them for a slip that was tried for three days.
PAGE_SIZE = 100
MOST_PAGES = 10

_SERVICE_NAMES = {
    Service.RATINGSLIP: "casino.ratingslip.v1.RatingSlipService",
    Service.LOYALTY: "casino.loyalty.v1.LoyaltyService",
}

Request = TypeVar("Request")
Response = TypeVar("Response")
Row = TypeVar("Row")


class Asker:
    """Reads from both services. A call that fails is None, or empty, and stands in `troubles`."""

    def __init__(self, ratingslip: grpc.aio.Channel, loyalty: grpc.aio.Channel, token: str) -> None:
        self.troubles: list[Trouble] = []
        self._channels = {Service.RATINGSLIP: ratingslip, Service.LOYALTY: loyalty}
        self._slips: ratingslip_pb2_grpc.RatingSlipServiceAsyncStub = (
            ratingslip_pb2_grpc.RatingSlipServiceStub(ratingslip)
        )
        self._points: loyalty_pb2_grpc.LoyaltyServiceAsyncStub = (
            loyalty_pb2_grpc.LoyaltyServiceStub(loyalty)
        )
        self._metadata = (
            ("authorization", f"Bearer {token}"),
            ("x-correlation-id", f"explain-{uuid.uuid4()}"),
        )

    async def slip(self, rating_slip_id: str) -> ratingslip_pb2.RatingSlip | None:
        """The slip; None, without a trouble, when the casino has none of this ID."""
        request = ratingslip_pb2.GetRatingSlipRequest(rating_slip_id=rating_slip_id)
        answer = await self._ask(Service.RATINGSLIP, self._slips.GetRatingSlip, request)
        return None if answer is None else answer.rating_slip

    async def events(self, **filters: Any) -> list[ratingslip_pb2.SlipEvent]:
        """The events that fit the filters of `ListSlipEventsRequest`, oldest first."""

        async def page(token: str) -> tuple[list[ratingslip_pb2.SlipEvent], str]:
            request = ratingslip_pb2.ListSlipEventsRequest(
                page_size=PAGE_SIZE, page_token=token, **filters
            )
            answer = await self._ask(Service.RATINGSLIP, self._slips.ListSlipEvents, request)
            return ([], "") if answer is None else (list(answer.events), answer.next_page_token)

        return await _all_pages(page)

    async def entries(self, **filters: Any) -> list[loyalty_pb2.LedgerEntry]:
        """The entries that fit the filters of `ListLedgerEntriesRequest`, newest first."""

        async def page(token: str) -> tuple[list[loyalty_pb2.LedgerEntry], str]:
            request = loyalty_pb2.ListLedgerEntriesRequest(
                page_size=PAGE_SIZE, page_token=token, **filters
            )
            answer = await self._ask(Service.LOYALTY, self._points.ListLedgerEntries, request)
            return ([], "") if answer is None else (list(answer.entries), answer.next_page_token)

        return await _all_pages(page)

    async def points_due(self, rating_slip_id: str) -> int | None:
        """What Loyalty would give for the slip; None when it cannot say, which is no trouble."""
        request = ratingslip_pb2.PreviewSlipPointsRequest(rating_slip_id=rating_slip_id)
        try:
            answer = await self._slips.PreviewSlipPoints(
                request, timeout=CALL_TIMEOUT_SECONDS, metadata=self._metadata
            )
        except grpc.aio.AioRpcError:
            return None
        return answer.points

    async def serving(self) -> set[Service]:
        """The services that say that they serve."""
        return {service for service in Service if await self._is_serving(service)}

    async def _is_serving(self, service: Service) -> bool:
        stub = health_pb2_grpc.HealthStub(self._channels[service])
        request = health_pb2.HealthCheckRequest(service=_SERVICE_NAMES[service])
        try:
            # The generated stub is not typed.
            answer = await stub.Check(request, timeout=HEALTH_TIMEOUT_SECONDS)  # type: ignore[attr-defined]
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def _ask(
        self,
        service: Service,
        method: Callable[..., Awaitable[Response]],
        request: Any,
    ) -> Response | None:
        try:
            return await method(request, timeout=CALL_TIMEOUT_SECONDS, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                self.troubles.append(Trouble(service, error.code().name, error.details() or ""))
            return None


async def _all_pages(page: Callable[[str], Awaitable[tuple[list[Row], str]]]) -> list[Row]:
    rows, token = await page("")
    for _ in range(MOST_PAGES - 1):
        if not token:
            break
        more, token = await page(token)
        rows += more
    return rows
