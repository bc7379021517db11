"""Who may call what: one line for each RPC. An RPC that is missing here may be called by nobody.

What a role may do within an RPC, such as an overdraw, is listed below the table.
"""

from __future__ import annotations

from chassis.context import Role

_READERS = frozenset({Role.CASHIER, Role.PIT_BOSS, Role.ADMIN, Role.SERVICE})
_FLOOR = frozenset({Role.PIT_BOSS, Role.ADMIN})
_ADMIN = frozenset({Role.ADMIN})

PERMISSIONS: dict[str, frozenset[Role]] = {
    "casino.loyalty.v1.LoyaltyService/AccruePointsFromSlip": frozenset({Role.SERVICE}),
    "casino.loyalty.v1.LoyaltyService/IssueManualReward": _FLOOR,
    "casino.loyalty.v1.LoyaltyService/RedeemPoints": frozenset({Role.CASHIER, *_FLOOR}),
    "casino.loyalty.v1.LoyaltyService/ApplyPromotion": _FLOOR,
    "casino.loyalty.v1.LoyaltyService/ReverseEntry": _ADMIN,
    "casino.loyalty.v1.LoyaltyService/SuggestPoints": _READERS,
    "casino.loyalty.v1.LoyaltyService/GetPlayerLoyalty": _READERS,
    "casino.loyalty.v1.LoyaltyService/ListLedgerEntries": _READERS,
    "casino.loyalty.v1.LoyaltyService/CheckBalanceDrift": _ADMIN,
    "casino.loyalty.v1.LoyaltyService/ReconcileBalance": _ADMIN,
    "casino.loyalty.v1.LoyaltyService/VerifyLedger": _ADMIN,
    "casino.loyalty.v1.LoyaltyService/GetLoyaltyProgram": _READERS,
    "casino.loyalty.v1.LoyaltyService/UpdateLoyaltyProgram": _ADMIN,
}

# Who may take points by hand, and who may let a player spend more than there is.
ADJUSTERS = _ADMIN
OVERDRAW_ALLOWERS = _FLOOR
