"""Read a model file back into the detector that saved it."""

from __future__ import annotations

import inspect
import os
from typing import Any

from adlib._device import resolve_device
from adlib.estimators._base import AnomalyDetector
from adlib.estimators._model_file import ModelContent, read_model
from adlib.estimators._patchcore import PatchCore
from adlib.estimators._saving import damaged
from adlib.exceptions import ModelFileError

DETECTORS: dict[str, type[AnomalyDetector]] = {"PatchCore": PatchCore}


def load(path: str | os.PathLike[str], *, device: str = "auto") -> AnomalyDetector:
    """Load a model that ``save`` wrote.

    Args:
        path: The model file.
        device: Where it shall run now: "auto", "cpu", "cuda" or "cuda:N". The device it
            was learned on does not matter.

    Returns:
        The fitted detector, which scores as the saved one did.

    Raises:
        FileNotFoundError: There is no such file.
        ModelFileError: The file is damaged, not adlib's, or of a later format.
        ImportError: The model searches with FAISS, and FAISS is not installed.
        ValueError: ``device`` asks for a GPU and there is none.

    Note:
        Nothing in the file is run: it is read as safetensors and JSON, every field is
        checked, and a checksum covers all of it. FAISS reads the index of a model whose
        search is approximate, after the checksum; it is not built to withstand bytes
        made to harm it, so load such models only from where you trust.
    """
    place = resolve_device(device, "load")
    content = read_model(path)
    detector = _construct(content, device)
    detector._restore(content, place)
    return detector


def _construct(content: ModelContent, device: str) -> AnomalyDetector:
    """Return an unfitted detector with the saved parameters."""
    kind = DETECTORS.get(content.header["estimator"])
    if kind is None:
        raise ModelFileError(
            f"The model file holds a {content.header['estimator']!r}; this adlib knows "
            f"{', '.join(sorted(DETECTORS))}."
        )
    known = set(inspect.signature(kind).parameters)
    parameters: dict[str, Any] = content.header["parameters"]
    if set(parameters) != known:
        raise damaged("parameters", f"{', '.join(sorted(known))}")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in parameters.items()}
    return kind(**{**values, "device": device})
