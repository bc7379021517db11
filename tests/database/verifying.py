"""Chains of entries to be verified, short ones of every reason and long ones, and how to do it.

The hash itself is recomputed without the database in `tests.database.chain`.
"""

from __future__ import annotations

import dataclasses
import uuid
from typing import Any, NamedTuple

from loyalty_service.ledger import Ledger
from tests.database.accruals import Row, SlipCredit
from tests.database.entries import (
    PromotionRequest,
    RedemptionRequest,
    ReversalRequest,
    RewardRequest,
    send,
)
from tests.databases import Connection

STAFF_ID = uuid.UUID("8a7f3b52-51c1-4a0e-9d1c-1f7b6f1d2e01")
# More than any test has.
EVERYTHING = 1_000_000

_VERIFY = """
    SELECT * FROM loyalty.verify_ledger($1, $2, 'admin', 'correlation-1', $3, $4, $5, $6, $7)
"""

# Entries by the thousand: what append_entry() does, without moving the balance each time.
_FILL = """
CREATE OR REPLACE FUNCTION pg_temp.fill(p_casino_id uuid, p_player_id uuid, p_count bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    entry  loyalty.loyalty_ledger;
    head   bytea := loyalty.first_hash();
BEGIN
    INSERT INTO loyalty.player_loyalty (
        casino_id, player_id, current_balance, lifetime_points, entry_count,
        created_time, updated_time, tier, head_hash
    )
    VALUES (p_casino_id, p_player_id, p_count, p_count, p_count, now(), now(), 'BRONZE', head);
    FOR number IN 1 .. p_count LOOP
        entry := loyalty.draft_entry(
            'manual_reward', p_player_id, NULL, 'correlation-1',
            p_player_id || '-' || number, sha256('')
        );
        entry.id := gen_random_uuid();
        entry.casino_id := p_casino_id;
        entry.player_id := p_player_id;
        entry.entry_number := number;
        entry.points_delta := 1;
        entry.balance_before := number - 1;
        entry.balance_after := number;
        entry.lifetime_before := number - 1;
        entry.lifetime_after := number;
        entry.tier_before := 'BRONZE';
        entry.tier_after := 'BRONZE';
        entry.tier_progress_percent := 0;
        entry.source_kind := 'staff';
        entry.source_id := p_player_id;
        entry.note := 'one of many';
        entry.metadata := '{}';
        entry.gaming_day := '2024-06-01';
        entry.recorded_time := now();
        entry.effective_time := now();
        entry.previous_hash := head;
        head := loyalty.entry_hash(entry);
        entry.hash := head;
        INSERT INTO loyalty.loyalty_ledger VALUES (entry.*);
    END LOOP;
    UPDATE loyalty.player_loyalty AS p SET head_hash = head
    WHERE p.casino_id = p_casino_id AND p.player_id = p_player_id;
END
$$
"""


class Break(NamedTuple):
    """The first entry of a player that does not fit."""

    player_id: uuid.UUID
    entry_number: int
    entry_id: uuid.UUID | None
    fault: str


@dataclasses.dataclass
class Findings:
    """What a whole verification says, over all of its batches."""

    entries_verified: int = 0
    players_verified: int = 0
    breaks: list[Break] = dataclasses.field(default_factory=list)
    batches: int = 0


async def verify(
    connection: Connection,
    casino_id: uuid.UUID,
    player_id: uuid.UUID | None = None,
    *,
    limit: int = EVERYTHING,
    break_limit: int = EVERYTHING,
) -> Findings:
    """Verifies a casino, or one player, in batches of `limit` until there is no more."""
    findings = Findings()
    position, number = None, 0
    while True:
        batch = await connection.fetchrow(
            _VERIFY, casino_id, STAFF_ID, player_id, position, number, limit, break_limit
        )
        assert batch is not None
        assert batch["entries_verified"] <= limit
        assert len(batch["breaks"]) <= break_limit
        findings.entries_verified += batch["entries_verified"]
        findings.players_verified += batch["players_verified"]
        findings.breaks += [Break(*row) for row in batch["breaks"]]
        findings.batches += 1
        position, number = batch["next_player"], batch["next_number"]
        if position is None:
            return findings


async def write_every_reason(
    ledger: Ledger, casino_id: uuid.UUID, player_id: uuid.UUID
) -> list[Row]:
    """Seven entries of a player, as the service writes them."""
    whose: dict[str, Any] = {"casino_id": casino_id, "player_id": player_id}
    credit = SlipCredit(**whose)
    entries = [await send(ledger, credit)]
    for request in (
        RewardRequest(**whose, points=500, reward_id=uuid.uuid4(), visit_id=uuid.uuid4()),
        PromotionRequest(**whose, rating_slip_id=credit.rating_slip_id, multiplier="1.5"),
        RedemptionRequest(**whose, points=3_000, allow_overdraw=True, campaign_id=uuid.uuid4()),
        RewardRequest(**whose, points=-25),
        ReversalRequest(casino_id=casino_id, entry_id=entries[0]["id"]),
        credit.for_another_slip(),
    ):
        entries.append(await send(ledger, request))
    return entries


async def fill(
    superuser: Connection, casino_id: uuid.UUID, players: int, entries_each: int
) -> list[uuid.UUID]:
    """Gives a casino that many new players with that many entries; their IDs in order."""
    await superuser.execute(_FILL)
    player_ids = sorted(uuid.uuid4() for _ in range(players))
    await superuser.execute(
        "SELECT pg_temp.fill($1, player_id, $3) FROM unnest($2::uuid[]) AS player_id",
        casino_id,
        player_ids,
        entries_each,
    )
    return player_ids
