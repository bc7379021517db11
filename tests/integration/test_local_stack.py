"""The embedded stack, from outside: its commands, its files, and what is left when it dies.

Every test has a state directory of its own, so none touches a stack somebody uses.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import grpc
import jwt
import pytest

from casino.ratingslip.v1 import ratingslip_pb2, ratingslip_pb2_grpc
from deploy.local.launch import __file__ as launcher
from deploy.local.state import PROJECT_DIRECTORY, StateDirectory
from deploy.local.traces import read_trace
from tests.integration.stack_commands import (
    FREE_PORTS,
    PATIENCE_SECONDS,
    command,
    facts_of,
    family,
    is_serving,
    live_processes,
    up,
    wait_until,
    wait_until_gone,
)

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(PROJECT_DIRECTORY), str(PROJECT_DIRECTORY / "protos")]),
}

# Holds a stack of its own until it is ended.
OWNER = """
import asyncio, pathlib, sys
from deploy.local.stack import running_stack
from deploy.local.state import StateDirectory

async def own():
    async with running_stack(StateDirectory(pathlib.Path(sys.argv[1])), attach=False):
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(own())
"""

# Ends with its parent, and says once that it has begun.
BOUND_TO_PARENT = """
import os, time
from deploy.local.processes import end_with_parent

end_with_parent()
print(os.getpid(), flush=True)
time.sleep(3600)
"""


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A state directory, with a blank in its path, that is emptied afterwards."""
    directory = tmp_path / "a state"
    yield directory
    assert command("down", directory, "--delete-data").returncode == 0


@pytest.fixture(scope="module")
def shared_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A stack that is up, for tests that leave it as it is."""
    directory = tmp_path_factory.mktemp("shared") / "a state"
    up(directory)
    yield directory
    assert command("down", directory, "--delete-data").returncode == 0


@pytest.fixture
def owner(root: Path) -> Iterator[subprocess.Popen[str]]:
    """A program with a stack of its own, which is up."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, root], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_up_returns_when_both_services_serve(shared_root: Path) -> None:
    facts = facts_of(shared_root)
    assert is_serving(facts.ratingslip)
    assert is_serving(facts.loyalty)


async def test_stack_file_leads_a_superuser_into_both_databases(shared_root: Path) -> None:
    facts = facts_of(shared_root)
    for url, name in (
        (facts.loyalty_database_url, "loyalty"),
        (facts.ratingslip_database_url, "ratingslip"),
    ):
        connection = await asyncpg.connect(url)
        row = await connection.fetchrow(
            "SELECT current_database(), rolsuper, to_regnamespace($1) IS NOT NULL AS migrated,"
            " current_setting('fsync') AS fsync FROM pg_roles WHERE rolname = current_user",
            name,
        )
        await connection.close()
        assert row is not None
        assert tuple(row) == (name, True, True, "on")


def test_tokens_are_signed_for_their_roles_and_casinos(shared_root: Path) -> None:
    facts = facts_of(shared_root)
    keys = jwt.PyJWKSet.from_json((shared_root / "keys" / "staff.jwks.json").read_text())
    seen = {}
    for name in ("pit_boss", "cashier", "admin", "dealer", "other_casino_admin"):
        token = (shared_root / "tokens" / f"{name}.jwt").read_text()
        key = keys[jwt.get_unverified_header(token)["kid"]]
        claims = jwt.decode(token, key, algorithms=["EdDSA"], audience="ratingslip.casino")
        seen[name] = (claims["role"], claims["casino_id"])
    demo = facts.casino_id
    assert seen == {
        "pit_boss": ("pit_boss", demo),
        "cashier": ("cashier", demo),
        "admin": ("admin", demo),
        "dealer": ("dealer", demo),
        "other_casino_admin": ("admin", facts.other_casino_id),
    }
    assert demo != facts.other_casino_id


def test_secrets_are_closed_to_others(shared_root: Path) -> None:
    others = stat.S_IRWXG | stat.S_IRWXO
    directories = [shared_root / name for name in ("", "keys", "tokens", "logs", "postgres")]
    secrets = [
        *(shared_root / "keys").iterdir(),
        *(shared_root / "tokens").iterdir(),
        shared_root / "stack.json",
        shared_root / "postgres" / "superuser.password",
    ]
    assert [path for path in directories + secrets if path.stat().st_mode & others] == []


def test_a_second_up_is_refused_and_leaves_the_first_as_it_is(shared_root: Path) -> None:
    before = facts_of(shared_root)

    second = command("up", shared_root, *FREE_PORTS)

    assert second.returncode == 1
    for part in (before.ratingslip, before.loyalty, "down"):
        assert part in second.stderr
    assert facts_of(shared_root) == before
    assert is_serving(before.ratingslip)


def test_a_call_is_found_again_by_its_correlation_id(shared_root: Path) -> None:
    facts = facts_of(shared_root)
    with grpc.insecure_channel(facts.ratingslip) as channel:
        ratingslip_pb2_grpc.RatingSlipServiceStub(channel).ListRatingSlips(
            ratingslip_pb2.ListRatingSlipsRequest(),
            metadata=(
                ("authorization", f"Bearer {facts.token('pit_boss')}"),
                ("x-correlation-id", "found-again"),
            ),
            timeout=PATIENCE_SECONDS,
        )

    wait_until(lambda: command("trace", shared_root, "found-again").returncode == 0)

    assert "ListRatingSlips" in command("trace", shared_root, "found-again").stdout
    unknown = command("trace", shared_root, "never-sent")
    assert (unknown.returncode, unknown.stdout) == (1, "")


def test_metrics_are_fetched_where_the_facts_say(shared_root: Path) -> None:
    facts = facts_of(shared_root)
    for url, own in (
        (facts.ratingslip_metrics, "casino_ratingslip_recoveries_total"),
        (facts.loyalty_metrics, "casino_loyalty_entries_total"),
    ):
        with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as answer:
            page = answer.read().decode()
        assert "casino_health_serving 1.0" in page
        assert f"\n{own}{{" in page, "and it is that service's"


def test_a_trace_is_answered_as_jaeger_would(shared_root: Path) -> None:
    facts = facts_of(shared_root)
    trace_id = secrets.token_hex(16)
    with grpc.insecure_channel(facts.ratingslip) as channel:
        with pytest.raises(grpc.RpcError):
            ratingslip_pb2_grpc.RatingSlipServiceStub(channel).ListRatingSlips(
                ratingslip_pb2.ListRatingSlipsRequest(),
                metadata=(("traceparent", f"00-{trace_id}-00f067aa0ba902b7-01"),),
                timeout=PATIENCE_SECONDS,
            )
    url = f"{facts.trace_query_endpoint}/api/v3/traces"
    wait_until(lambda: bool(read_trace(Path(facts.traces_file), trace_id)))

    with urllib.request.urlopen(f"{url}/{trace_id}", timeout=PATIENCE_SECONDS) as answer:
        (of_service,) = json.load(answer)["result"]["resourceSpans"]
    with pytest.raises(urllib.error.HTTPError) as unknown:
        urllib.request.urlopen(f"{url}/{'ab' * 16}", timeout=PATIENCE_SECONDS)

    named = {"key": "service.name", "value": {"stringValue": "ratingslip"}}
    assert named in of_service["resource"]["attributes"]
    (span,) = of_service["scopeSpans"][0]["spans"]
    (filed,) = read_trace(Path(facts.traces_file), trace_id)
    assert span["traceId"] == trace_id
    assert span["parentSpanId"] == "00f067aa0ba902b7"
    assert (span["kind"], span["startTimeUnixNano"]) == (2, str(filed.start_unix_nanos))
    code = {"key": "rpc.response.status_code", "value": {"stringValue": "UNAUTHENTICATED"}}
    assert code in span["attributes"]
    assert unknown.value.code == 404
    assert json.load(unknown.value)["error"]["httpCode"] == 404


def test_down_leaves_no_process_and_says_when_there_is_nothing_to_stop(root: Path) -> None:
    processes = family(up(root).supervisor_process_id)
    # The supervisor, both services, and PostgreSQL with some of its own.
    assert len(processes) >= 5

    assert command("down", root).returncode == 0

    assert not processes & live_processes().keys()
    assert not (root / "stack.json").exists()
    again = command("down", root)
    assert again.returncode == 0
    assert "No stack is running" in again.stdout


async def test_data_outlives_down_and_up(root: Path) -> None:
    connection = await asyncpg.connect(up(root).loyalty_database_url)
    await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    await connection.close()
    command("down", root)

    connection = await asyncpg.connect(up(root).loyalty_database_url)

    assert await connection.fetchval("SELECT answer FROM kept") == 42
    await connection.close()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_outlives_the_owner_of_a_stack(
    owner: subprocess.Popen[str], root: Path, end: signal.Signals
) -> None:
    processes = family(facts_of(root).supervisor_process_id)

    owner.send_signal(end)

    wait_until_gone(processes | {owner.pid})
    assert not (root / "stack.json").exists()


def test_nothing_outlives_a_supervisor_killed_with_sigkill(root: Path) -> None:
    killed = up(root)
    processes = family(killed.supervisor_process_id)

    os.kill(killed.supervisor_process_id, signal.SIGKILL)

    wait_until_gone(processes)
    # And what it left behind does not stand in the way of the next.
    assert is_serving(up(root).ratingslip)


@pytest.mark.parametrize(
    ("part", "named"), [("postgres -D", "PostgreSQL"), ("-m loyalty_service", "Loyalty")]
)
def test_a_part_that_dies_takes_the_stack_down_and_is_named(
    root: Path, part: str, named: str
) -> None:
    processes = family(up(root).supervisor_process_id)
    (victim,) = [process for process in processes if part in live_processes()[process].command]

    os.kill(victim, signal.SIGKILL)

    wait_until_gone(processes)
    assert f"{named} ended by itself" in (root / "logs" / "supervisor.log").read_text()


def test_a_busy_port_is_named_before_anything_starts(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        result = command("up", root, "--ratingslip-port", port, "--loyalty-port", "0")

    assert result.returncode == 1
    assert port in result.stderr
    assert "RatingSlip" in result.stderr
    assert not (root / "postgres" / "superuser.password").exists()


def test_an_interrupted_up_leaves_nothing_running(root: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "deploy.local", "up", "--state-directory", root, *FREE_PORTS],
        cwd=PROJECT_DIRECTORY,
        stdout=subprocess.PIPE,
        text=True,
    ) as starting:
        assert starting.stdout is not None
        assert "PostgreSQL" in starting.stdout.readline()
        processes = family(starting.pid)

        starting.send_signal(signal.SIGINT)

        wait_until_gone(processes)
    assert starting.returncode == 130
    assert not StateDirectory(root).is_in_use()


@pytest.mark.parametrize("recipe", ["exec $(PROGRAM)", "true; $(PROGRAM); true"])
def test_a_program_bound_to_its_parent_ends_when_make_is_killed(
    tmp_path: Path, recipe: str
) -> None:
    (tmp_path / "program.py").write_text(BOUND_TO_PARENT)
    (tmp_path / "Makefile").write_text(f"run:\n\t@{recipe}\n")
    started = subprocess.Popen(
        ["make", "--no-print-directory", f"PROGRAM={sys.executable} program.py"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with started as make:
        assert make.stdout is not None
        bound = int(make.stdout.readline())

        make.kill()

        wait_until_gone({bound})


@pytest.mark.parametrize("ways", [[], ["--watch"]], ids=["by the kernel", "by a second process"])
def test_a_launched_command_ends_when_its_starter_is_killed(ways: list[str]) -> None:
    start = (
        "import os, subprocess, sys, time;"
        "subprocess.Popen([sys.executable, '-I', '-S', sys.argv[1], '--parent', str(os.getpid()),"
        " '--death-signal', '9', *sys.argv[2:], '--', 'sh', '-c', 'echo $$; sleep 3600']);"
        "time.sleep(3600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", start, launcher, *ways], stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        launched = int(starter.stdout.readline())

        starter.kill()
        starter.wait()

        wait_until_gone({launched})
