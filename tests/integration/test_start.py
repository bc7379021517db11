"""Starts that cannot succeed: each ends at once, with a sentence that says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from grpc_health.v1 import health_pb2

from tests.databases import LOYALTY, RATINGSLIP, Databases, Service, connected
from tests.integration.services import Launcher, Pair, ServiceProcess, health_of

SERVING = health_pb2.HealthCheckResponse.SERVING
# Of sysexits.h, which operators' tools know.
EXIT_USAGE, EXIT_UNAVAILABLE, EXIT_CONFIGURATION = 64, 69, 78
SOMEWHERE = "loyalty.example:50051"
REQUIRED = {
    LOYALTY: [
        "LOYALTY_DATABASE_URL",
        "LOYALTY_TOKEN_ISSUER",
        "LOYALTY_TOKEN_AUDIENCE",
        "LOYALTY_JWKS",
        "LOYALTY_PAGE_TOKEN_KEY",
        "LOYALTY_SERVICE_TOKEN_ISSUER",
        "LOYALTY_SERVICE_JWKS",
    ],
    RATINGSLIP: [
        "RATINGSLIP_DATABASE_URL",
        "RATINGSLIP_TOKEN_ISSUER",
        "RATINGSLIP_TOKEN_AUDIENCE",
        "RATINGSLIP_JWKS",
        "RATINGSLIP_PAGE_TOKEN_KEY",
        "RATINGSLIP_LOYALTY_ADDRESS",
        "RATINGSLIP_LOYALTY_TOKEN_AUDIENCE",
        "RATINGSLIP_SERVICE_TOKEN_ISSUER",
        "RATINGSLIP_SERVICE_TOKEN_KEY_FILE",
        "RATINGSLIP_SERVICE_TOKEN_KEY_ID",
    ],
}
NO_KEY_SETS = {
    "empty": "",
    "a list": "[]",
    "keys that are none": '{"keys": 7}',
    "a key that is none": '{"keys": [7]}',
    "a key without its numbers": '{"keys": [{"kty": "OKP", "kid": "key", "crv": "Ed25519"}]}',
    "half a file": '{"keys": [{"kty": "OKP"',
}


@pytest.fixture(params=[LOYALTY, RATINGSLIP], ids=str)
def service(request: pytest.FixtureRequest) -> Service:
    found: Service = request.param
    return found


def named(service: Service, setting: str) -> str:
    """A setting's environment variable."""
    return f"{service.name.upper()}_{setting}"


async def last_words(process: ServiceProcess, exit_code: int) -> str:
    """What a process says that must end by itself: never a stack."""
    assert await process.ended() == exit_code, process.log.text()
    text = process.log.text()
    assert "Traceback" not in text
    return text


async def start(launcher: Launcher, service: Service, **changes: str | None) -> ServiceProcess:
    if service is RATINGSLIP:
        changes = {"RATINGSLIP_LOYALTY_ADDRESS": "127.0.0.1:1", **changes}
    return await launcher.start(service, **changes)


async def test_every_missing_setting_is_named(service: Service, launcher: Launcher) -> None:
    process = await launcher.start_with(service, {})

    text = await last_words(process, EXIT_CONFIGURATION)

    for name in REQUIRED[service]:
        assert f"{name}: is required" in text


async def test_a_misspelt_setting_is_named_with_everything_else_that_is_wrong(
    service: Service, launcher: Launcher
) -> None:
    flaws = {
        named(service, "DATABSE_URL"): "postgresql://",
        named(service, "DATABASE_POOL_SIZE"): "many",
        named(service, "PAGE_TOKEN_KEY"): "short",
        named(service, "LOG_LEVEL"): "LOUD",
        named(service, "JWKS"): None,
    }
    process = await start(launcher, service, **flaws)

    text = await last_words(process, EXIT_CONFIGURATION)

    for name in flaws:
        assert f"{name}: " in text
    # A secret that is refused is not shown.
    assert "short" not in text.replace("shorter", "")


async def test_plain_text_stays_on_this_machine_unless_told_otherwise(
    service: Service, launcher: Launcher
) -> None:
    everywhere = {named(service, "LISTEN_ADDRESS"): "0.0.0.0:0"}
    refused = await start(launcher, service, **everywhere)
    allowed = await start(
        launcher, service, **everywhere, **{named(service, "ALLOW_INSECURE"): "true"}
    )

    text = await last_words(refused, EXIT_CONFIGURATION)

    assert "0.0.0.0:0" in text
    assert "ALLOW_INSECURE" in text
    await allowed.serving()


async def test_plain_text_to_a_loyalty_elsewhere_is_refused(launcher: Launcher) -> None:
    process = await launcher.start(RATINGSLIP, RATINGSLIP_LOYALTY_ADDRESS=SOMEWHERE)

    text = await last_words(process, EXIT_CONFIGURATION)

    assert SOMEWHERE in text
    assert "ALLOW_INSECURE" in text


async def test_half_a_tls_configuration_is_refused(
    service: Service, launcher: Launcher, tmp_path: Path
) -> None:
    file = str(tmp_path / "some.pem")
    processes = [
        await start(launcher, service, **{named(service, setting): file})
        for setting in (
            "TLS_CERTIFICATE_FILE",
            "TLS_PRIVATE_KEY_FILE",
            "TLS_CLIENT_AUTHORITY_FILE",
        )
    ]

    for process in processes:
        assert "certificate" in await last_words(process, EXIT_CONFIGURATION)


async def test_a_port_in_use_is_named_and_not_shared(
    service: Service, launcher: Launcher, pair: Pair
) -> None:
    running = pair.loyalty if service is LOYALTY else pair.ratingslip
    process = await start(launcher, service, **{named(service, "LISTEN_ADDRESS"): running.address})

    text = await last_words(process, EXIT_UNAVAILABLE)

    assert f"cannot listen on {running.address}" in text
    assert await health_of(running.channel) == SERVING


async def test_a_key_file_that_is_missing_or_none_is_refused(
    service: Service, launcher: Launcher, tmp_path: Path
) -> None:
    files = {"missing": tmp_path / "missing.json"}
    for flaw, content in NO_KEY_SETS.items():
        files[flaw] = tmp_path / f"{flaw}.json"
        files[flaw].write_text(content)
    processes = [
        await start(launcher, service, **{named(service, "JWKS"): str(file)})
        for file in files.values()
    ]

    said = {}
    for process, (flaw, file) in zip(processes, files.items(), strict=True):
        code, text = await process.ended(), process.log.text()
        # Of several files, it says which.
        if code != EXIT_UNAVAILABLE or "Traceback" in text or str(file) not in text:
            said[flaw] = (code, text)

    assert said == {}


async def test_a_signing_key_that_is_missing_or_of_another_kind_is_refused(
    launcher: Launcher, tmp_path: Path
) -> None:
    other_kind, no_key = tmp_path / "rsa.pem", tmp_path / "none.pem"
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    other_kind.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    no_key.write_text("none")
    files = (tmp_path / "missing.pem", other_kind, no_key)
    processes = [
        await start(launcher, RATINGSLIP, RATINGSLIP_SERVICE_TOKEN_KEY_FILE=str(file))
        for file in files
    ]

    for process, file in zip(processes, files, strict=True):
        assert str(file) in await last_words(process, EXIT_UNAVAILABLE)


async def test_an_exporter_nobody_knows_is_refused(service: Service, launcher: Launcher) -> None:
    process = await start(launcher, service, OTEL_TRACES_EXPORTER="zipkin")

    assert "OTEL_TRACES_EXPORTER" in await last_words(process, EXIT_UNAVAILABLE)


async def test_only_the_known_commands_are_run(service: Service, launcher: Launcher) -> None:
    unknown = await launcher.start_with(service, launcher.environment(service), "migrat")
    migrate = await launcher.start_with(service, launcher.environment(service), "migrate")

    assert "migrate" in await last_words(unknown, EXIT_USAGE)
    url = named(service, "MIGRATION_DATABASE_URL")
    assert f"{url}: is required" in await last_words(migrate, EXIT_CONFIGURATION)


async def test_a_service_serves_its_own_schema_and_no_other(
    service: Service, launcher: Launcher, databases: Databases
) -> None:
    async with databases.empty(service) as database:
        url = {named(service, "DATABASE_URL"): database.service_url}
        unmigrated = await start(launcher, service, **url)
        assert "run `migrate` first" in await last_words(unmigrated, EXIT_CONFIGURATION)

        owner = {named(service, "MIGRATION_DATABASE_URL"): database.owner_url}
        migration = await launcher.start_with(service, owner, "migrate")
        assert await migration.ended() == 0, migration.log.text()
        migrated = await (await start(launcher, service, **url)).serving()
        await migrated.stop()

        async with connected(database.superuser_url) as sql:
            await sql.execute(
                f"INSERT INTO {service}.schema_migration"
                " VALUES ('migrations/9999_of_tomorrow.sql', 'checksum', now())"
            )
        newer = await start(launcher, service, **url)
        text = await last_words(newer, EXIT_CONFIGURATION)
        assert "newer" in text
        assert "9999_of_tomorrow.sql" in text
