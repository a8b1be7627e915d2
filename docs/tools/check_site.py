"""Check that a site's links lead somewhere, and that reading it fetches nothing.

    python docs/tools/check_site.py SITE

No page of SITE, which sphinx-build wrote, may fetch a script, a style, a font or
a picture from elsewhere, and each link from page to page has to have its file and its
anchor. Addresses on the network are not tried: CI has no network. Links between the
Markdown files are held by ``tests/test_links.py``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FETCHING = {"script": "src", "img": "src", "iframe": "src", "source": "src"}


class _Page(HTMLParser):
    """What a page fetches, where it leads, and which anchors it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors.update(given[name] for name in ("id", "name") if name in given)
        if tag in FETCHING and given.get(FETCHING[tag]):
            self.fetched.append(given[FETCHING[tag]])
        elif tag == "link" and given.get("rel") not in ("canonical", "next", "prev"):
            self.fetched.append(given.get("href", ""))
        elif tag == "a" and given.get("href"):
            self.links.append(given["href"])


def problems_of_site(site: Path) -> Iterator[str]:
    """Yield a line for all that a site would fetch, and for each dead link in it."""
    files = [path.resolve() for path in sorted(site.rglob("*.html"))]
    # What the theme keeps for itself is no page.
    pages = {path: _Page(path) for path in files if "_static" not in path.parts}
    for path, page in pages.items():
        where = path.relative_to(site.resolve())
        for address in page.fetched:
            if urlsplit(address).netloc:
                yield f"{where}: fetches {address}"
        for target in [*page.links, *page.fetched]:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not file.exists():
                yield f"{where}: there is no {target}"
            elif (
                parts.fragment
                and file in pages
                and unquote(parts.fragment) not in pages[file].anchors
            ):
                yield f"{where}: {target} has no such anchor"
    for path in sorted(site.rglob("*.css")):
        text = path.read_text(encoding="utf-8")
        for address in re.findall(
            r"(?:@import\s+|url\()\s*[\"']?(?:https?:)?//[^)\"']+", text
        ):
            yield f"{path.relative_to(site)}: fetches {address}"


def main(arguments: list[str]) -> int:
    """Print what is broken; return 1 where anything is."""
    [site] = map(Path, arguments)
    found = list(problems_of_site(site))
    print("\n".join(found) or "Every link leads somewhere, and nothing is fetched.")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
