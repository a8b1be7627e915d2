"""Write the ONNX file of a detector, unless it would score otherwise."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike

from adlib._files import replacing
from adlib._progress import ProgressBar
from adlib._torch import as_imported, undisturbed
from adlib._typing import AnyArray
from adlib._validation import check_image_size, check_option, describe, refusal
from adlib._version import __version__
from adlib.estimators import AnomalyDetector, PaDiM, PatchCore
from adlib.estimators._labels import as_anomalous, check_one_each
from adlib.estimators._promise import threshold_text
from adlib.estimators._saving import plain
from adlib.exceptions import InputWarning
from adlib.export._check import compare, made_images, refuse
from adlib.export._whole import MapSize, Whole
from adlib.images import Images, Source, open_source
from adlib.images._pixels import PixelFormat
from adlib.runtime._engines import runner
from adlib.runtime._exported_model import ExportedModel, as_input
from adlib.runtime._file import (
    FORMAT,
    METADATA_KEY,
    SUFFIX,
    checksum,
    read_exported,
)

ExportPrecision: TypeAlias = Literal["float32", "float16", "int8"]
OPSET, IR_VERSION = 18, 8  # those of ONNX 1.13
MOST_BYTES = 2**31 - 2**20  # of a protocol buffer, less what is no tensor
LOWEST_TORCH = "2.9"  # that was tried; 2.6 writes graphs that score otherwise
SOME_SIZE = (40, 48)  # of the image that stands for those of any size
FLOAT, EXACT = "float32", ("exact", "faiss-flat")
RECORDED = ("torch", "timm", "numpy", "onnx", "onnxscript")


def export(
    detector: AnomalyDetector,
    path: str | os.PathLike[str],
    *,
    images: Images | None = None,
    y: ArrayLike | None = None,
    input_size: tuple[int, int] | None = None,
    map_size: MapSize = None,
    precision: ExportPrecision = "float32",
) -> None:
    """Write a fitted detector as one ONNX file: see ``AnomalyDetector.export``."""
    owner = f"{type(detector).__name__}.export"
    _check_detector(detector, owner)
    check_option(precision, "precision", owner, get_args(ExportPrecision))
    if Path(path).suffix != SUFFIX:
        rule = f"a path that ends in {SUFFIX!r}"
        raise ValueError(refusal("path", owner, rule, describe(os.fspath(path))))
    input_size = _checked_size(input_size, detector, owner)
    if map_size is not None and map_size != "original":
        map_size = check_image_size(map_size, "map_size", owner)
    if images is None and (y is not None or precision != FLOAT):
        rule = f"images, to measure what precision={precision!r} loses"
        rule = rule if y is None else "the images that y labels"
        raise ValueError(refusal("images", owner, rule, "None"))
    if images is None:
        size = input_size or detector._size
        images = made_images(size, fixed=input_size is not None)
    elif isinstance(images, Iterator):
        images = list(images)  # they are read more than once
    n_images = _source(images, detector, owner).n_items
    anomalous = None if y is None else as_anomalous(y, owner)
    if anomalous is not None:
        check_one_each(anomalous, n_images, owner)
    with replacing(path) as temporary:
        whole = Whole(detector, map_size).eval()
        with ProgressBar("Following the graph", None, enabled=detector.progress):
            model = _traced(whole, input_size)
        header = _header(detector, whole, input_size, map_size, precision)
        model = _reduced(model, precision, _inputs(images, detector, header, owner))
        del model.metadata_props[:]  # of what quantised it
        content = _bytes(model, owner)
        for engine in ("onnxruntime", "openvino"):
            try:
                run = runner(content, os.fspath(path), engine, "cpu")
            except ImportError:  # that of OpenVINO, which is optional
                continue
            found = compare(detector, ExportedModel(header, run), images, anomalous)
            if precision == FLOAT:
                refuse(found, engine, owner)
            elif found.n_flipped:
                warnings.warn(
                    f"precision={precision!r} changes {found.n_flipped} of "
                    f"{found.n_images} verdicts by {engine}. Look at adlib info before "
                    "you use the file.",
                    InputWarning,
                    stacklevel=3,
                )
            header["check"][engine] = found._asdict()
        header["sha256"] = checksum(content, header)
        entry = model.metadata_props.add()
        entry.key, entry.value = METADATA_KEY, json.dumps(header)
        temporary.write_bytes(_bytes(model, owner))
        read_exported(temporary)


def _check_detector(detector: AnomalyDetector, owner: str) -> None:
    """Raise unless a detector is fitted, adlib's own, exact and in float32."""
    detector._ready()
    if not isinstance(detector, PatchCore | PaDiM):
        rule = "a PatchCore or a PaDiM of adlib's own"
        raise TypeError(refusal("detector", owner, rule, describe(detector)))
    remedy = f"Load it by adlib.load(path, precision={FLOAT!r}), then export it."
    if detector.resize != "stretch":
        rule, came = "'stretch'", repr(detector.resize)
        raise ValueError(refusal("resize of the detector", owner, rule, came))
    if detector.align is not None:
        rule = "None: no exported file can align images"
        raise ValueError(refusal("align of the detector", owner, rule, "an image"))
    if detector.zones is not None:
        rule = "None: an exported file has one pixel threshold"
        came = describe(detector.zones)
        raise ValueError(refusal("zones of the detector", owner, rule, came))
    if callable(detector.region_):
        rule = "a mask or polygons: no file can hold a function"
        came = "a function"
        raise TypeError(refusal("region of the detector", owner, rule, came))
    if detector.precision != FLOAT:
        rule, came = repr(FLOAT), repr(detector.precision)
        what = "precision of the detector"
        raise ValueError(refusal(what, owner, rule, came, remedy))
    if isinstance(detector, PatchCore) and detector.search not in EXACT:
        rule = " or ".join(map(repr, EXACT))
        remedy = "The exported search is exact. Fit it with one of these."
        came = repr(detector.search)
        raise ValueError(refusal("search", owner, rule, came, remedy))


def _checked_size(
    input_size: tuple[int, int] | None, detector: AnomalyDetector, owner: str
) -> tuple[int, int] | None:
    """Return the size of all images to come; a region has one. None: any."""
    if input_size is not None:
        input_size = check_image_size(input_size, "input_size", owner)
    if isinstance(detector.region_, np.ndarray):
        height, width = detector.region_.shape
        if input_size not in (None, (height, width)):
            rule = f"None or {(height, width)}, the size of the detector's region"
            raise ValueError(refusal("input_size", owner, rule, input_size))
        return height, width
    return input_size


def _source(images: Images, detector: AnomalyDetector, owner: str) -> Source:
    pixel_format = PixelFormat(detector.color, detector.max_value)
    return open_source(images, owner, pixel_format)


def _inputs(
    images: Images, detector: AnomalyDetector, header: dict[str, Any], owner: str
) -> Iterator[AnyArray]:
    """Yield images as the graph takes them."""
    source = _source(images, detector, owner)
    for item in source.items:
        yield as_input(source.read(item), item.name, header["input_size"])


def _reduced(model: Any, precision: ExportPrecision, images: Iterator[AnyArray]) -> Any:
    """Return a model in the precision asked for."""
    if precision == FLOAT:
        return model
    from adlib.export._reduced import halved, quantised  # noqa: PLC0415 - needs onnx

    return halved(model) if precision == "float16" else quantised(model, images)


@undisturbed()
def _traced(whole: Whole, input_size: tuple[int, int] | None) -> Any:
    """Return the ONNX model of a detector, without what the exporter notes of it."""
    try:
        import onnx  # noqa: PLC0415 - these three are an extra
        import onnxruntime  # noqa: F401, PLC0415
        import onnxscript  # noqa: F401, PLC0415
    except ImportError as error:
        raise ImportError(
            f"export needs onnx, onnxscript and onnxruntime ({error}). Run: "
            "pip install 'adlib-vision[export]'"
        ) from error
    if torch.__version__ < LOWEST_TORCH:  # compared as versions are
        raise ImportError(
            f"export needs torch {LOWEST_TORCH} or later; this is {torch.__version__}. "
            "Run: pip install --upgrade torch torchvision"
        )
    # Of sizes above 1, which torch would take for fixed ones.
    example = torch.zeros((2, *(input_size or SOME_SIZE), 3), dtype=torch.uint8)
    names = {0: "n", 3: "channels"}
    if input_size is None:
        names |= {1: "height", 2: "width"}
    # From 2 on, where torch sees no special cases; the graph has none for 1 either.
    shape = {place: torch.export.Dim(name, min=2) for place, name in names.items()}
    with warnings.catch_warnings(), as_imported():
        warnings.simplefilter("ignore")  # of torch's own code, which no user can change
        program = torch.onnx.export(
            whole,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["images"],
            output_names=list(whole.outputs),
            dynamic_shapes=(shape,),
            verbose=False,
        )
    assert program is not None
    model = onnx.ModelProto()
    model.CopyFrom(program.model_proto)
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "adlib", __version__
    del model.metadata_props[:]
    for part in (*model.graph.node, *model.graph.initializer, *model.graph.value_info):
        del part.metadata_props[:]  # paths of source files
        part.doc_string = ""
    return model


def _bytes(model: Any, owner: str) -> bytes:
    if model.ByteSize() > MOST_BYTES:
        rule = "a detector of less than 2 GB, the most that an ONNX file can hold"
        came = f"{model.ByteSize() / 1e9:.1f} GB"
        remedy = "Fit it with a smaller coreset or n_channels."
        raise ValueError(refusal("detector", owner, rule, came, remedy))
    return bytes(model.SerializeToString())


def _header(
    detector: AnomalyDetector,
    whole: Whole,
    input_size: tuple[int, int] | None,
    map_size: MapSize,
    precision: ExportPrecision,
) -> dict[str, Any]:
    """Return what the file says of itself; ``FIELDS`` of the runtime lists it."""
    limits = detector._limits()
    size = detector._size if map_size is None else map_size
    parameters = detector.get_params(deep=False)
    region = detector.region_
    if isinstance(region, np.ndarray):
        share = f"{100 * region.mean():.3g} %"
        parameters["region"] = f"a mask that holds {share} of the pixels"
    learned = (
        detector.memory_bank_.embeddings
        if isinstance(detector, PatchCore)
        else detector.gaussian_.mean
    )
    return {
        "format": FORMAT,
        "detector": type(detector).__name__,
        "versions": {
            "adlib": __version__,
            **{name: version(name) for name in RECORDED},
        },
        "parameters": {name: plain(value) for name, value in parameters.items()},
        "image_size": list(detector._size),
        "grid": list(detector.grid_),
        "input_size": None if input_size is None else list(input_size),
        "map_size": size if isinstance(size, str) else list(size),
        "precision": precision,
        "threshold": limits.threshold,
        "pixel_threshold": detector._finite("pixel_threshold_"),
        "review_threshold": limits.review_threshold,
        "calibration_scores": list(limits.scores),
        "promise": threshold_text(*limits[:2], detector.calibration_),
        "n_training_images": len(detector.training_images_),
        "learned_sha256": hashlib.sha256(learned.tobytes()).hexdigest(),
        "inputs": {"images": "(n, height, width, 1 grey, 3 RGB or 4 RGBA) uint8"},
        "outputs": list(whole.outputs),
        "check": {},
    }
