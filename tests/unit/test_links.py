"""Every link in the documents leads somewhere, and every page can be found from the README."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
NO_LETTER = re.compile(r"[^\w\- ]")
# From the README to a page: one click on a page that leads there, one on the link.
MOST_CLICKS = 2


def shown(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


def links_of(page: pathlib.Path) -> Iterator[str]:
    """The targets of a page's links, without those to other sites; code has no links."""
    # A link's text may be code, its target never is.
    text = CODE.sub("code", page.read_text(encoding="utf-8"))
    for target in LINK.findall(text):
        if "://" not in target:
            yield target


def anchors_of(page: pathlib.Path) -> set[str]:
    """The anchors that a page's headings make, as code hosts make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    anchors: set[str] = set()
    for heading in HEADING.findall(text):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        anchor = NO_LETTER.sub("", words).replace(" ", "-")
        number = 1
        while anchor in anchors:
            anchor, number = f"{anchor.removesuffix(f'-{number - 1}')}-{number}", number + 1
        anchors.add(anchor)
    return anchors


def target_of(page: pathlib.Path, link: str) -> pathlib.Path:
    path = link.partition("#")[0]
    return (page.parent / path).resolve() if path else page


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page: pathlib.Path) -> None:
    dead = []
    for link in links_of(page):
        target, anchor = target_of(page, link), link.partition("#")[2]
        is_there = target.exists() and target.is_relative_to(ROOT)
        if not is_there or (anchor and anchor not in anchors_of(target)):
            dead.append(link)
    assert dead == []


def test_every_page_is_two_clicks_from_the_readme() -> None:
    reached = {README}
    for _ in range(MOST_CLICKS):
        reached |= {
            target_of(page, link)
            for page in reached
            if page.suffix == ".md" and page.is_file()
            for link in links_of(page)
        }
    assert [shown(page) for page in PAGES if page not in reached] == []
