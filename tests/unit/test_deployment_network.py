"""deploy/kubernetes/network-policy.yaml: what may reach what, and that what must, can."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit import manifests
from tests.unit.manifests import Workload

LOYALTY_PORT, RATINGSLIP_PORT = 50051, 50052
OTLP_PORT, METRICS_PORT, COLLECTOR_METRICS_PORT = 4317, 9464, 8888
POSTGRES_PORT, REDIS_PORT, HTTPS_PORT, DNS_PORT = 5432, 6379, 443, 53
# Every way between two of our pods, as (from, to, port).
WAYS = {
    ("ratingslip", "loyalty", LOYALTY_PORT),
    ("ledger-check", "loyalty", LOYALTY_PORT),
    ("ratingslip", "collector", OTLP_PORT),
    ("loyalty", "collector", OTLP_PORT),
}
# Every way out of the namespace.
WAYS_OUT = {
    "loyalty": {POSTGRES_PORT, REDIS_PORT, HTTPS_PORT, DNS_PORT},
    "ratingslip": {POSTGRES_PORT, REDIS_PORT, HTTPS_PORT, DNS_PORT},
    "loyalty-migration": {POSTGRES_PORT, REDIS_PORT, DNS_PORT},
    "ratingslip-migration": {POSTGRES_PORT, REDIS_PORT, DNS_PORT},
    "ledger-check": {DNS_PORT},
    "collector": {OTLP_PORT, DNS_PORT},
}
# Every way into it, as (label of the namespace, port).
WAYS_IN = {
    "loyalty": {("casino-client", LOYALTY_PORT), ("monitoring", METRICS_PORT)},
    "ratingslip": {("casino-client", RATINGSLIP_PORT), ("monitoring", METRICS_PORT)},
    "collector": {("monitoring", COLLECTOR_METRICS_PORT)},
}


def policies() -> list[dict[str, Any]]:
    return [
        each for each in manifests.documents(manifests.SERVICES) if each["kind"] == "NetworkPolicy"
    ]


def rules(pod: Workload, direction: str) -> Iterator[tuple[list[dict[str, Any]], set[int]]]:
    """The peers and ports of every rule of a direction that selects a pod."""
    peers = {"ingress": "from", "egress": "to"}[direction]
    for policy in policies():
        if manifests.matches(policy["spec"]["podSelector"], pod.pod_labels):
            for rule in policy["spec"].get(direction, []):
                yield rule.get(peers, []), {port["port"] for port in rule["ports"]}


def ways(direction: str) -> set[tuple[str, str, int]]:
    """Every way between two pods that the rules of one direction let through."""
    found = set()
    for pod in manifests.workloads():
        for peers, ports in rules(pod, direction):
            for peer in peers:
                if "podSelector" not in peer or "namespaceSelector" in peer:
                    continue
                for other in manifests.workloads():
                    if manifests.matches(peer["podSelector"], other.pod_labels):
                        names = (pod.name, other.name)
                        ends = names if direction == "egress" else names[::-1]
                        found |= {(*ends, port) for port in ports}
    return found


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_our_pods_reach_each_other_where_they_must_and_nowhere_else(direction: str) -> None:
    assert ways(direction) == WAYS


def test_nothing_is_open_that_no_rule_opens() -> None:
    (closed,) = [each for each in policies() if each["metadata"]["name"] == "default-deny"]
    assert closed["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("name", WAYS_OUT)
def test_a_pod_reaches_nothing_outside_but_what_it_needs(name: str) -> None:
    out = {
        port
        for peers, ports in rules(manifests.workload(name), "egress")
        for peer in peers
        if "ipBlock" in peer or "namespaceSelector" in peer
        for port in ports
    }
    assert out == WAYS_OUT[name]


@pytest.mark.parametrize("name", [each.name for each in manifests.workloads()])
def test_a_pod_is_reached_from_outside_by_callers_and_by_prometheus_only(name: str) -> None:
    ways_in = set()
    for peers, ports in rules(manifests.workload(name), "ingress"):
        for peer in peers:
            for key, value in peer.get("namespaceSelector", {}).get("matchLabels", {}).items():
                label = value if key == "kubernetes.io/metadata.name" else key
                ways_in |= {(label, port) for port in ports}
    assert ways_in == WAYS_IN.get(name, set())


def test_every_port_that_a_rule_opens_is_one_that_its_pods_have() -> None:
    for pod in manifests.workloads():
        opened = {port for _, ports in rules(pod, "ingress") for port in ports}
        assert opened <= {port["containerPort"] for port in pod.container.get("ports", [])}
