"""Score images on Dask's workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from adlib._progress import ProgressBar
from adlib._typing import Float32Array
from adlib._validation import refusal
from adlib.distributed._workers import (
    check_client,
    check_model,
    in_chunks,
    in_order,
    score_items,
    shipped,
)
from adlib.estimators._detector import AnomalyDetector
from adlib.estimators._patches import warn_of_skipped
from adlib.images import Failure, Images, open_source
from adlib.images._sources import found_anywhere

if TYPE_CHECKING:
    from distributed import Client

OWNER = "adlib.distributed.score"


def score(model: AnomalyDetector, X: Images, client: Client) -> Float32Array:
    """Score images on the workers of a Dask cluster, as ``model.score`` does.

    Args:
        model: A fitted detector.
        X: Images, as in ``fit``. Paths must be found by all workers; arrays travel to
            them.
        client: A client of the cluster.

    Returns:
        (n_images,) float32, the scores of ``model.score(X)``; NaN where an image was
        skipped (``on_error="skip"``), with one warning that lists them.

    Raises:
        NotFittedError: ``fit`` was not called.
        ImageError: An image is unusable and ``on_error`` is "raise".
        TypeError, ValueError: An argument is not as stated.
        ImportError: The extra ``dask`` is not installed.

    Note:
        Images of a worker that dies are scored by another. Each worker is given the
        model once, and scores in as many threads as ``n_workers`` of the model says.
    """
    check_model(model, (AnomalyDetector,), "a fitted detector", OWNER)
    client = check_client(client, OWNER)
    settings = model._ready()
    owner = f"{type(model).__name__}.score"
    source = open_source(X, owner, settings.pixel_format)
    items = [found_anywhere(item) for item in source.items]
    if not items:
        raise ValueError(refusal("X", owner, "at least one image", "none"))
    scores: list[Float32Array] = []
    skipped: list[Failure] = []
    with ProgressBar("Scoring", len(items), enabled=settings.progress) as bar:
        parts = in_chunks(items, len(client.nthreads()))
        for some, failed in in_order(
            client, score_items, shipped(client, model), parts
        ):
            scores.append(some)
            skipped += failed
            bar.advance(len(some))
    warn_of_skipped(skipped)
    return np.concatenate(scores)
