"""Who may call what: one line for each RPC. An RPC that is missing here may be called by nobody."""

from __future__ import annotations

from chassis.context import Role

_FLOOR = frozenset({Role.PIT_BOSS, Role.ADMIN})
_READERS = frozenset({Role.CASHIER, Role.PIT_BOSS, Role.ADMIN})

PERMISSIONS: dict[str, frozenset[Role]] = {
    "casino.ratingslip.v1.RatingSlipService/StartRatingSlip": _FLOOR,
    "casino.ratingslip.v1.RatingSlipService/PauseRatingSlip": _FLOOR,
    "casino.ratingslip.v1.RatingSlipService/ResumeRatingSlip": _FLOOR,
    "casino.ratingslip.v1.RatingSlipService/UpdateAverageBet": _FLOOR,
    "casino.ratingslip.v1.RatingSlipService/CompleteRatingSlip": _FLOOR,
    "casino.ratingslip.v1.RatingSlipService/RecoverSlipLoyalty": _FLOOR,
    "casino.ratingslip.v1.RatingSlipService/PreviewSlipPoints": _READERS,
    "casino.ratingslip.v1.RatingSlipService/GetRatingSlip": _READERS,
    "casino.ratingslip.v1.RatingSlipService/ListRatingSlips": _READERS,
    "casino.ratingslip.v1.RatingSlipService/ListSlipEvents": _READERS,
}
