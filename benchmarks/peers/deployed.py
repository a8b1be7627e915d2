"""PatchCore that scores: adlib and anomalib, each in torch and in OpenVINO.

anomalib is also measured as it is deployed: ``Patchcore.to_openvino``, then its
``OpenVINOInferencer``. All have the same weights, memory bank (25,600 entries) and
score (weighted, 9 neighbours), are given decoded screws of 320x320, and return image
scores and anomaly maps. "One image a call" is a latency, each round another image.
"Throughput" is the time for 16 images: adlib and anomalib in torch take them in one
call; OpenVINO takes them in its own way, several requests at once, compiled for it.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import openvino
import torch
from _anomalib import export_patchcore, normalised, patchcore_model
from _clock import alternate, compared, one_by_one
from _work import images, paths_in
from anomalib.deploy import OpenVINOInferencer
from scipy.stats import spearmanr

import adlib
from adlib import PatchCore
from adlib.features import Backbone

SIDE, RATIO, NEIGHBOURS = 320, 0.05, 9
MANY, ROUNDS, ROUNDS_OF_MANY = 16, 11, 3
HINTS = {"float32": "f32", "bfloat16": "bf16"}
OURS = [("torch", "float32"), ("openvino", "float32"), ("openvino", "bfloat16")]
TORCH = "anomalib, torch float32"
PAIRS = [
    ("adlib, torch float32", TORCH),
    ("adlib, torch float32", "anomalib, OpenVINO float32"),
    ("adlib, OpenVINO float32", "anomalib, OpenVINO float32"),
    ("adlib, OpenVINO bfloat16", "anomalib, OpenVINO bfloat16"),
]


class Way(NamedTuple):
    """One way to score: a call of one image, a call of many, and image scores."""

    one: Callable
    many: Callable
    score: Callable


def measure(data: Path) -> list[dict]:
    good = images(paths_in(data / "screw" / "train" / "good", 320), SIDE)
    tests = images(paths_in(data / "screw" / "test")[::8], SIDE)
    single = [image[None] for image in tests]
    # anomalib's inferencer makes a folder for its cache where it runs.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        ways, missing = _ways(good)
        calls = {name: one_by_one(way.one, single) for name, way in ways.items()}
        latency = alternate(ROUNDS, **calls)
        several = [tests[:MANY]]
        calls = {name: one_by_one(way.many, several) for name, way in ways.items()}
        throughput = alternate(ROUNDS_OF_MANY, **calls)
        scores = {
            name: np.array([float(way.score(image)) for image in single])
            for name, way in ways.items()
        }
    return [
        *_pairs("one image a call", latency),
        *_pairs(f"throughput, {MANY} images", throughput),
        {"scores": _agreement(scores), "n_images": len(single)},
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
    for runtime, precision in OURS:
        name = f"adlib, {runtime.replace('openvino', 'OpenVINO')} {precision}"
        try:
            Backbone(runtime=runtime, precision=precision)
        except ValueError as error:  # no bfloat16 here
            missing[name] = str(error)
        else:
            ways[name] = _adlib(runtime, precision)
    theirs = patchcore_model(model.memory_bank_.embeddings, NEIGHBOURS)
    ways[TORCH] = _anomalib(theirs)
    path = export_patchcore(theirs, SIDE, Path())
    for precision, hint in HINTS.items():
        name = f"anomalib, OpenVINO {precision}"
        way, used = _exported(path, hint)
        if used == hint:
            ways[name] = way
        else:  # OpenVINO takes the hint, and what the processor has
            missing[name] = f"OpenVINO computes in {used} on this processor."
    return ways, missing


def _adlib(runtime: str, precision: str) -> Way:
    model = adlib.load(
        "model.adlib", runtime=runtime, precision=precision, device="cpu"
    )

    def inspect(stack: np.ndarray) -> list:
        return list(model.inspect(torch.from_numpy(stack)))

    return Way(inspect, inspect, lambda image: inspect(image)[0].score)


def _anomalib(model: Any) -> Way:
    def predict(stack: np.ndarray) -> Any:
        return model(normalised(torch.from_numpy(stack)))

    return Way(predict, predict, lambda image: predict(image).pred_score[0])


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
