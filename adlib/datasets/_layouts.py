"""Data sets in folders, as their publishers lay them out, as samples.

No image is opened here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import Literal, NamedTuple, TypeAlias

from adlib._validation import check_option, describe, refusal
from adlib.datasets._samples import ANOMALOUS, GOOD, NORMAL, Sample, Split
from adlib.datasets._table import read_table
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
NAMES: tuple[Layout, ...] = ("mvtec", "mvtec-ad-2", "visa", "btad", "folder")


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

    Note:
        VisA's table may be UTF-8 or UTF-16, with commas, semicolons, tabs or bars; its
        labels say normal (also good, ok, nominal) or anomaly (also anomalous, abnormal,
        bad, defect, defective, ko, ng), in any case.

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
        check_option(layout, "layout", "read_samples", NAMES)
    kind = layout or guess_layout(folder)
    if kind == "visa":
        return sorted(_visa(folder, classes), key=_order)
    if kind == "folder":
        if classes is not None and list(classes) != [folder.name]:
            rule = f"None or [{folder.name!r}] for a plain folder"
            raise ValueError(
                refusal("classes", "read_samples", rule, describe(classes))
            )
        return sorted(_plain(folder), key=_order)
    samples: list[Sample] = []
    for class_folder in class_folders(folder, classes, LAYOUTS[kind]):
        samples += _class_samples(class_folder, LAYOUTS[kind])
    return sorted(samples, key=_order)


def class_names(samples: Iterable[Sample]) -> list[str]:
    """Return the names of the classes, each once, in alphabetical order."""
    return sorted({sample.class_name for sample in samples})


def image_files(folder: Path) -> list[Path]:
    """Return the image files right in a folder, in order of names; none is hidden."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if is_image_name(path)
        and not is_hidden(PurePath(path.name))
        and not path.is_dir()
    )


def subfolders(folder: Path) -> list[Path]:
    """Return the folders right in a folder, in order of names; none is hidden."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and not is_hidden(PurePath(path.name))
    )


def _order(sample: Sample) -> tuple[str, str, str, str]:
    where = str(sample.image_path)
    return sample.class_name, sample.split, sample.defect_type, where


def guess_layout(root: Path) -> Layout:
    """Return the layout that a folder looks like, or raise."""
    if (root / VISA_TABLE).is_file():
        return "visa"
    tests: dict[Layout, Callable[[Path], bool]] = {
        "mvtec-ad-2": lambda f: (f / "test_public").is_dir(),
        "btad": lambda f: (f / "train" / "ok").is_dir(),
        "mvtec": lambda f: (f / "train" / GOOD).is_dir(),
    }
    folders = subfolders(root)
    for layout, fits in tests.items():
        if any(fits(folder) for folder in folders):
            return layout
    if image_files(root / GOOD):
        return "folder"
    raise ValueError(
        f"The folder {str(root)!r} looks like no data set that adlib knows. It must "
        "hold classes with train/good (MVTec AD), train/ok (BTAD), test_public (MVTec "
        f"AD 2), {VISA_TABLE} (VisA), or images in good/ (a plain folder)."
    )


def class_folders(
    root: Path, classes: Sequence[str] | None, layout: FolderLayout
) -> list[Path]:
    """Return the folders of the classes asked for, or of all there are."""
    first = layout.parts[0].folder
    known = [f for f in subfolders(root) if (f / first / layout.good).is_dir()]
    if classes is None:
        return known
    return [_known(root, name, [folder.name for folder in known]) for name in classes]


def _known(root: Path, name: str, names: Sequence[str]) -> Path:
    if name not in names:
        raise FileNotFoundError(
            f"There is no class {name!r} in {str(root)!r}, which has "
            f"{', '.join(names) or 'none'}."
        )
    return root / name


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
    if not folder.is_dir():
        return {}
    masks = {p.stem.removesuffix(mask_stem): p for p in image_files(folder)}
    return masks | {f.name: f for f in subfolders(folder)}


def _plain(root: Path) -> Iterator[Sample]:
    """Yield a plain folder's samples, every one to test with but those in ``good``."""
    for kind in subfolders(root):
        good = kind.name == GOOD
        for path in image_files(kind):
            label = NORMAL if good else ANOMALOUS
            split: Split = "train" if good else "test"
            yield Sample(path, label, kind.name, None, root.name, split)


def _visa(root: Path, classes: Sequence[str] | None) -> list[Sample]:
    samples = read_table(root / VISA_TABLE, root)
    if classes is None:
        return samples
    names = class_names(samples)
    for name in sorted(set(classes)):
        _known(root, name, names)
    return [sample for sample in samples if sample.class_name in classes]
