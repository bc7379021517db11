"""Verifies the hash chains of a casino, a batch at a time: bounded in time and in memory.

A chain is recomputed in SQL; this file owns how far one call goes and where the next
one goes on. It must not know what makes a chain hold.
"""

from __future__ import annotations

import logging
import time
import uuid

import asyncpg
from opentelemetry import metrics

from casino.loyalty.v1 import loyalty_pb2
from chassis import telemetry
from chassis.context import Call, current_call
from chassis.paging import PageTokens
from chassis.validation import Fields
from loyalty_service.encoding import encode_break
from loyalty_service.ledger import ChainPosition, Ledger

_logger = logging.getLogger(__name__)

# What one statement reads: some 30 milliseconds' worth, far below the statement timeout
# on any machine, and little enough for a caller with a short deadline to get an answer.
BATCH_ENTRIES = 1_000
# Nobody waits for the daily verification, and each batch is a span of its trace.
DAILY_BATCH_ENTRIES = 5_000
# More breaks in one answer tell nobody anything new.
MOST_BREAKS = 100
# What it takes to encode the answer and send it.
ANSWER_MARGIN_SECONDS = 0.1

INTACT, BROKEN = "intact", "broken"
_BEGINNING = ChainPosition(None, 0)


class LedgerVerification:
    """Walks along the chains for as long as a call's deadline allows."""

    def __init__(self, ledger: Ledger, page_tokens: PageTokens, meter: metrics.Meter) -> None:
        self._ledger = ledger
        self._page_tokens = page_tokens
        self._verifications = meter.create_counter(
            "casino.loyalty.verifications",
            unit="{check}",
            description="Verifications of hash chains, by what they found",
        )
        self._broken_chains = meter.create_counter(
            "casino.loyalty.broken_chains",
            unit="{player}",
            description="Players whose hash chain a verification has found broken",
        )
        # What was never seen at zero hides its first event from who asks for the increase.
        for outcome in (INTACT, BROKEN):
            self._verifications.add(0, {telemetry.OUTCOME: outcome})
        self._broken_chains.add(0)

    async def verify(
        self, request: loyalty_pb2.VerifyLedgerRequest
    ) -> loyalty_pb2.VerifyLedgerResponse:
        """At least one batch; raises INVALID_REQUEST, INVALID_PAGE_TOKEN."""
        call = current_call()
        fields = Fields()
        player_id = fields.optional_uuid("player_id", request.player_id)
        fields.check()
        binding = ["VerifyLedger", call.verified_caller.casino_id, player_id]
        position = _BEGINNING
        if request.page_token:
            position = _parse_position(self._page_tokens.open(request.page_token, binding))

        response, end = await self._walk(call, player_id, position, BATCH_ENTRIES)
        self._count(len(response.breaks))
        if end.player_id is not None:
            response.next_page_token = self._page_tokens.seal(
                [str(end.player_id), str(end.entry_number)], binding
            )
        return response

    async def verify_casino(self) -> None:
        """Verifies every chain of the caller's casino, and tells what it finds.

        It ends with the call's deadline, and says so if that was too soon.
        """
        call = current_call()
        started = time.perf_counter()
        entries, players, broken = 0, 0, 0
        position = _BEGINNING
        while True:
            part, position = await self._walk(call, None, position, DAILY_BATCH_ENTRIES)
            entries += part.entries_verified
            players += part.players_verified
            broken += len(part.breaks)
            is_complete = position.player_id is None
            # Many breaks end a part, too; only the deadline ends the whole.
            if is_complete or len(part.breaks) < MOST_BREAKS:
                break
        self._count(broken)
        level = logging.INFO if is_complete else logging.WARNING
        _logger.log(
            logging.CRITICAL if broken else level,
            "ledger_verification",
            extra={
                telemetry.CASINO_ID: str(call.verified_caller.casino_id),
                telemetry.ROLE: call.verified_caller.role.value,
                "entries_verified": entries,
                "players_verified": players,
                "broken_chains": broken,
                "is_complete": is_complete,
                "duration_ms": round((time.perf_counter() - started) * 1000, 3),
            },
        )

    def _count(self, broken_chains: int) -> None:
        self._verifications.add(1, {telemetry.OUTCOME: BROKEN if broken_chains else INTACT})

    async def _walk(
        self, call: Call, player_id: uuid.UUID | None, position: ChainPosition, batch_entries: int
    ) -> tuple[loyalty_pb2.VerifyLedgerResponse, ChainPosition]:
        """What was verified from a position on, and where to go on."""
        response = loyalty_pb2.VerifyLedgerResponse()
        longest_batch_seconds = 0.0
        while True:
            before = call.deadline.remaining_seconds()
            batch = await self._ledger.verify_ledger(
                player_id, position, batch_entries, MOST_BREAKS - len(response.breaks)
            )
            # Counted as they are found: what comes after may fail.
            self._broken_chains.add(len(batch["breaks"]))
            _add(response, batch, call.verified_caller.casino_id)
            position = ChainPosition(batch["next_player"], batch["next_number"])
            remaining = call.deadline.remaining_seconds()
            longest_batch_seconds = max(longest_batch_seconds, before - remaining)
            if (
                position.player_id is None
                or len(response.breaks) >= MOST_BREAKS
                or remaining < longest_batch_seconds + ANSWER_MARGIN_SECONDS
            ):
                return response, position


def _add(
    response: loyalty_pb2.VerifyLedgerResponse, batch: asyncpg.Record, casino_id: uuid.UUID
) -> None:
    response.entries_verified += batch["entries_verified"]
    response.players_verified += batch["players_verified"]
    for row in batch["breaks"]:
        found = encode_break(row)
        response.breaks.append(found)
        _logger.critical(
            "chain_broken",
            extra={
                telemetry.CASINO_ID: str(casino_id),
                "player_id": found.player_id,
                "entry_number": found.entry_number,
                "entry_id": found.entry_id,
                "fault": loyalty_pb2.ChainFault.Name(found.fault),
            },
        )


def _parse_position(position: list[str]) -> ChainPosition:
    """Reads what was sealed; the signature vouches for its form."""
    player_id, entry_number = position
    return ChainPosition(uuid.UUID(player_id), int(entry_number))
