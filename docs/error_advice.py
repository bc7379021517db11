"""What to do about each reason that a service can answer with: one entry for each.

The error catalogue is made of it, of the code and of the protos; a test holds it complete.
Here stands only what neither of them can say.
"""

from __future__ import annotations

from collections.abc import Mapping

# Advice to whoever got the error, or was paged because of it. Names in backquotes become links.
ADVICE: Mapping[str, str] = {
    # Any RPC.
    "TOKEN_MISSING": (
        "Send `authorization: Bearer <token>` once, as metadata. Two such headers count as none."
    ),
    "TOKEN_EXPIRED": "Get a new token and call again; nothing was done.",
    "TOKEN_INVALID": (
        "One answer for every flaw, so that a forger learns nothing. Check the issuer, the "
        "audience (it differs between the services), `kid`, and the claims `sub`, `casino_id` "
        "and `role`. After a change of keys: [key rotation](runbooks/key-rotation.md)."
    ),
    "ROLE_NOT_PERMITTED": (
        "Somebody else must call; the roles of each RPC stand in the [API reference](api.md). "
        "No role is given by a request."
    ),
    "INVALID_REQUEST": (
        "Mend the fields that the `BadRequest` names; it names the first 20. A body that is no "
        "message of the method has no fields to name: look at the client's stubs."
    ),
    "INVALID_CORRELATION_ID": (
        "Send another `x-correlation-id`, or none: the service then makes one and returns it."
    ),
    "DEADLINE_EXCEEDED": (
        "What was asked for may have happened. Call again with the same key, or for the same "
        "slip: what happened is answered, and the rest is done. When it keeps coming, look at "
        "the durations of the calls and of the database in the [metrics](metrics.md)."
    ),
    "DATABASE_UNAVAILABLE": (
        "Wait as long as `RetryInfo` says and call again, with the same key. The call's log event "
        "has the cause in `db.response.status_code`. When it lasts: "
        "[database failover](runbooks/database-failover.md)."
    ),
    "DATABASE_BUSY": (
        "Wait as long as `RetryInfo` says and call again, with the same key. Every connection "
        "was taken, or a row was locked for long: the metrics of the pool tell which."
    ),
    "INTERNAL": (
        "A fault of the service, and nothing for the caller to mend. Look for the correlation ID "
        "in the service's [log](logs.md): `unexpected_error`, `database_error` or "
        "`database_argument_error` holds the cause."
    ),
    "INVALID_PAGE_TOKEN": (
        "Begin at the first page. A token is good for the same casino and the same filters only, "
        "and after a change of `PAGE_TOKEN_KEY` no longer."
    ),
    # RatingSlip.
    "RATING_SLIP_NOT_FOUND": (
        "Check the ID, and the casino of the token: a slip of another casino answers the same."
    ),
    "VISIT_HAS_ACTIVE_SLIP": (
        "Close the slip that `slipId` names, or go on with it: a visit has one active slip."
    ),
    "SEAT_HAS_ACTIVE_SLIP": (
        "Close the slip that `slipId` names; its player has left the seat, or the seat is wrong."
    ),
    "START_TIME_TOO_OLD": (
        "A paper slip can be entered for 48 hours. After that `IssueManualReward` gives the "
        "points, in somebody's name."
    ),
    "EVENT_TIME_IN_FUTURE": (
        "Send a time that has come, by the clock of the database, or none at all, which means now."
    ),
    "EVENT_TIME_OUT_OF_ORDER": (
        "Read the slip: the time may not lie before its `last_event_time`. Events are entered in "
        "the order in which they happened."
    ),
    "CURRENCY_MISMATCH": "Send the amount in the currency in which the slip began.",
    "SLIP_NOT_OPEN": (
        "Read the slip. One that is paused already needs nothing; a closed one stays closed."
    ),
    "SLIP_NOT_PAUSED": (
        "Read the slip. One that is open already needs nothing; a closed one stays closed."
    ),
    "SLIP_CLOSED": (
        "The bet of a closed slip is what the points were computed from. Correct the points "
        "instead, with `IssueManualReward`."
    ),
    "SLIP_NOT_CLOSED": "Close the slip with `CompleteRatingSlip`, which credits its points too.",
    "PARTIAL_COMPLETION": (
        "The slip is closed and stays so. UNAVAILABLE: call the RPC in `recoveryRpc`, or "
        "`CompleteRatingSlip` again, or wait: the service finishes it by itself. "
        "FAILED_PRECONDITION: the slip is REFUSED; `loyaltyReason` says what must be mended before "
        "`RecoverSlipLoyalty` can help. See [saga recovery](runbooks/saga-recovery.md)."
    ),
    "LOYALTY_UNAVAILABLE": (
        "Ask again after the delay in `RetryInfo`. It is a preview: nothing is missing. "
        "`loyaltyReason` says what Loyalty, or the way to it, answered."
    ),
    "LOYALTY_REFUSED": (
        "Closing this slip would make it REFUSED. Look up `loyaltyReason` on this page and mend "
        "that first."
    ),
    # Keys, in both services.
    "IDEMPOTENCY_KEY_CONFLICT": (
        "The key stands for another request, which was done; this one was not. Compare the two. "
        "If both were meant, send this one under a key of its own."
    ),
    # Loyalty.
    "POINTS_OUT_OF_RANGE": "The figures are a mistake: no play earns more than 2^63 − 1 points.",
    "BALANCE_DRIFTED": (
        "An administrator runs `CheckBalanceDrift` for the player, and then `ReconcileBalance`; "
        "slips closed meanwhile wait as PENDING and are paid by themselves afterwards. See "
        "[drift](runbooks/drift.md)."
    ),
    "ADJUSTMENT_NOT_AUTHORIZED": "An administrator must take the points.",
    "RATE_LIMIT_EXCEEDED": (
        "Wait as long as `RetryInfo` says; the call is then let in. See "
        "[rate-limit complaints](runbooks/rate-limit.md)."
    ),
    "RATE_LIMITER_UNAVAILABLE": (
        "Redis cannot be reached, and a limiter that cannot be asked lets nobody through. Wait as "
        "long as `RetryInfo` says. See [rate-limit complaints](runbooks/rate-limit.md)."
    ),
    "PLAYER_NOT_FOUND": (
        "Check the ID, and the casino of the token. A player exists here from the first entry on."
    ),
    "OVERDRAW_NOT_AUTHORIZED": "A pit boss or an administrator must call with `allow_overdraw`.",
    "INSUFFICIENT_BALANCE": (
        "Spend fewer points; `balance` says how many there are. A pit boss may `allow_overdraw`."
    ),
    "OVERDRAW_EXCEEDS_CAP": (
        "Spend fewer points. The floor is a term of the program: `GetLoyaltyProgram`."
    ),
    "SLIP_NOT_ACCRUED": (
        "A multiplier needs a base accrual that stands. Recover the slip first, or give fixed "
        "bonus points."
    ),
    "PROMOTION_WITHOUT_POINTS": (
        "The slip earned too little for this multiplier; give fixed bonus points, or nothing."
    ),
    "ENTRY_NOT_FOUND": "Check the ID, and the casino of the token: `ListLedgerEntries`.",
    "NOT_REVERSIBLE": (
        "Credit again what the reversal took, by `IssueManualReward`; a reversal stays."
    ),
    "LEDGER_NOT_INTACT": (
        "Nothing may be repaired from entries that do not verify. `VerifyLedger` names the first "
        "one that does not fit. See [chain broken](runbooks/chain-broken.md)."
    ),
    "PROGRAM_VERSION_CONFLICT": (
        "Somebody else was first. Read the program, look whether your change is still wanted, and "
        "send it with the new version."
    ),
    "EFFECTIVE_TIME_TOO_EARLY": (
        "Send a later time, or none, which means now: terms never change the past."
    ),
}
