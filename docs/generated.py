"""The command line of a page that a program writes: write it, or say that it is stale.

It must not know what stands on the page.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Callable, Mapping


def main(description: str, render: Callable[[], Mapping[pathlib.Path, str]]) -> None:
    """Writes the pages that `render` gives; with `--check` it exits with 1 when one is another."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="only say which pages are stale")
    is_check = parser.parse_args().check
    pages = render()
    stale = [page for page, wanted in pages.items() if _present(page) != wanted]
    if is_check and stale:
        names = ", ".join(f"docs/{page.name}" for page in stale)
        raise SystemExit(f"stale: {names}; run `make tables`")
    for page in stale:
        page.write_text(pages[page], encoding="utf-8")


def _present(page: pathlib.Path) -> str:
    return page.read_text(encoding="utf-8") if page.is_file() else ""
