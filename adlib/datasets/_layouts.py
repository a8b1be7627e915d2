"""Data sets as their publishers lay them out, in folders or a table, as samples.

No image is opened here.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Literal, NamedTuple, TypeAlias, TypeVar, get_args

from adlib._validation import check_option, describe, refusal
from adlib.datasets._samples import (
    ANOMALOUS,
    GOOD,
    NORMAL,
    Sample,
    Split,
    folder_name,
    path_in,
)
from adlib.images._folders import is_hidden, is_image_name

Layout: TypeAlias = Literal["mvtec", "mvtec-ad-2", "visa", "btad", "folder"]
VISA_TABLE = Path("split_csv") / "1cls.csv"


class _Part(NamedTuple):
    """Where a layout keeps the images of one split of a class."""

    folder: str
    split: Split
    masks: str | None


class FolderLayout(NamedTuple):
    """How a class folder is laid out: ``part/defect type/image``.

    ``good`` names the folders of normal images; ``mask_stem`` is what a mask's stem has
    behind its image's.
    """

    parts: tuple[_Part, ...]
    good: str
    mask_stem: str


TRAIN = _Part("train", "train", None)
VALIDATION = _Part("validation", "validation", None)
TEST = _Part("test", "test", "ground_truth")
PUBLIC_TEST = _Part("test_public", "test", "test_public/ground_truth")
LAYOUTS: dict[str, FolderLayout] = {
    # MVTec LOCO keeps a folder of masks for each image, under the image's stem.
    "mvtec": FolderLayout((TRAIN, VALIDATION, TEST), GOOD, "_mask"),
    # Its two private test sets have no labels, and are left out.
    "mvtec-ad-2": FolderLayout((TRAIN, VALIDATION, PUBLIC_TEST), GOOD, "_mask"),
    "btad": FolderLayout((TRAIN, TEST), "ok", ""),
}
# Of VisA's table.
COLUMNS = ("object", "split", "label", "image", "mask")
DELIMITERS = ",;\t|"
Meaning = TypeVar("Meaning", int, Split)
# Not 0 and 1: which of them is normal differs from table to table.
LABELS = dict.fromkeys(("normal", "good", "ok", "nominal"), NORMAL)
LABELS |= dict.fromkeys(("anomaly", "anomalous", "abnormal", "bad"), ANOMALOUS)
LABELS |= dict.fromkeys(("defect", "defective", "ko", "ng"), ANOMALOUS)
SPLITS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "test": "test",
    "testing": "test",
}


def read_samples(
    root: str | Path,
    classes: Sequence[str] | None = None,
    *,
    layout: Layout | None = None,
) -> list[Sample]:
    """Return the samples of a data set on disk.

    Args:
        root: Its folder, which holds a folder for each class; of a plain folder, the
            one that holds ``good`` and others.
        classes: Which classes; None: all.
        layout: "mvtec" (MVTec AD and LOCO: ``train/good``, ``test/<defect>``,
            ``ground_truth/<defect>``), "mvtec-ad-2" (``test_public`` instead of
            ``test``), "visa" (a table, ``split_csv/1cls.csv``), "btad" (``ok`` and
            ``ko``), "folder" (``good`` and any other folders beside it, all of them
            to test with), or None: the one that the folders look like.

    Returns:
        Samples by class, split, defect type and name. Those of normal images and of
        sets without masks have no ``mask_path``. Hidden files and folders are left out,
        and those that systems leave, such as ``__MACOSX`` and ``@eaDir``.

    Raises:
        TypeError: ``root`` is no path.
        FileNotFoundError: There is no such folder, class or table.
        ValueError: No layout fits, ``classes`` is empty, or a table is not as stated; a
            row with an unknown label or split, or a path out of ``root``, is named.

    References:
        1. Bergmann et al., "MVTec AD", CVPR 2019.
        2. Bergmann et al., "Beyond dents and scratches" (LOCO), IJCV 2022.
        3. Heckler-Kram et al., "The MVTec AD 2 dataset", 2025.
        4. Zou et al., "SPot-the-difference" (VisA), ECCV 2022.
        5. Mishra et al., "VT-ADL" (BTAD), 2021.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.datasets import read_samples
        >>> with TemporaryDirectory() as folder:
        ...     for name in ("good", "crack"):
        ...         Path(folder, name).mkdir()
        ...         Path(folder, name, "0.png").touch()
        ...     [(s.defect_type, s.label, s.split) for s in read_samples(folder)]
        [('crack', 1, 'test'), ('good', 0, 'train')]
    """
    if not isinstance(root, str | os.PathLike) or root == "":
        rule = "the path of a folder"
        raise TypeError(refusal("root", "read_samples", rule, describe(root)))
    folder = Path(root)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {str(root)!r}.")
    if classes is not None and (isinstance(classes, str) or not len(classes)):
        rule = "None or a list of class names, not empty"
        raise ValueError(refusal("classes", "read_samples", rule, describe(classes)))
    if layout is not None:
        check_option(layout, "layout", "read_samples", get_args(Layout))
    kind = layout or guess_layout(folder)
    samples: Iterable[Sample]
    if kind == "visa":
        listed = read_table(folder / VISA_TABLE, folder)
        wanted = _chosen(classes, class_names(listed), folder)
        samples = (sample for sample in listed if sample.class_name in wanted)
    elif kind == "folder":
        _chosen(classes, [folder_name(folder)], folder)
        samples = _plain(folder)
    else:
        samples = itertools.chain.from_iterable(
            _class_samples(folder / name, LAYOUTS[kind])
            for name in classes_in(folder, classes, LAYOUTS[kind])
        )
    return sorted(
        samples, key=lambda s: (s.class_name, s.split, s.defect_type, str(s.image_path))
    )


def class_names(samples: Iterable[Sample]) -> list[str]:
    """Return the names of the classes, each once, in alphabetical order."""
    return sorted({sample.class_name for sample in samples})


def image_files(folder: Path) -> list[Path]:
    """Return the image files right in a folder, in order of names; none is hidden."""
    files = [path for path in _visible(folder) if not path.is_dir()]
    return [path for path in files if is_image_name(path)]


def subfolders(folder: Path) -> list[Path]:
    """Return the folders right in a folder, in order of names; none is hidden."""
    return [path for path in _visible(folder) if path.is_dir()]


def _visible(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if not is_hidden(PurePath(p.name)))


def guess_layout(root: Path) -> Layout:
    """Return the layout that a folder looks like, or raise."""
    if (root / VISA_TABLE).is_file():
        return "visa"
    marks: dict[Layout, str] = {
        "mvtec-ad-2": "test_public",
        "btad": "train/ok",
        "mvtec": "train/good",
    }
    folders = subfolders(root)
    for layout, mark in marks.items():
        if any((folder / mark).is_dir() for folder in folders):
            return layout
    if image_files(root / GOOD):
        return "folder"
    raise ValueError(
        f"The folder {str(root)!r} looks like no data set that adlib knows. It must "
        "hold classes with train/good (MVTec AD), train/ok (BTAD), test_public (MVTec "
        f"AD 2), {VISA_TABLE} (VisA), or images in good/ (a plain folder)."
    )


def classes_in(
    root: Path, classes: Sequence[str] | None, layout: FolderLayout
) -> list[str]:
    """Return the classes asked for, or all there are; each has training images."""
    normal = Path(layout.parts[0].folder, layout.good)
    known = [folder.name for folder in subfolders(root) if (folder / normal).is_dir()]
    return _chosen(classes, known, root)


def _chosen(
    classes: Sequence[str] | None, known: Sequence[str], root: Path
) -> list[str]:
    """Return the classes asked for, each once, or all; raise if one is not known."""
    for name in classes or ():
        if name not in known:
            raise FileNotFoundError(
                f"There is no class {name!r} in {str(root)!r}, which has "
                f"{', '.join(known) or 'none'}."
            )
    return list(dict.fromkeys(known if classes is None else classes))


def _class_samples(folder: Path, layout: FolderLayout) -> Iterator[Sample]:
    for part in layout.parts:
        for kind in subfolders(folder / part.folder):
            if kind.name == "ground_truth":
                continue
            good = kind.name == layout.good
            masks = None
            if part.masks is not None and not good:
                masks = _masks(folder / part.masks / kind.name, layout.mask_stem)
            for path in image_files(kind):
                yield Sample(
                    path,
                    NORMAL if good else ANOMALOUS,
                    GOOD if good else kind.name,
                    masks.get(path.stem) if masks else None,
                    folder.name,
                    part.split,
                )


def _masks(folder: Path, mask_stem: str) -> dict[str, Path]:
    """Return the mask, or folder of masks, of each image by its stem."""
    masks = {p.stem.removesuffix(mask_stem): p for p in image_files(folder)}
    return masks | {f.name: f for f in subfolders(folder)}


def _plain(root: Path) -> Iterator[Sample]:
    """Yield a plain folder's samples, every one to test with but those in ``good``."""
    for kind in subfolders(root):
        good = kind.name == GOOD
        for path in image_files(kind):
            label = NORMAL if good else ANOMALOUS
            split: Split = "train" if good else "test"
            yield Sample(path, label, kind.name, None, folder_name(root), split)


def read_table(table: Path, root: Path) -> list[Sample]:
    """Return the samples that a table lists, in its order, or raise with the row.

    It is UTF-8 or UTF-16, with commas, semicolons, tabs or bars. Neither the case of
    names, labels and splits counts, nor blanks around values, nor blank rows.
    """
    samples: dict[Path, Sample] = {}
    for where, row in _rows(table):
        for column in COLUMNS[:-1]:  # normal images have no mask
            if not row[column]:
                raise ValueError(refusal(column, where, "given", "nothing"))
        label = _meaning(row["label"], LABELS, "label", where)
        normal = label == NORMAL
        mask = None if normal or not row["mask"] else path_in(root, row["mask"], where)
        sample = Sample(
            path_in(root, row["image"], where),
            label,
            GOOD if normal else "anomaly",
            mask,
            row["object"],
            _meaning(row["split"], SPLITS, "split", where),
        )
        if sample.image_path in samples:
            rule = "a path that comes once in the table"
            raise ValueError(refusal("image", where, rule, describe(row["image"])))
        samples[sample.image_path] = sample
    if not samples:
        raise ValueError(f"{str(table)!r} must have a row for each image; it has none.")
    return list(samples.values())


def _rows(table: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield where each row is, for messages, and its cells by column."""
    data = table.read_bytes()
    try:
        lines = list(io.StringIO(data.decode(json.detect_encoding(data)), newline=""))
    except UnicodeDecodeError as error:
        rule = f"{str(table)!r} must be UTF-8 or UTF-16 text"
        raise ValueError(f"{rule} ({error}). Save it as CSV UTF-8.") from error
    first = next((line for line in lines if line.strip()), "")
    reader = csv.reader(lines, delimiter=max(DELIMITERS, key=first.count), strict=True)
    stripped = ([cell.strip() for cell in cells] for cells in reader)
    filled = (row for row in stripped if any(row))
    try:
        columns = [cell.lower() for cell in next(filled, [])]
        if any(columns.count(column) != 1 for column in COLUMNS):
            raise ValueError(
                f"{str(table)!r} must have the columns {', '.join(sorted(COLUMNS))}, "
                f"each once; it has {', '.join(columns) or 'none'}."
            )
        for row in filled:
            where = f"line {reader.line_num} of {str(table)!r}"
            if any(row[len(columns) :]):
                rule = f"{len(columns)} cells"
                raise ValueError(refusal("row", where, rule, f"{len(row)}"))
            yield where, dict(itertools.zip_longest(columns, row, fillvalue=""))
    except csv.Error as error:
        where = f"line {reader.line_num} of {str(table)!r}"
        raise ValueError(f"{where} must be a row of a CSV table: {error}.") from error


def _meaning(
    word: str, words: Mapping[str, Meaning], column: str, where: str
) -> Meaning:
    """Return what a word stands for, or raise with the words that are known."""
    if word.lower() not in words:
        rule = f"one of {', '.join(words)}"
        raise ValueError(refusal(column, where, rule, describe(word)))
    return words[word.lower()]
