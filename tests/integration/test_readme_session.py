"""The README's session, pasted into a shell: every line of it works as printed."""

from __future__ import annotations

import asyncio
import os
import pathlib
import re
import shutil
import sys

import pytest

from deploy.local import grpcurl_on_buf
from deploy.local.stack import running_stack
from deploy.local.state import StateDirectory

ROOT = pathlib.Path(__file__).parents[2]
SESSION = re.compile(r"<!-- session:.*?```console\n(.*?)```", re.DOTALL)


def session_lines() -> list[str]:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = SESSION.search(readme)
    assert found is not None
    return [line.removeprefix("$ ") for line in found.group(1).splitlines()]


@pytest.fixture
def programs(tmp_path: pathlib.Path) -> str:
    """A PATH with grpcurl in it: the real one, or the one on top of buf."""
    if shutil.which("grpcurl") is None:
        script = tmp_path / "grpcurl"
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{grpcurl_on_buf.__file__}" "$@"\n')
        script.chmod(0o755)
    return f"{tmp_path}{os.pathsep}{os.environ['PATH']}"


async def run_in_shell(lines: list[str], programs: str) -> str:
    shell = await asyncio.create_subprocess_exec(
        "sh",
        "-e",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PATH": programs},
    )
    output, _ = await shell.communicate("\n".join(lines).encode())
    text = output.decode()
    assert shell.returncode == 0, text
    return text


async def test_the_session_closes_a_slip_spends_of_its_points_and_verifies_the_ledger(
    stack_directory: pathlib.Path, programs: str
) -> None:
    lines = [line for line in session_lines() if not line.startswith("make ")]
    async with running_stack(StateDirectory(stack_directory), attach=False) as stack:
        facts = stack.facts
        local = [
            line.replace("127.0.0.1:50052", facts.ratingslip)
            .replace("127.0.0.1:50051", facts.loyalty)
            .replace(".local/tokens", facts.tokens_directory)
            for line in lines
        ]
        output = await run_in_shell(local, programs)

    assert "casino.ratingslip.v1.RatingSlipService" in output
    # grpcurl's versions differ in how they spell field names.
    spelt_alike = output.replace("_", "").lower()
    assert spelt_alike.count('"pointsdelta": "1050"') == 2, "the close and the ledger agree"
    assert '"loyaltystate": "loyaltystateaccrued"' in spelt_alike
    assert '"correlationid": "my-first-close"' in spelt_alike
    assert '"balanceafter": "1000"' in spelt_alike
    assert '"entriesverified": "2"' in spelt_alike
