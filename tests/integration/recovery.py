"""Closes that stop half way, and the patient caller who finishes them."""

from __future__ import annotations

import grpc
from grpc import StatusCode

from casino.ratingslip.v1 import ratingslip_pb2
from tests.databases import Connection
from tests.integration.casino import an_hour_of, read_slip
from tests.integration.clients import Client, Method, Refusal, Request, Response, read_refusal
from tests.integration.patience import PATIENCE_SECONDS, eventually

RETRY_CAN_HELP = (StatusCode.UNAVAILABLE, "PARTIAL_COMPLETION")
NO_RETRY_CAN_HELP = (StatusCode.FAILED_PRECONDITION, "PARTIAL_COMPLETION")


async def refused_close(
    boss: Client,
    slip: ratingslip_pb2.RatingSlip,
    deadline_seconds: float | None = PATIENCE_SECONDS,
) -> Refusal:
    """Closes a slip an hour after it began, which must fail."""
    return await boss.refusal(
        boss.slips.CompleteRatingSlip, an_hour_of(slip), deadline_seconds=deadline_seconds
    )


def recovery_of(slip: ratingslip_pb2.RatingSlip) -> ratingslip_pb2.RecoverSlipLoyaltyRequest:
    """Asks for a slip's points."""
    return ratingslip_pb2.RecoverSlipLoyaltyRequest(rating_slip_id=slip.rating_slip_id)


async def finish(boss: Client, method: Method[Request, Response], request: Request) -> Response:
    """Calls as a patient caller does: again, as long as a retry can help."""

    async def attempt() -> Response | None:
        try:
            return await boss.call(method, request)
        except grpc.aio.AioRpcError as error:
            assert read_refusal(error).kind == RETRY_CAN_HELP
            return None

    return await eventually(attempt, "the close is finished")


async def recover(
    boss: Client, slip: ratingslip_pb2.RatingSlip
) -> ratingslip_pb2.RecoverSlipLoyaltyResponse:
    """Recovers a slip's points, as soon as that is possible."""
    return await finish(boss, boss.slips.RecoverSlipLoyalty, recovery_of(slip))


async def require_pending(boss: Client, slip: ratingslip_pb2.RatingSlip) -> None:
    """The slip is closed for good, and its points are due."""
    closed = await read_slip(boss, slip.rating_slip_id)
    assert closed.status == ratingslip_pb2.SLIP_STATUS_CLOSED
    assert closed.loyalty_state == ratingslip_pb2.LOYALTY_STATE_PENDING
    assert closed.duration_seconds == 3600
    assert not closed.loyalty_entry_id


async def hasten_recovery(superuser: Connection) -> None:
    """Lets the slips of a test's own database be due at once, and again half a second later.

    That is shorter than an attempt may take, so that attempts may also overlap.
    """
    await superuser.execute(
        """
        CREATE OR REPLACE FUNCTION ratingslip.recovery_delay(p_attempt_count integer)
        RETURNS interval LANGUAGE sql VOLATILE
        AS 'SELECT least(p_attempt_count, 4) * interval ''0.5 seconds'''
        """
    )
