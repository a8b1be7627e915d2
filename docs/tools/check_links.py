"""Check that the links of Markdown files lead somewhere, and that a site is whole.

    python docs/tools/check_links.py [SITE]

Relative links and anchors of the files at the top of the repository and below docs/
have to resolve as a code host shows them. With SITE, a folder that sphinx-build wrote,
no page of it may fetch a script, a style, a font or a picture from elsewhere, and each
link from page to page has to have its file and its anchor. Addresses on the network are
not tried: CI has no network.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^(`{3,}|~{3,}|:{3,}).*?^\1\s*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(
    r"(?<!\\)!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)"
)
FETCHING = {"script": "src", "img": "src", "iframe": "src", "source": "src"}


def markdown_files(root: Path = ROOT) -> list[Path]:
    """Return the Markdown files that people read, generated ones left out."""
    built = root / "docs" / "_build", root / "docs" / "_generated"
    below = sorted((root / "docs").rglob("*.md"))
    kept = [one for one in below if not any(map(one.is_relative_to, built))]
    return [*sorted(root.glob("*.md")), *kept]


def anchors_of(text: str) -> set[str]:
    """Return the anchors that a code host gives the headings of a Markdown file."""
    found: set[str] = set()
    for line in FENCE.sub("", text).splitlines():
        heading = re.match(r"#{1,6}\s+(.*?)\s*#*$", line)
        if heading:
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
            n = sum(one == slug or one.startswith(f"{slug}-") for one in found)
            found.add(slug if slug not in found else f"{slug}-{n}")
    return (
        found
        | set(re.findall(r'(?:id|name)="([^"]+)"', text))
        | set(re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE))
    )


def broken_markdown_links(files: list[Path]) -> Iterator[str]:
    """Yield a line for each relative link that leads nowhere."""
    for file in files:
        text = FENCE.sub("", file.read_text(encoding="utf-8"))
        text = re.sub(r"`[^`\n]+`", "", text)
        for target in LINK.findall(text):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            path = file if not parts.path else file.parent / unquote(parts.path)
            if not path.exists():
                yield f"{file}: there is no {target}"
            elif (
                parts.fragment
                and path.suffix == ".md"
                and parts.fragment not in anchors_of(path.read_text(encoding="utf-8"))
            ):
                yield f"{file}: {path.name} has no anchor #{parts.fragment}"


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
    files = markdown_files()
    found = list(broken_markdown_links(files))
    for site in map(Path, arguments):
        found += problems_of_site(site)
    print(
        "\n".join(found) or f"{len(files)} Markdown files: every link leads somewhere."
    )
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
