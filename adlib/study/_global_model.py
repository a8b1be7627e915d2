"""One model for all classes: what it costs, and whose patches answer for whose."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from adlib._typing import BoolArray, Int64Array
from adlib.datasets import ANOMALOUS, Sample
from adlib.datasets._splits import ClassSplit
from adlib.estimators import PatchCore
from adlib.metrics import compute_auroc, delong_test
from adlib.neighbors import MemoryBank
from adlib.study._json import plain
from adlib.study._predictions import Masks, Predictions
from adlib.study._scores import ImageScores
from adlib.study._tables import text_table

GLOBAL = "global"


@dataclass(frozen=True)
class NeighbourShares:
    """Which classes the bank entries belong to that are nearest to some patches.

    Attributes:
        class_name: The class of the test images.
        kind: "normal": all patches of normal images; "defect": the patches of anomalous
            images that their masks mark; "worst": of each anomalous image the patch
            that lies furthest from the bank.
        n_patches: How many.
        shares: Of them by the class of the nearest entry; they add up to 1.
    """

    class_name: str
    kind: str
    n_patches: int
    shares: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        found: dict[str, Any] = plain(asdict(self))
        return found


@dataclass(frozen=True)
class Shortcut:
    """Whether other classes' entries make the anomalies of a class look normal.

    You et al. (2022) call it the identical shortcut that a model of many classes passes
    anomalies through as well as what it learned. A memory bank cannot copy its input,
    but an anomaly of one class may lie near what is normal in another. The entries of
    all classes and of the class alone, taken from one and the same global bank, differ
    in nothing else.

    Attributes:
        class_name: The class.
        n_entries_alone: Entries of the class's own model.
        n_entries_kept: Entries of the class in the global bank.
        auroc_alone: Test AUROC of the class's own model.
        auroc_own_entries: Of the global bank without the other classes' entries.
        auroc_global: Of the whole global bank.
        difference: Of the last two: what the other classes' entries change.
        low: Lower bound of it at 95 percent confidence, by DeLong.
        high: Upper bound.
        p_value: Of it, by DeLong's test.
        n_normal: Normal test images.
        n_anomalous: Anomalous test images.
        normal_drop: How much the other classes' entries lower the score of a normal
            image: mean share of it, in [0, 1].
        anomalous_drop: Likewise of an anomalous image.
    """

    class_name: str
    n_entries_alone: int
    n_entries_kept: int
    auroc_alone: float
    auroc_own_entries: float
    auroc_global: float
    difference: float
    low: float
    high: float
    p_value: float
    n_normal: int
    n_anomalous: int
    normal_drop: float
    anomalous_drop: float

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        found: dict[str, Any] = plain(asdict(self))
        return found


def pooled_split(splits: Mapping[str, ClassSplit]) -> ClassSplit:
    """Return one split of all classes' training, validation and test images.

    Args:
        splits: By class, at least one; the classes stay in their order.

    Returns:
        A split of a class "global", with the seed of the first.

    Example:
        >>> from adlib.datasets._splits import ClassSplit
        >>> from adlib.study import pooled_split
        >>> splits = {name: ClassSplit(name, 42, (), (), ()) for name in ("a", "b")}
        >>> pooled_split(splits).class_name
        'global'
    """
    parts = [split.parts() for split in splits.values()]
    train, val, test = (
        tuple(sample for part in parts for sample in part[name])
        for name in ("train", "val", "test")
    )
    return ClassSplit(GLOBAL, next(iter(splits.values())).seed, train, val, test)


def neighbour_shares(
    model: PatchCore, train: Sequence[Sample], samples: Sequence[Sample]
) -> list[NeighbourShares]:
    """Say which classes' entries answer for the patches of test images.

    Args:
        model: Fitted on ``train``, all classes.
        train: What it learned from, in its order.
        samples: Test images of one class; anomalous ones without a mask count as
            "worst" alone.

    Returns:
        Shares for each kind of patches that there are.

    Raises:
        ValueError: ``train`` holds another number of images than the model learned
            from.
        ImageError: An image or mask is unusable.
    """
    names, entry_class = _classes_of_entries(model, train)
    grid = model.grid_
    masks = Masks(samples, grid)
    counts: dict[str, Int64Array] = {}

    def count(kind: str, nearest: Int64Array) -> None:
        found = np.bincount(entry_class[nearest], minlength=len(names))
        counts[kind] = counts.get(kind, np.zeros(len(names), np.int64)) + found

    for one in model.embeddings([sample.image_path for sample in samples]):
        sample = samples[one.position]
        queries = one.patches.reshape(-1, one.patches.shape[2])
        found = model.memory_bank_.kneighbors(queries)
        nearest = found.indices[:, 0]
        if sample.label != ANOMALOUS:
            count("normal", nearest)
            continue
        if sample.mask_path is not None:
            count("defect", nearest[masks[one.position].ravel()])
        count("worst", nearest[[found.distances[:, 0].argmax()]])
    return [
        NeighbourShares(
            samples[0].class_name,
            kind,
            int(counts[kind].sum()),
            dict(zip(names, (counts[kind] / counts[kind].sum()).tolist(), strict=True)),
        )
        for kind in ("normal", "defect", "worst")
        if kind in counts
    ]


def shortcut(
    model: PatchCore,
    train: Sequence[Sample],
    whole: Predictions,
    alone: ImageScores,
    n_entries_alone: int,
) -> Shortcut:
    """Measure what the other classes' entries do to the scores of a class.

    Args:
        model: Of all classes, fitted on ``train``.
        train: What it learned from, in its order.
        whole: What it says of the test images of a class.
        alone: What the class's own model says of the same images.
        n_entries_alone: Size of that model's bank.

    Returns:
        AUROC with and without the other classes' entries, and what these take away.

    Raises:
        ValueError: ``train`` holds another number of images than the model learned
            from, or the test images are not of both kinds.
        ImageError: An image is unusable.

    References:
        1. Z. You et al., "A unified model for multi-class anomaly detection", NeurIPS
           2022.
    """
    class_name = whole.samples[0].class_name
    names, entry_class = _classes_of_entries(model, train)
    own = entry_class == names.index(class_name)
    restricted = Predictions.of(_with_entries(model, own), whole.samples, maps=False)
    usable = whole.usable & restricted.usable & alone.usable
    anomalous = whole.anomalous[usable]
    every, some = whole.scores[usable], restricted.scores[usable]
    drop = 1.0 - every / np.where(some > 0.0, some, 1.0)
    test = delong_test(anomalous, every, some)
    return Shortcut(
        class_name=class_name,
        n_entries_alone=n_entries_alone,
        n_entries_kept=int(own.sum()),
        auroc_alone=compute_auroc(anomalous, alone.scores[usable]),
        auroc_own_entries=compute_auroc(anomalous, some),
        auroc_global=compute_auroc(anomalous, every),
        difference=test.difference,
        low=test.low,
        high=test.high,
        p_value=test.p_value,
        n_normal=int((~anomalous).sum()),
        n_anomalous=int(anomalous.sum()),
        normal_drop=float(drop[~anomalous].mean()),
        anomalous_drop=float(drop[anomalous].mean()),
    )


def shortcut_table(found: Sequence[Shortcut]) -> str:
    """Return what other classes' entries do as a table for people.

    Args:
        found: What ``shortcut`` gave.

    Returns:
        A heading, and a line for each class.

    Example:
        >>> from adlib.study import shortcut_table
        >>> shortcut_table([]).split()[:3]
        ['class', 'entries', 'alone']
    """
    columns = ["class", "entries alone", "kept", "AUROC alone", "own entries", "global"]
    rows = [
        [
            one.class_name,
            f"{one.n_entries_alone:,}",
            f"{one.n_entries_kept:,}",
            *(
                f"{auroc:.4f}"
                for auroc in (one.auroc_alone, one.auroc_own_entries, one.auroc_global)
            ),
            f"{one.p_value:.3g}",
            f"{100 * one.normal_drop:.2f} %",
            f"{100 * one.anomalous_drop:.2f} %",
        ]
        for one in found
    ]
    columns += ["p", "normal drop", "anomalous drop"]
    return text_table(columns, rows, n_names=1)


def neighbours_table(found: Sequence[NeighbourShares]) -> str:
    """Return whose entries answer for whose patches as a table for people.

    Args:
        found: What ``neighbour_shares`` gave, at least one.

    Returns:
        A heading, and a line for each class and kind of patches.

    Example:
        >>> from adlib.study import NeighbourShares, neighbours_table
        >>> found = NeighbourShares("a", "normal", 100, {"a": 0.9, "b": 0.1})
        >>> print(neighbours_table([found]))
        class  patches  number        a        b
        a      normal      100  90.00 %  10.00 %
    """
    names = list(found[0].shares)
    rows = [
        [
            one.class_name,
            one.kind,
            f"{one.n_patches:,}",
            *(f"{100 * one.shares[name]:.2f} %" for name in names),
        ]
        for one in found
    ]
    return text_table(["class", "patches", "number", *names], rows, n_names=2)


def _classes_of_entries(
    model: PatchCore, train: Sequence[Sample]
) -> tuple[list[str], Int64Array]:
    """Return class names, and of each bank entry the number of its class."""
    if len(train) != len(model.training_images_):
        raise ValueError(
            f"train must be the {len(model.training_images_)} images that the model "
            f"learned from; got {len(train)}."
        )
    names = sorted({sample.class_name for sample in train})
    numbers = np.array([names.index(sample.class_name) for sample in train])
    origins = model.memory_bank_.origins
    assert origins is not None  # PatchCore's own banks always know them
    return names, numbers[origins[:, 0]]


def _with_entries(model: PatchCore, chosen: BoolArray) -> PatchCore:
    """Return the model with some of its bank's entries alone."""
    bank = model.memory_bank_
    assert bank.origins is not None
    smaller = copy.copy(model)
    smaller.memory_bank_ = MemoryBank(
        bank.embeddings[chosen], origins=bank.origins[chosen], device=model.device
    )
    return smaller
