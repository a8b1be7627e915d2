"""What every detector saves to a model file, and how it comes back."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch

from adlib._typing import AnyArray
from adlib._validation import describe, refusal
from adlib._version import __version__
from adlib.estimators._calibration import Calibration, CalibrationKind
from adlib.estimators._model_file import (
    FORMAT,
    ModelContent,
    read_model,
    write_model,
)
from adlib.estimators._settings import check_runtime, resolve_place
from adlib.exceptions import ModelFileError, WeightsError
from adlib.features import Backbone
from adlib.features._backbone import Precision, Runtime
from adlib.features._runtimes import check_bfloat16
from adlib.features._weights import Normalisation
from adlib.thresholds import lowest_rate
from adlib.thresholds._log_normal import RateRule

if TYPE_CHECKING:
    from adlib.estimators._detector import AnomalyDetector

RECORDED = ("torch", "timm", "numpy", "scikit-learn")
BACKBONE_PREFIX = "backbone."
MAX_FLOAT = sys.float_info.max
MOST_SCALE = 1e30  # of a zone: those of fit are near 1
# Where the detectors are that a model file may hold; imported only when needed.
DETECTORS = {
    "PaDiM": "adlib.estimators",
    "PatchCore": "adlib.estimators",
    "AnomalibPadim": "adlib.anomalib",
    "AnomalibPatchcore": "adlib.anomalib",
}

# What files of earlier versions do not hold, with what those versions did.
ADDED_LATER: dict[str, Any] = {
    "precision": "float32",
    "runtime": "torch",
    "false_positive_rate": None,
    "selection": "greedy",
    "color": "rgb",
    "max_value": None,
    "least_area": 0.0,
    "augment": None,
    "contamination": None,
    "threshold_rule": "quantile",
    "review_rate": None,
    "region": None,
    "resize": "stretch",
    "align": None,
    "zones": None,
    "cache": None,
    "maps": "paper",
}
IMAGE, REFERENCE = "image", "reference"  # what a header says of align; the tensor
MASK, FUNCTION = "mask", "function"  # what a header says of a region
REGION = "region"  # the tensor: height and width, 8 bytes each, and packed bits


def load(
    path: str | os.PathLike[str],
    *,
    device: str = "auto",
    precision: Precision | None = None,
    runtime: Runtime | None = None,
    region: Callable[[AnyArray], AnyArray] | None = None,
) -> AnomalyDetector:
    """Load a model that ``save`` wrote.

    Args:
        path: The model file.
        device: "auto", "cpu", "cuda" or "cuda:N", whatever it was fitted on.
        precision: "float32" or "bfloat16" for the backbone; None: as in ``fit``.
        runtime: "torch" or "openvino" for the backbone; None: as in ``fit``.
        region: The function that ``fit`` was given as ``region``, which no file holds;
            None: the model has none. Masks and polygons are in the file.

    Returns:
        The fitted detector, which scores as the saved one did; with another precision
        or runtime, within the tolerances that ``PatchCore`` states.

    Raises:
        FileNotFoundError: There is no such file.
        ModelFileError: The file is damaged, not adlib's, or of a later format.
        ImportError: FAISS, OpenVINO or anomalib is to run and is not installed.
        TypeError, ValueError: An argument is not as stated; there is no such GPU, or
            OpenVINO is to run on one; the detector has no such choice; or ``region``
            is missing, or there where the model has no function.

    Note:
        Nothing in the file is run: it is read as safetensors and JSON, every field is
        checked, and a checksum covers all of it. But FAISS does not check a manipulated
        index: load models of an approximate search only from sources that you trust.

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
    asked |= _saved_region(content, region) | _saved_reference(content)
    detector = _construct(content, {k: v for k, v in asked.items() if v is not None})
    detector._restore(content, resolve_place(device, detector.runtime, "load"))
    return detector


def _construct(content: ModelContent, asked: dict[str, Any]) -> AnomalyDetector:
    """Return an unfitted detector with the saved parameters, but for those asked."""
    name = content.header["estimator"]
    if name not in DETECTORS:
        known_names = ", ".join(sorted(DETECTORS))
        raise ModelFileError(
            f"The model file holds a {name!r}; this adlib knows {known_names}."
        )
    kind: type[AnomalyDetector] = getattr(import_module(DETECTORS[name]), name)
    known = set(kind._get_param_names())
    added = {name: value for name, value in ADDED_LATER.items() if name in known}
    parameters: dict[str, Any] = added | content.header["parameters"]
    if set(parameters) != known:
        raise damaged("parameters", f"{', '.join(sorted(known))}")
    values: dict[str, Any]
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in parameters.items()}
    for name in sorted(set(asked) - known):
        rule = f"None for a model of {kind.__name__}, which has no such parameter"
        raise ValueError(refusal(name, "load", rule, repr(asked[name])))
    return kind(**(values | asked))


def save_detector(
    detector: AnomalyDetector,
    path: str | os.PathLike[str],
    state: Mapping[str, Any],
    tensors: Mapping[str, AnyArray | None],
    packages: Sequence[str] = (),
) -> None:
    """Write a fitted detector: what all share, its own ``state`` and ``tensors``.

    ``packages`` are those whose versions are noted beyond the ones that all need.
    """
    backbone, calibration = detector.backbone_, detector.calibration_
    left_out, scales = detector.left_out_scores_, detector.zone_scales_
    shared = {
        "grid": list(detector.grid_),
        "threshold": detector._threshold(),
        "pixel_threshold": detector._finite("pixel_threshold_"),
        "review_threshold": detector._threshold("review_threshold_"),
        "zone_scales": None if scales is None else scales.ravel().tolist(),
        "calibration": calibration and calibration._asdict(),
        "left_out_scores": None if left_out is None else left_out.tolist(),
        "training_images": detector.training_images_,
        "training_digests": detector.training_digests_,
        "stages": [stage.index for stage in backbone.stages],
        "mean": list(backbone.normalisation.mean),
        "std": list(backbone.normalisation.std),
    }
    now = detector._values_of(detector._aggregated_by)
    if calibration is not None and detector._calibrated_with != now:
        then = detector._calibrated_with.items()
        shared["calibrated_with"] = {name: plain(value) for name, value in then}
    arrays = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    region, kind = detector.region_, None
    if callable(region):
        kind = FUNCTION
    elif region is not None:
        kind = MASK
        size = np.array(region.shape, "<u8").view(np.uint8)
        arrays[REGION] = np.concatenate([size, np.packbits(region)])
    for name, weight in backbone.state().items():
        arrays[BACKBONE_PREFIX + name] = weight.numpy()
    versions = {package: version(package) for package in (*RECORDED, *packages)}
    parameters = detector.get_params(deep=False)
    if REGION in parameters:
        parameters[REGION] = kind
    if "cache" in parameters:  # a place on this machine
        parameters["cache"] = None
    if detector._alignment is not None:
        parameters["align"] = IMAGE
        arrays[REFERENCE] = detector._alignment.reference
    header = {
        "format": FORMAT,
        "estimator": type(detector).__name__,
        "versions": {"adlib": __version__, **versions},
        "parameters": {name: plain(value) for name, value in parameters.items()},
        "state": {**shared, **state},
    }
    write_model(path, ModelContent(header, arrays))


def restore_detector(
    detector: AnomalyDetector, content: ModelContent, device: str
) -> None:
    """Give a detector, made with the saved parameters, the state that all share."""
    try:
        settings = detector._check_parameters()
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"The model file is damaged: {error}") from error
    state = content.header["state"]
    height, width = numbers(state, "grid", int, length=2)
    thresholds = [
        None if state.get(field) is None else number(state, field, float)
        # Older files know the first alone, or the first two.
        for field in ("threshold", "pixel_threshold", "review_threshold")
    ]
    left_out = None
    if state.get("left_out_scores") is not None:  # older files know none
        left_out = np.array(numbers(state, "left_out_scores", float), np.float32)
    scales = None
    if settings.zones is not None:
        rows, columns = settings.zones
        found = numbers(state, "zone_scales", float, length=rows * columns)
        if not 1 / MOST_SCALE <= min(found) <= max(found) <= MOST_SCALE:
            raise damaged("zone_scales", "positive numbers")
        scales = np.array(found, np.float32).reshape(rows, columns)
    names = state.get("training_images")
    if not _are_texts(names):
        raise damaged("training_images", "a list of names")
    digests = state.get("training_digests", [""] * len(names))  # older files know none
    if not _are_texts(digests) or len(digests) != len(names):
        raise damaged("training_digests", f"{len(names)} texts")
    normalisation = Normalisation(
        *(tuple(numbers(state, field, float, length=3)) for field in ("mean", "std"))
    )
    if min(normalisation.std) <= 0.0:
        raise damaged("std", "positive numbers")
    weights = {
        name.removeprefix(BACKBONE_PREFIX): torch.from_numpy(tensor)
        for name, tensor in content.tensors.items()
        if name.startswith(BACKBONE_PREFIX)
    }
    stages = numbers(state, "stages", int)
    how = device, settings.precision, settings.runtime, settings.image_size
    if (settings.precision, settings.runtime) == ("bfloat16", "openvino"):
        check_bfloat16()  # the processor's fault, not the file's
    try:
        backbone = Backbone.from_weights(
            detector.backbone, weights, stages, normalisation, *how
        )
    except (ValueError, WeightsError) as error:
        raise ModelFileError(f"The model file is damaged: {error}") from error
    detector._take_over(calibration_of(state))
    if "calibrated_with" in state:  # only where it is not as the parameters
        detector._calibrated_with = _calibrated_with(state, detector._aggregated_by)
    detector.threshold_, detector.pixel_threshold_ = thresholds[:2]
    detector.review_threshold_ = thresholds[2]
    detector.grid_, detector.zone_scales_ = (height, width), scales
    detector.left_out_scores_, detector.examination_ = left_out, None
    detector.training_images_, detector.training_digests_ = names, digests
    detector.skipped_ = []
    detector.backbone_ = backbone
    detector.learned_with_ = detector._values_of(detector._frozen)
    detector._region = region = detector._new_region()
    detector._alignment = detector._new_alignment()
    detector.region_ = None if region is None else region.region


def _saved_reference(content: ModelContent) -> dict[str, Any]:
    """Return the parameter ``align`` of a model file, or raise."""
    kind = content.header["parameters"].get("align")
    if kind is None:
        return {}
    reference = tensor_of(content, REFERENCE, np.uint8, (None, None))
    if kind != IMAGE or not reference.size:
        raise damaged(REFERENCE, "an image")
    return {"align": reference}


def _saved_region(
    content: ModelContent, given: Callable[[AnyArray], AnyArray] | None
) -> dict[str, Any]:
    """Return the parameter ``region`` of a model file, or raise."""
    kind = content.header["parameters"].get("region")
    if kind == FUNCTION and callable(given):
        return {"region": given}
    if kind == FUNCTION:
        rule = "the function that fit was given, which no model file holds"
        raise ValueError(refusal("region", "load", rule, describe(given)))
    if given is not None:
        rule = "None for a model that was fitted without a function"
        raise ValueError(refusal("region", "load", rule, describe(given)))
    if kind is None:
        return {}
    packed = tensor_of(content, REGION, np.uint8, (None,))
    height, width = map(int, packed[:16].view("<u8")) if len(packed) > 16 else (0, 0)  # noqa: PLR2004 - bytes
    bits = packed[16:]
    if kind != MASK or not 0 < height * width <= 8 * len(bits) < height * width + 8:
        raise damaged(REGION, "a mask")
    mask = np.unpackbits(bits, count=height * width).reshape(height, width)
    if not mask.any():
        raise damaged(REGION, "a mask of at least one pixel")
    return {"region": mask.astype(np.bool_)}


def _calibrated_with(state: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the parameters that a threshold was set with, or raise."""
    saved = state["calibrated_with"]
    if (
        not isinstance(saved, dict)
        or saved.keys() != set(names)
        or not all(isinstance(value, str | int | float) for value in saved.values())
    ):
        raise damaged("calibrated_with", f"an object of {', '.join(names)}")
    return {name: saved[name] for name in names}


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(text, str) for text in values)


def number(state: Mapping[str, Any], field: str, kind: type) -> Any:
    """Return a field that must be a finite number, or raise."""
    return numbers({field: [state.get(field)]}, field, kind, length=1)[0]


def numbers(
    state: Mapping[str, Any], field: str, kind: type, length: int | None = None
) -> list[Any]:
    """Return a field that must be a list of finite numbers, or raise."""
    values = state.get(field)
    kinds, most = ((int,), 2**63 - 1) if kind is int else ((int, float), MAX_FLOAT)
    if (
        not isinstance(values, list)
        or length not in (None, len(values))
        # JSON's integers may be longer than any number that an array can hold.
        or not all(type(value) in kinds and abs(value) <= most for value in values)
    ):
        raise damaged(field, f"{'' if length is None else f'{length} '}numbers")
    return [kind(value) for value in values]


def tensor_of(
    content: ModelContent, name: str, dtype: type, shape: tuple[int | None, ...]
) -> AnyArray:
    """Return a tensor that must have this dtype and shape (None: any), or raise."""
    tensor = content.tensors.get(name)
    if tensor is not None and tensor.dtype == dtype and tensor.ndim == len(shape):
        sides = zip(shape, tensor.shape, strict=True)
        if all(want in (None, got) for want, got in sides):
            return tensor
    raise damaged(name, f"a tensor of kind {dtype.__name__} and shape {shape}")


def damaged(field: str, rule: str) -> ModelFileError:
    """Return the error for a field that is not as it must be."""
    return ModelFileError(f"The model file is damaged: {field!r} must be {rule}.")


def calibration_of(state: Mapping[str, Any]) -> Calibration | None:
    """Return how a threshold came about, where a file knows, or raise."""
    saved = state.get("calibration")
    if saved is None:
        return None
    rule = f"None or an object of {', '.join(Calibration._fields)}, as they can be"
    if not isinstance(saved, dict):
        raise damaged("calibration", rule)
    # Older files know fewer fields.
    saved = Calibration._field_defaults | {"scores": []} | saved
    if saved.keys() != set(Calibration._fields):
        raise damaged("calibration", rule)
    found = Calibration(**saved)
    n_normal, n_anomalous = (number(saved, f, int) for f in ("n_normal", "n_anomalous"))
    scores = numbers(saved, "scores", float)
    fits = (
        found.kind in get_args(CalibrationKind)
        and n_normal > 0
        and found.rule in get_args(RateRule)
        and len(scores) in (0, n_normal)
        and scores == sorted(scores)
    )
    review = found.review_threshold
    if found.kind == "F1":
        fits = fits and found.false_positive_rate is None and n_anomalous > 0
        fits = fits and found.review_rate is review is None
    elif fits:
        rate = number(saved, "false_positive_rate", float)
        lowest = lowest_rate(n_normal) if found.rule == "quantile" else 0.0
        fits = n_anomalous == 0 and lowest <= rate < 1.0
        if found.review_rate is not None or review is not None:
            review = number(saved, "review_threshold", float)
            fits = fits and rate < number(saved, "review_rate", float) < 1.0
    if not fits:
        raise damaged("calibration", rule)
    return found._replace(
        threshold=number(saved, "threshold", float),
        pixel_threshold=number(saved, "pixel_threshold", float),
        review_threshold=review,
        scores=tuple(scores),
    )


def plain(value: Any) -> Any:
    """Return a parameter as JSON knows it."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, tuple | list):
        return [plain(entry) for entry in value]
    return value
