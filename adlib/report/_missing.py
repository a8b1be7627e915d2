"""One error for the packages that only pictures and pages need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs_report_extra(what: str) -> Iterator[None]:
    """Turn a failed import into an error that names the extra to install."""
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"{what} needs the package {error.name!r}. "
            'Run: pip install "adlib-vision[report]"'
        ) from error
