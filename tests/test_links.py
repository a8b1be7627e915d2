"""Every link between the pages leads somewhere, to the very heading that it names."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.markdown import DOCS, ROOT, anchors, documentation, links

OTHERS = ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
PAGES = [*documentation(), *(ROOT / name for name in OTHERS)]
OUTSIDE = ("http://", "https://", "mailto:")

pytestmark = pytest.mark.skipif(
    not DOCS.is_dir(), reason="a source distribution holds no docs"
)


def broken(page: Path) -> list[str]:
    """Return the links of a page that lead nowhere."""
    found = []
    for link in links(page.read_text("utf-8")):
        if link.startswith(OUTSIDE):
            continue
        place, _, anchor = link.partition("#")
        target = page.parent / unquote(place) if place else page
        leads = target.exists() and not Path(place).is_absolute()
        if leads and anchor:
            leads = anchor in anchors(target.read_text("utf-8"))
        if not leads:
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    assert broken(page) == []


def test_links_that_lead_nowhere_are_found(tmp_path):
    (tmp_path / "other.md").write_text("# A heading, `code`\n\n# A heading, code\n")
    page = tmp_path / "page.md"
    page.write_text(
        "# Here\n\n[a](other.md) [b](other.md#a-heading-code) [c](#here)\n"
        "[d](other.md#a-heading-code-1) [e](gone.md) ![f](gone.png) `[g](gone.md)`\n"
        "[h](other.md#gone) [i](#gone) [j](https://gone.example)\n\n"
        "```text\n[k](gone.md)\n# gone\n```\n\n[m][l]\n\n[l]: gone.md\n"
    )
    expected = ["gone.md", "other.md#gone", "#gone", "gone.md", "gone.png"]
    assert broken(page) == expected
