"""PatchCore that scores: adlib and anomalib, each in torch and as it is deployed.

anomalib is deployed by ``Patchcore.to_openvino`` and its ``OpenVINOInferencer``, or by
``Patchcore.to_onnx`` and ONNX Runtime; adlib by ``PatchCore.export``, then
``adlib.runtime`` with either. All have the same weights, memory bank (25,600 entries)
and score (weighted, 9 neighbours), are given decoded screws of 320x320 (adlib's
exported file as bytes, which it must still scale and resize), and return image scores
and anomaly maps. "One image a call" is a latency, each round another image.
"Throughput" is the time for 16 images: adlib and anomalib in torch take them in one
call, ONNX Runtime and adlib's exported file one after the other; anomalib's OpenVINO
takes several requests at once, compiled for it.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import openvino
import torch
from _anomalib import export_patchcore, normalised, patchcore_model
from _clock import alternate, compared, one_by_one
from _work import images, paths_in
from anomalib.deploy import OpenVINOInferencer
from scipy.stats import spearmanr

import adlib
from adlib import PatchCore, runtime
from adlib.features import Backbone

SIDE, RATIO, NEIGHBOURS = 320, 0.05, 9
MANY, ROUNDS, ROUNDS_OF_MANY = 16, 11, 3
HINTS = {"float32": "f32", "bfloat16": "bf16"}
OURS = [("torch", "float32"), ("openvino", "float32"), ("openvino", "bfloat16")]
EXPORTED = {
    "openvino": "adlib, exported file by OpenVINO",
    "onnxruntime": "adlib, exported file by ONNX Runtime",
}
TORCH = "anomalib, torch float32"
ONNX = "anomalib, ONNX Runtime float32"
PAIRS = [
    ("adlib, torch float32", TORCH),
    ("adlib, torch float32", "anomalib, OpenVINO float32"),
    ("adlib, OpenVINO float32", "anomalib, OpenVINO float32"),
    ("adlib, OpenVINO bfloat16", "anomalib, OpenVINO bfloat16"),
    (EXPORTED["openvino"], "anomalib, OpenVINO float32"),
    (EXPORTED["onnxruntime"], ONNX),
]


class Way(NamedTuple):
    """One way to score: a call of one image, a call of many, and image scores.

    Images are numbers in [0, 1], (n, 3, side, side), or bytes, (n, side, side, 3).
    """

    one: Callable
    many: Callable
    score: Callable
    takes_bytes: bool = False


def measure(data: Path) -> list[dict]:
    good = images(paths_in(data / "screw" / "train" / "good", 320), SIDE)
    numbers = images(paths_in(data / "screw" / "test")[::8], SIDE)
    as_bytes = np.rint(255 * numbers).astype(np.uint8)
    numbers = as_bytes / np.float32(255)  # the same images in both forms
    stacks = {False: numbers, True: as_bytes.transpose(0, 2, 3, 1).copy()}
    single = {kind: np.split(stack, len(stack)) for kind, stack in stacks.items()}
    # anomalib's inferencer makes a folder for its cache where it runs.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        ways, missing = _ways(good)
        calls = {
            name: one_by_one(way.one, single[way.takes_bytes])
            for name, way in ways.items()
        }
        latency = alternate(ROUNDS, **calls)
        calls = {
            name: one_by_one(way.many, [stacks[way.takes_bytes][:MANY]])
            for name, way in ways.items()
        }
        throughput = alternate(ROUNDS_OF_MANY, **calls)
        scores = {
            name: np.array(
                [float(way.score(image)) for image in single[way.takes_bytes]]
            )
            for name, way in ways.items()
        }
    return [
        *_pairs("one image a call", latency),
        *_pairs(f"throughput, {MANY} images", throughput),
        {"scores": _agreement(scores), "n_images": len(numbers)},
        *({"missing": name, "reason": why} for name, why in missing.items()),
    ]


def _pairs(task: str, seconds: dict[str, list[float]]) -> list[dict]:
    """Return a record for each pair that was measured."""
    return [
        {**record, "task": f"{task}: {ours}"}
        for ours, theirs in PAIRS
        if ours in seconds and theirs in seconds
        for record in compared(task, {"adlib": seconds[ours], theirs: seconds[theirs]})
    ]


def _agreement(scores: dict[str, np.ndarray]) -> list[dict]:
    """Return how near all scores are to those of both libraries in torch."""
    return [
        {
            "way": name,
            "to": reference,
            "Spearman": float(spearmanr(found, scores[reference])[0]),
            "largest relative difference": float(
                np.max(np.abs(found - scores[reference]) / scores[reference])
            ),
        }
        for name, found in scores.items()
        for reference in (PAIRS[0][0], TORCH)
        if name != reference
    ]


def _ways(good: np.ndarray) -> tuple[dict[str, Way], dict[str, str]]:
    """Return what to measure by name, and what this machine lacks with the reason."""
    ways, missing = {}, {}
    model = PatchCore(
        image_size=SIDE,
        coreset=RATIO,
        aggregation="reweighted",
        n_neighbors=NEIGHBOURS,
        device="cpu",
        progress=False,
    ).fit(torch.from_numpy(good))
    model.save("model.adlib")
    for engine, precision in OURS:
        name = f"adlib, {engine.replace('openvino', 'OpenVINO')} {precision}"
        try:
            Backbone(runtime=engine, precision=precision)
        except ValueError as error:  # no bfloat16 here
            missing[name] = str(error)
        else:
            ways[name] = _adlib(engine, precision)
    model.export("model.onnx")
    for engine, name in EXPORTED.items():
        ways[name] = _adlib_exported(engine)
    theirs = patchcore_model(model.memory_bank_.embeddings, NEIGHBOURS)
    ways[TORCH] = _anomalib(theirs)
    path, onnx_path = export_patchcore(theirs, SIDE, Path())
    ways[ONNX] = _onnx(onnx_path)
    for precision, hint in HINTS.items():
        name = f"anomalib, OpenVINO {precision}"
        way, used = _exported(path, hint)
        if used == hint:
            ways[name] = way
        else:  # OpenVINO takes the hint, and what the processor has
            missing[name] = f"OpenVINO computes in {used} on this processor."
    return ways, missing


def _adlib(engine: str, precision: str) -> Way:
    model = adlib.load("model.adlib", runtime=engine, precision=precision, device="cpu")

    def inspect(stack: np.ndarray) -> list:
        return list(model.inspect(torch.from_numpy(stack)))

    return Way(inspect, inspect, lambda image: inspect(image)[0].score)


def _adlib_exported(engine: str) -> Way:
    model = runtime.load("model.onnx", runtime=engine)

    def inspect(stack: np.ndarray) -> list:
        return list(model.inspect(stack))

    return Way(inspect, inspect, lambda image: inspect(image)[0].score, True)


def _anomalib(model: Any) -> Way:
    def predict(stack: np.ndarray) -> Any:
        return model(normalised(torch.from_numpy(stack)))

    return Way(predict, predict, lambda image: predict(image).pred_score[0])


def _onnx(path: Path) -> Way:
    """Return anomalib's ONNX file, which takes one image a call."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    session = onnxruntime.InferenceSession(path, options)
    (given,) = session.get_inputs()

    def predict(image: np.ndarray) -> list:
        return session.run(None, {given.name: image})

    def many(stack: np.ndarray) -> None:
        for image in np.split(stack, len(stack)):
            predict(image)

    place = [output.name for output in session.get_outputs()].index("pred_score")
    return Way(predict, many, lambda image: predict(image)[place].item())


def _exported(path: Path, hint: str) -> tuple[Way, str]:
    """Return anomalib's inferencer, and the precision in which it computes."""
    precision = {"INFERENCE_PRECISION_HINT": hint}
    inferencer = OpenVINOInferencer(path, device="CPU", config=precision)
    fast = {**precision, "PERFORMANCE_HINT": "THROUGHPUT"}
    compiled = openvino.Core().compile_model(path, "CPU", fast)
    queue = openvino.AsyncInferQueue(compiled)
    outputs: dict[int, tuple] = {}

    def keep(request: Any, place: int) -> None:
        outputs[place] = tuple(tensor.data.copy() for tensor in request.output_tensors)

    queue.set_callback(keep)

    def many(stack: np.ndarray) -> None:
        for place in range(len(stack)):
            queue.start_async([stack[place : place + 1]], place)
        queue.wait_all()

    def score(image: np.ndarray) -> float:
        return inferencer.predict(image).pred_score[0]

    used = inferencer.model.get_property("INFERENCE_PRECISION_HINT").to_string()
    return Way(inferencer.predict, many, score), used
