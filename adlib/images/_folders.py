"""Which files in a folder, a glob or a list are images, by one rule."""

from __future__ import annotations

import glob
import os
import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path, PurePath

from adlib._validation import refusal
from adlib.exceptions import ImageError, InputWarning
from adlib.images._decode import PLUGINS, SUFFIXES, plugin_remedy

# What systems leave beside images, in lower case: disk stations, Macs, Windows, Linux.
# Names that start with a dot (._a.png, .Trash-1000, .DS_Store) are hidden everywhere.
SYSTEM_NAMES = frozenset(
    ("@eadir", "__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "lost+found")
) | {"system volume information"}
GOOD_NAMES = ("good", "ok", "normal")
BAD_NAMES = frozenset(
    "bad ng nok defect defects defective anomaly anomalies anomalous reject rejects "  # noqa: SIM905 - a list of names
    "scrap".split()
)
RULE = "a folder, a glob or a path"


def is_hidden(path: PurePath) -> bool:
    """Ask whether a path is hidden, or lies in a folder that is.

    It is relative to the folder that was asked for, whose own name does not count.
    """
    return any(
        part.startswith(".") or part.lower() in SYSTEM_NAMES
        for part in path.parts
        if part not in (".", "..")
    )


def is_image_name(path: PurePath) -> bool:
    """Ask whether a path has the suffix of an image that can be read here."""
    return path.suffix.lower() in SUFFIXES


def find_images(
    place: str, owner: str, *, good_alone: bool = False, beside: Collection[str] = ()
) -> list[Path]:
    """Return the image files of a folder, a glob or a path, in the order of paths.

    One ``InputWarning`` counts what is left out beside hidden files and folders, and
    files of the suffixes ``beside``. With ``good_alone`` folders of defects are
    refused, as far as their names tell.
    """
    if not place:
        raise ValueError(refusal("X", owner, RULE, "''"))
    path = Path(place)
    if path.is_dir():
        entries = list(_walk(path, owner, good_alone=good_alone))
    elif path.exists():
        return [path]
    else:
        entries = list(_match(place))
        if not entries:
            came = f"{place!r}, where there is nothing"
            raise ValueError(refusal("X", owner, RULE, came, _remedy(place)))
    found = sorted(path for path, left_out in entries if not left_out)
    counts = Counter(
        left_out for _, left_out in entries if left_out and left_out not in beside
    )
    # Such as "2 .txt, 1 without suffix, 1 linked folders".
    in_order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    listed = ", ".join(f"{count} {kind}" for kind, count in in_order)
    remedy = " ".join(map(plugin_remedy, sorted(PLUGINS.keys() & counts)))
    if not found:
        known = " ".join(sorted(SUFFIXES))
        came = f"{place!r}, which holds none (known: {known}; "
        came += f"there: {listed or 'nothing'})"
        raise ValueError(refusal("X", owner, "a folder with images", came, remedy))
    if listed:
        text = f"{place!r} holds {len(found)} images for {owner}; left out: {listed}."
        warnings.warn(f"{text} {remedy}".strip(), InputWarning, stacklevel=2)
    return found


def _walk(root: Path, owner: str, *, good_alone: bool) -> Iterator[tuple[Path, str]]:
    """Yield what a folder holds, and as what it is left out: "" for images."""

    def refuse(error: OSError) -> None:
        """Stop at a folder that cannot be read: its images would be missing."""
        came = f"{error.filename!r}, which cannot be read ({error.strerror})"
        raise ImageError(refusal("X", owner, "folders that can be read", came))

    for place, folders, files in os.walk(root, onerror=refuse):
        folder = Path(place)
        folders[:] = sorted(f for f in folders if not is_hidden(PurePath(f)))
        if good_alone:
            _check_good_alone(folder, folders, root, owner)
        _check_no_masks(folder, folders, root, owner)
        for name in folders:
            if (folder / name).is_symlink():
                yield folder / name, "linked folders"
        for name in files:
            if not is_hidden(PurePath(name)):
                yield folder / name, _left_out(folder / name)


def _match(place: str) -> Iterator[tuple[Path, str]]:
    """Yield what a glob matches, and as what it is left out: "" for images."""
    fixed = Path(place)
    while glob.has_magic(str(fixed)):
        fixed = fixed.parent
    # A suffix that is written out was chosen; after a mere * only images count.
    suffix = Path(place).suffix
    chosen = suffix != "" and not glob.has_magic(suffix)
    for match in glob.glob(place, recursive=True):  # noqa: PTH207 - any pattern
        path = Path(match)
        if is_hidden(path.relative_to(fixed) if path.is_relative_to(fixed) else path):
            continue
        if path.is_dir():
            if "**" not in place:
                yield path, "folders"
        elif path.exists():
            yield path, "" if chosen and path.is_file() else _left_out(path)


def _left_out(path: Path) -> str:
    """Return what kind of file is left out, "" for an image."""
    return "" if is_image_name(path) else path.suffix.lower() or "without suffix"


def _check_good_alone(folder: Path, folders: list[str], root: Path, owner: str) -> None:
    """Raise where folders of others lie beside or among good parts, by their names."""
    names = {name.lower(): name for name in folders}
    others = sorted(names.keys() & BAD_NAMES)
    good = [names[name] for name in GOOD_NAMES if name in names]
    if good:
        others = sorted(names.keys() - set(GOOD_NAMES))
    elif "train" in names and "test" in names:
        others = ["test"]
        inside = folder / names["train"]
        kinds = [kind for kind in GOOD_NAMES if (inside / kind).is_dir()]
        good = [str(Path(names["train"], *kinds[:1]))]
    if not others:
        return
    shown = ", ".join(f"{names[name]}/" for name in others[:3])
    came = f"{str(root)!r}, which holds {shown}{' ...' if others[3:] else ''}"
    remedy = "Pass the folder of good images alone, or labels y."
    if good:
        came += f" beside {good[0]}/"
        remedy = f"Pass {str(folder / good[0])!r}, or labels y."
    raise ValueError(refusal("X", owner, "images of good parts alone", came, remedy))


def _check_no_masks(folder: Path, folders: list[str], root: Path, owner: str) -> None:
    """Raise where a folder beside images holds their masks, which are no images."""
    names = {name.lower(): name for name in folders}
    masks = names.get("ground_truth") or ("images" in names and names.get("masks"))
    if not masks:
        return
    parts = [names[name] for name in ("train", "test", "images") if name in names]
    inside = [f"{str(folder / part)!r}" for part in parts]
    came = f"{str(root)!r}, in which {str(folder / masks)!r} holds masks"
    remedy = "Pass the folder of images"
    remedy += f" alone, such as {' or '.join(inside)}." if inside else " alone."
    raise ValueError(refusal("X", owner, "a folder of images alone", came, remedy))


def _remedy(place: str) -> str:
    """Say what may be meant by a place where there is nothing."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", place):
        return "Addresses are not read: download the images and pass their folder."
    if place.startswith("~"):
        home = os.path.expanduser(place)  # noqa: PTH111 - of any user
        return f"The shell expands ~, Python does not: pass {home!r}."
    for folder in Path(place).parents:  # the longest first
        if "[" in str(folder) and folder.is_dir():
            literal = str(folder)
            return (
                f"In a glob [ and ] enclose a set of letters, and {literal!r} has them "
                "in its name: pass that folder, or "
                f"{glob.escape(literal)!r} in the glob."
            )
    if place != place.strip():
        return "It begins or ends with a space."
    if len(place) > 1 and place[0] == place[-1] and place[0] in "'\"":
        return "The quotes are part of it: leave them out."
    return ""
