"""The demo, as a newcomer runs it: exit code, figures, and what it says of a bad row."""

from __future__ import annotations

import asyncio
import csv
import json
import pathlib
import sys

from deploy.local.demo.command import EXIT_CHECKS_PASSED, EXIT_UNREADABLE_FILE
from deploy.local.demo.gaming_day import GAMING_DAY_CSV

ROWS = 25


async def demo(state: pathlib.Path, slips: pathlib.Path) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "deploy.local",
        "demo",
        "--state-directory",
        str(state),
        "--slips",
        str(slips),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


def write_slips(path: pathlib.Path, seats: dict[int, str]) -> None:
    """The first rows of the committed day; `seats` replaces the seat on some lines."""
    with GAMING_DAY_CSV.open(newline="") as source, path.open("w", newline="") as target:
        reader = csv.DictReader(source)
        writer = csv.DictWriter(target, reader.fieldnames or [])
        writer.writeheader()
        for line, row in zip(range(2, ROWS + 2), reader, strict=False):
            writer.writerow({**row, "seat": seats.get(line, row["seat"])})


async def test_a_bad_row_is_named_the_others_are_closed_and_the_books_agree(
    tmp_path: pathlib.Path, stack_directory: pathlib.Path
) -> None:
    slips = tmp_path / "my.csv"
    write_slips(slips, seats={9: "none"})

    code, output = await demo(stack_directory, slips)

    assert code == EXIT_CHECKS_PASSED, output
    figures = json.loads((stack_directory / "demo.json").read_text())
    assert figures["slips_closed"] == ROWS - 1
    [refused] = figures["refused"]
    assert (refused["line"], refused["column"]) == (9, "seat")
    assert all(check["passed"] for check in figures["checks"])
    assert figures["points_given"] > 0


async def test_a_second_run_on_the_same_data_agrees_with_the_first(
    tmp_path: pathlib.Path, stack_directory: pathlib.Path
) -> None:
    slips = tmp_path / "my.csv"
    write_slips(slips, seats={})
    given = []
    for _ in range(2):
        code, output = await demo(stack_directory, slips)
        assert code == EXIT_CHECKS_PASSED, output
        given.append(json.loads((stack_directory / "demo.json").read_text())["points_given"])
    assert given[0] == given[1]


async def test_a_file_that_is_not_there_is_one_sentence(
    tmp_path: pathlib.Path, stack_directory: pathlib.Path
) -> None:
    code, output = await demo(stack_directory, tmp_path / "missing.csv")
    assert code == EXIT_UNREADABLE_FILE
    assert "missing.csv" in output
    assert "Traceback" not in output
