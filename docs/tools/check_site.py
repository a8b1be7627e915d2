"""Check that a site's links lead somewhere, and that reading it fetches nothing.

    python docs/tools/check_site.py SITE

Sphinx checks the links that it makes; this reads the pages that it wrote, with what
raw HTML and the gallery added. Addresses on the network are not tried.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

OUTSIDE = r"(?:@import\s+|url\()\s*[\"']?(?:https?:)?//[^)\"']+"  # in a style sheet


def problems(site: Path) -> Iterator[str]:
    """Yield a line for all that a site would fetch, and for each dead link in it."""
    # What the theme keeps for itself is no page.
    files = [path for path in site.rglob("*.html") if "_static" not in path.parts]
    pages = {
        path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for path in sorted(files)
    }
    anchors = {
        path: {tag.get("id") or tag.get("name") for tag in page.find_all(True)}
        for path, page in pages.items()
    }
    for path, page in pages.items():
        where = path.relative_to(site)
        fetched = [tag["src"] for tag in page.find_all(src=True)]
        fetched += [
            tag["href"] for tag in page.select("link[rel=stylesheet], link[rel=icon]")
        ]
        links = [tag["href"] for tag in page.find_all("a", href=True)]
        yield from (
            f"{where}: fetches {one}" for one in fetched if urlsplit(one).netloc
        )
        for target in [*links, *fetched]:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            known = anchors.get(file, {anchor})
            if not file.exists() or (anchor and anchor not in known):
                yield f"{where}: {target} does not exist"
    for path in sorted(site.rglob("*.css")):
        for address in re.findall(OUTSIDE, path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(site)}: fetches {address}"


if __name__ == "__main__":
    found = list(problems(Path(sys.argv[1]).resolve()))
    print("\n".join(found) or "Every link leads somewhere, and nothing is fetched.")
    sys.exit(bool(found))
