"""Fit the detectors of the study, class by class, and keep how that went."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adlib._typing import BoolArray
from adlib.datasets import ANOMALOUS, Sample
from adlib.estimators import AnomalyDetector, PaDiM, PatchCore
from adlib.features._feature_cache import without_feature_cache
from adlib.metrics import compute_auroc
from adlib.study._json import plain, write_json
from adlib.study._model_facts import model_facts
from adlib.study._tables import text_table
from adlib.thresholds import calibrate_threshold

if TYPE_CHECKING:
    from adlib.datasets._splits import ClassSplit
    from adlib.study._config import Config


@dataclass(frozen=True)
class Fitting:
    """How a model was learned, and how it does on the validation images.

    Attributes:
        method: "PatchCore" or "PaDiM".
        class_name: What it learned.
        setting: What it was learned with, where settings are compared.
        n_training: Images learned from.
        fit_seconds: Time to read and learn them.
        score_milliseconds: Mean time to read and score one validation image.
        megabytes: Size of the model file; None: it was not saved.
        val_auroc: Image AUROC on the validation images.
        threshold: What maximises F1 there.
        learned: What the model says of itself.
        facts: ``model_facts``, and as "threshold" its rule and the numbers of normal
            and anomalous images that it was set on.
    """

    method: str
    class_name: str
    setting: str
    n_training: int
    fit_seconds: float
    score_milliseconds: float
    megabytes: float | None
    val_auroc: float
    threshold: float
    learned: str
    facts: dict[str, Any] = field(default_factory=dict)


def new_patchcore(config: Config, coreset: float | None = None) -> PatchCore:
    """Return an unfitted PatchCore as the configuration has it.

    Args:
        config: The study's.
        coreset: Another share of patches than the configuration's, (0, 1]; None: that.

    Returns:
        The detector; parameters that the configuration does not name are its defaults.

    Example:
        >>> from adlib.study import Config, new_patchcore
        >>> new_patchcore(Config(), coreset=0.01).coreset
        0.01
    """
    return PatchCore(
        backbone=config.backbone.name,
        image_size=config.backbone.image_size,
        coreset=config.patchcore.coreset if coreset is None else coreset,
        random_state=config.seed,
    )


def new_padim(config: Config) -> PaDiM:
    """Return an unfitted PaDiM as the configuration has it.

    Args:
        config: The study's.

    Returns:
        The detector; parameters that the configuration does not name are its defaults.

    Example:
        >>> from adlib.study import Config, new_padim
        >>> new_padim(Config()).n_channels
        160
    """
    return PaDiM(
        backbone=config.backbone.name,
        image_size=config.backbone.image_size,
        n_channels=config.padim.n_channels,
        regularization=config.padim.regularization,
        random_state=config.seed,
    )


def fit_on_split(
    model: AnomalyDetector,
    split: ClassSplit,
    *,
    setting: str = "",
    path: Path | None = None,
) -> Fitting:
    """Fit a model on a split's training images and set its threshold on validation.

    Args:
        model: Unfitted; fitted and calibrated afterwards.
        split: Test images are not touched.
        setting: Noted in the result.
        path: Where the model is saved; its folder is made. None: nowhere.

    Returns:
        How it went.

    Raises:
        ValueError: The validation images are all normal or all anomalous.
        ImageError: An image is unusable.
        OSError: The model cannot be saved.
    """
    paths, labels = _labelled(split.val)
    with without_feature_cache():
        started = time.perf_counter()
        model.fit([sample.image_path for sample in split.train])
        fit_seconds = time.perf_counter() - started
        started = time.perf_counter()
        scores = model.score(paths)
        per_image = (time.perf_counter() - started) / len(paths)
    normal = scores[~labels].astype(np.float64)
    threshold = calibrate_threshold(normal, scores[labels].astype(np.float64))
    model.threshold_ = threshold
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        model.save(path)
    rule = {
        "rule": "best F1",
        "n_normal": len(normal),
        "n_anomalous": int(labels.sum()),
    }
    return Fitting(
        method=type(model).__name__,
        class_name=split.class_name,
        setting=setting,
        n_training=len(split.train),
        fit_seconds=fit_seconds,
        score_milliseconds=1000 * per_image,
        megabytes=None if path is None else path.stat().st_size / 1e6,
        val_auroc=compute_auroc(labels, scores),
        threshold=threshold,
        learned=what_was_learned(model),
        facts={**model_facts(model), "threshold": rule},
    )


def what_was_learned(model: AnomalyDetector) -> str:
    """Return what a fitted model says of itself, in one line."""
    return "; ".join(f"{name} {text}" for name, text in model.describe().items())


def fitting_table(fittings: Sequence[Fitting]) -> str:
    """Return how fitting went as a table for people.

    Args:
        fittings: What ``fit_on_split`` gave.

    Returns:
        A heading, and a line for each model.

    Example:
        >>> from adlib.study import Fitting, fitting_table
        >>> found = Fitting("PaDiM", "part", "", 40, 2.5, 20.0, None, 0.99, 7.5, "")
        >>> fitting_table([found]).splitlines()[1].split()
        ['PaDiM', 'part', '40', '2.5', '20.0', '-', '0.9900', '7.5']
    """
    columns = ["method", "class", "setting", "images", "fit s", "ms an image"]
    columns += ["model MB", "val AUROC", "threshold"]
    rows = [
        [
            one.method,
            one.class_name,
            one.setting,
            f"{one.n_training}",
            f"{one.fit_seconds:.1f}",
            f"{one.score_milliseconds:.1f}",
            "-" if one.megabytes is None else f"{one.megabytes:.1f}",
            f"{one.val_auroc:.4f}",
            f"{one.threshold:.4g}",
        ]
        for one in fittings
    ]
    return text_table(columns, rows, n_names=3)


def write_fittings(
    fittings: Sequence[Fitting], folder: Path, name: str, notes: dict[str, Any]
) -> None:
    """Write how fitting went as ``{name}.json``, whole or not at all.

    Args:
        fittings: What ``fit_on_split`` gave.
        folder: Made if it is not there.
        name: Of the file, without suffix.
        notes: What the file says beside them.

    Raises:
        OSError: The folder cannot be written to.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.study import write_fittings
        >>> with TemporaryDirectory() as folder:
        ...     write_fittings([], Path(folder), "clean", {"seed": 42})
        ...     Path(folder, "clean.json").read_text().split()
        ['{', '"seed":', '42,', '"fittings":', '[]', '}']
    """
    content = {**notes, "fittings": [asdict(one) for one in fittings]}
    write_json(plain(content), folder / f"{name}.json")


def _labelled(samples: Sequence[Sample]) -> tuple[list[Path], BoolArray]:
    paths = [sample.image_path for sample in samples]
    return paths, np.array([sample.label == ANOMALOUS for sample in samples])
