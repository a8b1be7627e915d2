"""What a document is made of, whatever it is written as."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias


@dataclass(frozen=True)
class Paragraph:
    """Plain text; ``[table:key]`` and ``[figure:key]`` become "Table 2", "Figure 5".

    Attributes:
        text: Without markup.
        heading: Set in bold before the text; "" for none.
    """

    text: str
    heading: str = ""


@dataclass(frozen=True)
class Table:
    """A table with a number.

    Attributes:
        key: What references and files call it.
        caption: What it shows, one sentence or more.
        columns: Headings.
        rows: Cells, as many as columns in each row.
        n_names: So many columns on the left are names; the others are numbers.
        sources: Files that its numbers are in.

    Raises:
        ValueError: A row has not as many cells as there are columns.
    """

    key: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    n_names: int
    sources: Sequence[str]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"rows of table {self.key!r} must have {len(self.columns)} cells; "
                    f"one has {len(row)}: {list(row)}."
                )


@dataclass(frozen=True)
class Illustration:
    """A picture with a number.

    Attributes:
        key: What references call it.
        caption: What it shows.
        path: Of the picture, a PNG.
        sources: Files that it was drawn from.
        width: Share of the text's width, in (0, 1].
    """

    key: str
    caption: str
    path: Path
    sources: Sequence[str]
    width: float = 1.0


Block: TypeAlias = Paragraph | Table | Illustration


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it.

    Attributes:
        heading: Its number is set before it.
        blocks: Paragraphs, tables and pictures, in order.
    """

    heading: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    """Sections below a title.

    Attributes:
        title: Of all.
        subtitle: One line below it.
        abstract: One paragraph before the sections.
        sections: Numbered from 1.
    """

    title: str
    subtitle: str
    abstract: str
    sections: Sequence[Section]

    def blocks(self) -> Iterator[Block]:
        """Yield every block in order."""
        for section in self.sections:
            yield from section.blocks

    def tables(self) -> list[Table]:
        """Return the tables in order."""
        return [block for block in self.blocks() if isinstance(block, Table)]

    def illustrations(self) -> list[Illustration]:
        """Return the pictures in order."""
        return [block for block in self.blocks() if isinstance(block, Illustration)]
