"""deploy/compose: every file is there, and each service is told what it must know."""

from __future__ import annotations

import pathlib
import re
import stat
from typing import Any

import pytest
import yaml

from chassis.config import ServiceSettings, migration_database_url
from deploy.compose import make_secrets
from deploy.image import probe
from loyalty_service.config import LoyaltySettings
from ratingslip_service.config import RatingSlipSettings

COMPOSE_FILE = pathlib.Path(__file__).parents[2] / "deploy" / "compose" / "compose.yaml"
SETTINGS: dict[str, type[ServiceSettings]] = {
    "loyalty": LoyaltySettings,
    "ratingslip": RatingSlipSettings,
}
# They write nothing but into volumes and memory, and need no right of root's. PostgreSQL's
# image begins as root, to give its volume away.
HARDENED = {
    "loyalty",
    "ratingslip",
    "loyalty-migration",
    "ratingslip-migration",
    "collector",
    "jaeger",
    "prometheus",
    "grafana",
}
VARIABLE = re.compile(r"\$\{(\w+)(?::[-?]([^}]*))?\}")
EVERYBODY_READS, NOBODY_ELSE = 0o644, 0o600


def services() -> dict[str, dict[str, Any]]:
    content: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE_FILE.read_text())["services"]
    return content


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A directory like deploy/compose, with everything in it that is made there."""
    directory = tmp_path_factory.mktemp("compose")
    issuer = ["--issuer", "https://identity.example", "--jwks", "https://identity.example/jwks"]
    assert make_secrets.main(["--directory", str(directory / "secrets"), *issuer]) == 0
    return directory


def variables_of(path: pathlib.Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def environment(name: str, made: pathlib.Path) -> dict[str, str]:
    """What a container is told: its files, then its own variables, `.env` put in."""
    service, known = services()[name], variables_of(made / ".env")
    told: dict[str, str] = {}
    for file in service.get("env_file", []):
        told |= variables_of(made / file)
    for variable, value in service.get("environment", {}).items():
        told[variable] = VARIABLE.sub(lambda each: known[each[1]], value)
    return told


@pytest.mark.parametrize("service", SETTINGS)
def test_a_service_finds_every_setting_it_needs_and_none_it_does_not_know(
    service: str, made: pathlib.Path
) -> None:
    told = environment(service, made)
    settings = SETTINGS[service].from_environment(told)

    assert settings.tls_certificate_file
    assert not settings.allow_insecure
    assert f"//{service}_service:" in settings.database_url
    assert not any("MIGRATION" in name for name in told)


@pytest.mark.parametrize("service", SETTINGS)
def test_every_file_that_a_setting_names_is_made_where_it_is_mounted(
    service: str, made: pathlib.Path
) -> None:
    (mount,) = services()[service]["volumes"]
    source, target, mode = mount.split(":")
    assert mode == "ro"
    settings = SETTINGS[service].from_environment(environment(service, made))
    paths = [value for value in settings.model_dump().values() if f"{target}/" in str(value)]
    assert len(paths) >= 3
    for path in paths:
        assert (made / source / str(path).removeprefix(f"{target}/")).is_file(), path


@pytest.mark.parametrize("service", SETTINGS)
def test_a_service_starts_when_its_migration_has_ended_well(
    service: str, made: pathlib.Path
) -> None:
    migration = services()[f"{service}-migration"]
    assert migration["command"] == [f"{service}_service", "migrate"]
    assert migration["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    told = environment(f"{service}-migration", made)
    assert f"//{service}_owner:" in migration_database_url(f"{service.upper()}_", told)
    waits_for = services()[service]["depends_on"][f"{service}-migration"]
    assert waits_for == {"condition": "service_completed_successfully"}


def test_every_mounted_file_is_there(made: pathlib.Path) -> None:
    sources = {
        volume.split(":")[0]
        for service in services().values()
        for volume in service.get("volumes", [])
        if volume.startswith(".")
    }
    assert sources
    for source in sources:
        base = made if source.startswith("./secrets") else COMPOSE_FILE.parent
        assert (base / source).exists(), source


def test_no_container_can_write_or_gain_anything() -> None:
    for name, service in services().items():
        assert "no-new-privileges:true" in service["security_opt"], name
        assert re.search(r":v?\d+(\.\d+)+", service["image"]), service["image"]
        assert service["logging"]["options"]["max-size"], name
        if name in HARDENED:
            assert service["read_only"] is True, name
            assert service["cap_drop"] == ["ALL"], name
            assert not service["user"].startswith("0"), name
            assert service["mem_limit"], name
    assert set(services()) == HARDENED | {"postgres"}


def test_only_the_services_and_their_migrations_reach_the_database() -> None:
    content = yaml.safe_load(COMPOSE_FILE.read_text())
    assert content["networks"]["database"] == {"internal": True}
    reach = {name for name, each in services().items() if "database" in each["networks"]}
    assert reach == {"postgres", *SETTINGS, *(f"{service}-migration" for service in SETTINGS)}


def test_nothing_is_published_to_other_machines_unasked() -> None:
    for service in services().values():
        for port in service.get("ports", []):
            assert VARIABLE.sub(lambda each: each[2], port).startswith("127.0.0.1:"), port


@pytest.mark.parametrize("service", SETTINGS)
def test_health_is_asked_by_the_image_s_own_probe(service: str) -> None:
    check = services()[service]["healthcheck"]
    assert check["test"] == ["CMD", "python", "-m", probe.__name__, service, "ready"]
    assert float(check["timeout"].removesuffix("s")) > probe.TIMEOUT_SECONDS


def test_secrets_are_closed_to_others_and_kept_when_made_again(made: pathlib.Path) -> None:
    secrets = made / "secrets"
    before = {path: path.read_bytes() for path in secrets.rglob("*") if path.is_file()}

    make_secrets.main(["--directory", str(secrets), "--demo-identity"])

    assert {path: path.read_bytes() for path in before} == before
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in before}
    # A container's user has to read what is mounted; nobody reads the rest.
    assert modes["tls.key"] == modes["service_token.pem"] == EVERYBODY_READS
    assert modes["authority.key"] == modes["loyalty.env"] == NOBODY_ELSE
    assert (secrets / "demo_tokens" / "pit_boss.jwt").is_file()
