"""deploy/kubernetes: valid, whole, and in agreement with what the services are."""

from __future__ import annotations

import math
import re
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from chassis import database, process, server, telemetry
from chassis.config import ServiceSettings
from deploy.image import probe
from loyalty_service.config import LoyaltySettings
from ratingslip_service import close
from ratingslip_service.config import RatingSlipSettings
from tests.unit import manifests
from tests.unit.manifests import KUBERNETES, MIGRATIONS, NAME_LABEL, ROOT, Workload

# The oldest that knows every field in use as a matter of course, and the newest schemas there are.
KUBERNETES_VERSIONS = ("1.30", "1.37")
SERVICES = ("loyalty", "ratingslip")
SETTINGS: dict[str, type[ServiceSettings]] = {
    "loyalty": LoyaltySettings,
    "ratingslip": RatingSlipSettings,
}
SECRET_VALUES = {
    "LOYALTY_DATABASE_URL": "postgresql://loyalty_service@db/loyalty",
    "LOYALTY_PAGE_TOKEN_KEY": "k" * 32,
    "LOYALTY_RATE_LIMIT_REDIS_URL": "rediss://redis/0",
    "LOYALTY_MIGRATION_DATABASE_URL": "postgresql://loyalty_owner@db/loyalty",
    "RATINGSLIP_DATABASE_URL": "postgresql://ratingslip_service@db/ratingslip",
    "RATINGSLIP_PAGE_TOKEN_KEY": "k" * 32,
    "RATINGSLIP_SERVICE_TOKEN_KEY_ID": "2026-11",
    "RATINGSLIP_MIGRATION_DATABASE_URL": "postgresql://ratingslip_owner@db/ratingslip",
}
# The image's user, and the collector's.
USERS = {"collector": 10001}
IMAGE_USER = 65532
# Settings that name a file or, in two cases, may name a URL instead.
FILE_SETTINGS = re.compile(r"_file$|jwks$")


def settings_of(service: str) -> ServiceSettings:
    variables = manifests.environment(manifests.workload(service), SECRET_VALUES)
    return SETTINGS[service].from_environment(variables)


def everything() -> list[dict[str, Any]]:
    return [*manifests.documents(manifests.SERVICES), *manifests.documents(MIGRATIONS)]


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [document for document in everything() if document["kind"] == kind]


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_every_object_is_one_that_kubernetes_takes(version: str) -> None:
    for document in everything():
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("directory", [manifests.SERVICES, MIGRATIONS], ids=lambda path: path.name)
def test_no_file_is_left_out(directory: Any) -> None:
    listed = manifests.kustomization(directory)
    sources = [file for each in listed.get("configMapGenerator", []) for file in each["envs"]]
    there = {path.name for path in directory.iterdir() if path.is_file()}
    files = {name for name in listed["resources"] if (directory / name).is_file()}
    assert there == {"kustomization.yaml", *files, *sources}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_finds_every_setting_it_needs_and_none_it_does_not_know(service: str) -> None:
    settings = settings_of(service)

    assert settings.tls_certificate_file
    assert not settings.allow_insecure


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_never_gets_the_schema_owner_s_secret(service: str) -> None:
    names = {each["name"] for each in manifests.workload(service).container["env"]}
    assert f"{service.upper()}_MIGRATION_DATABASE_URL" not in names
    secrets = str(manifests.workload(service).container)
    assert f"{service}-migration" not in secrets


@pytest.mark.parametrize("service", SERVICES)
def test_a_migration_gets_the_schema_owner_s_secret_and_no_other(service: str) -> None:
    migration = manifests.workload(f"{service}-migration")
    assert migration.container["args"] == [f"{service}_service", "migrate"]
    assert list(manifests.environment(migration, SECRET_VALUES)) == [
        f"{service.upper()}_MIGRATION_DATABASE_URL"
    ]


@pytest.mark.parametrize("service", SERVICES)
def test_every_file_that_a_setting_names_lies_in_a_mounted_directory(service: str) -> None:
    mounts = set(manifests.workload(service).mounts.values())
    for name, value in settings_of(service).model_dump().items():
        if FILE_SETTINGS.search(name) and value and not str(value).startswith("https://"):
            assert str(value).rpartition("/")[0] in mounts, name


def test_the_services_agree_on_who_signs_service_tokens_and_for_whom() -> None:
    loyalty, ratingslip = settings_of("loyalty"), settings_of("ratingslip")
    assert isinstance(loyalty, LoyaltySettings)
    assert isinstance(ratingslip, RatingSlipSettings)
    assert ratingslip.service_token_issuer == loyalty.service_token_issuer
    assert ratingslip.loyalty_token_audience == loyalty.token_audience


@pytest.mark.parametrize("each", manifests.workloads(), ids=lambda each: each.name)
def test_a_pod_can_gain_nothing(each: Workload) -> None:
    pod, container = each.pod, each.container
    assert pod["automountServiceAccountToken"] is False
    # Kubernetes would put LOYALTY_PORT and the like into the environment.
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == USERS.get(each.name, IMAGE_USER)
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container["resources"]) == {"requests", "limits"}
    for limits in container["resources"].values():
        assert set(limits) == {"cpu", "memory"}
    assert all(mount["readOnly"] for mount in container["volumeMounts"])
    assert not any("subPath" in mount for mount in container["volumeMounts"])
    assert set(each.mounts) == {volume["name"] for volume in pod["volumes"]}


def test_selectors_select_the_pods_they_are_about() -> None:
    deployments = {each.name: each for each in manifests.workloads() if each.kind == "Deployment"}
    for each in deployments.values():
        assert manifests.matches(each.spec["selector"], each.pod_labels)
        for spread in each.pod.get("topologySpreadConstraints", []):
            assert manifests.matches(spread["labelSelector"], each.pod_labels)
    for kind in ("Service", "PodDisruptionBudget"):
        for document in of_kind(kind):
            selector = document["spec"]["selector"]
            selector = selector if "matchLabels" in selector else {"matchLabels": selector}
            selected = [
                name
                for name, each in deployments.items()
                if manifests.matches(selector, each.pod_labels)
            ]
            assert selected == [document["metadata"]["name"]]
    assert {document["metadata"]["name"] for document in of_kind("PodDisruptionBudget")} == set(
        SERVICES
    )


@pytest.mark.parametrize("service", SERVICES)
def test_the_ports_are_those_the_service_listens_on(service: str) -> None:
    deployment = manifests.workload(service)
    ports = {port["name"]: port["containerPort"] for port in deployment.container["ports"]}
    variables = manifests.environment(deployment, SECRET_VALUES)
    assert settings_of(service).listen_address == f"0.0.0.0:{ports['grpc']}"
    assert int(variables["OTEL_EXPORTER_PROMETHEUS_PORT"]) == ports["metrics"]
    (headless,) = [
        document for document in of_kind("Service") if document["metadata"]["name"] == service
    ]
    assert headless["spec"]["clusterIP"] == "None"
    (port,) = headless["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (ports["grpc"], "grpc")


def test_what_is_called_is_a_service_of_the_namespace() -> None:
    called = [
        manifests.generated(manifests.SERVICES, "ratingslip-settings")[
            "RATINGSLIP_LOYALTY_ADDRESS"
        ],
        manifests.generated(manifests.SERVICES, "telemetry-settings")[
            "OTEL_EXPORTER_OTLP_ENDPOINT"
        ],
        *[
            argument.partition("=")[2]
            for argument in manifests.workload("ledger-check").container["args"]
            if argument.startswith("--loyalty=")
        ],
    ]
    served = {
        f"{document['metadata']['name']}.casino.svc.cluster.local:{port['port']}"
        for document in of_kind("Service")
        for port in document["spec"]["ports"]
    }
    assert len(called) == 3
    assert {address.removeprefix("http://") for address in called} <= served


@pytest.mark.parametrize("service", SERVICES)
def test_a_pod_has_the_time_to_end_in_good_order(service: str) -> None:
    pod = manifests.workload(service).pod
    longest_seconds = (
        pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        + settings_of(service).drain_grace_ms / 1000
        + server.FLUSH_SECONDS
        + process.CANCEL_TIMEOUT_SECONDS
        + (close.LONGEST_FINISH_SECONDS if service == "ratingslip" else 0)
        + database.CLOSE_TIMEOUT_SECONDS
        + telemetry.SHUTDOWN_TIMEOUT_SECONDS
    )
    # And some, for a processor that is busy.
    assert pod["terminationGracePeriodSeconds"] >= math.ceil(longest_seconds * 1.2)


@pytest.mark.parametrize("service", SERVICES)
def test_a_restart_never_answers_a_database_that_is_away(service: str) -> None:
    container = manifests.workload(service).container
    checks = {
        kind: container[kind]["exec"]["command"]
        for kind in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    program = ["python", "-m", probe.__name__, service]
    assert checks == {
        "startupProbe": [*program, "live"],
        "readinessProbe": [*program, "ready"],
        "livenessProbe": [*program, "live"],
    }
    for kind in checks:
        assert container[kind]["timeoutSeconds"] > probe.TIMEOUT_SECONDS


def test_a_release_never_takes_a_replica_away_before_its_successor_serves() -> None:
    for service in SERVICES:
        spec = manifests.workload(service).spec
        assert spec["replicas"] >= 2
        assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_no_secret_has_a_value_here_and_each_is_described() -> None:
    assert of_kind("Secret") == []
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    for each in manifests.workloads():
        text = str(each.pod)
        named = {*re.findall(r"'secretKeyRef': {'name': '([\w-]+)'", text)}
        named |= {*re.findall(r"'secretName': '([\w-]+)'", text)}
        named |= {*re.findall(r"'configMap': {'name': '([\w-]+)'", text)}
        for name in named - {"collector-configuration"}:
            assert f"`{name}`" in page, f"{each.name} needs {name}, which the page does not make"


def test_the_check_of_the_ledger_runs_daily_and_never_twice_at_once() -> None:
    check = manifests.workload("ledger-check")
    assert check.container["args"][0] == "deploy.image.ledger_check"
    minute, hour, *days = check.spec["schedule"].split()
    assert (minute.isdigit(), hour.isdigit(), days) == (True, True, ["*", "*", "*"])
    assert check.spec["concurrencyPolicy"] == "Forbid"


def test_every_image_is_named_with_a_version() -> None:
    versions = {
        image["name"]: image["newTag"]
        for directory in (manifests.SERVICES, MIGRATIONS)
        for image in manifests.kustomization(directory)["images"]
    }
    for each in manifests.workloads():
        name, _, tag = each.container["image"].partition(":")
        assert re.search(r"\d+\.\d+", tag or versions[name]), each.container["image"]
    assert (
        len({str(manifests.kustomization(d)["images"]) for d in (manifests.SERVICES, MIGRATIONS)})
        == 1
    )


def test_every_pod_belongs_to_somebody() -> None:
    assert [
        each.name for each in manifests.workloads() if each.pod_labels[NAME_LABEL] != each.name
    ] == []


def test_the_example_of_an_overlay_changes_what_is_there() -> None:
    overlay = manifests.kustomization(KUBERNETES / "overlay-example")
    for each in overlay["configMapGenerator"]:
        known = manifests.generated(manifests.SERVICES, each["name"])
        assert {literal.partition("=")[0] for literal in each["literals"]} <= set(known)
    there = {(each["kind"], each["metadata"]["name"]): each for each in everything()}
    for patch in overlay["patches"]:
        target = there[patch["target"]["kind"], patch["target"]["name"]]
        for operation in yaml.safe_load(patch["patch"]):
            assert operation["op"] == "replace"
            place: Any = target
            for step in operation["path"].strip("/").split("/"):
                place = place[int(step)] if step.isdigit() else place[step]
            assert isinstance(place, str)
