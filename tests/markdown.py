"""The Markdown pages of the repository: their blocks of code, links and headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
MADE = re.compile(r"_|gallery$")  # beginnings of folders that Sphinx writes
TARGET = re.compile(r"^\(([\w-]+)\)=$", re.MULTILINE)
PARSER = MarkdownIt("commonmark").enable("table")


class Block(NamedTuple):
    """A fenced block: its language, the line its code begins on, and the code."""

    language: str
    line: int
    code: str


def documentation() -> list[Path]:
    """Return the pages below ``docs``, and README.md; not those that Sphinx writes."""
    found = [
        page
        for page in sorted(DOCS.rglob("*.md"))
        if not any(map(MADE.match, page.relative_to(DOCS).parts[:-1]))
        and page.name != "command_line.md"
    ]
    return [ROOT / "README.md", *found]


def blocks(text: str, first_line: int = 1) -> Iterator[Block]:
    """Yield the fenced blocks of a page; those inside a directive follow it."""
    for token in PARSER.parse(text):
        if token.type == "fence" and token.map is not None:
            language, line = token.info.strip(), first_line + token.map[0] + 1
            yield Block(language, line, token.content)
            if language.startswith("{"):
                yield from blocks(token.content, line)


def _inline(text: str, kind: str) -> list[Token]:
    """Return the parts of a page's sentences that are of a kind."""
    tokens = [child for token in PARSER.parse(text) for child in token.children or []]
    return [token for token in tokens if token.type == kind]


def spans(text: str) -> list[str]:
    """Return what stands between backticks in the sentences of a page."""
    return [" ".join(token.content.split()) for token in _inline(text, "code_inline")]


def links(text: str) -> list[str]:
    """Return where a page's links and pictures point to."""
    found = [token.attrs["href"] for token in _inline(text, "link_open")]
    return [*map(str, found), *(str(t.attrs["src"]) for t in _inline(text, "image"))]


def anchors(text: str) -> set[str]:
    """Return the anchors of a page, as code hosts and MyST make them of headings."""
    found: set[str] = set(TARGET.findall(text))
    tokens = PARSER.parse(text)
    for opening, heading in pairwise(tokens):
        if opening.type != "heading_open":
            continue
        plain = "".join(child.content for child in heading.children or [])
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).strip().replace(" ", "-")
        number = 0
        while (slug if not number else f"{slug}-{number}") in found:
            number += 1
        found.add(slug if not number else f"{slug}-{number}")
    return found
