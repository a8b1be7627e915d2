"""Which pictures of a data set, and of its shifted twin, are worth a look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from adlib._typing import BoolArray, Float32Array
from adlib.datasets import (
    ANOMALOUS,
    NORMAL,
    Sample,
    ShiftDomainTransform,
    ShiftSettings,
    read_mask,
)
from adlib.datasets._shift import LightGradient, Shift
from adlib.datasets._shift_pixels import LIGHTS
from adlib.datasets._shift_settings import PARTS, SEVERITIES
from adlib.datasets._shifted_splits import ShiftedSplit
from adlib.datasets._splits import ClassSplit
from adlib.images import read_image
from adlib.images._pixels import as_pixels
from adlib.report._picture_grid import Picture

if TYPE_CHECKING:
    import torch

Row: TypeAlias = tuple[str, list[Picture | None]]
MOST = 7  # pictures a row
RADIAL_CENTRE = (0.35, 0.65)  # off the middle, so that the corners differ
UNCHANGED = Shift(0.0, 1.0, (0.0, 0.0), (1.0, 1.0, 1.0), None, 1, 0.0, ())


def example_rows(samples: Sequence[Sample], n_pictures: int = MOST) -> list[Row]:
    """Return good images, anomalous ones with outlines, and their masks.

    Args:
        samples: Those of one class.
        n_pictures: How many of each; every defect type comes before any comes twice.

    Returns:
        Rows for ``picture_grid``, each a heading and its pictures; those of anomalous
        images and of masks only where there are any.

    Raises:
        ImageError: An image or mask is unusable.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> from adlib.datasets import Sample
        >>> from adlib.report import example_rows
        >>> with TemporaryDirectory() as folder:
        ...     Image.new("L", (8, 6)).save(Path(folder, "0.png"))
        ...     sample = Sample(Path(folder, "0.png"), 0, "good", None, "part", "test")
        ...     [(name, len(pictures)) for name, pictures in example_rows([sample])]
        [('good', 1)]
    """
    good = [s for s in samples if s.label == NORMAL]
    chosen = _in_turn([s for s in samples if s.label == ANOMALOUS], n_pictures)
    rows: list[Row] = [("good", [_picture(s) for s in _spread(good, n_pictures)])]
    if chosen:
        rows.append(("anomalous", [_picture(s, s.defect_type) for s in chosen]))
    if any(sample.mask_path is not None for sample in chosen):
        rows.append(("masks", [_mask_picture(sample) for sample in chosen]))
    return rows


def pair_rows(
    clean: ClassSplit, shifted: ShiftedSplit, n_pictures: int = MOST
) -> list[Row]:
    """Return clean images of the test part above their shifted twins.

    Args:
        clean: The split of a class.
        shifted: Its shifted twin, of the same test images in the same order.
        n_pictures: Pairs, of which up to two are good; every defect type comes before
            any comes twice.

    Returns:
        Two rows for ``picture_grid``, "clean" and "shifted".

    Raises:
        ImageError: An image or mask is unusable.
        ValueError: The test parts differ in length.
    """
    pairs = list(zip(clean.test, shifted.test, strict=True))
    twins = {original.image_path: twin for original, twin in pairs}
    anomalous = [original for original, _ in pairs if original.label == ANOMALOUS]
    good = [original for original, _ in pairs if original.label == NORMAL]
    chosen = _in_turn(anomalous, n_pictures - 2) + _spread(good, 2)
    return [
        ("clean", [_picture(s, s.defect_type) for s in chosen]),
        ("shifted", [_picture(twins[s.image_path], "") for s in chosen]),
    ]


def light_rows(sample: Sample, settings: ShiftSettings) -> list[Row]:
    """Return one image under every kind of light, as weak and as strong as it gets.

    Args:
        sample: The image.
        settings: Of whose range of illumination the ends are shown; where it is
            switched off, the study's.

    Returns:
        Two rows for ``picture_grid``, the weakest and the strongest light.

    Raises:
        ImageError: The image is unusable.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> from adlib.datasets import Sample, ShiftSettings
        >>> from adlib.report import light_rows
        >>> with TemporaryDirectory() as folder:
        ...     Image.new("L", (64, 64), 128).save(Path(folder, "0.png"))
        ...     sample = Sample(Path(folder, "0.png"), 0, "good", None, "part", "test")
        ...     [name for name, _ in light_rows(sample, ShiftSettings())]
        ['strength 0.4', 'strength 0.7']
    """
    low, high = settings.illumination or ShiftSettings().illumination or (0.0, 0.0)
    pixels = _pixels(sample.image_path)
    rows: list[Row] = []
    for strength in (low, high):
        pictures: list[Picture | None] = [Picture(pixels, "as it is")]
        for kind in LIGHTS:
            gradient = LightGradient(kind, strength, RADIAL_CENTRE)
            shift = replace(UNCHANGED, gradient=gradient)
            pictures.append(Picture(_shifted(pixels, shift), kind))
        rows.append((f"strength {strength:g}", pictures))
    return rows


def part_rows(sample: Sample, settings: ShiftSettings, seed: int) -> list[Row]:
    """Return one image shifted by each part alone and by all, at every severity.

    Args:
        sample: The image.
        settings: What the shifts draw from; every image is lit unevenly.
        seed: Of the draw, at least 0.

    Returns:
        A row for ``picture_grid`` for each severity.

    Raises:
        ImageError: The image is unusable.
        TypeError, ValueError: ``seed`` is not an integer of at least 0.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> from adlib.datasets import Sample, ShiftSettings
        >>> from adlib.report import part_rows
        >>> with TemporaryDirectory() as folder:
        ...     Image.new("L", (64, 64), 128).save(Path(folder, "0.png"))
        ...     sample = Sample(Path(folder, "0.png"), 0, "good", None, "part", "test")
        ...     rows = part_rows(sample, ShiftSettings(), seed=42)
        >>> [(name, len(pictures)) for name, pictures in rows]
        [('mild', 8), ('moderate', 8), ('severe', 8)]
    """
    pixels = _pixels(sample.image_path)
    lit = replace(settings, illumination_ratio=1.0)
    rows: list[Row] = []
    for severity in SEVERITIES:
        scaled = lit.scaled(severity)
        pictures: list[Picture | None] = []
        for name, some in [*((part, (part,)) for part in PARTS), ("all", PARTS)]:
            shift = ShiftDomainTransform(scaled.only(*some), random_state=seed).at(0)
            pictures.append(Picture(_shifted(pixels, shift), name))
        rows.append((severity, pictures))
    return rows


def _in_turn(samples: Sequence[Sample], most: int) -> list[Sample]:
    """Return up to so many samples, one of each defect type after the other."""
    alike: dict[str, list[Sample]] = {}
    for sample in samples:
        alike.setdefault(sample.defect_type, []).append(sample)
    chosen: list[Sample] = []
    n_rounds = max(map(len, alike.values()), default=0)
    for turn in range(n_rounds):
        chosen += [found[turn] for found in alike.values() if turn < len(found)]
    return sorted(chosen[:most], key=lambda sample: sample.defect_type)


def _spread(samples: Sequence[Sample], most: int) -> list[Sample]:
    """Return up to so many samples, evenly from first to last."""
    if len(samples) <= most:
        return list(samples)
    return [samples[i] for i in np.linspace(0, len(samples) - 1, most).astype(int)]


def _pixels(path: Path) -> Float32Array:
    return as_pixels(read_image(path), str(path))


def _mask(sample: Sample) -> BoolArray | None:
    return None if sample.mask_path is None else read_mask(sample.mask_path)


def _picture(sample: Sample, title: str | None = None) -> Picture:
    name = sample.image_path.stem if title is None else title
    return Picture(_pixels(sample.image_path), name, _mask(sample))


def _mask_picture(sample: Sample) -> Picture | None:
    mask = _mask(sample)
    return None if mask is None else Picture(mask.astype(np.float32))


def _shifted(pixels: Float32Array, shift: Shift) -> Float32Array:
    """Return pixels, grey or colour, after a shift."""
    import torch  # noqa: PLC0415 - heavy

    grey = pixels.ndim == 2  # noqa: PLR2004 - dimensions
    planes = pixels[None] if grey else pixels.transpose(2, 0, 1)
    image: torch.Tensor = torch.from_numpy(np.ascontiguousarray(planes))
    moved, _ = shift(image, torch.zeros_like(image[:1]).to(torch.uint8))
    values: Float32Array = moved.numpy()
    return values[0] if grey else values.transpose(1, 2, 0)
