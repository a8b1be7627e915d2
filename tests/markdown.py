"""The Markdown pages of the repository: their blocks of code, links and headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
MADE = re.compile(r"_|gallery$")  # beginnings of folders that Sphinx writes
FENCE = re.compile(r"^ *(`{3,}|~{3,})\s*([^`]*)$")
SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
DEFINED = re.compile(r"^ *\[[^\]]+\]: +(\S+)", re.MULTILINE)
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
TARGET = re.compile(r"^\(([\w-]+)\)=$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block: its language, the line its code begins on, and the code."""

    language: str
    line: int
    code: str


def documentation() -> list[Path]:
    """Return the pages below ``docs``, and README.md."""
    found = [
        page
        for page in sorted(DOCS.rglob("*.md"))
        if not any(map(MADE.match, page.relative_to(DOCS).parts[:-1]))
    ]
    return [ROOT / "README.md", *found]


def blocks(text: str, first_line: int = 1) -> Iterator[Block]:
    """Yield the fenced blocks of a page; those inside a directive follow it."""
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        opening = FENCE.match(lines[number])
        number += 1
        if opening is None:
            continue
        fence, language = opening[1], opening[2].strip()
        start = number
        while number < len(lines) and not _closes(lines[number], fence):
            number += 1
        code = dedent("\n".join(lines[start:number])) + "\n"
        line = first_line + start
        number += 1
        yield Block(language, line, code)
        if language.startswith("{"):
            yield from blocks(code, line)


def _closes(line: str, fence: str) -> bool:
    stripped = line.strip()
    return stripped.startswith(fence) and not stripped.strip(fence[0])


def prose(text: str) -> str:
    """Return a page without its fenced blocks, line for line."""
    kept, fence = [], ""
    for line in text.splitlines():
        opening = FENCE.match(line)
        if fence:
            fence = "" if _closes(line, fence) else fence
            kept.append("")
        elif opening is not None:
            fence = opening[1]
            kept.append("")
        else:
            kept.append(line)
    return "\n".join(kept)


def spans(text: str) -> list[str]:
    """Return what stands between backticks in the sentences of a page."""
    return [" ".join(found[2].split()) for found in SPAN.finditer(prose(text))]


def links(text: str) -> list[str]:
    """Return where a page's links and pictures point to."""
    sentences = SPAN.sub("code", prose(text))
    return [*LINK.findall(sentences), *DEFINED.findall(sentences)]


def anchors(text: str) -> set[str]:
    """Return the anchors of a page, as code hosts and MyST make them of headings."""
    found: set[str] = set(TARGET.findall(text))
    for heading in HEADING.findall(prose(text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).strip().replace(" ", "-")
        number = 0
        while (slug if not number else f"{slug}-{number}") in found:
            number += 1
        found.add(slug if not number else f"{slug}-{number}")
    return found
