"""Image scores and verdicts of one model on one class, from a run or from its file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from adlib._files import replacing
from adlib._typing import BoolArray, Float64Array
from adlib.datasets import ANOMALOUS
from adlib.study._runs import Run

COLUMNS = ("method", "class", "image", "defect_type", "label", "score", "verdict")


@dataclass(frozen=True, eq=False)
class ImageScores:
    """What a model said of the test images of a class.

    Attributes:
        method: What the model is called.
        class_name: The class.
        images: File names, (n_images,).
        defect_types: What each shows, (n_images,).
        anomalous: (n_images,) bool.
        scores: (n_images,) float64; NaN where an image was skipped.
        called: Which were called anomalous, (n_images,) bool.

    Example:
        >>> import numpy as np
        >>> from adlib.study import ImageScores
        >>> anomalous, scores = np.array([False, True]), np.array([0.2, np.nan])
        >>> found = ImageScores(
        ...     "any", "part", ("0.png", "1.png"), ("good", "crack"),
        ...     anomalous, scores, scores > 0.5)
        >>> found.usable.tolist()
        [True, False]
    """

    method: str
    class_name: str
    images: tuple[str, ...]
    defect_types: tuple[str, ...]
    anomalous: BoolArray
    scores: Float64Array
    called: BoolArray

    @classmethod
    def of(cls, run: Run) -> Self:
        """Take the scores of the test images from a run.

        Args:
            run: What ``run_on_split`` gave.

        Returns:
            Scores, and verdicts at the run's threshold.
        """
        samples = run.test.samples
        return cls(
            run.method,
            run.class_name,
            tuple(sample.image_path.name for sample in samples),
            tuple(sample.defect_type for sample in samples),
            run.test.anomalous,
            run.test.scores,
            run.test.scores > run.threshold,
        )

    @property
    def usable(self) -> BoolArray:
        """Which images were scored, (n_images,)."""
        return ~np.isnan(self.scores)


def write_scores(scores: Sequence[ImageScores], path: Path) -> None:
    """Write scores as CSV, one image a row, whole or not at all.

    Args:
        scores: Each method once a class.
        path: The file; its folder is made.

    Raises:
        OSError: The folder cannot be written to.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> import numpy as np
        >>> from adlib.study import ImageScores, write_scores
        >>> scores = ImageScores("PatchCore", "part", ("0.png",), ("good",),
        ...                      np.array([False]), np.array([0.25]), np.array([False]))
        >>> with TemporaryDirectory() as folder:
        ...     write_scores([scores], Path(folder, "scores.csv"))
        ...     print(Path(folder, "scores.csv").read_text().splitlines()[1])
        PatchCore,part,0.png,good,0,0.25,0
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for one in scores:
            writer.writerows(_rows(one))


def read_scores(path: Path) -> list[ImageScores]:
    """Read what ``write_scores`` wrote.

    Args:
        path: The file.

    Returns:
        Scores by method and class, in the file's order.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is another file.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.study import read_scores, write_scores
        >>> with TemporaryDirectory() as folder:
        ...     write_scores([], Path(folder, "scores.csv"))
        ...     read_scores(Path(folder, "scores.csv"))
        []
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        if tuple(next(reader, ())) != COLUMNS:
            raise ValueError(
                f"{str(path)!r} must hold the columns {', '.join(COLUMNS)}. Run the "
                "phase that writes it again."
            )
        grouped: dict[tuple[str, str], list[list[str]]] = {}
        for row in reader:
            grouped.setdefault((row[0], row[1]), []).append(row[2:])
    return [_from_rows(*key, rows) for key, rows in grouped.items()]


def _rows(one: ImageScores) -> Iterator[list[object]]:
    for place, score in enumerate(one.scores):
        verdict = "" if np.isnan(score) else int(one.called[place])
        known = [one.method, one.class_name, one.images[place], one.defect_types[place]]
        yield [*known, int(one.anomalous[place]), repr(float(score)), verdict]


def _from_rows(
    method: str, class_name: str, rows: Iterable[Sequence[str]]
) -> ImageScores:
    images, defect_types, labels, scores, verdicts = zip(*rows, strict=True)
    return ImageScores(
        method,
        class_name,
        images,
        defect_types,
        np.array([int(label) == ANOMALOUS for label in labels]),
        np.array([float(score) for score in scores]),
        np.array([verdict == "1" for verdict in verdicts]),
    )
