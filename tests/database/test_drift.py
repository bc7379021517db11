"""What is cached is held against the entries, both ways; every difference is found and told."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest

from chassis.context import Role
from loyalty_service import drift
from loyalty_service.encoding import encode_drift
from loyalty_service.ledger import Ledger
from tests.database.accruals import SlipCredit, accrue_as_service, calling, opened_ledger
from tests.database.drifting import (
    BREAKAGES,
    STAFF_ID,
    audit_of,
    check,
    forge_entry,
    insert_drifting_player,
    move,
    paid_player,
)
from tests.databases import Connection, TestDatabase

LARGEST_BIGINT = 2**63 - 1
WRITERS = 6
SLIPS_A_WRITER = 15

# has_balance, current balance, ledger balance, lifetime, ledger lifetime, tier, ledger
# tier, points, severity; of a player with one slip of 1050 points.
FOUND = {
    "balance moved": (True, 1000, 1050, 1050, 1050, "SILVER", "SILVER", 50, "info"),
    "lifetime points moved": (True, 1050, 1050, 1100, 1050, "SILVER", "SILVER", 50, "info"),
    "both moved": (True, 1057, 1050, 1041, 1050, "SILVER", "SILVER", 9, "info"),
    "tier moved": (True, 1050, 1050, 1050, 1050, "GOLD", "SILVER", 0, "info"),
    "balance row deleted": (False, 0, 1050, 0, 1050, None, "SILVER", 1050, "critical"),
    "entries deleted": (True, 1050, 0, 1050, 0, "SILVER", None, 1050, "critical"),
    "entry added": (True, 1050, 1150, 1050, 1150, "SILVER", "BRONZE", 100, "info"),
}
FIGURES = (
    *("has_balance", "current_balance", "ledger_balance"),
    *("lifetime_points", "ledger_lifetime_points", "tier", "ledger_tier"),
    *("drift_points", "severity"),
)


@pytest.fixture
async def ledger(loyalty_database: TestDatabase) -> AsyncIterator[Ledger]:
    async with opened_ledger(loyalty_database, WRITERS) as ledger:
        yield ledger


# What is found.


async def test_where_every_balance_is_the_sum_of_its_entries_nothing_is_found_or_written(
    ledger: Ledger, superuser: Connection
) -> None:
    casino_id = uuid.uuid4()
    for _ in range(3):
        await paid_player(ledger, casino_id, await paid_player(ledger, casino_id))
    # An empty balance is what no entries come to.
    await insert_drifting_player(superuser, casino_id, 0)

    assert await check(ledger, casino_id) == (4, 0, None, [])
    assert await audit_of(superuser, casino_id) == []


@pytest.mark.parametrize("breakage", BREAKAGES)
async def test_each_way_to_drift_is_found_by_its_player_and_figures(
    ledger: Ledger, superuser: Connection, breakage: str
) -> None:
    casino_id = uuid.uuid4()
    player_id, *_ = [await paid_player(ledger, casino_id) for _ in range(3)]
    await BREAKAGES[breakage](superuser, casino_id, player_id)

    report = await check(ledger, casino_id)

    assert (report.players_checked, report.players_drifted) == (3, 1)
    assert report.findings == [
        {"player_id": str(player_id), **dict(zip(FIGURES, FOUND[breakage], strict=True))}
    ]


async def test_entries_that_come_to_nothing_still_need_a_balance_row(
    ledger: Ledger, superuser: Connection
) -> None:
    casino_id, player_id = uuid.uuid4(), uuid.uuid4()
    await forge_entry(
        superuser, casino_id, player_id, points_delta=0, balance_after=0, lifetime_after=0
    )

    (finding,) = (await check(ledger, casino_id, player_id)).findings

    assert (finding["has_balance"], finding["drift_points"]) == (False, 0)
    assert finding["severity"] == "info"


async def test_a_check_of_one_player_sees_nobody_else(
    ledger: Ledger, superuser: Connection
) -> None:
    casino_id = uuid.uuid4()
    players = [await insert_drifting_player(superuser, casino_id, 10) for _ in range(3)]

    for player_id in players:
        report = await check(ledger, casino_id, player_id)
        assert [finding["player_id"] for finding in report.findings] == [str(player_id)]
        assert report.players_checked == 1
    assert await check(ledger, casino_id, uuid.uuid4()) == (0, 0, None, [])


async def test_another_casinos_drift_is_not_seen(ledger: Ledger, superuser: Connection) -> None:
    ours, theirs, player_id = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    for casino_id in (ours, theirs):
        await paid_player(ledger, casino_id, player_id)
    await move(superuser, theirs, player_id, balance=5_000)
    await forge_entry(superuser, theirs, uuid.uuid4())

    assert await check(ledger, ours) == (1, 0, None, [])
    assert await check(ledger, ours, player_id) == (1, 0, None, [])
    assert (await check(ledger, theirs)).players_drifted == 2
    assert await audit_of(superuser, ours) == []


async def test_a_check_finds_nothing_while_points_are_being_written(ledger: Ledger) -> None:
    casino_id = uuid.uuid4()
    credits = [SlipCredit(casino_id) for _ in range(3)]
    writing = asyncio.gather(
        *(
            accrue_as_service(ledger, credits[number % len(credits)].for_another_slip())
            for number in range(WRITERS * SLIPS_A_WRITER)
        )
    )

    checks = 0
    while not writing.done():
        assert (await check(ledger, casino_id)).findings == []
        checks += 1

    await writing
    assert checks > 1
    assert await check(ledger, casino_id) == (len(credits), 0, None, [])


# How bad it is.


@pytest.mark.parametrize("column", ["balance", "lifetime"])
@pytest.mark.parametrize("sign", [1, -1], ids=["too much", "too little"])
@pytest.mark.parametrize(
    ("points", "severity"),
    [(1, "info"), (100, "info"), (101, "warning"), (1000, "warning"), (1001, "critical")],
)
async def test_severity_goes_by_the_points(
    ledger: Ledger,
    superuser: Connection,
    points: int,
    severity: str,
    sign: int,
    column: str,
) -> None:
    casino_id = uuid.uuid4()
    player_id = await paid_player(ledger, casino_id)
    # The smaller difference does not count.
    moved = {"balance": -sign, "lifetime": -sign, column: sign * points}
    await move(superuser, casino_id, player_id, **moved)

    report = await check(ledger, casino_id, player_id)

    assert report.severity == severity
    assert [finding["severity"] for finding in report.findings] == [severity]
    assert [finding["drift_points"] for finding in report.findings] == [points]


@pytest.mark.parametrize(
    ("drifting", "players", "severity"),
    [(1, 20, "info"), (1, 19, "critical"), (2, 40, "info"), (2, 39, "critical")],
    ids=["1 of 20", "1 of 19", "2 of 40", "2 of 39"],
)
async def test_more_than_5_percent_of_the_players_are_critical_however_few_the_points(
    ledger: Ledger, superuser: Connection, drifting: int, players: int, severity: str
) -> None:
    casino_id = uuid.uuid4()
    for number in range(players):
        await insert_drifting_player(superuser, casino_id, 1 if number < drifting else 0)

    report = await check(ledger, casino_id)

    assert report.severity == severity
    assert {finding["severity"] for finding in report.findings} == {"info"}


async def test_a_check_is_as_bad_as_its_worst_finding(
    ledger: Ledger, superuser: Connection
) -> None:
    casino_id = uuid.uuid4()
    for points in [101, 5, *([0] * 60)]:
        await insert_drifting_player(superuser, casino_id, points)

    assert (await check(ledger, casino_id)).severity == "warning"


# However large it is.


@pytest.mark.parametrize(
    ("players_a_batch", "entries_a_batch"), [(1, 1000), (3, 1000), (1000, 1), (1000, 7), (4, 5)]
)
async def test_however_the_batches_are_cut_every_player_is_checked_once(
    ledger: Ledger,
    superuser: Connection,
    monkeypatch: pytest.MonkeyPatch,
    players_a_batch: int,
    entries_a_batch: int,
) -> None:
    casino_id = uuid.uuid4()
    # Healthy and not, with and without a row, one after the other in the order of IDs.
    players = sorted(uuid.uuid4() for _ in range(24))
    for number, player_id in enumerate(players):
        match number % 4:
            case 0:
                for _ in range(number % 3 + 1):
                    await paid_player(ledger, casino_id, player_id)
            case 1:
                await insert_drifting_player(superuser, casino_id, number, player_id)
            case _:
                for entry in range(number % 5 + 1):
                    await forge_entry(superuser, casino_id, player_id, entry + 1)
    whole = await check(ledger, casino_id)

    monkeypatch.setattr(drift, "PLAYERS_A_BATCH", players_a_batch)
    monkeypatch.setattr(drift, "ENTRIES_A_BATCH", entries_a_batch)

    assert await check(ledger, casino_id) == whole
    assert (whole.players_checked, whole.players_drifted) == (24, 18)
    audited = [each["player_id"] for each in await audit_of(superuser, casino_id)]
    healthy = players[::4]
    assert sorted(audited) == sorted(2 * [each for each in players if each not in healthy])


@pytest.mark.parametrize(
    ("player_limit", "entry_limit", "checked"),
    [
        (4, 1000, [4, 4, 2]),
        (5, 1000, [5, 5, 0]),
        # Two entries each, and a player is never split.
        (1000, 6, [3, 3, 3, 1]),
        (1000, 5, [3, 3, 3, 1]),
        (2, 6, [2, 2, 2, 2, 2, 0]),
        (1000, 21, [10]),
    ],
)
async def test_a_batch_ends_with_the_balances_or_with_the_entries_that_it_may_read(
    ledger: Ledger, player_limit: int, entry_limit: int, checked: list[int]
) -> None:
    casino_id = uuid.uuid4()
    for _ in range(10):
        await paid_player(ledger, casino_id, await paid_player(ledger, casino_id))

    assert await batches(ledger, casino_id, player_limit, entry_limit) == checked


async def test_a_casino_that_has_lost_every_balance_is_no_endless_batch(
    ledger: Ledger, superuser: Connection
) -> None:
    casino_id = uuid.uuid4()
    for _ in range(10):
        await forge_entry(superuser, casino_id, uuid.uuid4())

    assert await batches(ledger, casino_id, 2, 4) == [4, 4, 2]


async def test_the_largest_100_are_answered_and_all_of_them_are_audited(
    ledger: Ledger, superuser: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    casino_id = uuid.uuid4()
    points = [7 * number % 131 + 1 for number in range(131)]
    for each in points:
        await insert_drifting_player(superuser, casino_id, each)
    monkeypatch.setattr(drift, "PLAYERS_A_BATCH", 20)

    report = await check(ledger, casino_id)

    assert [finding["drift_points"] for finding in report.findings] == list(range(131, 31, -1))
    assert report.players_drifted == len(points)
    audited = [each["after"]["drift_points"] for each in await audit_of(superuser, casino_id)]
    assert sorted(audited) == sorted(points)


async def test_a_forged_ledger_beyond_64_bits_is_told_and_does_not_hide_the_rest(
    ledger: Ledger, superuser: Connection
) -> None:
    casino_id = uuid.uuid4()
    forged, moved = uuid.uuid4(), await paid_player(ledger, casino_id)
    await move(superuser, casino_id, moved, balance=1)
    huge = {"points_delta": LARGEST_BIGINT, "balance_after": LARGEST_BIGINT}
    for number in (1, 2):
        await forge_entry(
            superuser, casino_id, forged, number, **huge, lifetime_after=LARGEST_BIGINT
        )

    report = await check(ledger, casino_id)

    assert [finding["drift_points"] for finding in report.findings] == [2 * LARGEST_BIGINT, 1]
    audit = {each["player_id"]: each["after"] for each in await audit_of(superuser, casino_id)}
    assert audit[forged]["current_balance"] == 2 * LARGEST_BIGINT
    # The answer's fields have 64 bits, and say what fits.
    answered = encode_drift(report).findings[0]
    assert (answered.ledger_balance, answered.drift_points) == (LARGEST_BIGINT, LARGEST_BIGINT)


async def batches(
    ledger: Ledger, casino_id: uuid.UUID, player_limit: int, entry_limit: int
) -> list[int]:
    """How many players each batch of a casino holds."""
    checked, after = [], None
    with calling(casino_id, STAFF_ID, Role.ADMIN):
        while True:
            batch = await ledger.check_balance_drift(None, after, player_limit, entry_limit)
            checked.append(batch["players_checked"])
            after = batch["last_player"]
            if after is None:
                return checked
