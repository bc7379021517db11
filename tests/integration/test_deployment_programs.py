"""What runs beside the services in a deployment: the probe, the ledger check, the first set-up.

They run as programs, as an orchestrator starts them, against real services and a real PostgreSQL.
"""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import shutil
import signal
import sys
import urllib.parse
import uuid
from collections.abc import Mapping
from typing import Any

import asyncpg
import grpc
import pytest

from chassis.migrate import Schema, migrate
from deploy.compose import make_secrets
from deploy.compose.certificates import Authority
from deploy.local.postgres import wheel_bin_directory
from deploy.local.processes import LOOPBACK, free_port
from tests.database.verifying import fill
from tests.databases import (
    BIN_DIRECTORY_VARIABLE,
    LOYALTY,
    PROJECT_DIRECTORY,
    SERVICES,
    Connection,
    connected,
    running_cluster,
)
from tests.integration.casino import Casino
from tests.integration.identity import Identity
from tests.integration.patience import PATIENCE_SECONDS, eventually
from tests.integration.services import Launcher, Pair, ServiceProcess

# Nobody listens there, so a service with this database never has one.
NO_DATABASE = "postgresql://loyalty_service@127.0.0.1:1/loyalty"
EXIT_FOUND, EXIT_UNAVAILABLE = 1, 69


async def run(program: str, *arguments: str, **environment: str) -> tuple[int, str]:
    """Runs `python -m program …`; its exit code and all that it wrote."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        program,
        *arguments,
        cwd=PROJECT_DIRECTORY,
        env={"PYTHONPATH": f"{PROJECT_DIRECTORY}:{PROJECT_DIRECTORY / 'protos'}", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def probed(check: str, environment: Mapping[str, str]) -> int:
    """The exit code of the probe of Loyalty, given the variables of the service it asks."""
    code, _ = await run("deploy.image.probe", "loyalty", check, **environment)
    return code


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The files of a deployment, as they are made for one."""
    directory = tmp_path_factory.mktemp("deployment") / "secrets"
    make_secrets.main(["--directory", str(directory), "--demo-identity"])
    return directory


def under_mutual_tls(certificates: pathlib.Path) -> dict[str, str]:
    return {
        "LOYALTY_LISTEN_ADDRESS": f"0.0.0.0:{free_port()}",
        "LOYALTY_TLS_CERTIFICATE_FILE": str(certificates / "loyalty" / "tls.crt"),
        "LOYALTY_TLS_PRIVATE_KEY_FILE": str(certificates / "loyalty" / "tls.key"),
        "LOYALTY_TLS_CLIENT_AUTHORITY_FILE": str(certificates / "authority.crt"),
    }


async def secured(
    launcher: Launcher, certificates: pathlib.Path, variables: Mapping[str, str], **changes: str
) -> ServiceProcess:
    """A Loyalty that wants certificates of its clients, and listens."""
    service = await launcher.start(LOYALTY, **variables, **changes)
    files = certificates / "ratingslip"
    service.credentials = grpc.ssl_channel_credentials(
        (certificates / "authority.crt").read_bytes(),
        (files / "tls.key").read_bytes(),
        (files / "tls.crt").read_bytes(),
    )
    return await service.listening()


async def test_the_probe_tells_a_service_that_serves_from_one_that_is_stuck(
    launcher: Launcher, certificates: pathlib.Path
) -> None:
    variables = under_mutual_tls(certificates)
    assert (await probed("live", variables), await probed("ready", variables)) == (1, 1)
    loyalty = await secured(launcher, certificates, variables)

    async def ready() -> bool:
        return await probed("ready", variables) == 0

    await eventually(ready, "the probe finds it ready")
    assert await probed("live", variables) == 0

    loyalty.send_signal(signal.SIGSTOP)
    try:
        codes = await asyncio.gather(probed("live", variables), probed("ready", variables))
        assert list(codes) == [1, 1]
    finally:
        loyalty.send_signal(signal.SIGCONT)


async def test_a_service_without_its_database_or_a_certificate_is_alive_and_not_ready(
    launcher: Launcher, certificates: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    variables = under_mutual_tls(certificates)
    await secured(launcher, certificates, variables, LOYALTY_DATABASE_URL=NO_DATABASE)
    assert (await probed("live", variables), await probed("ready", variables)) == (0, 1)

    # Nobody whom the service trusts has signed this one, so the handshake fails.
    stranger = Authority.load_or_create(make_secrets.Secrets(tmp_path / "stranger"))
    issued = stranger.issue(["loyalty"])
    other = {"CERTIFICATE": issued.certificate_pem, "PRIVATE_KEY": issued.private_key_pem}
    for name, pem in other.items():
        (tmp_path / name).write_text(pem)
        variables[f"LOYALTY_TLS_{name}_FILE"] = str(tmp_path / name)
    assert (await probed("live", variables), await probed("ready", variables)) == (0, 1)


async def checked(
    pair: Pair, directory: pathlib.Path, *tokens: str
) -> tuple[int, list[dict[str, Any]]]:
    """The exit code of the ledger check, and what it wrote of each token's casino."""
    directory = directory / str(uuid.uuid4())
    directory.mkdir()
    for number, token in enumerate(tokens):
        (directory / f"{number}.jwt").write_text(f"{token}\n")
    where = ("--loyalty", pair.loyalty.address, "--tokens", str(directory))
    code, output = await run("deploy.image.ledger_check", *where)
    return code, [json.loads(line) for line in output.splitlines()]


async def test_the_ledger_check_fails_for_what_it_finds_and_looks_at_every_casino(
    casino: Casino, pair: Pair, identity: Identity, loyalty_sql: Connection, tmp_path: pathlib.Path
) -> None:
    drifted, broken = casino, Casino(pair, identity)
    for each in (drifted, broken):
        await fill(loyalty_sql, uuid.UUID(each.id), players=2, entries_each=3)
    tokens = [each.token("admin") for each in (drifted, broken)]

    code, reports = await checked(pair, tmp_path, *tokens)

    assert code == 0
    assert [each["entries_verified"] for each in reports] == [6, 6]

    await loyalty_sql.execute(
        "UPDATE loyalty.player_loyalty SET current_balance = current_balance + 1"
        " WHERE casino_id = $1",
        drifted.id,
    )
    await loyalty_sql.execute(
        "UPDATE loyalty.loyalty_ledger SET note = 'another'"
        " WHERE casino_id = $1 AND entry_number = 2",
        broken.id,
    )
    drift_code, (drift,) = await checked(pair, tmp_path, tokens[0])
    break_code, (damage,) = await checked(pair, tmp_path, tokens[1])
    code, (_, refused, _) = await checked(pair, tmp_path, tokens[0], "no token", tokens[1])

    assert (drift_code, break_code, code) == (EXIT_FOUND, EXIT_FOUND, EXIT_FOUND)
    # More than 5 % of the casino's players drift.
    assert (drift["players_drifted"], drift["severity"], drift["breaks"]) == (2, "CRITICAL", [])
    assert [each["fault"] for each in damage["breaks"]] == ["CONTENT", "CONTENT"]
    assert damage["players_drifted"] == 0
    assert refused["error"].startswith("UNAUTHENTICATED")


async def test_the_ledger_check_says_when_it_could_not_check(
    pair: Pair, tmp_path: pathlib.Path
) -> None:
    code, (report,) = await checked(pair, tmp_path, "no token")

    assert code == EXIT_UNAVAILABLE
    assert report["entries_verified"] == 0


async def test_the_databases_are_made_so_that_a_role_reaches_its_own_and_no_other(
    certificates: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    for service in SERVICES:
        (tmp_path / "sql" / service.name).mkdir(parents=True)
        shutil.copy(service.sql_directory / "roles.sql", tmp_path / "sql" / service.name)
    shutil.copytree(certificates / "passwords", tmp_path / "passwords")
    programs = os.environ.get(BIN_DIRECTORY_VARIABLE) or str(wheel_bin_directory())
    with running_cluster() as cluster:
        superuser = urllib.parse.urlsplit(cluster.superuser_url())
        making = await asyncio.create_subprocess_exec(
            "sh",
            str(PROJECT_DIRECTORY / "deploy" / "compose" / "postgres" / "make_databases.sh"),
            env={
                "PATH": f"{programs}:{os.environ['PATH']}",
                "CASINO_DIRECTORY": str(tmp_path),
                "POSTGRES_USER": str(superuser.username),
                "PGPASSWORD": str(superuser.password),
                "PGHOST": LOOPBACK,
                "PGPORT": str(cluster.port),
            },
        )
        assert await making.wait() == 0
        for service, other in zip(SERVICES, reversed(SERVICES), strict=True):
            variables = {
                name: value.replace("@postgres:5432/", f"@{LOOPBACK}:{cluster.port}/")
                for file in (f"{service}.env", f"{service}_migration.env")
                for name, _, value in (
                    line.partition("=") for line in (certificates / file).read_text().splitlines()
                )
            }
            prefix = service.name.upper()
            schema = Schema(service.name, service.sql_directory)
            await migrate(schema, variables[f"{prefix}_MIGRATION_DATABASE_URL"])
            url = variables[f"{prefix}_DATABASE_URL"]
            async with connected(url) as connection:
                await connection.fetch(f"SELECT count(*) FROM {service}.schema_migration")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await asyncpg.connect(f"{url.rpartition('/')[0]}/{other}")
