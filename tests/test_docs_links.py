"""The pages lead only to what exists: files, pictures, and headings of pages."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# of Markdown, and of the pictures and anchors that pages write as HTML
TARGET = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def targets(page: Path) -> list[str]:
    """What a page links to or shows, code left out."""
    return [one or other for one, other in TARGET.findall(CODE.sub("", page.read_text()))]


def anchors(page: Path) -> set[str]:
    """How the headings of a page are linked to."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_leads_to_exists(page: Path) -> None:
    for target in targets(page):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        found = (page.parent / name).resolve() if name else page
        assert found.exists(), f"{page.name} leads to {target}"
        assert not anchor or anchor in anchors(found), f"{page.name} leads to {target}"


def test_the_readme_leads_to_every_page() -> None:
    linked = {target.partition("#")[0] for target in targets(ROOT / "README.md")}
    assert {f"docs/{page.name}" for page in PAGES[2:]} <= linked


def test_every_picture_is_shown_on_a_page() -> None:
    shown = {Path(target).name for page in PAGES for target in targets(page)}
    assert {path.name for path in (ROOT / "docs" / "images").iterdir()} <= shown


def test_a_link_to_nothing_would_be_found() -> None:
    assert TARGET.findall('[a](b.md#c) and <img src="d.svg">') == [("b.md#c", ""), ("", "d.svg")]
