"""A document as one HTML page beside its pictures."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from adlib._files import replacing
from adlib.report._missing import needs_report_extra
from adlib.report.document._blocks import Document, Illustration, Table
from adlib.report.document._references import labels, spans


def write_html(document: Document, path: Path) -> Path:
    """Write a document as a page; pictures are linked where they lie.

    Args:
        document: What is written.
        path: The page, which is replaced if it is there; the folder must exist.

    Returns:
        The path.

    Raises:
        ImportError: The extra ``report`` is not installed.
        ValueError: A text refers to what is not there.
        OSError: The folder cannot be written to.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.report.document import Document, Paragraph, Section, write_html
        >>> section = Section("Results", [Paragraph("All is well.")])
        >>> document = Document("A report", "On parts", "In short.", [section])
        >>> with TemporaryDirectory() as folder:
        ...     page = write_html(document, Path(folder, "report.html"))
        ...     "All is well." in page.read_text("utf-8")
        True
    """
    with needs_report_extra("The page"):
        from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - optional
    numbers = labels(document)
    template = (files("adlib.report") / "templates" / "document.html").read_text(
        "utf-8"
    )
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.from_string(template).render(
        document=document,
        kind=_kind,
        label=lambda block: numbers[f"{_kind(block)}:{block.key}"],
        spans=lambda text: spans(text, numbers),
        picture=lambda block: Path(os.path.relpath(block.path, path.parent)).as_posix(),
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _kind(block: object) -> str:
    if isinstance(block, Table):
        return "table"
    return "figure" if isinstance(block, Illustration) else "paragraph"
