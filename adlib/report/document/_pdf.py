"""A document as a typeset PDF, by typst."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from adlib._files import replacing
from adlib.report._missing import needs_report_extra
from adlib.report.document._blocks import Document, Illustration, Paragraph, Table
from adlib.report.document._references import labels, spans

if TYPE_CHECKING:
    from adlib.report.document._blocks import Block

TEXT_WIDTH, HIGHEST = 170.0, 84.0  # millimetres, of the page and of a picture
LONG = 14  # rows, from which on a table may go on on the next page
WIDE = 10  # columns, from which on letters are smaller

# Fonts that come with typst: the same lines on every machine.
PREAMBLE = """\
#set page(paper: "a4", margin: (x: 20mm, top: 18mm, bottom: 20mm), numbering: "1")
#set text(font: "Libertinus Serif", size: 9.5pt, lang: "en")
#set par(justify: true, leading: 0.55em, spacing: 0.8em)
#set heading(numbering: "1")
#show heading: set text(size: 12pt)
#show heading: set block(above: 1.3em, below: 0.7em, sticky: true)
#show link: set text(fill: rgb("#005a91"))
#let caption(body) = block(width: 100%, above: 0pt, below: 0.5em,
  text(size: 8.5pt, par(justify: false, body)))
#let source(body) = block(above: 0.4em, below: 0pt,
  text(size: 6.5pt, fill: luma(110), font: "DejaVu Sans Mono", body))
#let numbered(body, breakable: true) = block(
  width: 100%, above: 1.2em, below: 1.3em, breakable: breakable,
  align(left, body))
"""


def write_pdf(document: Document, path: Path) -> Path:
    """Write a document as an A4 PDF, the same bytes whenever it is written again.

    Its typst source stays beside it, with the suffix ".typ".

    Args:
        document: What is written.
        path: The PDF, which is replaced if it is there; the folder must exist.

    Returns:
        The path.

    Raises:
        ImportError: The extra ``report`` is not installed.
        ValueError: A text refers to what is not there.
        OSError: A picture cannot be read, or the folder not be written to.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.report.document import Document, Paragraph, Section, write_pdf
        >>> section = Section("Results", [Paragraph("All is well.")])
        >>> document = Document("A report", "On parts", "In short.", [section])
        >>> with TemporaryDirectory() as folder:
        ...     write_pdf(document, Path(folder, "report.pdf")).read_bytes()[:4]
        b'%PDF'
    """
    with needs_report_extra("The PDF"):
        import typst  # noqa: PLC0415 - optional
    # typst reads nothing above its root, and names pictures from there.
    pictures = [picture.path.resolve() for picture in document.illustrations()]
    root = Path(os.path.commonpath([path.resolve().parent, *pictures]))
    source = path.with_suffix(".typ")
    with replacing(source) as temporary:
        temporary.write_text("".join(_lines(document, root)), encoding="utf-8")
    pdf = typst.compile(source, root=root, format="pdf", ignore_system_fonts=True)
    with replacing(path) as temporary:
        temporary.write_bytes(pdf)
    return path


def _lines(document: Document, root: Path) -> Iterator[str]:
    numbers = labels(document)
    yield PREAMBLE
    yield f"#set document(title: {_string(document.title)}, date: none)\n"
    yield f"#text(size: 18pt, weight: 700, hyphenate: false, {_string(document.title)})"
    yield f"\n\n#text(fill: luma(90), {_string(document.subtitle)})\n\n"
    yield '#block(inset: (left: 8pt), stroke: (left: 1.5pt + rgb("#0072b2")))['
    yield f"{_flow(document.abstract, numbers)}]\n\n"
    for section in document.sections:
        yield f"#heading({_string(section.heading)})\n\n"
        for block in section.blocks:
            yield _block(block, numbers, root) + "\n\n"


def _block(block: Block, numbers: Mapping[str, str], root: Path) -> str:
    if isinstance(block, Paragraph):
        heading = f"#strong({_string(block.heading + '.')}) " if block.heading else ""
        return heading + _flow(block.text, numbers)
    kind = "table" if isinstance(block, Table) else "figure"
    target = f"{kind}:{block.key}"
    label = f"#strong({_string(numbers[target] + '.')}) "
    caption = f"#caption[{label}{_flow(block.caption, numbers)}]"
    source = f"#source({_string(', '.join(block.sources))})"
    if isinstance(block, Illustration):
        place = "/" + block.path.resolve().relative_to(root).as_posix()
        image = f"#align(center, image({_string(place)}, width: {_width(block)}))"
        body = f"{image}{caption}{source}"
    else:
        body = f"{caption}{_table(block)}{source}"
    whole = not isinstance(block, Table) or len(block.rows) < LONG
    numbered = f"#numbered(breakable: {str(not whole).lower()})[{body}] <{target}>"
    if isinstance(block, Table):
        return numbered
    # Pictures go to the head or foot of a page, so that none leaves a gap before it.
    return f"#place(auto, float: true, clearance: 0.6em)[{numbered}]"


def _width(picture: Illustration) -> str:
    """Return how wide a picture is drawn: as asked, but no higher than the limit."""
    with Image.open(picture.path) as image:
        width, height = image.size
    widest = HIGHEST * width / height
    return f"{min(picture.width * TEXT_WIDTH, widest):.1f}mm"


def _table(table: Table) -> str:
    n_numbers = len(table.columns) - table.n_names
    aligned = ", ".join(["left"] * table.n_names + ["right"] * n_numbers)
    cells = [_cells(row) for row in _without_repeats(table)]
    rules = "table.hline(stroke: 0.8pt)", "table.hline(stroke: 0.4pt)"
    parts = [
        f"columns: {len(table.columns)}",
        f"align: ({aligned},)",
        "stroke: none",
        "inset: (x: 3.2pt, y: 2.1pt)",
        rules[0],
        f"table.header({_cells(table.columns, bold=True)})",
        rules[1],
        *cells,
        rules[0],
    ]
    size = 7.6 if len(table.columns) < WIDE else 6.9
    return f"#align(center, text(size: {size}pt, table({', '.join(parts)})))"


def _cells(row: Sequence[str], *, bold: bool = False) -> str:
    texts = [_string(cell) for cell in row]
    return ", ".join(f"strong({one})" if bold else f"[#{one}]" for one in texts)


def _without_repeats(table: Table) -> Iterator[list[str]]:
    """Yield rows; what names repeat from the row above is left empty."""
    before: Sequence[str] = ()
    for row in table.rows:
        shown = list(row)
        for place in range(table.n_names - 1):
            if list(before[: place + 1]) != list(row[: place + 1]):
                break
            shown[place] = ""
        before = row
        yield shown


def _flow(text: str, numbers: Mapping[str, str]) -> str:
    return "".join(
        f"#{_string(span.text)}"
        if span.target is None
        else f"#link(label({_string(span.target)}), {_string(span.text)})"
        for span in spans(text, numbers)
    )


def _string(text: str) -> str:
    """Return a typst string literal: text of which nothing is markup."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'
