"""Slips that closed without points, in any number, as if every close had got stuck.

Makes them with RatingSlip's own SQL functions, past the services, because a thousand RPCs
would take longer than what is tested. It must not know how they get their points.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from tests.databases import LOYALTY, RATINGSLIP, connected
from tests.fault.stage import Stage
from tests.integration.casino import BET, DECISIONS_PER_HOUR, HOUSE_EDGE_PERCENT, new_id
from tests.integration.patience import eventually

# Few enough for two recoverers to come upon the same one at once.
PLAYERS = 20
# An hour's play each, of the players in turn. What is named by a correlation ID of its own is
# computed anew for each row.
_CLOSE_WITHOUT_POINTS = """
    SELECT (closed.slip).id::text
    FROM generate_series(1, $3::integer) AS n,
        LATERAL ratingslip.start_rating_slip(
            $1::uuid, $2::uuid, 'pit_boss', 'start-' || n, NULL, NULL,
            ($4::uuid[])[1 + n % cardinality($4::uuid[])], gen_random_uuid(), gen_random_uuid(), 1,
            $5::numeric, 'USD', 'Blackjack', $6::numeric, $7::integer, 1,
            clock_timestamp() - interval '2 hours'
        ) AS opened,
        LATERAL ratingslip.complete_rating_slip(
            $1::uuid, $2::uuid, 'pit_boss', 'close-' || n, '', (opened.slip).id,
            (opened.slip).start_time + interval '1 hour', NULL, NULL, NULL, NULL
        ) AS closed
"""
_STANDINGS = """
    SELECT id::text, loyalty_state, recovery_attempt_count FROM ratingslip.rating_slip
"""
_ACCRUED = "SELECT count(*) FROM ratingslip.rating_slip WHERE loyalty_state = 'ACCRUED'"
# How many slips of another casino got their points after this one was closed, and before it
# got its own.
_SERVED_BEFORE = """
    SELECT count(*)
    FROM ratingslip.rating_slip_event AS own_close
    JOIN ratingslip.rating_slip_event AS own_accrual USING (casino_id, rating_slip_id)
    JOIN ratingslip.rating_slip_event AS other
        ON other.casino_id <> own_close.casino_id
        AND other.kind = 'accrue'
        AND other.recorded_time BETWEEN own_close.recorded_time AND own_accrual.recorded_time
    WHERE own_close.kind = 'complete'
        AND own_accrual.kind = 'accrue'
        AND own_close.rating_slip_id = $1::uuid
"""


@dataclasses.dataclass(frozen=True)
class Standing:
    """How far a slip has come."""

    loyalty_state: str
    # How often a recoverer has claimed it.
    attempts: int


async def close_without_points(
    stage: Stage, casino_id: str, count: int, player_id: str | None = None
) -> list[str]:
    """Closes so many slips at one moment, of one player or of several in turn; their IDs."""
    players = [player_id] if player_id else [new_id() for _ in range(PLAYERS)]
    async with connected(stage.databases[RATINGSLIP].service_url) as connection:
        rows = await connection.fetch(
            _CLOSE_WITHOUT_POINTS,
            casino_id,
            new_id(),
            count,
            players,
            BET,
            HOUSE_EDGE_PERCENT,
            DECISIONS_PER_HOUR,
        )
    return [row[0] for row in rows]


async def lease_slips(stage: Stage, *, first_seconds: float, then_seconds: float) -> None:
    """How long after its close a slip is due, and how long a claim keeps others from it."""
    async with stage.superuser(RATINGSLIP) as superuser:
        await superuser.execute(
            f"""
            CREATE OR REPLACE FUNCTION ratingslip.recovery_delay(p_attempt_count integer)
            RETURNS interval LANGUAGE sql VOLATILE AS $$
                SELECT CASE p_attempt_count WHEN 0 THEN {first_seconds} ELSE {then_seconds} END
                    * interval '1 second'
            $$
            """
        )


async def standings(stage: Stage) -> Mapping[str, Standing]:
    """How far every slip has come, by its ID."""
    async with stage.superuser(RATINGSLIP) as superuser:
        return {row[0]: Standing(row[1], row[2]) for row in await superuser.fetch(_STANDINGS)}


async def accrued(stage: Stage, count: int) -> None:
    """Returns when so many slips have their points; patience is for each one more."""
    async with stage.superuser(RATINGSLIP) as superuser:
        found = 0

        async def one_more() -> bool:
            nonlocal found
            before = found
            found = int(await superuser.fetchval(_ACCRUED))
            return found > before

        while found < count:
            await eventually(one_more, f"more than {found} of {count} slips have their points")


async def accruals_under_way(stage: Stage, count: int) -> None:
    """Returns when so many accruals wait inside Loyalty's database."""

    async def waiting() -> bool:
        inside = await stage.postgres.backends(
            stage.databases[LOYALTY], inside="accrue_points_from_slip"
        )
        return len(inside) >= count

    await eventually(waiting, f"{count} accruals are under way")


async def served_before(stage: Stage, slip_id: str) -> int:
    """How many slips of other casinos got their points while this one waited for its own."""
    async with stage.superuser(RATINGSLIP) as superuser:
        count: int = await superuser.fetchval(_SERVED_BEFORE, slip_id)
    return count
