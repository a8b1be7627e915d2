"""Thresholds of runs, and what lies behind their figures, as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adlib.study._json import plain, write_json
from adlib.study._runs import Run
from adlib.study._scores import ImageScores, write_scores


def write_thresholds(runs: Sequence[Run], path: Path) -> None:
    """Write thresholds by method and class as JSON, whole or not at all.

    Args:
        runs: Each method once a class.
        path: The file; its folder is made.

    Raises:
        ValueError: A threshold is infinite.
        OSError: The folder cannot be written to.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.datasets import Sample
        >>> from adlib.study import Predictions, Run, evaluate, write_thresholds
        >>> samples = [Sample(Path("0.png"), 0, "good", None, "part", "test")]
        >>> scores = Predictions.from_scores([1.0], samples)
        >>> found = evaluate(scores, samples, 3.5)
        >>> run = Run("any", "part", 3.5, scores, scores, found)
        >>> with TemporaryDirectory() as folder:
        ...     write_thresholds([run], Path(folder, "thresholds.json"))
        ...     Path(folder, "thresholds.json").read_text().split()
        ['{', '"any":', '{', '"part":', '3.5', '}', '}']
    """
    found: dict[str, dict[str, float]] = {}
    for run in runs:
        found.setdefault(run.method, {})[run.class_name] = run.threshold
    write_json(found, path)


def write_run_details(runs: Sequence[Run], folder: Path, name: str) -> None:
    """Write what lies behind the figures, ``{name}.json`` and ``{name}_scores.csv``.

    The JSON file holds, by method and class, the other rules for the threshold, the
    other ways from a map to a score, and the map from scores to probabilities with its
    errors; the CSV file the score and verdict of every test image.

    Args:
        runs: Each method once a class.
        folder: Made if it is not there.
        name: Of the files; those of these names are replaced whole.

    Raises:
        ValueError: Validation or test images of a run are not of both kinds.
        OSError: The folder cannot be written to.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.datasets import Sample
        >>> from adlib.study import Predictions, Run, evaluate, write_run_details
        >>> samples = [
        ...     Sample(Path(f"{i}.png"), i % 2, "good", None, "part", "test")
        ...     for i in range(8)]
        >>> scores = Predictions.from_scores([1, 3, 2, 4, 1, 2, 3, 5], samples)
        >>> run = Run("any", "part", 2.5, scores, scores, evaluate(scores, samples))
        >>> with TemporaryDirectory() as folder:
        ...     write_run_details([run], Path(folder), "clean")
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['clean.json', 'clean_scores.csv']
    """
    details: dict[str, dict[str, object]] = {}
    for run in runs:
        calibration = run.calibration()
        details.setdefault(run.method, {})[run.class_name] = {
            "threshold_rules": plain(run.threshold_rules()),
            "aggregations": plain(run.aggregations()),
            "probabilities": calibration.probabilities.as_dict(),
            "expected_calibration_error": calibration.expected_error,
            "brier_score": calibration.brier_score,
        }
    write_json(details, folder / f"{name}.json")
    scores = [ImageScores.of(run) for run in runs]
    write_scores(scores, folder / f"{name}_scores.csv")
