"""Who may call what: one line for each RPC. An RPC that is missing here may be called by nobody."""

from __future__ import annotations

from chassis.context import Role

_READERS = frozenset({Role.CASHIER, Role.PIT_BOSS, Role.ADMIN, Role.SERVICE})

PERMISSIONS: dict[str, frozenset[Role]] = {
    "casino.loyalty.v1.LoyaltyService/AccruePointsFromSlip": frozenset({Role.SERVICE}),
    "casino.loyalty.v1.LoyaltyService/GetPlayerLoyalty": _READERS,
    "casino.loyalty.v1.LoyaltyService/ListLedgerEntries": _READERS,
}
