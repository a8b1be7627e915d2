"""Read a model file back into the detector that saved it."""

from __future__ import annotations

import inspect
import os
from importlib import import_module
from typing import Any

from adlib._validation import refusal
from adlib.estimators._base import AnomalyDetector
from adlib.estimators._model_file import ModelContent, read_model
from adlib.estimators._padim import PaDiM
from adlib.estimators._patchcore import PatchCore
from adlib.estimators._saving import damaged
from adlib.estimators._settings import check_runtime, resolve_place
from adlib.exceptions import ModelFileError
from adlib.features import Precision, Runtime

DETECTORS: dict[str, type[AnomalyDetector]] = {"PaDiM": PaDiM, "PatchCore": PatchCore}
ADAPTERS = ("AnomalibPadim", "AnomalibPatchcore")  # of a room that needs this one

# What files of earlier versions do not hold, with what those versions did.
ADDED_LATER: dict[str, Any] = {
    "precision": "float32",
    "runtime": "torch",
    "false_positive_rate": None,
    "selection": "greedy",
    "color": "rgb",
    "max_value": None,
}


def load(
    path: str | os.PathLike[str],
    *,
    device: str = "auto",
    precision: Precision | None = None,
    runtime: Runtime | None = None,
) -> AnomalyDetector:
    """Load a model that ``save`` wrote.

    Args:
        path: The model file.
        device: Where it shall run now: "auto", "cpu", "cuda" or "cuda:N". The device it
            was learned on does not matter.
        precision: "float32" or "bfloat16" for the backbone; None: as it was learned.
        runtime: "torch" or "openvino" for the backbone; None: as it was learned.

    Returns:
        The fitted detector, which scores as the saved one did; with another precision
        or runtime, within the tolerances that ``PatchCore`` states.

    Raises:
        FileNotFoundError: There is no such file.
        ModelFileError: The file is damaged, not adlib's, or of a later format.
        ImportError: FAISS, OpenVINO or anomalib is to run and is not installed.
        ValueError: ``device`` asks for a GPU and there is none or OpenVINO is to run,
            another argument is not as stated, or the detector has no ``precision`` or
            ``runtime`` to choose.

    Note:
        Nothing in the file is run: it is read as safetensors and JSON, every field is
        checked, and a checksum covers all of it. FAISS reads the index of a model whose
        search is approximate, after the checksum; it is not built to withstand bytes
        made to harm it, so load such models only from where you trust.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> import numpy as np
        >>> from adlib import PatchCore, load
        >>> good = np.random.default_rng(0).random((4, 64, 64), dtype=np.float32)
        >>> model = PatchCore(image_size=64, coreset=0.5).fit(good)
        >>> with TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/part.adlib")
        ...     again = load(f"{folder}/part.adlib")
        >>> again.training_images_ == model.training_images_
        True
    """
    check_runtime(precision or "float32", runtime or "torch", "load")
    resolve_place(device, runtime or "torch", "load")  # before anything is read
    content = read_model(path)
    asked = {"device": device, "precision": precision, "runtime": runtime}
    detector = _construct(content, {k: v for k, v in asked.items() if v is not None})
    detector._restore(content, resolve_place(device, detector.runtime, "load"))
    return detector


def _construct(content: ModelContent, asked: dict[str, Any]) -> AnomalyDetector:
    """Return an unfitted detector with the saved parameters, but for those asked."""
    name = content.header["estimator"]
    if name in ADAPTERS:
        kind: type[AnomalyDetector] = getattr(import_module("adlib.anomalib"), name)
    elif name in DETECTORS:
        kind = DETECTORS[name]
    else:
        known_names = ", ".join(sorted([*ADAPTERS, *DETECTORS]))
        raise ModelFileError(
            f"The model file holds a {name!r}; this adlib knows {known_names}."
        )
    known = set(inspect.signature(kind).parameters)
    added = {name: value for name, value in ADDED_LATER.items() if name in known}
    parameters: dict[str, Any] = added | content.header["parameters"]
    if set(parameters) != known:
        raise damaged("parameters", f"{', '.join(sorted(known))}")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in parameters.items()}
    for name in sorted(set(asked) - known):
        rule = f"None for a model of {kind.__name__}, which has no such parameter"
        raise ValueError(refusal(name, "load", rule, repr(asked[name])))
    return kind(**{**values, **asked})
