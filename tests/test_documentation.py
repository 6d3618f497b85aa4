"""The documentation: its links, the files that it names, the parts that come from the code."""

import re
from pathlib import Path

import pytest

from docs.generate import find_stale_pages

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
NAMED_FILE = re.compile(r"`((?:service|tests|loadtests|deploy|docs|requirements)/[\w./-]+\.\w+)`")


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {text.strip().replace(" ", "-") for text in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = CODE.sub("", page.read_text())
    broken = []
    for match in LINK.finditer(text):
        target = match[1] or match[2]
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name) if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_is_named_exists(page: Path) -> None:
    if page.parent.name == "log":
        pytest.skip("the log speaks of files that are gone")
    missing = [name for name in NAMED_FILE.findall(page.read_text()) if not (ROOT / name).exists()]
    assert missing == []


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    pages = [
        page
        for page in (ROOT / "docs").rglob("*.md")
        if page.parent.name not in ("decisions", "log", "docs")
    ]
    absent = [page.name for page in pages if page.name not in index and "images" not in page.parts]
    assert absent in ([], ["evaluation-table.md"])


def test_the_generated_parts_of_the_reference_are_not_stale() -> None:
    stale = [page.name for page, _ in find_stale_pages()]
    assert stale == [], "run `make docs`"
