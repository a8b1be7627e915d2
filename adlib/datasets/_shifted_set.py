"""The shifted copy of a data set, written to disk in its splits."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from PIL import Image

from adlib._files import replacing, sha256_of
from adlib._progress import ProgressBar
from adlib._threads import available_threads
from adlib._torch import lone_threads
from adlib._validation import check_int
from adlib.datasets._samples import Sample, path_in
from adlib.datasets._shift import Shift, ShiftDomainTransform
from adlib.datasets._shift_settings import ShiftSettings
from adlib.datasets._splits import (
    DIGESTS,
    PARTS,
    ClassSplit,
    as_entry,
    load_shifted_splits,
    read_entries,
    relative,
    write_splits,
)
from adlib.datasets._torch_dataset import read_image_and_mask
from adlib.images._folders import is_hidden

if TYPE_CHECKING:
    from adlib.datasets._albumentations import AlbumentationsShift

VERSION = 1  # of what a shift draws and how it is written
MARKER = "shift.json"
KEPT = 0.5  # share of a defect that must stay in sight
MOST_ATTEMPTS = 20
COMPRESSION = 3  # noise does not get much smaller with more


class _Job(NamedTuple):
    """One image to shift, with its number in the class."""

    number: int
    part: str
    source: Sample
    shifted: Sample


def generate_shifted_set(
    splits: Iterable[ClassSplit],
    root: str | Path,
    target: str | Path,
    record: str | Path,
    *,
    settings: ShiftSettings | None = None,
    random_state: int = 42,
    n_workers: int | None = None,
    progress: bool = True,
) -> dict[str, ClassSplit]:
    """Write the shifted copy of each class, divided into its parts.

    Files are ``{target}/{class}/{train,val,test}/{images,masks}/*_shifted.png``, named
    after defect type and original, 8 bits; normal images, and sets without masks, have
    no masks. Image i of a class, counted through train, val and test, has the seed
    ``random_state + i``. If a pose hides more than half of a defect, another is drawn.

    A run that was stopped resumes where it was. The bytes depend neither on that nor on
    ``n_workers``, but may change with the versions of torch, torchvision and Pillow.

    Args:
        splits: One a class, as ``create_clean_split`` draws them.
        root: The data set's folder; it is only read.
        target: Where to write, e.g. ``data/shifted``.
        record: The JSON file that says what is there, ``shifted_splits.json``.
        settings: What shifts are drawn from; None: the study's.
        random_state: Base seed.
        n_workers: Threads; None: one a core.
        progress: Show a bar on a terminal.

    Returns:
        The splits of the shifted set, by class.

    Raises:
        FileExistsError: ``target`` holds a class that was shifted in another way, or
            that adlib did not write.
        ImageError: An image or a mask is unusable; what was written stays.
        ValueError: An original lies outside ``root``, two of a class cannot be told
            apart by name, no pose of 20 keeps a defect in sight, or a number is not as
            stated.
        TypeError: ``random_state`` or ``n_workers`` is no integer.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> from adlib.datasets import (
        ...     create_clean_split, generate_shifted_set, read_samples)
        >>> with TemporaryDirectory() as folder:
        ...     root = Path(folder, "part")
        ...     (root / "good").mkdir(parents=True)
        ...     for i in range(3):
        ...         Image.new("L", (64, 64), 128).save(root / "good" / f"{i}.png")
        ...     split = create_clean_split(read_samples(root), "part")
        ...     target, record = Path(folder, "shifted"), Path(folder, "shifted.json")
        ...     len(generate_shifted_set([split], root, target, record)["part"].train)
        2
    """
    if n_workers is not None:
        check_int(n_workers, "n_workers", "generate_shifted_set", low=1)
    transform = ShiftDomainTransform(settings, random_state=random_state)
    source, folder, file = Path(root), Path(target), Path(record)
    listed = list(splits)
    jobs = {split.class_name: _jobs(split, folder) for split in listed}
    prints = {name: _fingerprint(jobs[name], transform, source) for name in jobs}
    for name, fingerprint in prints.items():
        _check_free(folder / name, fingerprint)
    file.parent.mkdir(parents=True, exist_ok=True)
    kept = read_entries(file) if file.exists() else {}
    entries = {name: entry for name, entry in kept.items() if name not in jobs}
    result = {}
    with (
        # One thread of torch each: a mean depends on how many share it.
        lone_threads(n_workers or available_threads()) as pool,
        ProgressBar("Shifting", sum(map(len, jobs.values())), enabled=progress) as bar,
    ):
        for name, own in jobs.items():
            _prepare(folder / name, prints[name])
            digests: dict[Path, str] = {}
            for written in pool.map(partial(_shift, transform=transform), own):
                digests |= written
                bar.advance(note=name)
            train, val, test = (
                tuple(job.shifted for job in own if job.part == part) for part in PARTS
            )
            result[name] = ClassSplit(name, random_state, train, val, test)
            origins = {
                job.shifted.image_path: relative(job.source.image_path, source)
                for job in own
            }
            entries[name] = {
                "settings": asdict(transform.settings),
                **as_entry(result[name], folder),
                "sources": {relative(p, folder): o for p, o in origins.items()},
                DIGESTS: {relative(p, folder): sha for p, sha in digests.items()},
            }
            write_splits(file, dict(sorted(entries.items())))
    return result


def check_shifted_set(
    path: str | Path, root: str | Path, *, progress: bool = True
) -> list[str]:
    """Look for what is wrong with a shifted set on disk.

    Args:
        path: ``shifted_splits.json``.
        root: Where the shifted set is.
        progress: Show a bar on a terminal.

    Returns:
        A line for each thing that is wrong; [] if the set is whole.

    Raises:
        FileNotFoundError: There is no such record.
        ValueError: It is not what ``generate_shifted_set`` writes.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.datasets import check_shifted_set
        >>> with TemporaryDirectory() as folder:
        ...     record = Path(folder, "shifted_splits.json")
        ...     _ = record.write_text('{"version": 1, "classes": {}}')
        ...     check_shifted_set(record, folder)
        []
    """
    folder = Path(root)
    entries = read_entries(Path(path), [DIGESTS])
    wrong: list[str] = []
    n_files = sum(len(entry[DIGESTS]) for entry in entries.values())
    with ProgressBar("Checking", n_files, enabled=progress) as bar:
        for name, entry in entries.items():
            digests = {
                path_in(folder, file, "the record"): recorded
                for file, recorded in entry[DIGESTS].items()
            }
            for file, recorded in digests.items():
                if not file.is_file():
                    wrong.append(f"{file} is missing. Generate the set again.")
                elif sha256_of(file) != recorded:
                    wrong.append(f"{file} was changed. Delete it and generate again.")
                bar.advance()
            wrong += [
                f"{file} is not in the record. Delete it."
                for file in sorted((folder / name).glob("*/*/*"))
                if file not in digests and not is_hidden(file.relative_to(folder))
            ]
    if not wrong:  # the record itself: counts, and no image twice
        load_shifted_splits(path, root)
    return wrong


def _jobs(split: ClassSplit, folder: Path) -> list[_Job]:
    """Return what is to be done for a class, in the order that gives images numbers."""
    originals = [(part, one) for part, own in split.parts().items() for one in own]
    names = [f"{part}/{s.defect_type}_{s.image_path.stem}" for part, s in originals]
    seen = Counter(names)
    jobs = []
    for number, (part, sample) in enumerate(originals):
        stem = Path(names[number]).name
        if seen[names[number]] > 1:  # several suffixes, or folders of the publisher
            stem = f"{sample.split}_{stem}_{sample.image_path.suffix[1:]}"
        place, name = folder / split.class_name / part, f"{stem}_shifted.png"
        mask = None if sample.mask_path is None else place / "masks" / name
        shifted = replace(sample, image_path=place / "images" / name, mask_path=mask)
        jobs.append(_Job(number, part, sample, shifted))
    if len({job.shifted.image_path for job in jobs}) != len(jobs):
        raise ValueError(
            f"Images of class {split.class_name!r} must differ in defect type, name or "
            "suffix; some do not. Rename them."
        )
    return jobs


def _fingerprint(
    jobs: Iterable[_Job], transform: ShiftDomainTransform, root: Path
) -> str:
    """Return what changes when a class would come out otherwise."""
    images = []
    for job in jobs:
        path, masked = job.source.image_path, job.source.mask_path is not None
        size = path.stat().st_size
        images.append([job.part, relative(path, root), size, masked])
    settings = asdict(transform.settings)
    content = json.dumps([VERSION, transform.random_state, settings, images])
    return hashlib.sha256(content.encode()).hexdigest()


def _check_free(folder: Path, fingerprint: str) -> None:
    """Raise if a class's folder holds anything but a beginning of the same set."""
    if not folder.exists() or not any(folder.iterdir()):
        return
    marker = folder / MARKER
    if not marker.is_file():
        raise FileExistsError(
            f"{str(folder)!r} holds files that no shifted set has. Choose another "
            "target, or delete it."
        )
    if marker.read_text(encoding="utf-8").strip() != json.dumps(fingerprint):
        raise FileExistsError(
            f"{str(folder)!r} was shifted with other settings, another seed or split, "
            "or by another version. Delete it to generate it again, or choose another "
            "target."
        )


def _prepare(folder: Path, fingerprint: str) -> None:
    """Make a class's folders and clear what a kill left half-written."""
    for part in PARTS:
        for kind in ("images", "masks"):
            (folder / part / kind).mkdir(parents=True, exist_ok=True)
    for debris in folder.glob("*/*/.*.tmp"):
        debris.unlink()
    with replacing(folder / MARKER) as temporary:
        temporary.write_text(json.dumps(fingerprint) + "\n", encoding="utf-8")


def _shift(job: _Job, transform: ShiftDomainTransform) -> dict[Path, str]:
    """Write one image and its mask, unless they are there; return their digests."""
    paths = [job.shifted.image_path, job.shifted.mask_path]
    files = [path for path in paths if path is not None]
    if not all(path.is_file() for path in files):
        source = job.source
        image, mask = read_image_and_mask(
            source.image_path, source.mask_path, source.label
        )
        image, mask = _drawn(job, transform, mask)(image, mask)
        values = (image * 255).round().to(torch.uint8)
        for path, planes in zip(files, (values, mask * 255), strict=False):
            picture = planes[0] if len(planes) == 1 else planes.permute(1, 2, 0)
            with replacing(path) as temporary:
                Image.fromarray(np.ascontiguousarray(picture)).save(
                    temporary, format="PNG", compress_level=COMPRESSION
                )
    return {path: sha256_of(path) for path in files}


def _drawn(
    job: _Job, transform: ShiftDomainTransform, mask: torch.Tensor
) -> Shift | AlbumentationsShift:
    """Return a shift that keeps enough of the defect in sight."""
    for attempt in range(MOST_ATTEMPTS):
        shift = transform.at(job.number, attempt=attempt)
        if int(shift.move(mask, nearest=True).sum()) >= KEPT * int(mask.sum()):
            return shift
    raise ValueError(
        f"No pose of {MOST_ATTEMPTS} keeps {KEPT:.0%} of the defect of "
        f"{job.source.image_path} in sight. Narrow rotation, crop and translation of "
        "the settings."
    )
