"""Rows of the ledger as messages of the contract."""

from __future__ import annotations

import json
from typing import TypeVar

import asyncpg

from casino.loyalty.v1 import loyalty_pb2
from chassis import wire
from loyalty_service.drift import DriftReport, Finding

_REASON_PREFIX = "LEDGER_REASON_"
_FAULT_PREFIX = "CHAIN_FAULT_"
_SEVERITY_PREFIX = "DRIFT_SEVERITY_"
_LEAST_POINTS, _MOST_POINTS = -(2**63), 2**63 - 1

# The answers that carry a new entry; they differ in name only.
Written = TypeVar(
    "Written",
    loyalty_pb2.AccruePointsFromSlipResponse,
    loyalty_pb2.IssueManualRewardResponse,
    loyalty_pb2.RedeemPointsResponse,
    loyalty_pb2.ApplyPromotionResponse,
    loyalty_pb2.ReverseEntryResponse,
)


def reason_word(reason: loyalty_pb2.LedgerReason.ValueType) -> str | None:
    """The ledger's word for a reason; None when it is not set."""
    if reason == loyalty_pb2.LEDGER_REASON_UNSPECIFIED:
        return None
    return loyalty_pb2.LedgerReason.Name(reason).removeprefix(_REASON_PREFIX).lower()


def encode_entry(row: asyncpg.Record) -> loyalty_pb2.LedgerEntry:
    """A row of `loyalty.loyalty_ledger`."""
    return loyalty_pb2.LedgerEntry(
        entry_id=str(row["id"]),
        entry_number=row["entry_number"],
        player_id=str(row["player_id"]),
        points_delta=row["points_delta"],
        reason=loyalty_pb2.LedgerReason.Value(_REASON_PREFIX + row["reason"].upper()),
        source_kind=row["source_kind"],
        source_id=str(row["source_id"]),
        rating_slip_id=wire.optional_uuid(row["rating_slip_id"]),
        visit_id=wire.optional_uuid(row["visit_id"]),
        campaign_id=wire.optional_uuid(row["campaign_id"]),
        staff_id=str(row["staff_id"]),
        acting_service=row["acting_service"] or "",
        correlation_id=row["correlation_id"],
        idempotency_key=row["idempotency_key"],
        reversed_entry_id=wire.optional_uuid(row["reversed_entry_id"]),
        balance_before=row["balance_before"],
        balance_after=row["balance_after"],
        lifetime_before=row["lifetime_before"],
        lifetime_after=row["lifetime_after"],
        tier_before=row["tier_before"],
        tier_after=row["tier_after"],
        note=row["note"],
        gaming_day=wire.date_to_proto(row["gaming_day"]),
        recorded_time=wire.datetime_to_timestamp(row["recorded_time"]),
        effective_time=wire.datetime_to_timestamp(row["effective_time"]),
        metadata=json.loads(row["metadata"]),
        previous_hash=row["previous_hash"],
        hash=row["hash"],
    )


def encode_written(answer: type[Written], row: asyncpg.Record) -> Written:
    """The answer of an RPC that writes an entry, from its entry and `is_existing`."""
    return answer(
        entry=encode_entry(row),
        lifetime_points=row["lifetime_after"],
        tier_progress_percent=row["tier_progress_percent"],
        is_existing=row["is_existing"],
    )


def encode_suggestion(row: asyncpg.Record) -> loyalty_pb2.SuggestPointsResponse:
    """A row of `loyalty.suggest_points`."""
    return loyalty_pb2.SuggestPointsResponse(
        points=row["points"],
        entry_id=wire.optional_uuid(row["entry_id"]),
        current_balance=row["current_balance"],
        tier=row["tier"],
        tier_after=row["tier_after"],
        metadata=json.loads(row["metadata"]),
    )


def encode_finding(finding: Finding) -> loyalty_pb2.DriftFinding:
    """A row of `loyalty.compare_balances`."""
    return loyalty_pb2.DriftFinding(
        player_id=finding["player_id"],
        has_balance=finding["has_balance"],
        current_balance=finding["current_balance"],
        ledger_balance=_in_64_bits(finding["ledger_balance"]),
        lifetime_points=finding["lifetime_points"],
        ledger_lifetime_points=_in_64_bits(finding["ledger_lifetime_points"]),
        tier=finding["tier"] or "",
        ledger_tier=finding["ledger_tier"] or "",
        drift_points=_in_64_bits(finding["drift_points"]),
        severity=_severity(finding["severity"]),
    )


def encode_drift(report: DriftReport) -> loyalty_pb2.CheckBalanceDriftResponse:
    """What a drift check has found."""
    return loyalty_pb2.CheckBalanceDriftResponse(
        players_checked=report.players_checked,
        players_drifted=report.players_drifted,
        severity=_severity(report.severity),
        findings=[encode_finding(finding) for finding in report.findings],
    )


def encode_reconciliation(row: asyncpg.Record) -> loyalty_pb2.ReconcileBalanceResponse:
    """A row of `loyalty.reconcile_balance`."""
    return loyalty_pb2.ReconcileBalanceResponse(
        finding=encode_finding(json.loads(row["finding"])),
        is_repaired=row["is_repaired"],
        player_loyalty=encode_player(row),
    )


def _severity(word: str | None) -> loyalty_pb2.DriftSeverity.ValueType:
    if word is None:
        return loyalty_pb2.DRIFT_SEVERITY_UNSPECIFIED
    return loyalty_pb2.DriftSeverity.Value(_SEVERITY_PREFIX + word.upper())


def _in_64_bits(points: int) -> int:
    """What a forged ledger adds up to may not fit in the field; the audit row has all of it."""
    return min(max(points, _LEAST_POINTS), _MOST_POINTS)


def encode_break(row: asyncpg.Record) -> loyalty_pb2.ChainBreak:
    """A `loyalty.chain_break`."""
    return loyalty_pb2.ChainBreak(
        player_id=str(row["player_id"]),
        entry_number=row["entry_number"],
        entry_id=wire.optional_uuid(row["entry_id"]),
        fault=loyalty_pb2.ChainFault.Value(_FAULT_PREFIX + row["fault"]),
    )


def encode_player(row: asyncpg.Record) -> loyalty_pb2.PlayerLoyalty:
    """A row of `loyalty.get_player_loyalty`."""
    return loyalty_pb2.PlayerLoyalty(
        player_id=str(row["player_id"]),
        current_balance=row["current_balance"],
        lifetime_points=row["lifetime_points"],
        tier=row["tier"],
        tier_progress_percent=row["progress_percent"],
        next_tier=row["next_tier"],
        points_to_next_tier=row["points_to_next"],
        entry_count=row["entry_count"],
        create_time=wire.datetime_to_timestamp(row["created_time"]),
        update_time=wire.datetime_to_timestamp(row["updated_time"]),
    )
