"""One error for the packages that only pictures and pages need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module


def check_report_extra(what: str) -> None:
    """Raise unless the packages of the extra ``report`` are installed.

    Args:
        what: What needs them, for the error.

    Raises:
        ImportError: One of them is not installed.

    Example:
        >>> from adlib.report import check_report_extra
        >>> check_report_extra("The page")  # they are here
    """
    with needs_report_extra(what):
        for package in ("jinja2", "matplotlib", "pandas", "seaborn", "typst"):
            import_module(package)


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
