"""Fit a detector on Dask's workers, with the same bits as in one process."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from adlib._progress import ProgressBar
from adlib._typing import Float32Array, Int64Array
from adlib._validation import check_int, coreset_size, describe, refusal
from adlib.distributed._picks import Picks
from adlib.distributed._workers import (
    PIECE,
    Recipe,
    Step,
    Summary,
    answer,
    check_client,
    check_model,
    divided,
    fingerprint,
    in_chunks,
    in_order,
    read_part,
    read_patches,
    score_left_out,
    shipped,
    summary_of,
)
from adlib.estimators import PaDiM, PatchCore
from adlib.estimators._calibration import Candidates, check_same_images, others
from adlib.estimators._detector import AnomalyDetector
from adlib.estimators._examination import Examination, Examiner
from adlib.estimators._patches import Pass, Patches
from adlib.estimators._results import Scored
from adlib.estimators._settings import Settings
from adlib.features import Backbone
from adlib.images import Images, Source, read_batches
from adlib.images._sources import Item, found_anywhere
from adlib.neighbors._coreset import radius_bound
from adlib.neighbors._shards import Coordinator, News, Numbers

if TYPE_CHECKING:
    from distributed import Client, Future

Detector = TypeVar("Detector", PatchCore, PaDiM)
OWNER = "adlib.distributed.fit"
UNSUPPORTED = {
    "projection": "it needs the patches of all images in one place",
    "contamination": "it needs the patches of all images in one place",
    "cache": "the workers hold the patches",
}


def fit(
    model: Detector,
    X: Images,
    client: Client,
    y: ArrayLike | None = None,
    *,
    n_shards: int | None = None,
    picks: str | os.PathLike[str] | None = None,
) -> Detector:
    """Fit a detector on the workers of a Dask cluster, as ``model.fit`` does.

    The workers read the images and hold their patches. PatchCore's coreset is selected
    over all of them: the model is that of one machine, bit for bit, if the workers are
    alike (processor, versions). So is PaDiM's, whose patches pass through the client,
    which adds them up.

    Args:
        model: ``PaDiM``, or ``PatchCore`` without ``projection``, ``contamination`` and
            ``cache``.
        X: Images of good parts, as in ``fit``. Paths must be found by all workers;
            arrays travel to them through the scheduler.
        client: A client of the cluster.
        y: Labels, as in ``fit``.
        n_shards: Parts that the images are divided into, each held by one worker; None:
            as many as there are workers. More of them are made again sooner after a
            worker has died.
        picks: A file for the picks of PatchCore's coreset. If it is there, left by a
            fit that was killed, the selection goes on from it. It is deleted once the
            model is fitted. None: no file.

    Returns:
        ``model``, fitted. A failed fit leaves it as it was.

    Raises:
        ImageError, TypeError, ValueError, WeightsError: As ``fit``; or an argument is
            not as stated.
        MemoryError: The patches of a part exceed the memory of its worker.
        ImportError: The extra ``dask`` is not installed.

    Note:
        The patches of all images stay in the workers' memory until the end, as in
        ``fit``. When a worker dies, another reads its images again and is told all
        picks; nothing else is repeated. Warnings about dark images go to the logs of
        the workers.
    """
    check_model(model, (PatchCore, PaDiM), "a PatchCore or a PaDiM", OWNER)
    client = check_client(client, OWNER)
    if n_shards is not None:
        n_shards = check_int(n_shards, "n_shards", OWNER, low=1)
    for name, reason in UNSUPPORTED.items():
        value = getattr(model, name, None)
        if value is not None:
            rule = f"None, since {reason}"
            raise ValueError(refusal(name, OWNER, rule, describe(value)))
    engine = DaskEngine(client, n_shards, Picks(picks, OWNER))
    model._engine = engine
    try:
        model.fit(X, y)
    finally:
        del model._engine
    engine.picks.remove()
    return model


class DaskEngine:
    """Computes on the workers of a Dask cluster what ``fit`` would compute here.

    Attributes:
        picks: The file of the picks.
        coordinator: That of the last selection, with its rounds and bytes.
    """

    def __init__(self, client: Client, n_shards: int | None, picks: Picks) -> None:
        self._client, self._n_shards, self.picks = client, n_shards, picks
        self.coordinator: Coordinator | None = None

    def learn(
        self,
        detector: AnomalyDetector,
        source: Source,
        backbone: Backbone,
        settings: Settings,
        owner: str,
    ) -> tuple[Pass, dict[str, Any]]:
        """Read all images; return them and what ``_learn`` returns."""
        items = [found_anywhere(item) for item in source.items]
        _draw_region(replace(source, items=items), settings)
        recipe = self._recipe(detector, backbone, settings)
        if isinstance(detector, PatchCore):
            return self._select(detector, items, recipe, settings, owner)
        return self._stream(detector, items, recipe, backbone, settings, owner)

    def leave_one_out(
        self,
        detector: AnomalyDetector,
        source: Source,
        settings: Settings,
        owner: str,
        peaks_of: Callable[[Scored, Patches], list[float]],
    ) -> tuple[Candidates, Examination]:
        """Return what ``_leave_one_out`` returns."""
        names, digests = detector.training_images_, detector.training_digests_
        examiner = Examiner(detector._origins())
        recipe = self._recipe(detector, detector.backbone_, settings)
        skipped = {failure.position for failure in detector.skipped_}
        tasks, first = [], 0
        items = [found_anywhere(item) for item in source.items]
        for part in in_chunks(items, len(self._client.nthreads())):
            tasks.append((part, first))
            first += sum(item.position not in skipped for item in part)
        last: list[Scored] = []

        def batches() -> Generator[Patches]:
            bar = ProgressBar("Leaving one out", len(items), enabled=settings.progress)
            with bar:
                for found in in_order(self._client, score_left_out, recipe, tasks):
                    for patches, scored in found:
                        if scored is not None:
                            last.append(scored)
                        yield patches
                        bar.advance(len(patches.names))

        def score(patches: Patches, numbers: Int64Array) -> Scored:
            first = int(numbers[0])
            check_same_images(patches, first, names, digests, owner)
            scored = last.pop()
            examiner.note(scored, numbers)
            return scored

        found = Candidates.of(Pass(batches()), score, peaks_of)
        if len(found.scores) < len(names):
            raise others(names, f"{len(found.scores)} images", owner)
        return found, examiner.result(found, detector.grid_)

    def _recipe(
        self, detector: AnomalyDetector, backbone: Backbone, settings: Settings
    ) -> Future[Any]:
        plain = copy.copy(detector)
        del plain._engine
        silent = settings._replace(progress=False)
        return shipped(self._client, Recipe(plain, backbone, silent))

    def _stream(
        self,
        detector: AnomalyDetector,
        items: list[Item],
        recipe: Future[Any],
        backbone: Backbone,
        settings: Settings,
        owner: str,
    ) -> tuple[Pass, dict[str, Any]]:
        """Learn from patches that come from the workers in the order of the images."""
        parts = in_chunks(items, len(self._client.nthreads()))

        def batches() -> Generator[Patches]:
            bar = ProgressBar("Reading features", len(items), enabled=settings.progress)
            with bar:
                for some in in_order(self._client, read_patches, recipe, parts):
                    for patches in some:
                        yield patches
                        bar.advance(len(patches.names))

        images = Pass(batches(), owner, strict=settings.on_error == "raise")
        embedder = detector._new_embedder(backbone, settings)
        with closing(iter(images)) as coming:
            return images, detector._learn(coming, len(items), embedder, settings)

    def _select(
        self,
        detector: PatchCore,
        items: list[Item],
        recipe: Future[Any],
        settings: Settings,
        owner: str,
    ) -> tuple[Pass, dict[str, Any]]:
        """Learn a memory bank from patches that stay with the workers."""
        client = self._client
        workers = list(client.nthreads())
        parts, summaries = [], []
        for i, some in enumerate(divided(items, self._n_shards or len(workers))):
            # One on each worker, or, where that has died, on any.
            part = client.submit(
                read_part,
                recipe,
                shipped(client, some),
                workers=[workers[i % len(workers)]],
                allow_other_workers=True,
                pure=False,
            )
            parts.append(part)
            summaries.append(client.submit(summary_of, part, pure=False))
        with ProgressBar(
            "Reading features", len(items), enabled=settings.progress
        ) as bar:
            found: list[Summary] = []
            for future in summaries:
                found.append(future.result())
                bar.advance(len(found[-1].names) + len(found[-1].skipped))
        images = _images_of(found, owner)
        shards = [
            (part, one) for part, one in zip(parts, found, strict=True) if one.n_points
        ]
        return images, self._make_bank(detector, shards, settings)

    def _make_bank(
        self,
        detector: PatchCore,
        shards: Sequence[tuple[Future[Any], Summary]],
        settings: Settings,
    ) -> dict[str, Any]:
        """Select over shards and return what was learned."""
        client, parts = self._client, [part for part, _ in shards]
        found = [one for _, one in shards]
        n_points = sum(one.n_points for one in found)
        n_patches = sum(one.n_patches for one in found)
        size = min(coreset_size(detector.coreset, n_patches), n_points)
        if detector.aggregation == "reweighted":
            check_int(size, "the coreset's size", type(detector).__name__, low=2)
        steps = [
            Step(size, settings.device, settings.n_workers, fingerprint([one]))
            for one in found
        ]

        def ask(method: str, requests: Sequence[Any]) -> list[Any]:
            futures = [
                None
                if request is None
                else client.submit(
                    answer, part, step, method, self._sent(request), pure=False
                )
                for part, step, request in zip(parts, steps, requests, strict=True)
            ]
            return [None if one is None else one.result() for one in futures]

        firsts = np.cumsum([0, *(one.n_points for one in found)])
        numbers = [
            Numbers(firsts[i : i + 1], np.array([one.n_points]))
            for i, one in enumerate(found)
        ]
        select = Coordinator(ask, numbers, found[0].n_features, size)
        self.coordinator = select
        seed, radius = settings.random_state, None
        if detector.selection == "random":
            kept = np.random.default_rng(seed).choice(n_points, size, replace=False)
            kept = np.sort(kept)
            rows = select.rows_at(kept)
        else:
            known = self.picks.open(fingerprint(found), size, seed)
            if not len(known):
                known = np.random.default_rng(seed).integers(n_points, size=1)
                self.picks.add(known)
            with ProgressBar(
                "Selecting the coreset", size, enabled=settings.progress
            ) as bar:

                def report(n_picked: int, radius: float) -> None:
                    last = select.n_picked
                    self.picks.add(select.picked[last - n_picked : last])
                    bar.advance(n_picked, f"covering radius {radius:.4g}")

                bar.advance(len(known))
                select.select(known, report)
            radius = radius_bound(select.rows, n_points)
            order = np.argsort(select.picked)
            kept, rows = select.picked[order], select.rows[order]
        origins = np.empty((size, 3), np.int64)
        held = [one.find(kept) for one in numbers]
        n_images = np.cumsum([0, *(len(one.names) for one in found)])
        answers = ask("origins", [indices for _, indices in held])
        for (mask, _), first, some in zip(held, n_images[:-1], answers, strict=True):
            origins[mask] = some
            origins[mask, 0] += first
        bank = detector._make_bank(rows, origins, settings.device)
        everything: Any = _Rows(n_points, select)
        return {
            "grid_": found[0].grid,
            "memory_bank_": bank,
            "covering_radius_": radius,
            "n_patches_": n_patches,
            "accepted_": (),
            "search_recall_": detector._measure_recall(
                bank, everything, kept, settings
            ),
        }

    def _sent(self, request: Any) -> Any:
        """Return a request, or where it is large a future of it."""
        large = isinstance(request, News) and request.rows.nbytes > PIECE
        return shipped(self._client, request) if large else request


class _Rows:
    """The patches of all shards, of which some can be had."""

    def __init__(self, n_points: int, coordinator: Coordinator) -> None:
        self._n_points, self._coordinator = n_points, coordinator

    def __len__(self) -> int:
        return self._n_points

    def __getitem__(self, numbers: Int64Array) -> Float32Array:
        return self._coordinator.rows_at(numbers)


def _draw_region(source: Source, settings: Settings) -> None:
    """Let the first image say what polygons are drawn in, for all parts."""
    if settings.region is None or settings.region.drawn:
        return
    batches = read_batches(
        source,
        image_size=settings.image_size,
        batch_size=1,
        n_workers=1,
        on_error=settings.on_error,
        region=settings.region,
        alignment=settings.alignment,
    )
    while not settings.region.drawn and next(batches, None) is not None:
        pass


def _images_of(found: Sequence[Summary], owner: str) -> Pass:
    """Return the images of all parts as those of one pass, or raise for none."""

    def none() -> Generator[Patches]:
        yield from ()

    images = Pass(none(), owner)
    for one in found:
        images.names += one.names
        images.positions += one.positions
        images.digests += one.digests
        images.skipped += one.skipped
    for _ in images:  # which raises where no image is usable
        pass
    return images
