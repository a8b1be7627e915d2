"""MLflow logs a detector and loads it back with the same scores."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from adlib import PatchCore, load

pytestmark = pytest.mark.filterwarnings("ignore:::mlflow", "ignore::DeprecationWarning")
needs_mlflow = pytest.mark.skipif(
    find_spec("mlflow") is None, reason="the extra mlflow is not installed"
)
COLUMNS = ["path", "score", "verdict", "decision", "threshold", "p_value", "error"]


@pytest.fixture
def model(fitted, others, tmp_path):
    """A detector with a threshold."""
    fitted.save(tmp_path / "part.adlib")
    return load(tmp_path / "part.adlib").calibrate(others, false_positive_rate=0.2)


@pytest.fixture
def logged(tmp_path, monkeypatch):
    """Log a detector in a store of the test's own, and load it back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    import mlflow

    from adlib.mlflow import log_model

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())

    def logged(detector, **given):
        with mlflow.start_run():
            info = log_model(detector, **given)
        return mlflow.pyfunc.load_model(info.model_uri)

    yield logged
    mlflow.set_tracking_uri(before)


@needs_mlflow
def test_what_is_loaded_says_what_inspect_says(model, logged, mixed, folder):
    loaded = logged(model, name="part")
    paths = sorted(map(str, folder.glob("*.png")))
    for X in (paths, pd.DataFrame({"path": paths, "number": range(6)}), mixed):
        table = loaded.predict(X)
        results = list(model.inspect(mixed if X is mixed else paths))
        assert list(table.columns) == COLUMNS
        for name in ("path", "score", "verdict", "decision", "p_value"):
            assert table[name].tolist() == [getattr(one, name) for one in results]
        assert (table["threshold"] == model.threshold_).all()
        scores = model.score(mixed if X is mixed else paths)
        np.testing.assert_array_equal(table["score"].to_numpy(np.float32), scores)
    assert set(table["verdict"]) == {1, -1}


@needs_mlflow
def test_a_detector_without_a_threshold_has_scores_alone(fitted, logged, mixed):
    table = logged(fitted).predict(mixed)
    assert table[["verdict", "decision", "threshold", "p_value"]].isna().all(axis=None)
    np.testing.assert_array_equal(table["score"], fitted.score(mixed))


@needs_mlflow
def test_nothing_that_is_logged_is_a_pickle(model, logged, tmp_path):
    logged(model)
    names = {path.name for path in (tmp_path / "mlruns").rglob("*") if path.is_file()}
    assert "model.adlib" in names
    assert not [name for name in names if name.endswith(("pkl", "pickle"))]
    requirements = next((tmp_path / "mlruns").rglob("requirements.txt")).read_text()
    assert "adlib-vision[mlflow]==" in requirements


@needs_mlflow
def test_tables_without_paths_are_refused(model, logged):
    with pytest.raises(
        ValueError, match="a table with a column 'path'; got one with n"
    ):
        logged(model).predict(pd.DataFrame({"n": [1]}))


@needs_mlflow
def test_what_is_not_fitted_is_refused(logged):
    with pytest.raises(NotFittedError):
        logged(PatchCore())


def test_without_mlflow_the_extra_is_named(fitted, monkeypatch):
    from adlib.mlflow import log_model

    monkeypatch.setitem(sys.modules, "mlflow.pyfunc", None)
    with pytest.raises(ImportError, match=r"pip install 'adlib-vision\[mlflow\]'"):
        log_model(fitted)


def test_what_is_no_detector_is_named():
    from adlib.mlflow import log_model

    with pytest.raises(TypeError, match="detector of log_model must be a fitted det"):
        log_model("part.adlib")
