"""Which files in a folder, a glob or a list are images, by one rule."""

from __future__ import annotations

import glob
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePath

from adlib._validation import refusal
from adlib.exceptions import ImageError, InputWarning
from adlib.images._decode import PLUGINS, SUFFIXES, plugin_remedy

# What systems and tools leave beside images, in lower case; names that start with a dot
# (._a.png, .ipynb_checkpoints, .Trash-1000, .DS_Store) are hidden everywhere.
SYSTEM_NAMES = frozenset(
    [
        "@eadir",  # Synology's thumbnails
        "__macosx",  # archives packed on a Mac
        "thumbs.db",
        "desktop.ini",
        "$recycle.bin",
        "system volume information",
        "lost+found",
    ]
)
GOOD_NAMES = ("good", "ok", "normal")
BAD_NAMES = frozenset(
    "bad ng nok defect defects defective anomaly anomalies anomalous reject rejects "  # noqa: SIM905 - a list of names
    "scrap".split()
)
RULE = "a folder, a glob or a path"


def is_hidden(path: PurePath) -> bool:
    """Ask whether a path is hidden, or lies in a folder that is.

    Args:
        path: Relative to the folder that was asked for, whose own name does not count.
    """
    return any(
        part.startswith(".") or part.lower() in SYSTEM_NAMES
        for part in path.parts
        if part not in (".", "..")
    )


def is_image_name(path: PurePath) -> bool:
    """Ask whether a path has the suffix of an image that can be read here."""
    return path.suffix.lower() in SUFFIXES


def find_images(place: str, owner: str, *, good_alone: bool = False) -> list[Path]:
    """Return the image files of a folder, a glob or a path, in the order of paths.

    Hidden files and folders are passed over. What else is left out, files of other
    kinds and linked folders, is counted in one ``InputWarning``.

    Args:
        place: What was given.
        owner: What errors call the function that was given it.
        good_alone: Whether folders of defects beside good parts are refused, as far as
            their names tell.

    Raises:
        ValueError: There is no image, masks lie among them, or ``good_alone`` and
            defects do.
        ImageError: A folder cannot be read.
    """
    if not place:
        raise ValueError(refusal("X", owner, RULE, "''"))
    path = Path(place)
    left_out: Counter[str] = Counter()
    if path.is_dir():
        found = _walk(path, owner, left_out, good_alone=good_alone)
    elif path.exists():
        return [path]
    else:
        found = _match(place, left_out)
    if not found and not left_out and not path.is_dir():
        came = f"{place!r}, where there is nothing"
        raise ValueError(refusal("X", owner, RULE, came, _remedy(place)))
    if not found:
        known = " ".join(sorted(SUFFIXES))
        came = (
            f"{place!r}, which holds none (known: {known}; there: {_listed(left_out)})"
        )
        remedy = _plugin_remedies(left_out)
        raise ValueError(refusal("X", owner, "a folder with images", came, remedy))
    if left_out:
        remedy = _plugin_remedies(left_out)
        warnings.warn(
            f"{place!r} holds {len(found)} images for {owner}; left out: "
            f"{_listed(left_out)}.{remedy and ' ' + remedy}",
            InputWarning,
            stacklevel=2,
        )
    return sorted(found)


def _walk(
    root: Path, owner: str, left_out: Counter[str], *, good_alone: bool
) -> list[Path]:
    """Return the images below a folder; count what is left out."""

    def refuse(error: OSError) -> None:
        """Stop at a folder that cannot be read: its images would be missing."""
        came = f"{error.filename!r}, which cannot be read ({error.strerror})"
        raise ImageError(refusal("X", owner, "folders that can be read", came))

    found: list[Path] = []
    for folder, folders, files in os.walk(root, onerror=refuse):
        folders[:] = sorted(f for f in folders if not is_hidden(PurePath(f)))
        if good_alone:
            _check_good_alone(Path(folder), folders, root, owner)
        _check_no_masks(Path(folder), folders, root, owner)
        left_out["linked folders"] += sum(
            Path(folder, name).is_symlink() for name in folders
        )
        for name in files:
            _sort(Path(folder, name), is_hidden(PurePath(name)), found, left_out)
    left_out += Counter()  # without those that were not met
    return found


def _check_good_alone(folder: Path, folders: list[str], root: Path, owner: str) -> None:
    """Raise where folders of others lie beside or among good parts, by their names."""
    names = {name.lower(): name for name in folders}
    others = sorted(set(names) & BAD_NAMES)
    good = [names[name] for name in GOOD_NAMES if name in names]
    if good and len(names) > 1:
        others = sorted(set(names) - {name.lower() for name in good})
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


def _match(place: str, left_out: Counter[str]) -> list[Path]:
    """Return the files that a glob matches; count what is left out."""
    found: list[Path] = []
    fixed = Path(place)
    while glob.has_magic(str(fixed)):
        fixed = fixed.parent
    # A suffix that is written out was chosen; after a mere * only images count.
    chosen = not glob.has_magic(Path(place).suffix) and Path(place).suffix != ""
    for match in glob.glob(place, recursive=True):  # noqa: PTH207 - any pattern
        path = Path(match)
        hidden = is_hidden(_below(path, fixed))
        if path.is_dir():
            left_out["folders"] += not hidden and "**" not in place
        elif chosen and not hidden and path.is_file():
            found.append(path)
        elif path.exists():
            _sort(path, hidden, found, left_out)
    left_out += Counter()
    return found


def _sort(path: Path, hidden: bool, found: list[Path], left_out: Counter[str]) -> None:
    if hidden:
        return
    if is_image_name(path):
        found.append(path)
    else:
        left_out[path.suffix.lower() or "without suffix"] += 1


def _below(path: Path, folder: Path) -> PurePath:
    return path.relative_to(folder) if path.is_relative_to(folder) else path


def _listed(left_out: Counter[str]) -> str:
    """Return counts in words: "2 .txt, 1 without suffix, 1 linked folders"."""
    counts = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {kind}" for kind, count in counts) or "nothing"


def _plugin_remedies(kinds: Iterable[str]) -> str:
    return " ".join(plugin_remedy(kind) for kind in sorted(kinds) if kind in PLUGINS)


def _remedy(place: str) -> str:
    """Say what may be meant by a place where there is nothing."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", place):
        return "Addresses are not read: download the images and pass their folder."
    if place.startswith("~"):
        home = os.path.expanduser(place)  # noqa: PTH111 - of any user
        return f"The shell expands ~, Python does not: pass {home!r}."
    literal = _literal_folder(place)
    if literal is not None:
        return (
            f"In a glob [ and ] enclose a set of letters, and {literal!r} has them in "
            f"its name: pass that folder, or {glob.escape(literal)!r} in the glob."
        )
    if place != place.strip():
        return "It begins or ends with a space."
    if len(place) > 1 and place[0] == place[-1] and place[0] in "'\"":
        return "The quotes are part of it: leave them out."
    return ""


def _literal_folder(place: str) -> str | None:
    """Return the longest folder in a glob that exists when [ is read as it stands."""
    for folder in Path(place).parents:
        if "[" in str(folder) and folder.is_dir():
            return str(folder)
    return None
