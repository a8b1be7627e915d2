"""Log a detector as its model file, and what MLflow calls to load it and to predict."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from adlib._validation import describe, refusal
from adlib._version import __version__
from adlib.estimators import AnomalyDetector, load

LOADER = "adlib.mlflow"  # stands in what is logged: it must stay importable
PATH = "path"  # of a table's columns the one that counts


def log_model(detector: AnomalyDetector, name: str = "model", **given: Any) -> Any:
    """Log a fitted detector as a model that ``mlflow.pyfunc.load_model`` loads.

    What is loaded has ``predict(X)``, which takes images as ``score`` does, or a table
    with a column "path", and returns a table with a row for each image, in order:
    ``path``, ``score``, ``verdict`` (+1 normal, -1 anomalous), ``decision``,
    ``threshold``, ``p_value`` and ``error``, as ``inspect`` gives them; of a detector
    without a threshold those that need one are None. Scores are those of the detector.

    Args:
        detector: A fitted detector.
        name: What MLflow calls the model.
        given: Whatever else ``mlflow.pyfunc.log_model`` takes, such as
            ``registered_model_name``.

    Returns:
        MLflow's ``ModelInfo``, whose ``model_uri`` ``load_model`` takes.

    Raises:
        NotFittedError: ``fit`` was not called.
        TypeError: ``detector`` is none, or ``given`` holds what this function itself
            passes.
        ImportError: MLflow is not installed.

    Example:
        >>> import mlflow  # doctest: +SKIP
        >>> from adlib.mlflow import log_model  # doctest: +SKIP
        >>> info = log_model(model)  # doctest: +SKIP
        >>> mlflow.pyfunc.load_model(info.model_uri).predict(X)  # doctest: +SKIP
    """
    if not isinstance(detector, AnomalyDetector):
        raise TypeError(
            refusal("detector", "log_model", "a fitted detector", describe(detector))
        )
    try:
        pyfunc = import_module("mlflow.pyfunc")
    except ImportError as error:
        raise ImportError(
            f"log_model needs MLflow, which cannot be imported ({error}). "
            "Run: pip install 'adlib-vision[mlflow]'"
        ) from error
    given = {"pip_requirements": [f"adlib-vision[mlflow]=={__version__}"]} | given
    with TemporaryDirectory(prefix="adlib-") as folder:
        file = Path(folder, "model.adlib")
        detector.save(file)
        return pyfunc.log_model(
            name=name, loader_module=LOADER, data_path=str(file), **given
        )


def _load_pyfunc(path: str | os.PathLike[str]) -> _Predictor:
    """Load what ``log_model`` logged; MLflow looks for a function of this name."""
    return _Predictor(load(path))


class _Predictor:
    """What MLflow calls: a detector whose results are a table."""

    def __init__(self, detector: AnomalyDetector) -> None:
        self.detector = detector

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Return a table with a row for each image."""
        import pandas as pd  # noqa: PLC0415 - MLflow brings it

        X = model_input
        if isinstance(X, pd.DataFrame):
            if PATH not in X.columns:
                rule = f"images, or a table with a column {PATH!r}"
                came = f"one with {', '.join(map(str, X.columns))}"
                raise ValueError(refusal("X", "predict", rule, came))
            X = X[PATH]
        threshold = self.detector.threshold_
        fields = ("path", "score", "verdict", "decision", "p_value", "error")
        rows = [
            {field: getattr(result, field) for field in fields}
            for result in self.detector.inspect(X)
        ]
        table = pd.DataFrame(rows, columns=fields)
        table.insert(4, "threshold", threshold)
        return table
