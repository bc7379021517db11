"""Each entry's hash covers what it says and the hash before it, whoever recomputes it."""

from __future__ import annotations

import pathlib
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chassis.migrate import Schema, migrate
from loyalty_service.ledger import Ledger
from tests.database.accruals import SlipCredit, accrue, entries_of, opened_ledger, players_of
from tests.database.chain import assert_chained, entry_hash
from tests.database.entries import RedemptionRequest, RewardRequest, send
from tests.database.rows import MOMENT, identity, insert, row
from tests.database.verifying import verify, write_every_reason
from tests.databases import LOYALTY, Connection, Databases, TestDatabase, connected

REASONS = {"base_accrual", "manual_reward", "promotion", "adjustment", "redemption", "reversal"}
# Whatever a note may hold that JSON writes in a way of its own, or might.
NOTES = (
    'said "yes" twice',
    "a \\ backslash, and a slash /",
    "tab\tline\nreturn\rpage\fback\b",
    "delete \x7f, next line \x85, no-break\xa0space",
    "<b>&amp;</b> \\u0041 \\n",
    "Überzug für Gäste, ključ, Ελλάδα, שלום, 你好",
    "family \U0001f468\u200d\U0001f469\u200d\U0001f467, clef \U0001d11e",
    "line\u2028and paragraph\u2029separators",
)


@pytest.fixture
async def ledger(loyalty_database: TestDatabase) -> AsyncIterator[Ledger]:
    async with opened_ledger(loyalty_database, 4) as ledger:
        yield ledger


async def test_every_entry_has_the_hash_that_anybody_can_recompute(
    ledger: Ledger, superuser: Connection
) -> None:
    casino_id, player_id = uuid.uuid4(), uuid.uuid4()
    whose: dict[str, Any] = {"casino_id": casino_id, "player_id": player_id}
    await write_every_reason(ledger, casino_id, player_id)
    for note in NOTES:
        await send(ledger, RewardRequest(**whose, note=note))
        await send(ledger, RedemptionRequest(**whose, points=1, note=note, allow_overdraw=True))

    entries = await entries_of(superuser, casino_id)

    assert {entry["reason"] for entry in entries} == REASONS
    assert {entry["note"] for entry in entries} > set(NOTES)
    assert [entry["hash"] for entry in entries] == [entry_hash(entry) for entry in entries]


async def test_each_players_entries_are_one_chain_that_ends_at_the_players_head(
    ledger: Ledger, superuser: Connection
) -> None:
    casino_id = uuid.uuid4()
    for _ in range(2):
        await write_every_reason(ledger, casino_id, uuid.uuid4())

    entries = await entries_of(superuser, casino_id)
    for player in await players_of(superuser, casino_id):
        chain = [entry for entry in entries if entry["player_id"] == player["player_id"]]
        assert_chained(chain)
        assert (player["entry_count"], player["head_hash"]) == (len(chain), chain[-1]["hash"])


async def test_what_was_written_before_there_was_a_chain_is_chained_as_it_stands(
    databases: Databases, tmp_path: pathlib.Path
) -> None:
    casinos = [uuid.uuid4(), uuid.uuid4()]
    async with databases.empty(LOYALTY) as database:
        await migrate(_as_it_began(tmp_path), database.owner_url)
        async with connected(database.superuser_url) as superuser:
            for casino_id in casinos:
                await _insert_unchained(superuser, casino_id)

            await migrate(LOYALTY.schema(), database.owner_url)

            for casino_id in casinos:
                findings = await verify(superuser, casino_id)
                assert (findings.entries_verified, findings.breaks) == (6, [])
                entries = await entries_of(superuser, casino_id)
                assert [entry["hash"] for entry in entries] == [entry_hash(e) for e in entries]
            # The chain goes on from there.
            credit = SlipCredit(casinos[0], identity(casinos[0], "player", 1))
            entry = await accrue(superuser, credit)
            assert entry["entry_number"] == 4
            assert (await verify(superuser, casinos[0])).breaks == []


def _as_it_began(directory: pathlib.Path) -> Schema:
    """The schema of the first migration, bound by row-level security as it was then."""
    first = next((LOYALTY.sql_directory / "migrations").glob("0001_*.sql"))
    (directory / "migrations").mkdir()
    (directory / "functions").mkdir()
    (directory / "migrations" / first.name).write_text(first.read_text())
    (directory / "security.sql").write_text(
        "".join(
            f"ALTER TABLE loyalty.{table} ENABLE ROW LEVEL SECURITY;"
            f"ALTER TABLE loyalty.{table} FORCE ROW LEVEL SECURITY;"
            for table in ("player_loyalty", "loyalty_ledger")
        )
    )
    return Schema(LOYALTY.name, directory)


async def _insert_unchained(superuser: Connection, casino_id: uuid.UUID) -> None:
    """Two players of a casino with three entries each, of 100 points each."""
    hashes = {"previous_hash", "hash", "head_hash"}
    for player in (1, 2):
        player_id = identity(casino_id, "player", player)
        columns = {**row("player_loyalty", casino_id, player), "entry_count": 3, "tier": "BRONZE"}
        columns |= {"current_balance": 300, "lifetime_points": 300}
        kept = {name: value for name, value in columns.items() if name not in hashes}
        await insert(superuser, LOYALTY, "player_loyalty", kept)
        # From the last to the first: the order of rows must not be that of the chain.
        for number in (3, 2, 1):
            entry = row("loyalty_ledger", casino_id, 10 * player + number)
            kept = {name: value for name, value in entry.items() if name not in hashes}
            await insert(
                superuser,
                LOYALTY,
                "loyalty_ledger",
                kept,
                player_id=player_id,
                entry_number=number,
                balance_before=100 * (number - 1),
                balance_after=100 * number,
                lifetime_before=100 * (number - 1),
                lifetime_after=100 * number,
                recorded_time=MOMENT.replace(microsecond=number),
                note=NOTES[number],
            )
