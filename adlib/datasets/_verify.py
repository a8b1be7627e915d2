"""Check a data set on disk: is everything there, readable and in one place?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from adlib._progress import ProgressBar
from adlib._threads import Threads, available_threads
from adlib.datasets._examine import Finding, examine, find_duplicates
from adlib.datasets._layouts import (
    LAYOUTS,
    Layout,
    class_names,
    classes_in,
    guess_layout,
    read_samples,
)
from adlib.datasets._mvtec_ad import COUNTS
from adlib.datasets._problems import Problem
from adlib.datasets._samples import ANOMALOUS, NORMAL, Sample
from adlib.datasets._strays import find_broken_classes, find_strays, places_of

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
    labels. Warnings are: images that come twice in a split or in two classes, test
    images of one label alone, files that are not read, counts that differ from those
    published for a class of MVTec AD, and masks that ``read_mask`` may read otherwise
    than they were meant: lossy (JPEG), of many values, without a pixel of 0, drawn in
    the alpha channel, or marking more than half of the image. Hidden files and folders
    are left out, and those that systems leave, such as ``@eaDir`` and ``Thumbs.db``.

    Args:
        root: Its folder, as ``read_samples`` takes it.
        classes: Which classes; None: all.
        layout: One of ``read_samples``, or None: the one that the folders look like.
        progress: Whether to draw a bar on a terminal.

    Returns:
        A report: ``classes`` (what each holds), ``problems`` (errors first; each with
        ``kind``, ``path``, ``text`` and ``remedy``), ``errors``, ``warnings`` and
        ``sound``: whether there is no error.

    Raises:
        FileNotFoundError: There is no such folder, class or table.
        ValueError: No layout fits, ``classes`` is empty, or a table is not as stated.

    Note:
        Images are compared by the SHA-256 of their decoded pixels: copies in another
        lossless format are found, resized or compressed ones are not. Images are
        decoded by a thread a core, at most 8, one at a time each.

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
            problems += find_broken_classes(folder, LAYOUTS[kind], names)
    with_masks = set()
    for name in names:
        own = [s for s in samples if s.class_name == name]
        strays = list(find_strays(name, places_of(folder, name, kind, own), kind, own))
        problems += strays
        if any(s.mask_path for s in own) or any(
            stray.kind == "orphan mask" for stray in strays
        ):
            with_masks.add(name)
    findings = _examine_all(samples, with_masks, progress)
    for finding in findings:
        problems += finding.problems
    problems += find_duplicates(findings)
    reports = [_report(name, findings) for name in names]
    for report in reports:
        problems += _count_problems(report, folder, kind)
    problems += [
        Problem(s.class_name, "anomalous training image", s.image_path, "is trained on")
        for s in samples
        if s.split == "train" and s.label == ANOMALOUS
    ]
    problems.sort(key=lambda p: (p.severity, p.class_name, p.kind, str(p.path)))
    return VerifyReport(folder, kind, tuple(reports), tuple(problems))


def _examine_all(
    samples: Sequence[Sample], with_masks: set[str], progress: bool
) -> list[Finding]:
    """Read every sample in threads; the order is that of the samples."""

    def work(sample: Sample) -> Finding:
        return examine(sample, has_masks=sample.class_name in with_masks)

    findings = []
    pool = Threads(
        min(available_threads(), MOST_WORKERS), thread_name_prefix="adlib-verify"
    )
    try:
        with ProgressBar("Verifying images", len(samples), enabled=progress) as bar:
            for finding in pool.map(work, samples):
                findings.append(finding)
                bar.advance(note=finding.sample.class_name)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return findings


def _report(name: str, findings: Sequence[Finding]) -> ClassReport:
    own = [f for f in findings if f.sample.class_name == name]
    samples = [f.sample for f in own]
    return ClassReport(
        class_name=name,
        n_train=sum(s.split == "train" for s in samples),
        n_validation=sum(s.split == "validation" for s in samples),
        n_test_good=sum(s.split == "test" and s.label == NORMAL for s in samples),
        n_test_anomalous=sum(
            s.split == "test" and s.label == ANOMALOUS for s in samples
        ),
        defect_types=tuple(
            sorted({s.defect_type for s in samples if s.label == ANOMALOUS})
        ),
        n_masks=sum(s.mask_path is not None for s in samples),
        image_sizes=tuple(sorted({f.size for f in own if f.size is not None})),
    )


def _count_problems(report: ClassReport, root: Path, kind: Layout) -> Iterator[Problem]:
    """Yield what a class lacks, and how it differs from what was published."""
    name = report.class_name
    place = root if kind == "folder" else root / name
    found = (report.n_train, report.n_test_good, report.n_test_anomalous)
    if not found[0]:
        yield Problem(name, "no training images", place, "has none")
    if kind == "folder":
        return  # a plain folder need have nothing to test with
    if not found[1] and not found[2]:
        yield Problem(name, "no test images", place, "has none")
    elif not found[1] or not found[2]:
        label = "normal" if not found[1] else "anomalous"
        yield Problem(name, "one-sided test", place, f"has no {label} test images")
    published = COUNTS.get(name) if kind == "mvtec" else None
    if published is not None and found != published:
        text = (
            "has {}/{}/{} images (train / normal test / anomalous test); MVTec AD's "
            "has {}/{}/{}".format(*found, *published)
        )
        yield Problem(name, "published counts", place, text)
