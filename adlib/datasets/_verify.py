"""Check a data set on disk: is everything there, readable and in one place?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from adlib._progress import ProgressBar
from adlib._threads import Threads, available_threads
from adlib.datasets._examine import Finding, Problem, examine, find_duplicates
from adlib.datasets._layouts import (
    LAYOUTS,
    FolderLayout,
    Layout,
    class_names,
    classes_in,
    guess_layout,
    image_files,
    read_samples,
    subfolders,
)
from adlib.datasets._mvtec_ad import COUNTS
from adlib.datasets._samples import ANOMALOUS, NORMAL, Sample
from adlib.images._folders import is_hidden, is_image_name

MOST_WORKERS = 8


class VerifyReport(NamedTuple):
    """What ``verify`` found: a row of counts a class, and problems, errors first."""

    root: Path
    layout: Layout
    classes: list[dict[str, Any]]
    problems: list[Problem]

    @property
    def sound(self) -> bool:
        """Whether there is no error."""
        return all(problem.severity != "error" for problem in self.problems)


def verify(
    root: str | Path,
    classes: Sequence[str] | None = None,
    *,
    layout: Layout | None = None,
    progress: bool = True,
) -> VerifyReport:
    """Read every image and mask of a data set and report what is wrong with it.

    Errors are: a class without training or test images, anomalous images to train with,
    files that cannot be decoded, masks without image, anomalous images without mask in
    a class that has masks, masks of another size than their image (turned upright as
    EXIF says), masks that mark nothing, and images that come in two splits or under two
    labels. Warnings are: other duplicates, test images of one label alone, files that
    are not read, other counts than published for a class of MVTec AD, and masks that
    ``read_mask`` may read otherwise than they were meant. Hidden files and folders are
    left out.

    Args:
        root: Its folder, as ``read_samples`` takes it.
        classes: Which classes; None: all.
        layout: One of ``read_samples``, or None: the one that the folders look like.
        progress: Whether to draw a bar on a terminal.

    Returns:
        A report: ``classes`` (a dict each, which says what it holds), ``problems``
        (errors first; each with ``severity``, "error" or "warning", ``kind``, ``path``,
        ``text`` and ``remedy``) and ``sound`` (no error).

    Raises:
        FileNotFoundError: There is no such folder, class or table.
        ValueError: No layout fits, ``classes`` is empty, or a table is not as stated.

    Note:
        Images are compared by the SHA-256 of their decoded pixels: copies in another
        lossless format are found, resized or compressed ones are not.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> from adlib.datasets import verify
        >>> with TemporaryDirectory() as folder:
        ...     for name, grey in [("good", 0), ("crack", 255)]:
        ...         Path(folder, name).mkdir()
        ...         Image.new("L", (8, 8), grey).save(Path(folder, name, "0.png"))
        ...     verify(folder).sound
        True
    """
    folder = Path(root)
    samples = read_samples(folder, classes, layout=layout)
    kind = layout or guess_layout(folder)
    names = [folder.name] if kind == "folder" else class_names(samples)
    problems: list[Problem] = []
    if kind in LAYOUTS:
        names = classes_in(folder, classes, LAYOUTS[kind])
        if classes is None:
            problems += _broken_classes(folder, LAYOUTS[kind], names)
    with_masks = set()
    for name in names:
        own = [s for s in samples if s.class_name == name]
        strays = list(_strays(name, folder, kind, own))
        problems += strays
        orphans = any(stray.kind == "orphan mask" for stray in strays)
        if orphans or any(s.mask_path for s in own):
            with_masks.add(name)
    findings: list[Finding] = []
    with (
        Threads(min(available_threads(), MOST_WORKERS), "adlib-verify") as pool,
        ProgressBar("Verifying images", len(samples), enabled=progress) as bar,
    ):
        masked = [sample.class_name in with_masks for sample in samples]
        for finding in pool.map(examine, samples, masked):
            findings.append(finding)
            problems += finding.problems
            bar.advance(note=finding.sample.class_name)
    problems += find_duplicates(findings)
    rows = [_row(name, findings) for name in names]
    for row in rows:
        problems += _count_problems(row, folder, kind)
    for row in rows:
        row["problems"] = sum(p.class_name == row["class"] for p in problems)
    problems.sort(key=lambda p: (p.severity, p.class_name, p.kind, str(p.path)))
    return VerifyReport(folder, kind, rows, problems)


def _broken_classes(
    root: Path, layout: FolderLayout, known: Sequence[str]
) -> Iterator[Problem]:
    """Yield folders that look like classes and have no training images."""
    for folder in subfolders(root):
        looks = any((folder / part.folder).is_dir() for part in layout.parts)
        if looks and folder.name not in known:
            missing = folder / layout.parts[0].folder / layout.good
            text = "is missing, so that the class is not read"
            yield Problem(folder.name, "no training images", missing, text)


def _strays(
    name: str, root: Path, kind: Layout, samples: Sequence[Sample]
) -> Iterator[Problem]:
    """Yield masks of no image, images that are not read, and what is no image.

    Masks that some publishers store for normal images are none of them.
    """
    masks = [sample.mask_path for sample in samples if sample.mask_path is not None]
    known = {sample.image_path for sample in samples} | set(masks)
    known |= {path for mask in masks if mask.is_dir() for path in image_files(mask)}
    if kind in LAYOUTS:
        layout = LAYOUTS[kind]
        folders = [root / name / part.folder for part in layout.parts]
        mask_folders = [root / name / p.masks for p in layout.parts if p.masks]
        stems = {s.image_path.stem for s in samples if s.label == NORMAL}
        known |= {
            path
            for folder in mask_folders
            for path in image_files(folder / layout.good)
            if path.stem.removesuffix(layout.mask_stem) in stems
        }
    elif kind == "folder":
        folders, mask_folders = subfolders(root), []
    else:
        folders = [sample.image_path.parent for sample in samples]
        mask_folders = [mask.parent for mask in masks]
    in_masks = set(_files(mask_folders))
    for path in sorted(in_masks.union(_files(folders)) - known):
        if not is_image_name(path):
            text = "lies among the images and has no image's suffix"
            yield Problem(name, "not an image", path, text)
        elif path in in_masks:
            yield Problem(name, "orphan mask", path, "is the mask of no image")
        else:
            text = "lies where no image is looked for"
            yield Problem(name, "unread image", path, text)


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    """Yield what is not hidden under some folders."""
    for folder in set(folders):
        for path in folder.rglob("*"):
            if not is_hidden(path.relative_to(folder)) and path.is_file():
                yield path


def _row(name: str, findings: Sequence[Finding]) -> dict[str, Any]:
    """Return what a class holds, by the columns of a table."""
    own = [found for found in findings if found.sample.class_name == name]
    samples = [found.sample for found in own]
    splits = Counter(sample.split for sample in samples)
    tests = Counter(sample.label for sample in samples if sample.split == "test")
    kinds = {s.defect_type for s in samples if s.label == ANOMALOUS}
    sizes = {"{}x{}".format(*found.size) for found in own if found.size is not None}
    return {
        "class": name,
        "train": splits["train"],
        "val": splits["validation"],
        "test good": tests[NORMAL],
        "test anomalous": tests[ANOMALOUS],
        "defect types": len(kinds),
        "masks": sum(sample.mask_path is not None for sample in samples),
        "image sizes": sizes.pop() if len(sizes) == 1 else f"{len(sizes)} sizes",
    }


def _count_problems(row: dict[str, Any], root: Path, kind: Layout) -> Iterator[Problem]:
    """Yield what a class lacks, and how it differs from what was published."""
    name, found = row["class"], (row["train"], row["test good"], row["test anomalous"])
    n_train, n_good, n_anomalous = found
    place = root if kind == "folder" else root / name
    if not n_train:
        yield Problem(name, "no training images", place, "has none")
    if kind == "folder":
        return  # a plain folder need have nothing to test with
    if not n_good and not n_anomalous:
        yield Problem(name, "no test images", place, "has none")
    elif not n_good or not n_anomalous:
        label = "anomalous" if n_good else "normal"
        yield Problem(name, "one-sided test", place, f"has no {label} test images")
    published = COUNTS.get(name, found) if kind == "mvtec" else found
    if found != published:
        text = (
            "has {}/{}/{} images (train / normal test / anomalous test); MVTec AD's "
            "has {}/{}/{}".format(*found, *published)
        )
        yield Problem(name, "published counts", place, text)
