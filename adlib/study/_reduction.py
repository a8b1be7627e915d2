"""What scores are worth with fewer features: a bank and patches that lose the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.random_projection import GaussianRandomProjection

from adlib._typing import AnyArray, Float32Array
from adlib.datasets import Sample
from adlib.estimators import PatchCore
from adlib.estimators._aggregation import top_mean_scores
from adlib.neighbors import MemoryBank
from adlib.study import _names as names
from adlib.study._evaluate import auroc_row, delong_row
from adlib.study._interpretation import stage_slices
from adlib.study._predictions import anomalous_of, paths_of
from adlib.study._tables import Rows, figures, row

Reduce: TypeAlias = Callable[[Float32Array], AnyArray]
ALL = "all features"
N_KEPT = (8, 16, 32, 64, 128)  # features, where an embedding has more


def without_a_stage(model: PatchCore) -> dict[str, Reduce]:
    """Return what leaves out the features of a stage, each in turn."""

    def leave_out(part: slice) -> Reduce:
        return lambda patches: np.delete(patches, part, axis=1)

    slices = stage_slices(model)
    return {f"without {name}": leave_out(part) for name, part in slices.items()}


def fewer_dimensions(model: PatchCore, *, random_state: int) -> dict[str, Reduce]:
    """Return PCA, learned from the bank, and random projections, to several lengths.

    A random projection onto Gaussian directions keeps distances on average (Johnson and
    Lindenstrauss 1984); PCA keeps the directions along which the bank varies most.
    """
    bank = model.memory_bank_.embeddings
    found: dict[str, Reduce] = {}
    for n in (n for n in N_KEPT if n < min(bank.shape)):
        pca = PCA(n, svd_solver="full").fit(bank)
        projection = GaussianRandomProjection(n, random_state=random_state).fit(bank)
        found |= {f"pca {n}": pca.transform, f"projection {n}": projection.transform}
    return found


def reduce_features(
    model: PatchCore,
    samples: Sequence[Sample],
    choices: Mapping[str, Reduce],
    *,
    random_state: int,
) -> pd.DataFrame:
    """Score images by a fitted model whose bank and patches are reduced alike.

    The entries of the bank stay those that were chosen with all features, so nothing
    else differs.

    Args:
        model: Whose image score is the mean of the highest patch scores.
        samples: Images of both kinds.
        choices: What to make of patches, (n, n_features) to (n, fewer), by setting.
        random_state: Of the intervals.

    Returns:
        Figures of each choice and of "all features": AUROC, also less that of all
        features, "n_features", and "search_milliseconds" of an image.
    """
    bank = model.memory_bank_.embeddings
    every: dict[str, Reduce] = {ALL: np.asarray, **choices}
    banks = {
        setting: MemoryBank(_float32(reduce(bank)), device=model.device)
        for setting, reduce in every.items()
    }
    scores = {setting: np.full(len(samples), np.nan) for setting in every}
    seconds = dict.fromkeys(every, 0.0)
    for one in model.embeddings(paths_of(samples)):
        patches = one.patches.reshape(-1, one.patches.shape[2])
        for setting, reduce in every.items():
            queries = _float32(reduce(patches))
            started = time.perf_counter()
            distances = banks[setting].kneighbors(queries).distances
            seconds[setting] += time.perf_counter() - started
            (score,) = top_mean_scores(distances.reshape(1, -1), model.top_ratio)
            scores[setting][one.position] = score
    usable, rows = ~np.isnan(scores[ALL]), Rows()  # but for images that were skipped
    anomalous, n = anomalous_of(samples)[usable], int(usable.sum())
    for setting, values in scores.items():
        n_features, found = banks[setting].embeddings.shape[1], values[usable]
        per_image = 1000 * seconds[setting] / n
        rows.append(row("n_features", n_features, setting=setting))
        rows.append(row("search_milliseconds", per_image, n=n, setting=setting))
        keys = {"setting": setting}
        rows.append(auroc_row(names.AUROC, anomalous, found, random_state, **keys))
        if setting != ALL:
            pair = found, scores[ALL][usable]
            keys |= {"versus": ALL}
            rows.append(delong_row(names.AUROC, anomalous, *pair, **keys))
    keys = {"condition": names.CLEAN, "method": names.PATCHCORE}
    return figures(rows, class_=samples[0].class_name, **keys)


def _float32(values: AnyArray) -> Float32Array:
    return np.ascontiguousarray(values, dtype=np.float32)
