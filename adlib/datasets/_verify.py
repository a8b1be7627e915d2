"""Check a data set on disk: is everything there, readable and in one place?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True, slots=True)
class ClassReport:
    """What a class holds; ``image_sizes`` are each (height, width), once."""

    class_name: str
    n_train: int
    n_validation: int
    n_test_good: int
    n_test_anomalous: int
    defect_types: tuple[str, ...]
    n_masks: int
    image_sizes: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What ``verify`` found; problems are in order: errors first, by class."""

    root: Path
    layout: Layout
    classes: tuple[ClassReport, ...]
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that break the data set."""
        return tuple(p for p in self.problems if p.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The problems that are worth a look."""
        return tuple(p for p in self.problems if p.severity == "warning")

    @property
    def sound(self) -> bool:
        """Whether there is no error."""
        return not self.errors


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
        A report: ``classes`` (what each holds), ``problems`` (errors first; each with
        ``kind``, ``path``, ``text`` and ``remedy``), ``errors``, ``warnings``,
        ``sound``.

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
    reports = [_report(name, findings) for name in names]
    for report in reports:
        problems += _count_problems(report, folder, kind)
    problems.sort(key=lambda p: (p.severity, p.class_name, p.kind, str(p.path)))
    return VerifyReport(folder, kind, tuple(reports), tuple(problems))


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


def _report(name: str, findings: Sequence[Finding]) -> ClassReport:
    samples = [f.sample for f in findings if f.sample.class_name == name]
    sizes = {f.size for f in findings if f.sample.class_name == name}
    counts = Counter((s.split, s.label) for s in samples)
    defect_types = {s.defect_type for s in samples if s.label == ANOMALOUS}
    return ClassReport(
        class_name=name,
        n_train=counts["train", NORMAL] + counts["train", ANOMALOUS],
        n_validation=counts["validation", NORMAL] + counts["validation", ANOMALOUS],
        n_test_good=counts["test", NORMAL],
        n_test_anomalous=counts["test", ANOMALOUS],
        defect_types=tuple(sorted(defect_types)),
        n_masks=sum(s.mask_path is not None for s in samples),
        image_sizes=tuple(sorted(size for size in sizes if size is not None)),
    )


def _count_problems(report: ClassReport, root: Path, kind: Layout) -> Iterator[Problem]:
    """Yield what a class lacks, and how it differs from what was published."""
    name = report.class_name
    place = root if kind == "folder" else root / name
    n_good, n_anomalous = report.n_test_good, report.n_test_anomalous
    if not report.n_train:
        yield Problem(name, "no training images", place, "has none")
    if kind == "folder":
        return  # a plain folder need have nothing to test with
    if not n_good and not n_anomalous:
        yield Problem(name, "no test images", place, "has none")
    elif not n_good or not n_anomalous:
        label = "anomalous" if n_good else "normal"
        yield Problem(name, "one-sided test", place, f"has no {label} test images")
    found = (report.n_train, n_good, n_anomalous)
    published = COUNTS.get(name, found) if kind == "mvtec" else found
    if found != published:
        text = (
            "has {}/{}/{} images (train / normal test / anomalous test); MVTec AD's "
            "has {}/{}/{}".format(*found, *published)
        )
        yield Problem(name, "published counts", place, text)
