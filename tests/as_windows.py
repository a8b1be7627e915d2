"""Let a process on Linux refuse what Windows refuses.

    python -c "from tests.as_windows import pretend; pretend(); ..."

Windows cannot delete, rename or replace a file that this process has open or mapped,
open a folder, force to the disk what was opened for reading, or name a file ``a:b`` or
``con.png``; it has no forks, user numbers, limits of processes or sets of processors.
What cannot be imitated: paths with backslashes (the tests of those use
``PureWindowsPath``) and libraries' own code for Windows.
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import importlib
import io
import os
import re
import shutil
import sys
from pathlib import Path, PureWindowsPath

FORBIDDEN = re.compile(r'[<>:"|?*\\\x00-\x1f]|[. ]$')
STANDARD = (f"{Path(os.__file__).parent}/", "<frozen")
MISSING = (
    "fork", "register_at_fork", "geteuid", "sched_getaffinity",
    "posix_fallocate",
)  # fmt: skip


def in_use(path: str | os.PathLike[str]) -> bool:
    """Say whether this process has a file open or mapped."""
    held = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            held.append(str(descriptor.readlink()))
        except FileNotFoundError:  # that of the listing itself
            continue
    mapped = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    place = os.path.realpath(path)
    return place in held or any(line.endswith(place) for line in mapped.splitlines())


def asked_by_a_library() -> bool:
    """Say whether another library calls, which has ways of its own on Windows."""
    frame = sys._getframe(2)
    while frame:
        file = frame.f_code.co_filename
        if "site-packages" in file or not file.startswith(STANDARD):
            return "site-packages" in file
        frame = frame.f_back
    return False


def check_name(path: object) -> None:
    """Raise what Windows does for a name that it cannot give."""
    if not isinstance(path, (str, os.PathLike)) or str(path).startswith("/dev/"):
        return
    for part in Path(path).parts:
        if part in "/..":  # also "." and the root
            continue
        if FORBIDDEN.search(part) or PureWindowsPath(part).is_reserved():
            raise OSError(errno.EINVAL, "Invalid argument", str(path))


def guarded(function, *, sources):
    """Return a function of ``os`` that refuses to touch files in use."""

    def call(*paths, **options):
        for path in paths[:sources]:
            if "dir_fd" in options or asked_by_a_library():
                continue
            if Path(path).is_file() and in_use(path):
                text = "It is used by a process"
                raise PermissionError(errno.EACCES, text, str(path))
        if sources > 1:
            check_name(paths[1])
        return function(*paths, **options)

    return call


def pretend() -> None:
    """Import what looks at the real system, then change that; for a whole process."""
    rooms = ("cli._main", "cli._score", "overlays", "serve._server", "study")
    for name in ("openvino", "onnxruntime", *(f"adlib.{room}" for room in rooms)):
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.partition(".")[0] == "adlib"]:
        del sys.modules[name]  # to be imported again, as there
    sys.platform = "win32"
    sys.modules["resource"] = sys.modules["fcntl"] = None
    for name in MISSING:
        delattr(os, name)
    shutil._use_fd_functions = False
    os.unlink, os.remove = guarded(os.unlink, sources=1), guarded(os.remove, sources=1)
    os.rename, os.replace = (guarded(one, sources=2) for one in (os.rename, os.replace))
    real_open, real_low, real_mkdir, real_sync = open, os.open, os.mkdir, os.fsync

    def opened(file, mode="r", *rest, **options):
        if set(mode) & set("wxa"):
            check_name(file)
        return real_open(file, mode, *rest, **options)

    def low_level(path, flags, *rest, **options):
        if Path(path).is_dir() and not flags & os.O_TMPFILE == os.O_TMPFILE:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real_low(path, flags, *rest, **options)

    def made(path, *rest, **options):
        check_name(path)
        return real_mkdir(path, *rest, **options)

    def synced(descriptor):
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        return real_sync(descriptor)

    builtins.open = io.open = opened
    os.open, os.mkdir, os.fsync = low_level, made, synced
