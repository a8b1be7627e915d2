"""What a score is made of: stages, channels, and the patches that are nearest.

Of one model for all classes: whose patches these are, and what they do to scores.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import torch

from adlib._typing import AnyArray, Float32Array, Float64Array, Int64Array
from adlib.datasets import ANOMALOUS, Sample
from adlib.datasets._splits import ClassSplit
from adlib.estimators import PatchCore
from adlib.images import open_source, read_batches
from adlib.metrics import compute_auroc
from adlib.neighbors import MemoryBank
from adlib.study import _names as names
from adlib.study._evaluate import delong_row
from adlib.study._predictions import Predictions, looked_up, mask_of, paths_of
from adlib.study._tables import Rows, figures, row

Projection: TypeAlias = Literal["tsne", "umap"]
NORMAL_IMAGE, BESIDE, DEFECT = "normal image", "beside a defect", "defect"
KINDS = ("normal", "defect", "worst")  # of patches whose neighbours are counted
OF_GLOBAL = {"condition": names.GLOBAL, "method": names.PATCHCORE}
N_FEATURES = 10  # so many of those that carry most are listed


def distance_shares(model: PatchCore, samples: Sequence[Sample]) -> pd.DataFrame:
    """Take apart the distance of each image's highest patch, by stage and channel.

    The squared distance to the nearest entry is a sum over features, and so over the
    channels of the backbone's stages; nothing is estimated.

    Figures of normal and of anomalous images: the mean share of each stage ("layer
    stride 8") and of the features that carry most ("feature 17"). Images whose highest
    patch is itself in the bank, at a distance of 0, are left out.
    """
    slices = stage_slices(model)
    parts: dict[str, list[Float64Array]] = {"normal": [], "anomalous": []}
    for sample, queries, found in looked_up(model, samples):
        worst = int(found.distances[:, 0].argmax())
        squares = _squares(model, queries[[worst]], found.indices[[worst], 0])[0]
        if total := squares.sum():
            kind = "anomalous" if sample.label == ANOMALOUS else "normal"
            parts[kind].append(squares / total)
    rows = Rows()
    for kind, some in parts.items():
        if some:
            mean, metric = np.mean(some, axis=0), f"distance_share_{kind}"
            shares = {f"layer {name}": mean[of].sum() for name, of in slices.items()}
            most = np.argsort(-mean, kind="stable")[:N_FEATURES].tolist()
            shares |= {f"feature {i}": mean[i] for i in most}
            for setting, share in shares.items():
                rows.append(row(metric, float(share), n=len(some), setting=setting))
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
    slices = stage_slices(model)
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

    def draw(some: Float32Array) -> Float32Array:
        return some[np.sort(rng.permutation(len(some))[:n_each])]

    for one in model.embeddings(paths_of(samples)):
        sample = samples[one.position]
        patches = one.patches.reshape(-1, one.patches.shape[2])
        if sample.label != ANOMALOUS:
            pools[NORMAL_IMAGE].append(draw(patches))
        elif sample.mask_path is not None:
            marked = mask_of(sample, model.grid_).ravel()
            pools[BESIDE].append(draw(patches[~marked]))
            pools[DEFECT].append(draw(patches[marked]))
    drawn = {kind: draw(np.concatenate(pool)) for kind, pool in pools.items() if pool}
    kinds = [kind for kind, some in drawn.items() for _ in some]
    return np.concatenate(list(drawn.values())), kinds


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


def stage_slices(model: PatchCore) -> dict[str, slice]:
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


def pooled_split(splits: Mapping[str, ClassSplit]) -> ClassSplit:
    """Return one split, "global", of all classes' images, in the order of classes."""
    parts = [split.parts() for split in splits.values()]
    train, val, test = (
        tuple(sample for part in parts for sample in part[name])
        for name in ("train", "val", "test")
    )
    return ClassSplit("global", next(iter(splits.values())).seed, train, val, test)


def neighbour_shares(
    model: PatchCore, train: Sequence[Sample], samples: Sequence[Sample]
) -> pd.DataFrame:
    """Say which classes' entries are nearest to the patches of a class's test images.

    Figures "neighbour_share", the class of the entries in "versus", of all patches of
    normal images ("patches normal"), of those that masks mark ("patches defect"), and
    of each anomalous image's highest patch ("patches worst").
    """
    classes, entry_class = _classes_of_entries(model, train)
    counts = {kind: np.zeros(len(classes), np.int64) for kind in KINDS}
    for sample, _, found in looked_up(model, samples):
        nearest = entry_class[found.indices[:, 0]]
        chosen = {"normal": nearest}
        if sample.label == ANOMALOUS:
            marked = mask_of(sample, model.grid_).ravel()  # none without a mask
            worst = [found.distances[:, 0].argmax()]
            chosen = {"defect": nearest[marked], "worst": nearest[worst]}
        for kind, some in chosen.items():
            counts[kind] += np.bincount(some, minlength=len(classes))
    rows = Rows()
    for kind, count in counts.items():
        if n := int(count.sum()):
            keys = {"n": n, "setting": f"patches {kind}"}
            for name, share in zip(classes, (count / n).tolist(), strict=True):
                rows.append(row("neighbour_share", share, versus=name, **keys))
    return figures(rows, class_=samples[0].class_name, **OF_GLOBAL)


def shortcut(
    model: PatchCore, train: Sequence[Sample], whole: Predictions
) -> pd.DataFrame:
    """Measure what the other classes' entries do to the scores of a class.

    You et al. (2022) call it the identical shortcut that a model of many classes passes
    anomalies through as well as what it was trained on. A memory bank cannot copy its
    input, but an anomaly of one class may lie near what is normal in another. The
    entries of all classes and of the class alone, taken from one and the same global
    bank, differ in nothing else.

    Figures: AUROC with and without the other classes' entries, the difference, and the
    mean share of a score that these take away ("normal_drop", "anomalous_drop").

    References:
        1. Z. You et al., "A unified model for multi-class anomaly detection", NeurIPS
           2022.
    """
    class_name = whole.samples[0].class_name
    classes, entry_class = _classes_of_entries(model, train)
    own, bank = entry_class == classes.index(class_name), model.memory_bank_
    assert bank.origins is not None  # PatchCore's own banks always know them
    restricted = copy.copy(model)
    restricted.memory_bank_ = MemoryBank(
        bank.embeddings[own], origins=bank.origins[own], device=model.device
    )
    without = Predictions.of(restricted, whole.samples, maps=False)
    usable = whole.usable & without.usable
    anomalous = whole.anomalous[usable]
    every, some = whole.scores[usable], without.scores[usable]
    drop = 1.0 - every / np.where(some > 0.0, some, 1.0)
    keys: dict[str, Any] = {"setting": "shortcut", "n": len(anomalous)}
    rows = [
        row("n_entries_kept", int(own.sum()), setting="shortcut"),
        row("auroc_own_entries", compute_auroc(anomalous, some), **keys),
        row("auroc_global", compute_auroc(anomalous, every), **keys),
        delong_row(names.AUROC, anomalous, every, some, **keys, versus="own entries"),
    ]
    for kind, of in {"normal": ~anomalous, "anomalous": anomalous}.items():
        keys["n"] = int(of.sum())
        rows.append(row(f"{kind}_drop", float(drop[of].mean()), **keys))
    return figures(rows, class_=class_name, **OF_GLOBAL)


def _classes_of_entries(
    model: PatchCore, train: Sequence[Sample]
) -> tuple[list[str], Int64Array]:
    """Return class names, and of each bank entry the number of its class."""
    if len(train) != len(model.training_images_):
        raise ValueError(
            f"train must be the {len(model.training_images_)} images that the model "
            f"was fitted on; got {len(train)}."
        )
    classes, numbers = np.unique([s.class_name for s in train], return_inverse=True)
    origins = model.memory_bank_.origins
    assert origins is not None  # PatchCore's own banks always know them
    return classes.tolist(), numbers[origins[:, 0]]
