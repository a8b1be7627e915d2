"""The numbers of tables and figures, and the references to them in a text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from adlib.report.document._blocks import Document

REFERENCE = re.compile(r"\[((?:table|figure):[a-z0-9_]+)\]")


class Span(NamedTuple):
    """A piece of a text.

    Attributes:
        text: What is printed.
        target: What it refers to, e.g. "table:clean"; None: plain text.
    """

    text: str
    target: str | None


def labels(document: Document) -> dict[str, str]:
    """Number the tables and figures of a document, each from 1.

    Args:
        document: Whose blocks are numbered in order.

    Returns:
        "Table 1", "Figure 1", ... by "table:key" and "figure:key".

    Raises:
        ValueError: Two tables, or two figures, have one key.

    Example:
        >>> from adlib.report.document import Document, Section, Table, labels
        >>> table = Table("clean", "All.", ["class", "AUROC"], [["part", "0.9"]], 1, [])
        >>> labels(Document("A report", "", "", [Section("Results", [table])]))
        {'table:clean': 'Table 1'}
    """
    found: dict[str, str] = {}
    keys = {
        "Table": [table.key for table in document.tables()],
        "Figure": [picture.key for picture in document.illustrations()],
    }
    for kind, names in keys.items():
        for number, name in enumerate(names, start=1):
            target = f"{kind.lower()}:{name}"
            if target in found:
                raise ValueError(f"{target!r} must be there once; it is there twice.")
            found[target] = f"{kind} {number}"
    return found


def spans(text: str, numbers: Mapping[str, str]) -> list[Span]:
    """Take a text apart at its references.

    Args:
        text: With references such as ``[table:clean]``.
        numbers: What ``labels`` gave.

    Returns:
        Its pieces in order, references as they are printed.

    Raises:
        ValueError: The text refers to what is not there.

    Example:
        >>> from adlib.report.document import spans
        >>> numbers = {"table:clean": "Table 1"}
        >>> [span.text for span in spans("See [table:clean].", numbers)]
        ['See ', 'Table 1', '.']
    """
    found, last = [], 0
    for match in REFERENCE.finditer(text):
        target = match.group(1)
        if target not in numbers:
            raise ValueError(f"The text refers to {target!r}, which is not there.")
        if match.start() > last:
            found.append(Span(text[last : match.start()], None))
        found.append(Span(numbers[target], target))
        last = match.end()
    if last < len(text):
        found.append(Span(text[last:], None))
    return found
