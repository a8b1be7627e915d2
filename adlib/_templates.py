"""Templates of pages, documents and tables, in which a missing value is an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def templates(
    package: str, finalize: Callable[[Any], Any] | None = None
) -> Environment:
    """Return what reads the folder ``templates`` of a package, markup escaped.

    ``finalize`` changes each value before it is written.
    """
    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalize,
    )
