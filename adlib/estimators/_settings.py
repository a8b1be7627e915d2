"""The parameters that every detector shares, checked."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import wraps
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    NamedTuple,
    ParamSpec,
    TypeVar,
    get_args,
)

from adlib._device import resolve_device
from adlib._threads import at_most
from adlib._validation import (
    check_bool,
    check_image_size,
    check_int,
    check_option,
    check_positive,
    check_random_state,
    describe,
    refusal,
)
from adlib.estimators._regions import check_least_area
from adlib.estimators._results import MapKind
from adlib.estimators._zones import check_zones
from adlib.features._backbone import Precision, Runtime, check_name
from adlib.features._embedding import Embedding
from adlib.images._align import Alignment
from adlib.images._pixels import ColorOrder, PixelFormat
from adlib.images._region import RegionOfInterest
from adlib.images._stream import OnError

if TYPE_CHECKING:
    from adlib.estimators._resume import Journal

P = ParamSpec("P")
Result = TypeVar("Result")


def in_its_threads(
    method: Callable[Concatenate[Any, P], Result],
) -> Callable[Concatenate[Any, P], Result]:
    """Let a detector's method compute in as many threads as its ``n_workers`` says."""

    @wraps(method)
    def limited(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        with at_most(self.n_workers):
            return method(self, *args, **kwargs)

    return limited


class Settings(NamedTuple):
    """How images are read and turned into patch embeddings."""

    image_size: tuple[int, int]
    pixel_format: PixelFormat
    embedding: Embedding
    batch_size: int
    device: str
    precision: Precision
    runtime: Runtime
    least_area: float
    n_workers: int | None
    on_error: OnError
    progress: bool
    random_state: int | None
    zones: tuple[int, int] | None
    region: RegionOfInterest | None = None  # a fitted detector's own, as is
    alignment: Alignment | None = None
    journal: Journal | None = None  # of a fit that goes on after it was killed


def check_settings(detector: Any) -> Settings:
    """Return a detector's shared parameters, or raise for the first that is wrong."""
    owner = type(detector).__name__
    _check_backbone(detector.backbone, detector.weights, detector.stages, owner)
    maps = check_option(detector.maps, "maps", owner, get_args(MapKind))
    if maps != "paper" and (
        detector.region is not None or detector.resize == "letterbox"
    ):
        rule = '"paper" with a region, or with letterboxed images'
        raise ValueError(refusal("maps", owner, rule, describe(maps)))
    workers, white = detector.n_workers, detector.max_value
    if workers is not None:
        workers = check_int(workers, "n_workers", owner, low=1)
    precision, runtime = check_runtime(detector.precision, detector.runtime, owner)
    image_size = check_image_size(detector.image_size, "image_size", owner)
    return Settings(
        image_size,
        PixelFormat(
            check_option(detector.color, "color", owner, get_args(ColorOrder)),
            None if white is None else check_positive(white, "max_value", owner),
        ),
        check_option(detector.embedding, "embedding", owner, get_args(Embedding)),
        check_int(detector.batch_size, "batch_size", owner, low=1),
        resolve_place(detector.device, runtime, owner),
        precision,
        runtime,
        check_least_area(detector.least_area, owner),
        workers,
        check_option(detector.on_error, "on_error", owner, get_args(OnError)),
        check_bool(detector.progress, "progress", owner),
        check_random_state(detector.random_state, "random_state", owner),
        check_zones(detector.zones, image_size, owner),
    )


def check_runtime(
    precision: object, runtime: object, owner: str
) -> tuple[Precision, Runtime]:
    """Return precision and runtime, or raise for the first that is wrong."""
    return (
        check_option(precision, "precision", owner, get_args(Precision)),
        check_option(runtime, "runtime", owner, get_args(Runtime)),
    )


def resolve_place(device: object, runtime: Runtime, owner: str) -> str:
    """Return "cpu" or "cuda:N"; OpenVINO runs on the CPU alone."""
    if runtime == "openvino" and device == "auto":
        return "cpu"
    place = resolve_device(device, owner)
    if runtime == "openvino" and place != "cpu":
        rule = '"cpu" or "auto" with runtime="openvino", which runs on the CPU alone'
        remedy = 'Pass runtime="torch" to use the GPU.'
        raise ValueError(refusal("device", owner, rule, describe(device), remedy))
    return place


def _check_backbone(backbone: Any, weights: Any, stages: Any, owner: str) -> None:
    if not isinstance(backbone, str):
        rule = "the name of a timm network"
        raise TypeError(refusal("backbone", owner, rule, describe(backbone)))
    check_name(backbone, owner)
    if weights is not None and not isinstance(weights, str | os.PathLike):
        rule = '"pretrained", the path of a state dict, or None'
        raise TypeError(refusal("weights", owner, rule, describe(weights)))
    if stages is None:
        return
    if not isinstance(stages, Sequence) or isinstance(stages, str):
        rule = "None or a tuple of stage indices"
        raise TypeError(refusal("stages", owner, rule, describe(stages)))
    for stage in stages:
        check_int(stage, "stages", owner, low=0)
