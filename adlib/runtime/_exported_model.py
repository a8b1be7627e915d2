"""A detector that was exported: the methods that need no training, without torch."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import Any, get_args

import numpy as np

from adlib._html import card, or_nothing
from adlib._inspection import Inspection, Limits
from adlib._typing import AnyArray, Float32Array, Int64Array
from adlib._validation import check_option, refusal
from adlib.exceptions import ImageError, ModelFileError, SkippedImagesWarning
from adlib.images import Images, open_source
from adlib.images._pixels import PixelFormat
from adlib.images._sources import Item, Source
from adlib.images._stream import OnError
from adlib.runtime._engines import Device, Engine, Runner, runner
from adlib.runtime._file import described, read_exported

OUTLIER = -1


def load(
    path: str | os.PathLike[str],
    *,
    runtime: Engine = "onnxruntime",
    device: Device = "cpu",
) -> ExportedModel:
    """Load a file that a detector's ``export`` wrote.

    Args:
        path: The ONNX file.
        runtime: What runs it: "onnxruntime" or "openvino", whichever is installed.
        device: "cpu", or with ONNX Runtime "cuda" or "tensorrt", which have not been
            tried.

    Returns:
        The model, which scores as the detector did, to 1e-4 relative.

    Raises:
        FileNotFoundError: There is no such file.
        ModelFileError: The file is damaged, not adlib's, of a later format, or one that
            the runtime cannot run.
        ImportError: The runtime is not installed.
        ValueError: An argument is not as stated, or the runtime has no such device.

    Note:
        A checksum covers the file, and nothing in it is code. The runtime still reads
        it in C++: load files only from sources that you trust.

    Example:
        >>> from adlib import runtime
        >>> model = runtime.load("part.onnx")  # doctest: +SKIP
        >>> for result in model.inspect("camera/"):  # doctest: +SKIP
        ...     print(result.path, result.score, result.verdict)
    """
    check_option(runtime, "runtime", "load", get_args(Engine))
    check_option(device, "device", "load", get_args(Device))
    header, content = read_exported(path)
    if header["precision"] == "int8" and runtime not in header["check"]:
        rule = "a runtime by which the export was checked, since 8 bits differ by that"
        came = f"{runtime!r}, not {', '.join(header['check'])}"
        raise ValueError(refusal("runtime", "load", rule, came))
    run = runner(content, os.fspath(path), runtime, device)
    if run.names != ["images", *header["outputs"]]:
        raise ModelFileError(
            f"{os.fspath(path)!r} is damaged: its header names other outputs than its "
            f"graph has ({', '.join(run.names)})."
        )
    return ExportedModel(header, run)


class ExportedModel:
    """A detector as a file holds it; ``load`` makes it.

    Images ``X`` are what ``PatchCore`` and ``PaDiM`` take, of 8 bits: a folder, a glob,
    paths, uint8 arrays, PIL images, or an iterator of these. Each is scored alone, so
    that results do not depend on others.

    Attributes:
        threshold_: Of image scores, or None.
        pixel_threshold_: Of anomaly maps, or None.
        review_threshold_: Of image scores that are to be reviewed, or None.
        color: Channel order of arrays, "rgb" or "bgr".
        max_value: Of the detector; images of 8 bits do not need it.
        least_area: Of the detector; smaller regions of a map count for nothing.
        on_error: "raise" at an unusable image, or "skip" it and warn.
        header: What the file says of itself: the detector, its parameters, versions,
            and how near its scores are to the detector's.
    """

    def __init__(self, header: dict[str, Any], run: Runner) -> None:
        self.header = header
        self.threshold_: float | None = header["threshold"]
        self.pixel_threshold_: float | None = header["pixel_threshold"]
        self.review_threshold_: float | None = header.get("review_threshold")
        self.color = header["parameters"].get("color", "rgb")
        self.max_value = header["parameters"].get("max_value")
        self.least_area: float = header["parameters"].get("least_area", 0.0)
        self.on_error: OnError = "raise"
        self._run = run

    @or_nothing
    def _repr_html_(self) -> str:
        """Return what a notebook shows: what the file says of itself."""
        rows = described(self.header)
        rows["threshold"] = rows["threshold"].removeprefix("threshold ")
        return card(type(self).__name__, rows)

    def score(self, X: Images) -> Float32Array:
        """Return one anomaly score an image; higher = more anomalous.

        Args:
            X: Images; see the class.

        Returns:
            (n_images,) float32; NaN where an image was skipped.

        Raises:
            ImageError: An image is unusable and ``on_error`` is "raise".
        """
        results = self._all(X, "score")
        return np.array([result.score for result in results], np.float32)

    def predict(self, X: Images) -> Int64Array:
        """Return a verdict on each image: +1 normal, -1 anomalous.

        Args:
            X: Images; see the class.

        Returns:
            (n_images,) int64; -1 for a skipped image.

        Raises:
            ValueError: The file has no threshold.
            ImageError: As in ``score``.
        """
        if self.threshold_ is None:
            raise ValueError(
                "The exported model has no threshold. Calibrate the detector, then "
                "export it again."
            )
        verdicts = [result.verdict for result in self._all(X, "predict")]
        return np.array(verdicts, np.int64)

    def anomaly_maps(self, X: Images) -> Float32Array | list[Float32Array]:
        """Return where each image is anomalous; higher = more anomalous.

        Args:
            X: Images; see the class.

        Returns:
            (n_images, height, width) float32, at the ``map_size`` of the export; with
            "original" a list of (height, width). NaN where an image was skipped.

        Raises:
            ImageError: As in ``score``.
        """
        size = self.header["map_size"]
        unseen = self.header["image_size"] if isinstance(size, str) else size
        maps = [
            np.full(unseen, np.nan, np.float32) if result.map is None else result.map
            for result in self._all(X, "anomaly_maps")
        ]
        return maps if isinstance(size, str) else np.stack(maps)

    def inspect(self, X: Images) -> Iterator[Inspection]:
        """Yield path, score, verdict and map of each image, in order, in one pass.

        Args:
            X: Images; see the class. A stream may be endless: each image is read when
                the result before it has been taken.

        Yields:
            One ``Inspection`` an image. A skipped image has an ``error`` and no map.

        Raises:
            ImageError: As in ``score``.
        """
        return self._inspect(self._open(X, "inspect"))

    def _open(self, X: Images, method: str) -> Source:
        owner = f"{type(self).__name__}.{method}"
        return open_source(X, owner, PixelFormat(self.color, self.max_value))

    def _all(self, X: Images, method: str) -> list[Inspection]:
        results = list(self._inspect(self._open(X, method)))
        if not results:
            owner, rule = type(self).__name__, "at least one image"
            raise ValueError(refusal("X", owner, rule, "an empty stream"))
        reasons = [result.error for result in results if result.error is not None]
        if reasons:
            warnings.warn(
                f"{len(reasons)} images were skipped: {'; '.join(reasons[:5])}",
                SkippedImagesWarning,
                stacklevel=3,
            )
        return results

    def _inspect(self, source: Source) -> Iterator[Inspection]:
        for item in source.items:
            try:
                yield self._inspect_one(source, item)
            except ImageError as error:
                if self.on_error == "raise":
                    raise
                unseen = None if self.threshold_ is None else OUTLIER
                yield Inspection(
                    item.name,
                    float("nan"),
                    unseen,
                    None,
                    str(error),
                    decision=self._limits().unseen(),
                )
        source.used_range.warn()

    def _inspect_one(self, source: Source, item: Item) -> Inspection:
        pixels = as_input(source.read(item), item.name, self.header["input_size"])
        outputs = self._run(pixels)
        found = dict(zip(self.header["outputs"], outputs, strict=True))
        size = pixels.shape[1:3]
        self._check_shapes(found, size)
        anomaly_map = np.array(found["anomaly_map"][0])
        places = found["patch_scores"][0]
        if self.header["parameters"].get("aggregation") == "map_max":
            places = anomaly_map
        worst = np.unravel_index(places.argmax(), places.shape)
        centre = (np.array(worst) + 0.5) / places.shape * size
        score, verdict = float(found["score"][0]), None
        if "verdict" in found:
            verdict = int(found["verdict"][0])
        return Inspection(
            path=item.name,
            score=score,
            verdict=verdict,
            map=anomaly_map,
            size=size,
            worst_pixel=(int(centre[0]), int(centre[1])),
            **self._limits().judged(score, verdict),
        )

    def _limits(self) -> Limits:
        scores = self.header.get("calibration_scores", [])
        return Limits(self.threshold_, self.review_threshold_, scores)

    def _check_shapes(self, found: dict[str, AnyArray], size: tuple[int, ...]) -> None:
        """Raise ModelFileError if the graph gives what its header does not say."""
        map_size = self.header["map_size"]
        wanted: dict[str, tuple[int, ...]] = {
            "score": (1,),
            "anomaly_map": (1, *(size if isinstance(map_size, str) else map_size)),
            "patch_scores": (1, *self.header["grid"]),
            "verdict": (1,),
        }
        for name, values in found.items():
            if values.shape != wanted[name]:
                came = f"{values.shape}, not the {wanted[name]} of its header"
                text = f"The exported model is damaged: {name} is {came}."
                raise ModelFileError(text)


def as_input(image: AnyArray, name: str, input_size: list[int] | None) -> AnyArray:
    """Return what ``Source.read`` gave as a graph takes it, or raise.

    (1, height, width, 1 or 3) uint8.
    """
    if image.dtype != np.uint8:
        raise ImageError(
            f"{name} must have 8 bits for an exported model; it has 16, or floats. "
            "Pass uint8, or score it with the model file."
        )
    height, width = image.shape[:2]
    if input_size not in (None, [height, width]):
        raise ImageError(
            f"{name} must be of {input_size[0]}x{input_size[1]} pixels, the input_size "
            f"of the exported model; got {height}x{width}."
        )
    return np.ascontiguousarray(image.reshape(1, height, width, -1))
