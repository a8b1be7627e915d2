"""Detectors as models of MLflow (extra ``mlflow``), without pickle.

MLflow keeps the model file that ``save`` writes, and loads it by this package.
"""

from adlib.mlflow._model import _load_pyfunc as _load_pyfunc  # MLflow calls it
from adlib.mlflow._model import log_model

__all__ = ["log_model"]
