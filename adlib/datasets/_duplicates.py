"""Find images that show the same, and tell when that spoils a result."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator

from adlib.datasets._examine import Finding
from adlib.datasets._problems import Kind, Problem
from adlib.datasets._samples import Sample

SPLITS = ("train", "validation", "test")  # the first of alike images is the original


def find_duplicates(findings: Iterable[Finding]) -> Iterator[Problem]:
    """Yield a problem for each image that shows the same as an earlier one."""
    readable = sorted(
        (f for f in findings if f.size is not None),
        key=lambda f: SPLITS.index(f.sample.split),
    )
    originals: list[Finding] = []
    for alike in _groups((f.sample.class_name, f.digest) for f in readable):
        first, *others = (readable[i] for i in alike)
        originals.append(first)
        for other in others:
            yield _problem(first.sample, other.sample)
    for alike in _groups(f.digest for f in originals):  # of other classes
        first, *others = (originals[i] for i in alike)
        for other in others:
            yield _told("duplicate image", first.sample, other.sample)


def _groups(keys: Iterable[Hashable]) -> list[list[int]]:
    """Return the positions of equal keys, in order."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for position, key in enumerate(keys):
        groups[key].append(position)
    return list(groups.values())


def _problem(first: Sample, other: Sample) -> Problem:
    if first.split != other.split:
        return _told("shared by splits", first, other)
    if first.label != other.label:
        return _told("two labels", first, other)
    return _told("duplicate image", first, other)


def _told(kind: Kind, first: Sample, other: Sample) -> Problem:
    text = (
        f"({other.split}, {other.defect_type}) shows the same, pixel by pixel, as "
        f"{first.image_path} ({first.split}, {first.defect_type})"
    )
    return Problem(other.class_name, kind, other.image_path, text)
