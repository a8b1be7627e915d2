"""The time that each stage takes, from an image file to its map."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from adlib.estimators._detector import AnomalyDetector
from adlib.estimators._patches import Patches, only_inside
from adlib.features._embedding import Embedder
from adlib.images import open_source, read_batches

STAGES = ("decode", "backbone", "embed", "search", "map")


def stage_seconds(
    model: AnomalyDetector, paths: Sequence[str | Path]
) -> Iterator[dict[str, float]]:
    """Take a fitted detector's time on images, one at a time and stage by stage.

    Nothing overlaps here; ``inspect``, which works ahead, is faster than the sum.

    Args:
        model: Fitted; ``device`` and ``runtime`` as they will be used.
        paths: Image files. The first few take longer: kernels are made then.

    Yields:
        For each image the seconds of "decode" (read, decode, resize), "backbone",
        "embed" (patch embeddings), "search" (patch and image scores) and "map".

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> import numpy as np
        >>> from PIL import Image
        >>> from adlib.estimators import PatchCore, stage_seconds
        >>> good = np.random.default_rng(0).random((4, 64, 64), dtype=np.float32)
        >>> model = PatchCore(image_size=64, coreset=0.5).fit(good)
        >>> with TemporaryDirectory() as folder:
        ...     Image.new("L", (64, 64)).save(f"{folder}/0.png")
        ...     [list(seconds) for seconds in stage_seconds(model, [f"{folder}/0.png"])]
        [['decode', 'backbone', 'embed', 'search', 'map']]
    """
    settings = model._ready()
    size, embedder = settings.image_size, model._embedder()
    assert isinstance(embedder, Embedder)  # of every detector here

    def now() -> float:
        if settings.device != "cpu":
            torch.cuda.synchronize(settings.device)
        return time.perf_counter()

    for path in paths:
        times = [now()]
        source = open_source([path], "stage_seconds", settings.pixel_format)
        reading = read_batches(
            source,
            image_size=size,
            batch_size=1,
            n_workers=1,
            region=settings.region,
            alignment=settings.alignment,
        )
        batch = next(reading)
        images = torch.from_numpy(batch.images)
        times.append(now())
        maps = embedder.backbone.compute(images)  # without the feature cache
        times.append(now())
        embeddings = embedder.embed(maps).cpu().numpy()
        times.append(now())
        patches = Patches(embeddings, *batch[1:3], batch.sizes, [], [])
        if batch.shares:
            (patches,) = only_inside(patches, batch.shares)
        scored = model._scored(patches)
        times.append(now())
        scored.anomaly_maps(size, model._drawing)
        times.append(now())
        yield dict(zip(STAGES, np.diff(times).tolist(), strict=True))
