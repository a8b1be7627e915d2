"""What a score is made of: stages, channels, and where patches lie among each other."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
import torch

from adlib._typing import AnyArray, Float32Array, Float64Array, Int64Array
from adlib._validation import refusal
from adlib.datasets import ANOMALOUS, Sample
from adlib.estimators import PatchCore
from adlib.images import open_source, read_batches
from adlib.study import _names as names
from adlib.study._predictions import looked_up, mask_of, paths_of
from adlib.study._tables import Rows, figures, row

Projection: TypeAlias = Literal["tsne", "umap"]
NORMAL_IMAGE, BESIDE, DEFECT = "normal image", "beside a defect", "defect"
N_FEATURES = 10  # so many of those that carry most are listed


def distance_shares(model: PatchCore, samples: Sequence[Sample]) -> pd.DataFrame:
    """Take apart the distance of each image's highest patch, by stage and channel.

    The squared distance to the nearest entry is a sum over features, and so over the
    channels of the backbone's stages; nothing is estimated.

    Figures of normal and of anomalous images: the mean share of each stage ("layer
    stride 8") and of the features that carry most ("feature 17"), and how many features
    would carry as much if all carried the same. Images whose highest patch is itself in
    the bank, at a distance of 0, are left out.
    """
    slices = _stage_slices(model)
    parts: dict[str, list[Float64Array]] = {"normal": [], "anomalous": []}
    for sample, queries, found in looked_up(model, samples):
        worst = int(found.distances[:, 0].argmax())
        squares = _squares(model, queries[[worst]], found.indices[[worst], 0])[0]
        total = squares.sum()
        if total > 0.0:
            kind = "anomalous" if sample.label == ANOMALOUS else "normal"
            parts[kind].append(squares / total)
    rows = Rows()
    for kind, some in parts.items():
        if some:
            mean, n, metric = np.mean(some, axis=0), len(some), f"distance_share_{kind}"
            most = np.argsort(-mean, kind="stable")[:N_FEATURES].tolist()
            shares = {
                f"layer {name}": mean[part].sum() for name, part in slices.items()
            }
            shares |= {f"feature {i}": mean[i] for i in most}
            rows += [row(metric, float(v), n=n, setting=k) for k, v in shares.items()]
            effective = float(1 / np.sum(mean**2))
            rows.append(row(f"effective_features_{kind}", effective, n=n))
            rows.append(row(f"n_features_{kind}", len(mean)))
    keys = {"condition": names.CLEAN, "method": names.PATCHCORE}
    return figures(rows, class_=samples[0].class_name, **keys)


def stage_maps(
    model: PatchCore, sample: Sample
) -> dict[str, tuple[Float32Array, Float32Array]]:
    """Return what each stage responds to on an image, and what it adds to the map.

    By stage: the length of its channel vector at each place, at the stage's own size;
    and its part in the patches' distance to their nearest entries, on the patch grid;
    the squares of these add up to the squared distance.
    """
    slices = _stage_slices(model)
    side = model.image_size
    size = (side, side) if isinstance(side, int) else (side[0], side[1])
    source = open_source([sample.image_path], "stage_maps")
    (batch,) = read_batches(source, image_size=size, batch_size=1)
    stages = model.backbone_(torch.from_numpy(batch.images))
    ((_, queries, nearest),) = looked_up(model, [sample])
    squares = _squares(model, queries, nearest.indices[:, 0])
    found = {}
    for (name, part), stage in zip(slices.items(), stages, strict=True):
        distances = np.sqrt(squares[:, part].sum(axis=1)).astype(np.float32)
        activations = stage[0].norm(dim=0).cpu().numpy()
        found[name] = (activations, distances.reshape(model.grid_))
    return found


def sample_patches(
    model: PatchCore,
    samples: Sequence[Sample],
    *,
    n_each: int = 500,
    random_state: int = 0,
) -> tuple[Float32Array, list[str]]:
    """Draw patches of normal images, beside defects and of defects; return their kinds.

    Memory is bounded: of each image at most ``n_each`` patches of a kind are kept.
    """
    pools: dict[str, list[Float32Array]] = {NORMAL_IMAGE: [], BESIDE: [], DEFECT: []}
    rng = np.random.default_rng(random_state)
    for one in model.embeddings(paths_of(samples)):
        sample = samples[one.position]
        patches = one.patches.reshape(-1, one.patches.shape[2])
        if sample.label != ANOMALOUS:
            parts = {NORMAL_IMAGE: patches}
        elif sample.mask_path is None:
            continue
        else:
            marked = mask_of(sample, model.grid_).ravel()
            parts = {BESIDE: patches[~marked], DEFECT: patches[marked]}
        for kind, some in parts.items():
            pools[kind].append(some[np.sort(rng.permutation(len(some))[:n_each])])
    embeddings, kinds = [], []
    for kind, pool in pools.items():
        if pool:
            whole = np.concatenate(pool)
            chosen = np.sort(rng.permutation(len(whole))[:n_each])
            embeddings.append(whole[chosen])
            kinds += [kind] * len(chosen)
    return np.concatenate(embeddings), kinds


def project(
    embeddings: AnyArray, method: Projection, *, random_state: int = 0
) -> Float64Array:
    """Lay patch embeddings out in a plane, so that neighbours stay neighbours.

    Distances between groups, and their sizes, mean nothing in such a plane.

    References:
        1. L. van der Maaten and G. Hinton, "Visualizing data using t-SNE", JMLR 9,
           2008.
        2. L. McInnes, J. Healy and J. Melville, "UMAP: uniform manifold approximation
           and projection for dimension reduction", 2018.
    """
    fewest = 31  # t-SNE's perplexity, and one more
    if len(embeddings) < fewest:
        rule = f"at least {fewest} patches"
        raise ValueError(refusal("embeddings", "project", rule, len(embeddings)))
    if method == "tsne":
        from sklearn.manifold import TSNE  # noqa: PLC0415 - seldom needed

        reducer = TSNE(init="pca", random_state=random_state)
    else:
        try:
            with warnings.catch_warnings():
                # Of a part of umap that needs TensorFlow, which nobody asked for.
                warnings.simplefilter("ignore", ImportWarning)
                from umap import UMAP  # noqa: PLC0415 - slow
        except ImportError as error:
            raise ImportError(
                "project by 'umap' needs the package umap-learn. Run: pip install "
                '"adlib-vision[study]", or take the method "tsne".'
            ) from error
        # One thread, said here: a seed asks for it, and UMAP warns of it otherwise.
        reducer = UMAP(random_state=random_state, n_jobs=1)
    return np.asarray(reducer.fit_transform(embeddings), np.float64)


def _stage_slices(model: PatchCore) -> dict[str, slice]:
    """Return which features each stage gives, or raise where they are mixed."""
    if model.embedding == "paper":
        raise ValueError(
            "model must keep channels apart, with the embedding 'concat' or "
            "'nearest'; 'paper' pools them."
        )
    ends = np.cumsum([stage.channels for stage in model.backbone_.stages]).tolist()
    return {
        f"stride {stage.stride}": slice(end - stage.channels, end)
        for stage, end in zip(model.backbone_.stages, ends, strict=True)
    }


def _squares(
    model: PatchCore, queries: Float32Array, nearest: Int64Array
) -> Float64Array:
    """Return what each feature adds to the squared distances, (n, n_features)."""
    entries = model.memory_bank_.embeddings[nearest].astype(np.float64)
    return np.asarray((queries - entries) ** 2)
