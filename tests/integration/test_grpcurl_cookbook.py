"""docs/grpcurl.md, pasted into a shell: every line of it works as printed, in its order.

Once with the real grpcurl, where it is installed, and once with what stands in for it.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from deploy.local import grpcurl_on_buf
from deploy.local.postgres import PostgresCluster
from deploy.local.stack import running_stack
from deploy.local.state import PROJECT_DIRECTORY, StackFacts, StateDirectory
from tests.databases import LOYALTY
from tests.integration.casino import Casino
from tests.integration.certificates import Authority
from tests.integration.services import Launcher

PAGE = PROJECT_DIRECTORY / "docs" / "grpcurl.md"
SECTION = re.compile(r"^## (?P<title>.+)\n(?P<text>(?:(?!## ).*\n)*)", re.MULTILINE)
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SCRIPT = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Printed in front of what a section prints.
MARK = "=== "
UUID = "[0-9a-f-]{36}"

# What each section prints, as patterns in this order. Case and underscores are taken out
# first, for versions of grpcurl differ in how they spell a field's name.
PRINTED = {
    "Look around": [
        "casino.ratingslip.v1.ratingslipservice",
        "completeratingslip",
        "verifyledger",
        "idempotencykey",
        '"status": "serving"',
    ],
    "Start a slip": [f'"ratingslipid": "{UUID}"', '"status": "slipstatusopen"'],
    "While it is open": [
        '"status": "slipstatuspaused"',
        '"status": "slipstatusopen"',
        '"units": "75"',
        '"units": "75"',
    ],
    "Preview its points": ['"points": "1575"', '"tierafter": "silver"', '"points": "1575"'],
    "Close it": ["x-correlation-id: close-", '"loyaltystate": "loyaltystateaccrued"'],
    "Recover it": [r"\{\s*\}\s*\{\s*\}", '"pointsdelta": "1575"', '"isexisting": true'],
    "What happened to a slip": [
        *("kindstart", "kindpause", "kindresume", "kindupdateaveragebet"),
        *("kindcomplete", "kindaccrue", "kindcomplete", "kindaccrue"),
    ],
    "A player's points": [
        '"currentbalance": "1575"',
        '"tier": "silver"',
        f"the accrual is {UUID}",
    ],
    "Spend points": [
        '"balanceafter": "1075"',
        '"balanceafter": "1075"',
        '"isexisting": true',
    ],
    "Promote, take back, reward, correct": [
        *('"balanceafter": "2650"', '"pointsdelta": "-1575"', '"balanceafter": "1075"'),
        *('"balanceafter": "1175"', '"pointsdelta": "-100"', '"balanceafter": "1075"'),
    ],
    "Page": ['"entrynumber": "2"', '"entrynumber": "1"', '"status": "slipstatusclosed"'],
    "Audit": [
        '"playerschecked": "1"',
        '"entriesverified": "6"',
        '"currentbalance": "1075"',
    ],
    "The program": [
        *('"pointsperunit": "10"', '"pointsperunit": "10"', '"overdrawfloor": "-5000"'),
    ],
    "Read an error": [
        "code: failedprecondition",
        '"balance": "1075"',
        '"reason": "insufficientbalance"',
        "exit code 73",
        "refused for insufficientbalance",
        '"rolenotpermitted: ',
        '"reason": "rolenotpermitted"',
        "exit code 71",
        "fieldviolations",
        '"field": "playerid"',
        "exit code 67",
    ],
}
# What would mean that a line did not do what the page says of it.
NEVER_PRINTED = {
    "Page": '"nextpagetoken"',
    "Audit": '"breaks"|"playersdrifted"|"isrepaired"',
    "Spend points": '"isexisting": true(.|\n)*"isexisting": true',
}


def blocks() -> dict[str, list[str]]:
    """The lines of each section, as somebody types them."""
    text = PAGE.read_text(encoding="utf-8")
    return {
        section["title"]: [
            line.removeprefix("$ ")
            for block in BLOCK.findall(section["text"])
            for line in block.splitlines()
            if not line.startswith("$ make ")
        ]
        for section in SECTION.finditer(text)
        if BLOCK.search(section["text"])
    }


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StateDirectory]:
    state = StateDirectory(tmp_path_factory.mktemp("cookbook"))
    yield state
    # As root the data lies elsewhere, and would outlast this directory.
    PostgresCluster(state.postgres).delete()


@pytest.fixture(scope="module")
async def stack(state: StateDirectory) -> AsyncIterator[StackFacts]:
    async with running_stack(state, attach=False) as running:
        yield running.facts


@pytest.fixture(params=["grpcurl", "buf"])
def programs(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A PATH in which grpcurl is the real one, or the one on top of buf."""
    if request.param == "grpcurl":
        if shutil.which("grpcurl") is None:
            pytest.skip("no grpcurl here")
        return os.environ["PATH"]
    script = tmp_path / "grpcurl"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{grpcurl_on_buf.__file__}" "$@"\n')
    script.chmod(0o755)
    return f"{tmp_path}{os.pathsep}{os.environ['PATH']}"


async def printed(script: str, directory: Path, **environment: str) -> str:
    """What a shell that stops at the first failure prints."""
    shell = await asyncio.create_subprocess_exec(
        "sh",
        "-e",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=directory,
        env={**os.environ, **environment},
    )
    output, _ = await shell.communicate(script.encode())
    text = output.decode()
    assert shell.returncode == 0, text
    return text


def require_in_order(title: str, text: str) -> None:
    spelt_alike = text.replace("_", "").lower()
    position = 0
    for pattern in PRINTED[title]:
        found = re.compile(pattern).search(spelt_alike, position)
        assert found is not None, f"{title}: no {pattern!r} from {position} on in\n{text}"
        position = found.end()
    unwanted = NEVER_PRINTED.get(title)
    assert unwanted is None or re.search(unwanted, spelt_alike) is None, f"{title}:\n{text}"


async def test_every_line_of_the_cookbook_does_what_it_says(
    stack: StackFacts, programs: str, tmp_path: Path
) -> None:
    lines = []
    for title, block in blocks().items():
        lines += [f'printf "\\n{MARK}{title}\\n"', *block]
    here = (
        "\n".join(lines)
        .replace("127.0.0.1:50052", stack.ratingslip)
        .replace("127.0.0.1:50051", stack.loyalty)
        .replace(".local/tokens", stack.tokens_directory)
    )

    text = await printed(here, tmp_path, PATH=programs)

    parts = (part.partition("\n") for part in text.split(f"\n{MARK}"))
    output = {title: rest for title, _, rest in parts}
    for title in PRINTED:
        require_in_order(title, output[title])


async def test_so_do_the_lines_with_tls(launcher: Launcher, casino: Casino, tmp_path: Path) -> None:
    if shutil.which("grpcurl") is None:
        pytest.skip("no grpcurl here")
    authority = Authority("the casino's authority")
    (tmp_path / "authority.pem").write_bytes(authority.pem)
    mine = authority.issue("me")
    (tmp_path / "me.pem").write_bytes(mine.certificate_pem)
    (tmp_path / "me.key").write_bytes(mine.key_pem)
    certificate, key = authority.issue("loyalty").write(tmp_path)
    tls = {"LOYALTY_TLS_CERTIFICATE_FILE": certificate, "LOYALTY_TLS_PRIVATE_KEY_FILE": key}
    wants_mine = {"LOYALTY_TLS_CLIENT_AUTHORITY_FILE": str(tmp_path / "authority.pem")}
    open_to_all = await (await launcher.start(LOYALTY, **tls)).listening()
    mutual = await (await launcher.start(LOYALTY, **tls, **wants_mine)).listening()
    (script,) = SCRIPT.findall(PAGE.read_text(encoding="utf-8"))
    here = (
        script.replace("loyalty.example.com:443", open_to_all.address)
        .replace("loyalty.example.com", "localhost")
        .replace("127.0.0.1:50051", mutual.address)
    )

    output = await printed(here, tmp_path, TOKEN=casino.token("admin"))

    assert "casino.loyalty.v1.LoyaltyService" in output
    assert "BRONZE" in output


def test_every_section_with_lines_is_judged_by_what_it_prints() -> None:
    assert blocks().keys() - {"Set up"} == PRINTED.keys()


def test_every_rpc_has_its_line() -> None:
    # Only a service may call it, and no service uses grpcurl.
    without = {"AccruePointsFromSlip"}
    services = (
        *ratingslip_pb2.DESCRIPTOR.services_by_name.values(),
        *loyalty_pb2.DESCRIPTOR.services_by_name.values(),
    )
    named = {method.name for service in services for method in service.methods}
    typed = set(re.findall(r"\$(?:SLIPS|POINTS)/(\w+)", PAGE.read_text(encoding="utf-8")))
    assert named - without == typed
