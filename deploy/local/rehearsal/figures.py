"""One figure of a service, read from its own Prometheus endpoint.

Prometheus itself is not needed for it: what an alert looks at now is what the service says
now. Owns fetching and adding up; which figure, an alert's expression says.
"""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class Figure:
    """The sum over all samples of a name that carry these labels."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """As it is typed in PromQL."""
        if not self.labels:
            return self.name
        matchers = ",".join(f'{name}="{value}"' for name, value in self.labels.items())
        return f"{self.name}{{{matchers}}}"


async def read_figure(metrics_url: str, figure: Figure) -> float:
    """What a service says of a figure now; 0 where it has no such sample.

    Raises:
        OSError: the endpoint does not answer.
    """
    text = await asyncio.to_thread(_fetch, metrics_url)
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == figure.name and figure.labels.items() <= sample.labels.items()
    )


def _fetch(url: str) -> str:
    # The URL is that of a service on this machine, from `stack.json`.
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
        body: bytes = response.read()
    return body.decode()
