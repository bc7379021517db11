"""`explain`, typed by an operator: three IDs lead to one case, over gRPC and with a token.

Which evidence gets which verdict is in `tests/unit/test_verdicts.py`; that each of five real
faults is named, in `test_rehearsal.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from casino.loyalty.v1 import loyalty_pb2
from deploy.local.processes import LOOPBACK, free_port
from deploy.local.trace_query import trace_query_server
from tests.integration.casino import (
    POINTS_OF_AN_HOUR,
    Casino,
    an_hour_of,
    new_id,
    new_redemption,
    new_reward,
    start,
)
from tests.integration.clients import Client
from tests.integration.explaining import explain
from tests.integration.recovery import recovery_of
from tests.integration.services import Pair
from tests.integration.spans import spans_of_call

EXIT_EXPLAINED, EXIT_NOTHING_FOUND, EXIT_USAGE = 0, 1, 64


class Operator:
    """Somebody with a token and a terminal."""

    def __init__(self, pair: Pair, casino: Casino, directory: Path, trace_store: str) -> None:
        self._pair = pair
        self._casino = casino
        self._directory = directory
        self._trace_store = trace_store

    async def explain(
        self, identifier: str, *options: str, role: str = "cashier", ratingslip: str = ""
    ) -> tuple[int, str, str]:
        """Exit code, output and errors."""
        token_file = self._directory / f"{role}.jwt"
        token_file.write_text(self._casino.token(role))
        return await explain(
            *(identifier, *options),
            *("--ratingslip", ratingslip or self._pair.ratingslip.address),
            *("--loyalty", self._pair.loyalty.address, "--token-file", str(token_file)),
            *("--trace-store", self._trace_store),
        )

    async def facts(self, identifier: str, **changes: Any) -> dict[str, Any]:
        """What `--json` says of something that can be explained."""
        code, output, errors = await self.explain(identifier, "--json", **changes)
        assert code == EXIT_EXPLAINED, errors
        found: dict[str, Any] = json.loads(output)
        return found


@pytest.fixture
def operator(pair: Pair, casino: Casino, tmp_path: Path, traces_file: Path) -> Iterator[Operator]:
    with trace_query_server(traces_file) as trace_store:
        yield Operator(pair, casino, tmp_path, trace_store)


async def test_slip_correlation_id_and_trace_lead_to_the_same_case(
    operator: Operator, boss: Client, casino: Casino, traces_file: Path
) -> None:
    slip = await start(boss)
    correlation_id = new_id()
    closed = await boss.call(
        boss.slips.CompleteRatingSlip, an_hour_of(slip), correlation_id=correlation_id
    )
    spans = await spans_of_call(traces_file, correlation_id, "ratingslip", "loyalty")
    trace_id = spans[0].trace_id

    cases = [await operator.facts(each) for each in (slip.rating_slip_id, correlation_id, trace_id)]

    assert [case["kind"] for case in cases] == ["rating slip", "correlation ID", "trace"]
    for case in cases:
        assert case["cause"] == "PAID"
        assert case["casino_id"] == casino.id
        assert [each["rating_slip_id"] for each in case["slips"]] == [slip.rating_slip_id]
        assert [event["kind"] for event in case["timeline"]] == [
            f"SLIP_EVENT_KIND_{kind}" for kind in ("START", "COMPLETE", "ACCRUE")
        ]
        assert case["timeline"][1]["staff_id"] == casino.staff_id("pit_boss")
        assert closed.loyalty.entry_id in [entry["entry_id"] for entry in case["entries"]]
        assert case["trace_ids"] == [trace_id]
        steps = {step["name"]: step for step in case["steps"]}
        assert steps["close.accrue"]["duration_ms"] > 0
        assert steps["accrue_points_from_slip"]["service"] == "loyalty"


async def test_the_text_ends_with_the_verdict_and_a_command_that_works(
    operator: Operator, boss: Client
) -> None:
    slip = await start(boss)
    await boss.call(boss.slips.CompleteRatingSlip, an_hour_of(slip))

    code, output, _ = await operator.explain(slip.rating_slip_id)

    assert code == EXIT_EXPLAINED
    verdict, _, command = output.rstrip().splitlines()[-3:]
    assert verdict.startswith("PAID: ")
    assert f"{POINTS_OF_AN_HOUR} points" in verdict
    assert command.strip().startswith("grpcurl -plaintext -H")


async def test_a_slip_refused_for_good_is_explained_with_what_it_is_worth(
    operator: Operator, boss: Client, casino: Casino
) -> None:
    admin = casino.for_role("admin")
    slip = await start(boss)
    await admin.call(
        admin.points.IssueManualReward, new_reward(idempotency_key=slip.rating_slip_id)
    )
    await boss.refusal(boss.slips.CompleteRatingSlip, an_hour_of(slip))
    await boss.refusal(boss.slips.RecoverSlipLoyalty, recovery_of(slip))

    case = await operator.facts(slip.rating_slip_id)

    assert case["cause"] == "REFUSED"
    assert f"worth {POINTS_OF_AN_HOUR} points" in case["verdict"]
    assert "IssueManualReward" in case["next_command"]
    assert "RecoverSlipLoyalty" in case["afterwards"]


async def test_a_call_without_a_slip_is_found_in_the_ledger_or_in_its_trace(
    operator: Operator, boss: Client, casino: Casino, traces_file: Path
) -> None:
    player_id, paying, failing = new_id(), new_id(), new_id()
    reward: loyalty_pb2.IssueManualRewardRequest = new_reward(player_id=player_id)
    await boss.call(boss.points.IssueManualReward, reward, correlation_id=paying)
    await boss.refusal(boss.points.RedeemPoints, new_redemption(), correlation_id=failing)
    spans = await spans_of_call(traces_file, failing, "loyalty")

    assert (await operator.facts(paying))["cause"] == "LEDGER_ONLY"
    by_trace = await operator.explain(spans[0].trace_id)

    # What a caller did wrong fails no server's span, and is told by the caller's own error.
    assert "redeem_points" in by_trace[1]


async def test_what_cannot_be_explained_says_why(operator: Operator) -> None:
    unknown = await operator.explain(new_id())
    dealer = await operator.explain(new_id(), role="dealer")
    alone = await operator.explain(new_id(), ratingslip=f"{LOOPBACK}:{free_port()}")
    nonsense = await operator.explain("two words")

    codes = [each[0] for each in (unknown, dealer, alone, nonsense)]
    assert codes == [*[EXIT_NOTHING_FOUND] * 3, EXIT_USAGE]
    assert "UNKNOWN_ID" in unknown[1]
    assert "NOT_PERMITTED" in dealer[1]
    assert "dealer" in dealer[1]
    assert "RATINGSLIP_UNREACHABLE" in alone[1]
    assert "no slip ID" in nonsense[2]
