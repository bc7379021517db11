"""A real Prometheus of a test's own, with the configuration, rules and alerts of deploy/.

It knows a process and Prometheus' HTTP API, and no metric.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from deploy.local.processes import LOOPBACK, bound_command, free_port
from tests.integration.patience import PATIENCE_SECONDS, eventually
from tests.observability import ALERTS_FILE, DIRECTORY, RULES_FILE

# Names the program; else it is looked for on the path.
PROGRAM_VARIABLE = "TEST_PROMETHEUS"
SYSTEM_PROGRAM = "prometheus"
CONFIGURATION_FILE = DIRECTORY / "prometheus.yml"

# A test must not wait as long as an operator can.
SCRAPE_INTERVAL = "250ms"
EVALUATION_INTERVAL = "500ms"
# Exemplars are asked for from before the test on.
LONGEST_TEST_SECONDS = 600


def prometheus_program() -> str | None:
    """The program to run; None when this machine has none."""
    return os.environ.get(PROGRAM_VARIABLE) or shutil.which(SYSTEM_PROGRAM)


class PrometheusServer:
    """A server that does not outlive the process that runs the tests."""

    def __init__(self, program: str, directory: Path, targets: Mapping[str, str]) -> None:
        """`targets` are host:port of what is scraped, by job; other jobs are left out."""
        self._program = program
        self._directory = directory
        self._targets = targets
        self._port = free_port()
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> Self:
        """Starts it and returns when it answers queries."""
        configuration = self._directory / "prometheus.yml"
        # JSON is YAML.
        configuration.write_text(json.dumps(_configuration(self._targets)), encoding="utf-8")
        options = [
            f"--config.file={configuration}",
            f"--storage.tsdb.path={self._directory / 'data'}",
            f"--web.listen-address={LOOPBACK}:{self._port}",
            "--enable-feature=exemplar-storage",
        ]
        log_file = self._directory / "prometheus.log"
        with log_file.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *bound_command([self._program, *options], signal.SIGKILL),
                cwd=self._directory,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

        async def ready() -> bool:
            assert self._process is not None
            assert self._process.returncode is None, f"it ended: {log_file.read_text()}"
            try:
                return await self._fetch("/-/ready") is not None
            except OSError:
                return False

        await eventually(ready, "Prometheus is ready")
        return self

    async def kill(self) -> None:
        """Ends it at once, if it runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._process.wait()

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an expression now; fails when it is no PromQL."""
        data = await self._api("query", query=expression)
        result: list[dict[str, Any]] = data["result"]
        return result

    async def exemplars(self, expression: str) -> list[dict[str, Any]]:
        """The exemplars of all series that an expression reads, as Grafana asks for them."""
        now = time.time()
        span = {"start": str(now - LONGEST_TEST_SECONDS), "end": str(now + LONGEST_TEST_SECONDS)}
        found: list[dict[str, Any]] = await self._api("query_exemplars", query=expression, **span)
        return [exemplar for series in found for exemplar in series["exemplars"]]

    async def alerts(self) -> list[dict[str, Any]]:
        """The alerts that are pending or fire."""
        data = await self._api("alerts")
        found: list[dict[str, Any]] = data["alerts"]
        return found

    async def rules(self) -> list[dict[str, Any]]:
        """All rules, recording and alerting, with how their last evaluation went."""
        data = await self._api("rules")
        return [rule for group in data["groups"] for rule in group["rules"]]

    async def _api(self, name: str, **parameters: str) -> Any:
        answer = json.loads(await self._fetch(f"/api/v1/{name}", **parameters))
        assert answer["status"] == "success", answer
        return answer["data"]

    async def _fetch(self, path: str, **parameters: str) -> str:
        query = urllib.parse.urlencode(parameters)
        return await asyncio.to_thread(
            _fetched, f"http://{LOOPBACK}:{self._port}{path}?{query}", PATIENCE_SECONDS
        )


def _fetched(url: str, timeout_seconds: float) -> str:
    with urllib.request.urlopen(url, timeout=timeout_seconds) as answer:
        text: str = answer.read().decode()
    return text


def _configuration(targets: Mapping[str, str]) -> dict[str, Any]:
    """That of deploy/, with these targets and a test's intervals."""
    configuration: dict[str, Any] = yaml.safe_load(CONFIGURATION_FILE.read_text(encoding="utf-8"))
    jobs = {job["job_name"]: job for job in configuration["scrape_configs"]}
    return {
        **configuration,
        "global": {
            "scrape_interval": SCRAPE_INTERVAL,
            "scrape_timeout": SCRAPE_INTERVAL,
            "evaluation_interval": EVALUATION_INTERVAL,
        },
        "rule_files": [str(RULES_FILE), str(ALERTS_FILE)],
        "scrape_configs": [
            {**jobs[job], "static_configs": [{"targets": [address]}]}
            for job, address in targets.items()
        ],
    }
