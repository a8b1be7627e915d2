"""What the reference needs beyond autosummary."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import typer
from sphinx.application import Sphinx
from typer.cli import get_docs_for_click

import adlib
from adlib.cli import app as command_line

PACKAGE = Path(adlib.__file__).parent


def _skip(app: Sphinx, what: str, name: str, value: Any, skip: bool, opts: Any) -> Any:
    """Leave out fields of named tuples, which stand under Attributes, and routing."""
    is_field = (getattr(value, "__doc__", None) or "").startswith("Alias for field")
    return True if is_field or name == "get_metadata_routing" else None


def _docstring(
    app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """Mend what autodoc and napoleon would take for something else.

    A constant has its comment in the source, not the docstring of its type. A sentence
    with a colon under Returns is no type: an empty type before it says so.
    """
    if what == "data":
        lines[:] = _comment(name)
    if what in ("data", "attribute", "property") and lines:
        lines[0] = f": {lines[0]}"
    for i, line in enumerate(lines[:-1]):
        if line.strip() in ("Returns:", "Yields:"):
            text = lines[i + 1].lstrip()
            indent = lines[i + 1][: len(lines[i + 1]) - len(text)]
            lines[i + 1] = f"{indent}: {text}"


def _comment(name: str) -> list[str]:
    """Return the comment beside a constant in its package, as a line of text."""
    package, _, constant = name.rpartition(".")
    beside = re.compile(
        rf"^{constant}\b[^#\n]* = [^#\n]*#(?! noqa) (.+)$", re.MULTILINE
    )
    folder = PACKAGE.joinpath(*package.split(".")[1:])
    texts = (path.read_text(encoding="utf-8") for path in folder.rglob("*.py"))
    found = next(filter(None, map(beside.search, texts)), None)
    return [found[1].replace("`", "``")] if found else []


def _write_commands(app: Sphinx) -> None:
    """Write the commands' page as typer documents them."""
    command: Any = typer.main.get_command(command_line)
    context = command.context_class(command, info_name="adlib")
    text = get_docs_for_click(obj=command, ctx=context, name="adlib")
    text = text.replace("# `adlib`", "# The command line", 1)
    (Path(app.srcdir) / "api" / "command_line.md").write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the page before Sphinx looks for it, and mend docstrings."""
    os.environ["NO_COLOR"] = "1"
    app.connect("builder-inited", _write_commands, priority=100)
    app.connect("autodoc-skip-member", _skip)
    app.connect("autodoc-process-docstring", _docstring, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
