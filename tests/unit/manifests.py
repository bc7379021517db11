"""Reads deploy/kubernetes as kustomize would put it together, without kustomize.

Owns what a manifest's parts are and how an environment is built from them. It must not know
what they should say: tests do.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Iterator
from typing import Any

import yaml

ROOT = pathlib.Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
# Two kustomizations, of which the second is applied first.
SERVICES = KUBERNETES / "services"
MIGRATIONS = KUBERNETES / "migrations"
NAME_LABEL = "app.kubernetes.io/name"


@dataclasses.dataclass(frozen=True)
class Workload:
    """Something that runs pods, and the pods that it runs."""

    kind: str
    name: str
    spec: dict[str, Any]
    pod_labels: dict[str, str]
    pod: dict[str, Any]

    @property
    def container(self) -> dict[str, Any]:
        """Its only container."""
        (container,) = self.pod["containers"]
        assert "initContainers" not in self.pod
        assert isinstance(container, dict)
        return container

    @property
    def mounts(self) -> dict[str, str]:
        """Where each volume is mounted."""
        return {each["name"]: each["mountPath"] for each in self.container.get("volumeMounts", [])}


def kustomization(directory: pathlib.Path) -> dict[str, Any]:
    """What a directory is made of."""
    content = yaml.safe_load((directory / "kustomization.yaml").read_text())
    assert isinstance(content, dict)
    return content


@functools.cache
def documents(directory: pathlib.Path) -> list[dict[str, Any]]:
    """Every object in the files that the directory's kustomization lists."""
    files = [directory / name for name in kustomization(directory)["resources"]]
    return [
        document
        for file in files
        if file.is_file()
        for document in yaml.safe_load_all(file.read_text())
    ]


def generated(directory: pathlib.Path, name: str) -> dict[str, str]:
    """The ConfigMap that the kustomization makes from an environment file."""
    (entry,) = [
        each for each in kustomization(directory)["configMapGenerator"] if each["name"] == name
    ]
    lines = [line for file in entry["envs"] for line in (directory / file).read_text().splitlines()]
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@functools.cache
def workloads() -> list[Workload]:
    """Everything that runs pods, the migrations included."""
    return [
        Workload(
            kind=document["kind"],
            name=document["metadata"]["name"],
            spec=document["spec"],
            pod_labels=template["metadata"]["labels"],
            pod=template["spec"],
        )
        for document in [*documents(SERVICES), *documents(MIGRATIONS)]
        for template in pod_templates(document)
    ]


def pod_templates(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The pod template of a Deployment, a Job or a CronJob."""
    spec = document.get("spec", {})
    if document["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    if document["kind"] in ("Deployment", "Job", "CronJob"):
        yield spec["template"]


def workload(name: str) -> Workload:
    """The workload of a name."""
    (found,) = [each for each in workloads() if each.name == name]
    return found


def environment(of: Workload, secret_values: dict[str, str]) -> dict[str, str]:
    """What a container's process finds in its environment, with these values for secrets."""
    container = of.container
    variables: dict[str, str] = {}
    for source in container.get("envFrom", []):
        variables |= generated(SERVICES, source["configMapRef"]["name"])
    for each in container.get("env", []):
        if "value" in each:
            variables[each["name"]] = each["value"]
        elif "secretKeyRef" in each["valueFrom"]:
            variables[each["name"]] = secret_values[each["name"]]
    return variables


def matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector selects something with these labels."""
    wanted = selector.get("matchLabels", {})
    return all(labels.get(name) == value for name, value in wanted.items()) and all(
        each["operator"] == "In" and labels.get(each["key"]) in each["values"]
        for each in selector.get("matchExpressions", [])
    )
