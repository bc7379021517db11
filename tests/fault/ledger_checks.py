"""What must hold of the rows alone, whoever wrote them: sums, chains, one payment a slip.

Every check takes the evidence and says in sentences what is wrong. It must not know who
asked for what.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from tests.fault.evidence import Evidence, Name, Row
from tests.reference import DEFAULT_TIERS, Terms, standing

# The default program's; where a casino has programs of its own, theirs count.
DEFAULT_FLOOR = -5_000
# What no floor bounds: they take back what they must.
WITHOUT_FLOOR = ("reversal", "adjustment")
ORIGIN_HASH = bytes(32)
# What is cached of a player beside the balance, and where the last entry says it.
HEAD = ("entry_count", "lifetime_points", "tier", "head_hash")


def check_chains(evidence: Evidence) -> Iterator[str]:
    """Numbers without a gap, each before is the one before's after, and hashes that join."""
    for player, chain in evidence.chains.items():
        number = balance = lifetime = 0
        tier, head = DEFAULT_TIERS[0].name, ORIGIN_HASH
        for entry in chain:
            where = _shown(player, entry)
            number += 1
            if entry["entry_number"] != number:
                yield f"{where}: its number should be {number}"
                number = entry["entry_number"]
            before = (entry["balance_before"], entry["lifetime_before"], entry["tier_before"])
            if before != (balance, lifetime, tier):
                yield f"{where}: it stands on {before}, and follows {(balance, lifetime, tier)}"
            if entry["balance_after"] != entry["balance_before"] + entry["points_delta"]:
                yield f"{where}: before and points do not make after"
            if entry["previous_hash"] != head:
                yield f"{where}: it does not join the entry before it"
            if entry["hash"] != entry["computed_hash"]:
                yield f"{where}: its hash is not that of its content"
            balance, lifetime = entry["balance_after"], entry["lifetime_after"]
            tier, head = entry["tier_after"], entry["hash"]


def check_balances(evidence: Evidence) -> Iterator[str]:
    """What is cached of a player is the sum of the entries, in both directions."""
    for player in evidence.chains.keys() - evidence.standings.keys():
        yield f"player {player} has entries and no balance"
    for player, cached in evidence.standings.items():
        chain = evidence.chains.get(player, [])
        total = sum(entry["points_delta"] for entry in chain)
        if cached["current_balance"] != total:
            yield (
                f"player {player} has a balance of {cached['current_balance']},"
                f" and the entries sum up to {total}"
            )
        head: tuple[object, ...] = (0, 0, DEFAULT_TIERS[0].name, ORIGIN_HASH)
        if chain:
            last = chain[-1]
            head = (len(chain), last["lifetime_after"], last["tier_after"], last["hash"])
        found = tuple(cached[name] for name in HEAD)
        if found != head:
            yield f"player {player} is at {found}, and the last entry at {head}"


def check_floors(evidence: Evidence) -> Iterator[str]:
    """Nothing that is spent takes a balance below the floor."""
    floors: dict[str, int] = {}
    for program in evidence.programs:
        casino_id = str(program["casino_id"])
        floors[casino_id] = min(floors.get(casino_id, DEFAULT_FLOOR), program["overdraw_floor"])
    for player, chain in evidence.chains.items():
        floor = floors.get(player[0], DEFAULT_FLOOR)
        for entry in chain:
            # An earning may end below it, where a reversal has taken the balance there.
            spent = entry["points_delta"] < 0 and entry["reason"] not in WITHOUT_FLOOR
            if spent and entry["balance_after"] < floor:
                yield f"{_shown(player, entry)}: {entry['balance_after']} is below the floor"


def check_payments(evidence: Evidence, poisoned: Collection[str] = ()) -> Iterator[str]:
    """Each closed slip has exactly one payment, and knows it; an open one has none.

    `poisoned` are the slips that Loyalty must have refused for good: they have none.
    """
    for key, slip in evidence.slips_by_id.items():
        paid = evidence.payments_by_slip.get(key, [])
        if len(paid) > 1:
            yield f"slip {key} was paid {len(paid)} times"
        if slip["status"] != "CLOSED":
            if paid:
                yield f"slip {key} is {slip['status']} and was paid"
        elif key[1] in poisoned:
            if paid or slip["loyalty_state"] != "REFUSED":
                yield f"slip {key} should be REFUSED and is {slip['loyalty_state']}, paid: {paid}"
        elif slip["loyalty_state"] != "ACCRUED":
            reason = slip["loyalty_refusal_reason"] or ""
            yield f"slip {key} is closed and {slip['loyalty_state']} {reason}, paid: {bool(paid)}"
        elif not paid:
            yield f"slip {key} is ACCRUED, and its entry is not in the ledger"
        else:
            yield from _check_payment(key, slip, paid[0], evidence)
            recorded = [each["kind"] for each in evidence.events_by_slip.get(key, [])]
            if recorded.count("accrue") != 1:
                yield f"slip {key} has recorded its points {recorded.count('accrue')} times"


def _check_payment(key: Name, slip: Row, entry: Row, evidence: Evidence) -> Iterator[str]:
    known = (slip["loyalty_entry_id"], slip["loyalty_points_delta"], slip["loyalty_balance_after"])
    written = (entry["id"], entry["points_delta"], entry["balance_after"])
    if known != written:
        yield f"slip {key} says that it earned {known}, and the ledger says {written}"
    if slip["player_id"] != entry["player_id"]:
        yield f"slip {key} is of player {slip['player_id']}, and {entry['player_id']} was paid"
    if entry["reason"] != "base_accrual":
        return
    if slip["visit_id"] != entry["visit_id"]:
        yield f"slip {key} is of another visit than its entry"
    if slip["closed_by_staff_id"] != entry["staff_id"]:
        yield f"slip {key} was paid in another name than that of who closed it"
    has_program = any(str(each["casino_id"]) == key[0] for each in evidence.programs)
    if not has_program and entry["points_delta"] != (earned := _points_of(slip, entry)):
        yield f"slip {key} earned {earned} points and was paid {entry['points_delta']}"


def _points_of(slip: Row, entry: Row) -> int:
    """What the slip is worth by the default program, computed apart from the services."""
    terms = Terms(
        average_bet=str(slip["average_bet"]),
        house_edge_percent=str(slip["house_edge_percent"]),
        decisions_per_hour=str(slip["decisions_per_hour"]),
        duration_seconds=str(slip["duration_seconds"]),
        point_multiplier=str(slip["point_multiplier"]),
    )
    return terms.points(standing(entry["lifetime_before"]).tier.multiplier)


def _shown(player: Name, entry: Row) -> str:
    return f"entry {entry['entry_number']} ({entry['reason']} {entry['id']}) of player {player}"
