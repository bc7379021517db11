"""Whatever a superuser does to a ledger is found, and named at the right player and entry."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.database.accruals import SlipCredit, accrue, opened_ledger
from tests.database.damage import prepare_damage
from tests.database.verifying import Break, verify, write_every_reason
from tests.databases import LOYALTY, Connection, Databases, connected

# Each player has seven entries, and there are three of them.
ENTRIES_EACH = 7
PLAYERS = 3
# The answer must be the same wherever one batch ends and the next one begins.
BATCH_LIMITS = (1, 2, 3, 4, 9, 1_000)


@dataclasses.dataclass
class Scene:
    """An intact ledger of three players; the victim is the second one."""

    superuser: Connection
    casino_id: uuid.UUID
    players: list[uuid.UUID]

    @property
    def victim(self) -> uuid.UUID:
        return self.players[1]

    async def breaks(self) -> list[Break]:
        """What a verification finds, however it is divided."""
        whole = (await verify(self.superuser, self.casino_id)).breaks
        for limit in BATCH_LIMITS:
            for break_limit in (1, 100):
                divided = await verify(
                    self.superuser, self.casino_id, limit=limit, break_limit=break_limit
                )
                assert divided.breaks == whole, f"in batches of {limit}"
        for player_id in self.players:
            one = await verify(self.superuser, self.casino_id, player_id)
            assert one.breaks == [each for each in whole if each.player_id == player_id]
        return whole

    async def standing_at(self, number: int) -> uuid.UUID | None:
        """The victim's entry with that number, if there is one now."""
        found: uuid.UUID | None = await self.superuser.fetchval(
            "SELECT id FROM entry WHERE entry_number = $1", number
        )
        return found

    async def damaged(self, *statements: str) -> list[tuple[int, str]]:
        """Where and how the victim's chain breaks by this; the others' must not."""
        for statement in statements:
            await self.superuser.execute(statement)
        breaks = await self.breaks()
        assert {each.player_id for each in breaks} <= {self.victim}
        for each in breaks:
            assert each.entry_id == await self.standing_at(each.entry_number)
        return [(each.entry_number, each.fault) for each in breaks]


@pytest.fixture(scope="module")
async def intact(databases: Databases) -> AsyncIterator[Scene]:
    async with databases.migrated(LOYALTY) as database:
        casino_id = uuid.uuid4()
        players = sorted(uuid.uuid4() for _ in range(PLAYERS))
        async with opened_ledger(database, 1) as ledger:
            for player_id in players:
                entries = await write_every_reason(ledger, casino_id, player_id)
                assert len(entries) == ENTRIES_EACH
            # Somebody else's, which nobody here may see or touch.
            await write_every_reason(ledger, uuid.uuid4(), players[1])
        async with connected(database.superuser_url) as superuser:
            yield Scene(superuser, casino_id, players)


@pytest.fixture
async def scene(intact: Scene) -> AsyncIterator[Scene]:
    """The intact ledger, to be damaged until the test is over."""
    transaction = intact.superuser.transaction()
    await transaction.start()
    try:
        await prepare_damage(intact.superuser, intact.casino_id, intact.victim)
        yield intact
    finally:
        await transaction.rollback()


async def test_an_intact_ledger_verifies_to_its_last_entry(scene: Scene) -> None:
    whole = await verify(scene.superuser, scene.casino_id)

    assert (whole.entries_verified, whole.players_verified) == (ENTRIES_EACH * PLAYERS, PLAYERS)
    for limit in BATCH_LIMITS:
        divided = await verify(scene.superuser, scene.casino_id, limit=limit)
        assert divided == dataclasses.replace(whole, batches=divided.batches)
    assert await scene.breaks() == []


async def test_a_player_who_never_was_has_nothing_to_verify(scene: Scene) -> None:
    nobody = await verify(scene.superuser, scene.casino_id, uuid.uuid4())

    assert (nobody.entries_verified, nobody.players_verified, nobody.breaks) == (0, 0, [])


# What makes another value of a column, by its type.
OTHER_VALUES = {
    "uuid": "gen_random_uuid()",
    "int8": "{column} + 1",
    "int4": "{column} + 1",
    "text": "COALESCE({column}, '') || 'x'",
    "bytea": "sha256({column})",
    "jsonb": """{column} || '{{"more": "1"}}'""",
    "date": "{column} + 1",
    "timestamptz": "{column} + interval '1 microsecond'",
}
# Who takes an entry away from where it was leaves a gap there.
MOVING_COLUMNS = {"casino_id", "player_id", "entry_number"}


@pytest.mark.parametrize("number", [1, 4, ENTRIES_EACH])
async def test_an_edit_of_any_column_is_found_at_the_entry(scene: Scene, number: int) -> None:
    columns = await scene.superuser.fetch(
        "SELECT column_name, udt_name FROM information_schema.columns"
        " WHERE table_schema = 'loyalty' AND table_name = 'loyalty_ledger'"
    )
    found, expected = {}, {}
    for column, kind in columns:
        value = OTHER_VALUES[kind].format(column=column)
        if column == "entry_number":
            value = f"{column} + {ENTRIES_EACH}"
        statement = f"UPDATE entry SET {column} = {value} WHERE entry_number = {number}"

        edit = scene.superuser.transaction()
        await edit.start()
        await scene.superuser.execute(statement)
        standing = await scene.standing_at(number)
        breaks = await scene.breaks()
        await edit.rollback()

        assert (standing is None) == (column in MOVING_COLUMNS)
        fault = "MISSING" if standing is None else "CONTENT"
        found[column] = [each for each in breaks if each.player_id == scene.victim]
        expected[column] = [Break(scene.victim, number, standing, fault)]

    assert found == expected


# What is done, and where the victim's chain of seven entries breaks by it.
DAMAGE: dict[str, tuple[str, list[tuple[int, str]]]] = {
    # Deleted.
    "the first is deleted": ("DELETE FROM entry WHERE entry_number = 1", [(1, "MISSING")]),
    "one in the middle is deleted": ("DELETE FROM entry WHERE entry_number = 4", [(4, "MISSING")]),
    "two in a row are deleted": (
        "DELETE FROM entry WHERE entry_number IN (3, 4)",
        [(3, "MISSING")],
    ),
    "the last is deleted": ("DELETE FROM entry WHERE entry_number = 7", [(7, "MISSING")]),
    "the tail is deleted": ("DELETE FROM entry WHERE entry_number > 4", [(5, "MISSING")]),
    "all are deleted": ("DELETE FROM entry", [(1, "MISSING")]),
    "all are deleted, and the count is reset": (
        "DELETE FROM entry; UPDATE player SET entry_count = 0",
        [(1, "MISSING")],
    ),
    "one is deleted, and the gap closed": (
        "DELETE FROM entry WHERE entry_number = 4; SELECT pg_temp.renumber(5, -1)",
        [(4, "CONTENT")],
    ),
    "one is deleted, and the gap closed and covered up": (
        "DELETE FROM entry WHERE entry_number = 4; SELECT pg_temp.renumber(5, -1);"
        "SELECT pg_temp.rehash(4, 6); UPDATE player SET entry_count = 6",
        [(6, "CONTENT")],
    ),
    # Inserted.
    "a copy is put at the end": ("SELECT pg_temp.copy_entry(5, 8)", [(8, "CONTENT")]),
    "one is forged at the end": (
        "SELECT pg_temp.copy_entry(5, 8), pg_temp.rehash(8, 8)",
        [(8, "UNKNOWN")],
    ),
    "one is forged at the end, and counted": (
        "SELECT pg_temp.copy_entry(5, 8), pg_temp.rehash(8, 8); UPDATE player SET entry_count = 8",
        [(8, "CONTENT")],
    ),
    "one is put far beyond the end": (
        "SELECT pg_temp.copy_entry(5, 12), pg_temp.rehash(12, 12)",
        [(12, "LINK")],
    ),
    "a copy is put in the middle": (
        "SELECT pg_temp.renumber(4, 1), pg_temp.copy_entry(3, 4)",
        [(4, "CONTENT")],
    ),
    "one is forged in the middle": (
        "SELECT pg_temp.renumber(4, 1), pg_temp.copy_entry(6, 4), pg_temp.rehash(4, 4)",
        [(4, "CONTENT")],
    ),
    "two are forged in the middle": (
        "SELECT pg_temp.renumber(4, 2), pg_temp.copy_entry(7, 4), pg_temp.copy_entry(7, 5);"
        "SELECT pg_temp.rehash(4, 5)",
        [(4, "CONTENT")],
    ),
    "one is forged at the beginning": (
        "SELECT pg_temp.renumber(1, 1), pg_temp.copy_entry(6, 1), pg_temp.rehash(1, 1)",
        [(1, "CONTENT")],
    ),
    # Edited, with a hash that fits.
    "the first is rewritten": (
        "UPDATE entry SET note = 'x' WHERE entry_number = 1; SELECT pg_temp.rehash(1, 1)",
        [(1, "CONTENT")],
    ),
    "one in the middle is rewritten": (
        "UPDATE entry SET points_delta = points_delta + 1 WHERE entry_number = 4;"
        "SELECT pg_temp.rehash(4, 4)",
        [(4, "CONTENT")],
    ),
    "the last is rewritten": (
        "UPDATE entry SET points_delta = points_delta + 1 WHERE entry_number = 7;"
        "SELECT pg_temp.rehash(7, 7)",
        [(7, "CONTENT")],
    ),
    "everything from one on is rewritten": (
        "UPDATE entry SET note = 'x' WHERE entry_number = 4; SELECT pg_temp.rehash(4, 7)",
        [(7, "CONTENT")],
    ),
    "a chain is joined to what never was": (
        "UPDATE entry SET previous_hash = sha256('') WHERE entry_number = 4;"
        "UPDATE entry SET hash = (SELECT loyalty.entry_hash(l) FROM loyalty.loyalty_ledger AS l"
        " WHERE l.id = entry.id) WHERE entry_number = 4",
        [(4, "LINK")],
    ),
    # Moved.
    "two of a player's are exchanged": (
        "UPDATE entry SET entry_number = 9 WHERE entry_number = 3;"
        "UPDATE entry SET entry_number = 3 WHERE entry_number = 4;"
        "UPDATE entry SET entry_number = 4 WHERE entry_number = 9",
        [(3, "CONTENT")],
    ),
    # The player's own end.
    "the count is raised": ("UPDATE player SET entry_count = 9", [(8, "MISSING")]),
    "the count is lowered": ("UPDATE player SET entry_count = 5", [(6, "UNKNOWN")]),
    "the head is another": ("UPDATE player SET head_hash = sha256('')", [(7, "CONTENT")]),
    "the player's row is gone": ("DELETE FROM player", []),
    "the row and an entry are gone": (
        "DELETE FROM player; DELETE FROM entry WHERE entry_number = 4",
        [(4, "MISSING")],
    ),
    # What is no matter of the chain is for the drift check.
    "a balance is another": ("UPDATE player SET current_balance = 99", []),
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_damage_is_named_at_the_first_entry_that_does_not_fit(
    scene: Scene, damage: str
) -> None:
    statements, expected = DAMAGE[damage]

    assert await scene.damaged(*statements.split(";")) == expected


# What the next entry would go on from.
@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE player SET current_balance = 99",
        "UPDATE player SET lifetime_points = 99",
        "UPDATE player SET tier = 'PLATINUM'",
        "UPDATE player SET entry_count = 5",
        "UPDATE player SET entry_count = 9",
        "UPDATE player SET head_hash = sha256('')",
        "DELETE FROM player",
        "DELETE FROM entry WHERE entry_number = 7",
    ],
)
async def test_nothing_is_written_on_a_standing_that_the_last_entry_did_not_leave(
    scene: Scene, edit: str
) -> None:
    await scene.superuser.execute(edit)

    with pytest.raises(asyncpg.PostgresError) as refused:
        await accrue(scene.superuser, SlipCredit(scene.casino_id, scene.victim))

    assert refused.value.sqlstate == "LY014"


async def test_exchanged_entries_of_two_players_are_named_at_both(scene: Scene) -> None:
    others = scene.players[0]
    await scene.superuser.execute(
        "UPDATE loyalty.loyalty_ledger SET player_id = CASE player_id WHEN $2 THEN $3 ELSE $2 END,"
        " entry_number = entry_number + 100"
        " WHERE casino_id = $1 AND player_id IN ($2, $3) AND entry_number = 4",
        scene.casino_id,
        scene.victim,
        others,
    )
    await scene.superuser.execute(
        "UPDATE loyalty.loyalty_ledger SET entry_number = 4 WHERE entry_number = 104"
    )

    found = [(each.player_id, each.entry_number, each.fault) for each in await scene.breaks()]

    assert found == [(others, 4, "CONTENT"), (scene.victim, 4, "CONTENT")]


async def test_a_truncated_ledger_lacks_every_players_first_entry(scene: Scene) -> None:
    await scene.superuser.execute("TRUNCATE loyalty.loyalty_ledger CASCADE")

    assert await scene.breaks() == [
        Break(player_id, 1, None, "MISSING") for player_id in scene.players
    ]


async def test_entries_of_a_player_nobody_knows_are_found_in_their_place(scene: Scene) -> None:
    lowest, highest = uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)
    for stranger in (lowest, highest):
        await scene.superuser.execute(
            "UPDATE loyalty.loyalty_ledger SET player_id = $1"
            " WHERE id = (SELECT id FROM entry WHERE entry_number >= 6"
            " ORDER BY entry_number LIMIT 1)",
            stranger,
        )

    assert await scene.breaks() == [
        Break(lowest, 1, None, "MISSING"),
        Break(scene.victim, 6, None, "MISSING"),
        Break(highest, 1, None, "MISSING"),
    ]


async def test_another_casinos_chains_are_not_looked_at(scene: Scene) -> None:
    await scene.superuser.execute(
        "UPDATE loyalty.loyalty_ledger SET note = 'x' WHERE casino_id <> $1", scene.casino_id
    )

    assert await scene.breaks() == []
