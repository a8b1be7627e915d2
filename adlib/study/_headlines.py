"""The study's main figures in one table, from its saved results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from adlib.study._saved_results import SavedResult, read_results
from adlib.study._tables import text_table

# What was done, and what its files are called.
CONDITIONS = {
    "clean": "clean",
    "shifted": "shifted_no_adaptation",
    "shifted, new threshold": "shift_threshold_only",
    "shifted, learned anew": "shift_with_adaptation",
    "one model for all": "global",
}


def saved_conditions(
    results: Path,
) -> Iterator[tuple[str, str, list[SavedResult]]]:
    """Yield condition, method and the results of its classes; skip missing files."""
    for condition, stem in CONDITIONS.items():
        path = results / f"{stem}_results.json"
        if not path.is_file():
            continue
        found = read_results(path)
        for method in dict.fromkeys(one.method for one in found):
            yield condition, method, [one for one in found if one.method == method]


def headline_table(results: Path, metrics: Sequence[str]) -> str:
    """Return each condition's figures, averaged over classes.

    Args:
        results: The folder of the results; conditions without a file are left out.
        metrics: The columns, by the names that configurations use.

    Returns:
        A heading, and a line for each condition and method; "-" where a class lacks a
        figure.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.datasets import Sample
        >>> from adlib.study import evaluate, headline_table, write_results
        >>> samples = [
        ...     Sample(Path(f"{i}.png"), i % 2, "good", None, "part", "test")
        ...     for i in range(4)]
        >>> with TemporaryDirectory() as folder:
        ...     found = evaluate([1, 2, 2, 4], samples)
        ...     _ = write_results([found], Path(folder), "clean_results")
        ...     print(headline_table(Path(folder), ["image_auroc"]))
        macro average  method   auroc
        clean          scores  0.8750
    """
    names = [metric.removeprefix("image_").replace("_", " ") for metric in metrics]
    rows = []
    for condition, method, classes in saved_conditions(results):
        cells = [_mean(classes, metric) for metric in metrics]
        rows.append([condition, method, *cells])
    return text_table(["macro average", "method", *names], rows, n_names=2)


def _mean(classes: Sequence[SavedResult], metric: str) -> str:
    figures = [one.figure(metric) for one in classes]
    known = [figure.value for figure in figures if figure is not None]
    return f"{np.mean(known):.4f}" if len(known) == len(figures) else "-"
