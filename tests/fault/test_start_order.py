"""Who comes up first does not matter: each service waits for what it needs, and says so."""

from __future__ import annotations

import pytest
from grpc_health.v1 import health_pb2

from tests.databases import LOYALTY, RATINGSLIP, Service
from tests.fault.history import History
from tests.fault.invariants import require_invariants
from tests.fault.stage import Stage
from tests.integration.casino import POINTS_OF_AN_HOUR, complete, new_id, read_slip, start
from tests.integration.recovery import RETRY_CAN_HELP, refused_close, require_pending

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
ORDERS = ((LOYALTY, RATINGSLIP), (RATINGSLIP, LOYALTY))


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: f"{order[0]}_first")
async def test_either_service_may_come_first_and_the_database_last(
    bare_stage: Stage, order: tuple[Service, Service]
) -> None:
    async with bare_stage.postgres.down():
        for service in order:
            process = await bare_stage.launch(service)
            await process.listening()
            await process.health_becomes(NOT_SERVING)

    await bare_stage.serving()

    boss = bare_stage.casino().for_role("pit_boss")
    closed = await complete(boss, await start(boss))
    assert closed.loyalty.points_delta == POINTS_OF_AN_HOUR
    await require_invariants(bare_stage, History())


async def test_what_was_closed_before_there_was_a_loyalty_is_paid_when_there_is_one(
    bare_stage: Stage,
) -> None:
    await bare_stage.start(RATINGSLIP)
    boss = bare_stage.client_of("pit_boss", new_id())
    slip = await start(boss)
    assert (await refused_close(boss, slip)).kind == RETRY_CAN_HELP
    await require_pending(boss, slip)

    await bare_stage.start(LOYALTY)

    # Which waits until no slip is PENDING, and asks for nothing.
    await require_invariants(bare_stage, History())
    assert (await read_slip(boss, slip.rating_slip_id)).loyalty_entry_id
