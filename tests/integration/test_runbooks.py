"""The runbooks, typed line by line into a shell while what they are about is really broken.

One stack serves them all, each fault on a player of its own; what is changed for all is put
back by the runbook itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import uuid
from collections.abc import AsyncIterator

import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2

from casino.loyalty.v1 import loyalty_pb2
from casino.loyalty.v1.loyalty_pb2_grpc import LoyaltyServiceStub
from deploy.local.demo.calls import Caller, reason_of
from deploy.local.identity import SigningKey, StaffTokens, write_demo_tokens
from deploy.local.keys import key_ids
from deploy.local.rehearsal.alerts import ALERTS_FILE
from deploy.local.rehearsal.faults import DRIFT, LOYALTY_DOWN, POISONED_SLIP, SLOW_DATABASE
from deploy.local.rehearsal.ground import Ground, prepared_ground
from deploy.local.rehearsal.play import Pit, StartedSlip
from deploy.local.services import LOYALTY, until_serving
from deploy.local.state import PROJECT_DIRECTORY, StateDirectory, write_private
from tests.integration.on_ground import entries_of, spelt_alike
from tests.integration.patience import PATIENCE_SECONDS, eventually
from tests.integration.runbooks import RUNBOOKS, Runbook, Shell, console_lines, runbook_names
from tests.integration.services import health_of

REWARDS_A_MINUTE = 10
HEADINGS = {"In a minute", "Decide", "Do not", "It is over when", "Write down"}


@pytest.fixture(scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    state = StateDirectory(tmp_path_factory.mktemp("runbooks") / "state")
    async with prepared_ground(state) as prepared:
        yield prepared


@contextlib.asynccontextmanager
async def opened(name: str, ground: Ground, **given: str) -> AsyncIterator[Runbook]:
    """A runbook in a shell of its own; every line of it must have been typed at the end."""
    async with Shell.open(PROJECT_DIRECTORY) as shell:
        runbook = Runbook(name, shell, ground.state, given)
        await runbook.begin()
        yield runbook
    runbook.finish()


async def slip_of_known_player(ground: Ground) -> StartedSlip:
    """An open slip of a player who has points."""
    pit = Pit(ground.facts)
    return await pit.start((await pit.play()).player_id)


async def refused_close(ground: Ground, slip: StartedSlip) -> str:
    """Closes a slip that must not get its points now; the error's reason."""
    pit = Pit(ground.facts)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pit.close(slip)
    return reason_of(caught.value)


def test_every_alert_names_a_runbook_and_the_index_names_every_alert_with_it() -> None:
    groups = yaml.safe_load(ALERTS_FILE.read_text(encoding="utf-8"))["groups"]
    index = (RUNBOOKS / "README.md").read_text(encoding="utf-8")
    rows = {line for line in index.splitlines() if line.startswith("| [")}
    for rule in (rule for group in groups for rule in group["rules"]):
        runbook = pathlib.Path(rule["annotations"]["runbook"])
        assert (PROJECT_DIRECTORY / runbook).is_file(), rule["alert"]
        (row,) = [row for row in rows if f"]({runbook.name})" in row]
        assert rule["alert"] in row.replace(",", " ").split(), rule["alert"]
        text = (PROJECT_DIRECTORY / runbook).read_text(encoding="utf-8")
        assert rule["alert"] in text, "and it says that it is about it"


@pytest.mark.parametrize("name", runbook_names())
def test_a_runbook_says_what_to_do_what_not_to_and_when_it_is_over(name: str) -> None:
    text = (RUNBOOKS / name).read_text(encoding="utf-8")
    headings = {line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")}
    assert headings >= HEADINGS
    assert "(README.md#paste-this-first)" in text
    assert console_lines(name)["In a minute"]
    assert f"]({name})" in (RUNBOOKS / "README.md").read_text(encoding="utf-8")


async def test_saga_recovery_pays_a_slip_that_waits_and_one_that_was_refused(
    ground: Ground,
) -> None:
    waiting, refused = await slip_of_known_player(ground), await slip_of_known_player(ground)
    async with POISONED_SLIP.made(ground, refused):
        assert await refused_close(ground, refused) == "PARTIAL_COMPLETION"
    given = {"SLIP": waiting.rating_slip_id, "REFUSED": refused.rating_slip_id}
    async with opened("saga-recovery.md", ground, **given) as runbook:
        async with LOYALTY_DOWN.made(ground, waiting):
            assert await refused_close(ground, waiting) == "PARTIAL_COMPLETION"
            seen = await runbook.type_section("In a minute")
            assert any(waiting.rating_slip_id in typed.output for typed in seen)
            assert LOYALTY_DOWN.cause in seen[-1].output
            decided = await runbook.type_section("Decide")
            assert "Loyalty does not answer" in decided[1].output
        await runbook.type_section("Mend")
        _, found, *_ = await runbook.type_section("A slip that is REFUSED")
        assert "IDEMPOTENCY_KEY_CONFLICT" in found.output
        over = await runbook.type_section("It is over when")

    assert "PAID" in over[0].output
    assert "PAID" in over[1].output
    (accrual,) = await entries_of(ground, rating_slip_id=waiting.rating_slip_id)
    assert accrual.reason == loyalty_pb2.LEDGER_REASON_BASE_ACCRUAL
    (reward,) = await entries_of(ground, rating_slip_id=refused.rating_slip_id)
    assert reward.reason == loyalty_pb2.LEDGER_REASON_MANUAL_REWARD
    assert reward.points_delta == accrual.points_delta, "what was due, and by the same play"


async def test_correlation_tracing_finds_a_slow_call_in_every_place_it_left_something(
    ground: Ground,
) -> None:
    slip = await slip_of_known_player(ground)
    correlation_id = f"slow-{uuid.uuid4()}"
    async with SLOW_DATABASE.made(ground, slip):
        with pytest.raises(grpc.aio.AioRpcError):
            await Pit(ground.facts).close(slip, correlation_id)
    async with opened("correlation-tracing.md", ground, ID=correlation_id) as runbook:
        seen = await runbook.type_section("In a minute")
        decided = await runbook.type_section("Decide")

    assert slip.rating_slip_id in seen[-1].output
    events, entries, logged, _, drawn, stored = decided
    assert "slipeventkindfail" in spelt_alike(events.output)
    assert "DATABASE_BUSY" in events.output
    assert correlation_id not in entries.output, "nothing was written"
    assert "slip_completion_failed" in logged.output
    assert "close.accrue" in drawn.output
    assert "close.accrue" in stored.output


async def test_drift_is_found_repaired_and_the_slip_paid(ground: Ground) -> None:
    slip = await slip_of_known_player(ground)
    given = {"SLIP": slip.rating_slip_id, "PLAYER": slip.player_id}
    async with opened("drift.md", ground, **given) as runbook, DRIFT.made(ground, slip):
        assert await refused_close(ground, slip) == "PARTIAL_COMPLETION"
        check, _, explained = await runbook.type_section("In a minute")
        assert slip.player_id in check.output
        assert DRIFT.cause in explained.output
        await runbook.type_section("Decide", refused="grep")
        repaired, _ = await runbook.type_section("Mend")
        again, over = await runbook.type_section("It is over when")

    assert '"isrepaired": true' in spelt_alike(repaired.output)
    assert slip.player_id not in again.output, "the check finds nothing"
    assert "PAID" in over.output


async def test_a_broken_chain_is_named_kept_as_evidence_and_verifies_when_put_back(
    ground: Ground,
) -> None:
    pit = Pit(ground.facts)
    player_id = (await pit.play()).player_id
    await pit.play(player_id)
    change = "UPDATE loyalty.loyalty_ledger SET note = $2 WHERE player_id = $1 AND entry_number = 1"
    async with (
        ground.superuser(LOYALTY) as superuser,
        opened("chain-broken.md", ground, PLAYER=player_id) as runbook,
    ):
        await superuser.execute(change, uuid.UUID(player_id), "Changed afterwards")
        (found,) = await runbook.type_section("In a minute")
        decided = await runbook.type_section("Decide", refused="ReconcileBalance")
        await superuser.execute(change, uuid.UUID(player_id), "")
        over = await runbook.type_section("It is over when")

    assert player_id in found.output
    assert "chainfaultcontent" in spelt_alike(found.output)
    assert "Changed afterwards" in (ground.state.logs / "evidence.csv").read_text()
    assert "LEDGER_NOT_INTACT" in decided[-1].output
    assert all("breaks" not in typed.output for typed in over)


async def test_keys_are_changed_without_losing_a_slip_or_a_caller(ground: Ground) -> None:
    slip = await slip_of_known_player(ground)
    # The wrong order, which is why somebody reads this: it signs with a key nobody knows.
    unknown = ground.state.keys / "unknown.pem"
    write_private(unknown, SigningKey.generate().private_pem())
    await ground.restart_ratingslip(service_key(unknown, "unknown"))
    assert await refused_close(ground, slip) == "PARTIAL_COMPLETION"
    new_token = ground.state.tokens / "new_admin.jwt"
    async with opened("key-rotation.md", ground, SLIP=slip.rating_slip_id) as runbook:
        _, _, explained = await runbook.type_section("In a minute")
        assert "SERVICE_TOKEN_REJECTED" in explained.output
        await runbook.type_section("Decide")
        published = await runbook.type_until("Change the service's key", "echo $NEW_ID")
        new_id = published[-1].output.strip()
        await ground.restart_ratingslip(service_key(ground.state.keys / "ratingslip-2.pem", new_id))
        await runbook.type_section("Change the service's key")
        await runbook.type_until("Change the staff's key", "sleep")
        staff = ground.state.keys / "staff-2.pem"
        write_private(new_token, StaffTokens(SigningKey.load_or_create(staff)).mint("admin"))
        await runbook.type_section("Change the staff's key")
        _, over = await runbook.type_section("It is over when")

    assert "PAID" in over.output
    assert key_ids(ground.state.keys / "ratingslip.jwks.json") == [new_id]
    old_tokens = StaffTokens(SigningKey.load_or_create(ground.state.keys / "staff.pem"))

    async def is_a_new_token_of_the_old_key_refused() -> bool:
        # One that was let in before is trusted for a minute.
        return await is_refused(ground, old_tokens.mint("cashier", staff_id=str(uuid.uuid4())))

    await eventually(is_a_new_token_of_the_old_key_refused, "the dropped key is of no use")
    replace_tokens(ground, staff)


async def test_a_lost_database_is_seen_and_its_return_too_and_a_lock_is_found_and_ended(
    ground: Ground,
) -> None:
    slip = await slip_of_known_player(ground)
    async with opened("database-failover.md", ground) as runbook:
        ground.stop_postgres()
        try:
            await eventually(lambda: is_away(ground), "both say that they do not serve")
            lost = await runbook.type_section("In a minute")
        finally:
            ground.start_postgres()
        for address in (ground.facts.ratingslip, ground.facts.loyalty):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await until_serving(address)
        async with SLOW_DATABASE.made(ground, slip):
            assert await refused_close(ground, slip) == "PARTIAL_COMPLETION"
            again = asyncio.create_task(Pit(ground.facts).close(slip))
            _, blockers, ended = await runbook.type_section("Slow or locked")
            # What it waited for is gone.
            assert await again > 0
        over = await runbook.type_section("It is over when")

    assert all("NOT_SERVING" in typed.output for typed in lost[:2])
    assert "the database does not answer" in lost[-1].output
    assert "monthly report" in blockers.output
    assert "monthly report" in ended.output
    assert all('"SERVING"' in typed.output for typed in over[:2])
    assert slip.rating_slip_id not in over[3].output, "it waits no longer"
    assert "breaks" not in over[4].output


async def test_a_rate_limit_stops_one_person_and_nobody_else(ground: Ground) -> None:
    player_id = str(uuid.uuid4())
    admin = Caller(ground.facts.token("admin"))
    staff_id = ""
    async with grpc.aio.insecure_channel(ground.facts.loyalty) as channel:
        stub = LoyaltyServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            for number in range(REWARDS_A_MINUTE + 1):
                request = loyalty_pb2.IssueManualRewardRequest(
                    player_id=player_id, points=1, reason=f"Waited an hour, time {number}"
                )
                given = await admin.call(stub.IssueManualReward, request, f"test-{uuid.uuid4()}")
                staff_id = given.entry.staff_id
    assert reason_of(caught.value) == "RATE_LIMIT_EXCEEDED"
    rewards = await entries_of(ground, player_id=player_id)
    async with opened("rate-limit.md", ground, STAFF=staff_id, PLAYER=player_id) as runbook:
        by_person, counted = (await runbook.type_section("In a minute"))[1:]
        await runbook.type_section("Decide")
        await runbook.type_section("Mend")
        await runbook.type_section("It is over when")

    assert player_id in by_person.output
    assert 'error_type="RATE_LIMIT_EXCEEDED"' in counted.output
    *before, last = reversed(await entries_of(ground, player_id=player_id))
    assert len(before) == len(rewards), "the refused call has written nothing"
    assert last.staff_id != staff_id


async def is_refused(ground: Ground, token: str) -> bool:
    request = loyalty_pb2.GetLoyaltyProgramRequest()
    async with grpc.aio.insecure_channel(ground.facts.loyalty) as channel:
        try:
            await Caller(token).call(
                LoyaltyServiceStub(channel).GetLoyaltyProgram, request, f"test-{uuid.uuid4()}"
            )
        except grpc.aio.AioRpcError as error:
            assert reason_of(error) == "TOKEN_INVALID"
            return True
    return False


async def is_away(ground: Ground) -> bool:
    """Whether both services say that they do not serve."""
    for address in (ground.facts.ratingslip, ground.facts.loyalty):
        async with grpc.aio.insecure_channel(address) as channel:
            if await health_of(channel) != health_pb2.HealthCheckResponse.NOT_SERVING:
                return False
    return True


def replace_tokens(ground: Ground, staff_key: pathlib.Path) -> None:
    """Gives everybody a token of the new key."""
    write_demo_tokens(StaffTokens(SigningKey.load_or_create(staff_key)), ground.state.tokens)


def service_key(private_key: pathlib.Path, key_id: str) -> dict[str, str]:
    return {
        "RATINGSLIP_SERVICE_TOKEN_KEY_FILE": str(private_key),
        "RATINGSLIP_SERVICE_TOKEN_KEY_ID": key_id,
    }
