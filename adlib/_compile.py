"""Compile kernels with numba, and cache the compiled code where that is possible.

numba's cache is beside the source, else in the home folder; where neither can be
written to, importing adlib would fail. Then a private folder for temporary files is
used, else nothing is cached: each process compiles the kernels again.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core.caching import FunctionCache

from adlib.exceptions import InputWarning

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

_settings: Any = numba.config
_warned = False

if _settings.DISABLE_JIT:
    raise ImportError(
        "adlib's loops are written for numba's compiler, and NUMBA_DISABLE_JIT="
        f"{os.environ.get('NUMBA_DISABLE_JIT', '1')} switches it off. Unset "
        "NUMBA_DISABLE_JIT."
    )


class _Cache(FunctionCache):
    """numba's cache, in which a file that cannot be read or written is no error."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled code, or None."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # a damaged pickle raises anything
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save compiled code, or warn."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            self.disable()
            _warn(f"is not kept in {self.cache_path!r} ({error})")


def compiled(**options: Any) -> Callable[[Kernel], Kernel]:
    """Return numba's decorator for a kernel that releases Python's lock.

    Kernels copy arrays by loops: for an array that is assigned to a slice numba also
    compiles the text of an error about their shapes, which takes seconds.
    """

    def decorate(function: Kernel) -> Kernel:
        kernel: Any = numba.njit(nogil=True, **options)(function)
        kernel._cache = _cache_of(function) or kernel._cache
        return kernel  # type: ignore[no-any-return]

    return decorate


def _cache_of(function: Callable[..., Any]) -> _Cache | None:
    """Return the cache of a kernel, or None."""
    try:
        return _Cache(function)
    except (RuntimeError, OSError):  # neither numba's folder nor the home folder
        pass
    folder = _private_folder()
    where = "compiled again in every process" if folder is None else f"kept in {folder}"
    _warn(f"is {where}, since neither package nor home folder can be written to")
    if folder is None:
        return None
    before, _settings.CACHE_DIR = _settings.CACHE_DIR, str(folder)
    try:
        return _Cache(function)
    except (RuntimeError, OSError):
        return None
    finally:
        _settings.CACHE_DIR = before


def _private_folder() -> Path | None:
    """Return a temporary folder that nobody else can write to, or None.

    Its content is executed, so a folder that another user made first is not used.
    """
    if sys.platform == "win32":  # which has no user numbers
        return None
    try:
        folder = Path(tempfile.gettempdir()) / f"adlib-numba-{os.geteuid()}"
        if folder.parent == Path.cwd():  # where Python looks last
            return None
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found, above = folder.lstat(), folder.parent.stat()
    except OSError:
        return None
    own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    # Where others may rename what they do not own, the folder could be exchanged.
    safe = above.st_mode & stat.S_ISVTX or not above.st_mode & 0o022
    return folder if own and safe and not found.st_mode & 0o077 else None


def _warn(happened: str) -> None:
    """Warn once for the process."""
    global _warned  # noqa: PLW0603 - once for all kernels
    if not _warned:
        _warned = True
        text = f"adlib's compiled code {happened}. Set NUMBA_CACHE_DIR to a folder of "
        text += "your own that can be written to."
        warnings.warn(text, InputWarning, stacklevel=2)
