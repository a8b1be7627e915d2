"""Which parts of a shift hurt, how much of them, and whether one shift trains another.

Images are shifted as they are read, so that no second data set is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from adlib._typing import AnyArray, BoolArray, Float64Array
from adlib.datasets import ANOMALOUS, Sample, ShiftDomainTransform, ShiftSettings
from adlib.datasets._shift_settings import GEOMETRIC, PARTS, PHOTOMETRIC, SEVERITIES
from adlib.estimators import AnomalyDetector
from adlib.images import read_image
from adlib.images._pixels import as_pixels
from adlib.metrics import delong_test
from adlib.study._intervals import auroc_interval
from adlib.study._json import plain
from adlib.study._tables import text_table

if TYPE_CHECKING:
    from adlib.datasets._splits import ClassSplit

NOT_SHIFTED = "not shifted"
EVERYTHING = "all parts"


@dataclass(frozen=True)
class ShiftRow:
    """What a model is worth on images of one shift.

    Attributes:
        method: What the model is called.
        class_name: The class.
        learned_from: Which shift its training images had.
        judged_on: Which shift the judged images had.
        severity: How far that went, "mild", "moderate" or "severe"; "" where not.
        n_images: Test images judged.
        auroc: Image AUROC.
        auroc_low: Lower bound at 95 percent confidence, by the bootstrap.
        auroc_high: Upper bound.
        difference: Its AUROC less that of the same model on the images not shifted.
        p_value: Of the difference, by DeLong's test.
    """

    method: str
    class_name: str
    learned_from: str
    judged_on: str
    severity: str
    n_images: int
    auroc: float
    auroc_low: float
    auroc_high: float
    difference: float
    p_value: float

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        found: dict[str, Any] = plain(asdict(self))
        return found


def shift_variants(
    settings: ShiftSettings,
) -> Iterator[tuple[str, str, ShiftSettings]]:
    """Yield name, severity and settings of every shift that the study takes apart.

    Each part alone, where it is switched on; poses and cameras, each alone; and all
    parts, mild, moderate and severe. Light falls unevenly on every image where
    illumination stands alone, so that it is the light that is measured.

    Args:
        settings: The study's shift.

    Yields:
        Name, severity and settings of each.

    Example:
        >>> from adlib.datasets import ShiftSettings
        >>> from adlib.study import shift_variants
        >>> [name for name, _, _ in shift_variants(ShiftSettings().only("blur"))]
        ['blur', 'geometric', 'photometric', 'all parts', 'all parts', 'all parts']
    """
    on = [part for part in PARTS if getattr(settings, part) is not None]
    for part in on:
        alone = settings.only(part)
        if part == "illumination":
            yield part, "moderate", ShiftSettings(**_lit(alone))
        else:
            yield part, "moderate", alone
    yield "geometric", "moderate", settings.only(*GEOMETRIC)
    yield "photometric", "moderate", settings.only(*PHOTOMETRIC)
    for severity in SEVERITIES:
        yield EVERYTHING, severity, settings.scaled(severity)


def shifted_images(
    samples: Sequence[Sample], settings: ShiftSettings | None, seed: int
) -> Iterator[AnyArray]:
    """Yield images as a shift makes them, in order.

    Args:
        samples: The images.
        settings: What the shift draws from; None: nothing is shifted.
        seed: Of the first image; each further one has the next.

    Yields:
        (height, width, 3) uint8, at the image's own size.

    Raises:
        ImageError: An image is unusable.
        TypeError, ValueError: ``seed`` is not an integer of at least 0.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> from adlib.datasets import Sample
        >>> from adlib.study import shifted_images
        >>> with TemporaryDirectory() as folder:
        ...     Image.new("L", (8, 6)).save(Path(folder, "0.png"))
        ...     sample = Sample(Path(folder, "0.png"), 0, "good", None, "part", "test")
        ...     [image.shape for image in shifted_images([sample], None, 42)]
        [(6, 8, 3)]
    """
    transform = (
        None if settings is None else ShiftDomainTransform(settings, random_state=seed)
    )
    for number, sample in enumerate(samples):
        pixels = as_pixels(read_image(sample.image_path), str(sample.image_path))
        if pixels.ndim == 2:  # noqa: PLR2004 - grey
            pixels = np.repeat(pixels[:, :, None], 3, axis=2)
        if transform is not None:
            planes = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
            no_mask = torch.zeros((1, *planes.shape[1:]), dtype=torch.uint8)
            image, _ = transform.at(number)(planes, no_mask)
            pixels = image.numpy().transpose(1, 2, 0)
        # As a file would hold it.
        yield np.round(255 * np.clip(pixels, 0.0, 1.0)).astype(np.uint8)


def ablate_shift(
    models: Mapping[str, AnomalyDetector],
    samples: Sequence[Sample],
    settings: ShiftSettings,
    *,
    learned_from: str = NOT_SHIFTED,
    seed: int = 42,
) -> Iterator[ShiftRow]:
    """Judge fitted models on the same images under every shift.

    Args:
        models: By what they are called.
        samples: Images of one class, of both kinds.
        settings: The study's shift.
        learned_from: What the rows say that the models learned from.
        seed: Of the shift.

    Yields:
        One row for each model and shift, not shifted first.

    Raises:
        ValueError: There are fewer than two normal or two anomalous images.
        ImageError: An image is unusable.
        NotFittedError: A model was not fitted.
    """
    variants = [(NOT_SHIFTED, "", None), *shift_variants(settings)]
    yield from _judge(models, samples, variants, learned_from, seed)


def cross_shifts(
    new: Mapping[str, AnomalyDetector],
    split: ClassSplit,
    settings: ShiftSettings,
    *,
    seed: int = 42,
) -> Iterator[ShiftRow]:
    """Learn from one shift and judge on another, every pair of three domains.

    The domains are the images as they are, moved alone (rotation, crop, translation),
    and of another camera and light alone (all other parts).

    Args:
        new: Unfitted detectors, by what they are called; they stay as they are.
        split: Whose training images are learned and whose test images are judged.
        settings: The study's shift.
        seed: Of the shift.

    Yields:
        One row for each detector and pair.

    Raises:
        ValueError: There are fewer than two normal or two anomalous test images.
        ImageError: An image is unusable.
    """
    others = [part for part in PARTS if part not in GEOMETRIC]
    domains: list[tuple[str, str, ShiftSettings | None]] = [
        (NOT_SHIFTED, "", None),
        ("geometric", "moderate", settings.only(*GEOMETRIC)),
        ("photometric and light", "moderate", settings.only(*others)),
    ]
    for name, _, domain in domains:
        # Other draws than those of the images judged.
        first = seed + len(split.test)
        models = {}
        for method, unfitted in new.items():
            models[method] = type(unfitted)(**unfitted.get_params())
            models[method].fit(shifted_images(split.train, domain, first))
        yield from _judge(models, split.test, domains, name, seed)


def shift_table(rows: Sequence[ShiftRow]) -> str:
    """Return what shifts cost as a table for people.

    Args:
        rows: What ``ablate_shift`` or ``cross_shifts`` gave.

    Returns:
        A heading, and a line for each row.

    Example:
        >>> from adlib.study import shift_table
        >>> shift_table([]).split()[:2]
        ['method', 'class']
    """
    columns = ["method", "class", "learned from", "judged on", "", "images", "AUROC"]
    lines = [
        [
            row.method,
            row.class_name,
            row.learned_from,
            row.judged_on,
            row.severity,
            f"{row.n_images}",
            f"{row.auroc:.4f}",
            f"[{row.auroc_low:.3f}, {row.auroc_high:.3f}]",
            f"{row.difference:+.4f}",
            f"{row.p_value:.2g}",
        ]
        for row in rows
    ]
    return text_table([*columns, "95 % interval", "change", "p"], lines, n_names=5)


def _judge(
    models: Mapping[str, AnomalyDetector],
    samples: Sequence[Sample],
    variants: Sequence[tuple[str, str, ShiftSettings | None]],
    learned_from: str,
    seed: int,
) -> Iterator[ShiftRow]:
    """Judge models on images under some shifts, of which the first is none."""
    anomalous = np.array([sample.label == ANOMALOUS for sample in samples])
    unshifted: dict[str, Float64Array] = {}
    for name, severity, settings in variants:
        images = list(shifted_images(samples, settings, seed))
        for method, model in models.items():
            scores = model.score(images).astype(np.float64)
            before = unshifted.setdefault(method, scores)
            keys = (method, samples[0].class_name, learned_from, name, severity)
            yield _row(keys, anomalous, scores, before, seed)


def _row(
    keys: tuple[str, str, str, str, str],
    anomalous: BoolArray,
    scores: Float64Array,
    before: Float64Array,
    seed: int,
) -> ShiftRow:
    found = auroc_interval(anomalous, scores, seed)
    test = delong_test(anomalous, scores, before)
    bounds = (found.value, found.low, found.high)
    return ShiftRow(*keys, len(scores), *bounds, test.difference, test.p_value)


def _lit(settings: ShiftSettings) -> dict[str, Any]:
    return {**settings.as_dict(), "illumination_ratio": 1.0}
