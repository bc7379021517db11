"""What the alert rules say of one alert: its summary, its expression, its runbook."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from deploy.local.state import PROJECT_DIRECTORY

ALERTS_FILE = PROJECT_DIRECTORY / "deploy" / "observability" / "alerts.yaml"


@dataclass(frozen=True)
class Alert:
    """One alert, as it is in the rules."""

    name: str
    # page or ticket.
    severity: str
    # PromQL.
    expression: str
    description: str
    # Path of the runbook in this checkout.
    runbook: str


def read_alert(name: str, path: Path = ALERTS_FILE) -> Alert:
    """An alert by its name.

    Raises:
        LookupError: the rules have no such alert.
    """
    groups = yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        if rule["alert"] == name:
            annotations = rule["annotations"]
            return Alert(
                name,
                rule["labels"]["severity"],
                " ".join(rule["expr"].split()),
                annotations["description"],
                annotations["runbook"],
            )
    raise LookupError(f"{path} has no alert {name}")
