"""`explain` as a process of its own, as an operator types it."""

from __future__ import annotations

import asyncio
import sys

from tests.databases import PROJECT_DIRECTORY
from tests.integration.patience import PATIENCE_SECONDS


async def explain(*arguments: str) -> tuple[int, str, str]:
    """Exit code, output and errors."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.explain", *arguments),
        cwd=PROJECT_DIRECTORY,
        env={"PYTHONPATH": f"{PROJECT_DIRECTORY}:{PROJECT_DIRECTORY / 'protos'}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()
