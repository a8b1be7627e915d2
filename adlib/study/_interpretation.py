"""What a score is made of: stages, channels, and where patches lie among each other."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import torch

from adlib._typing import AnyArray, Float32Array, Float64Array, Int64Array
from adlib._validation import check_option, refusal
from adlib.datasets import ANOMALOUS
from adlib.estimators import PatchCore
from adlib.images import open_source, read_batches
from adlib.study._predictions import Masks

if TYPE_CHECKING:
    from adlib.datasets import Sample

Projection: TypeAlias = Literal["tsne", "umap"]
NORMAL_IMAGE, BESIDE, DEFECT = "normal image", "beside a defect", "defect"


@dataclass(frozen=True, eq=False)
class DistanceShares:
    """What the highest patch's distance to its nearest entry is made of.

    The squared distance is a sum over features, and so over the channels of the
    backbone's stages; nothing is estimated.

    Attributes:
        class_name: The class.
        kind: "normal" or "anomalous" images.
        n_images: How many.
        stages: Mean share of the squared distance by stage; they add up to 1.
        features: Mean share by feature, (n_features,).
    """

    class_name: str
    kind: str
    n_images: int
    stages: dict[str, float]
    features: Float64Array

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it, with the ten features that carry most."""
        most = np.argsort(-self.features, kind="stable")[:10]
        return {
            "class_name": self.class_name,
            "kind": self.kind,
            "n_images": self.n_images,
            "n_features": len(self.features),
            "stages": self.stages,
            "features_that_carry_most": most.tolist(),
            "their_shares": self.features[most].tolist(),
            # How evenly: all features carry the same where this is their number.
            "effective_number": float(1.0 / np.sum(self.features**2)),
        }


@dataclass(frozen=True, eq=False)
class StageMaps:
    """What each stage of the backbone does on one image.

    Attributes:
        layers: The stages, by their stride in pixels.
        activations: Of each stage, the length of its channel vector at each place,
            (height, width) float32: where the network responds.
        distances: Of each stage, the share in the patches' distance to their nearest
            entries, (grid_height, grid_width) float32; their squares add up to the
            squared distance.
    """

    layers: tuple[str, ...]
    activations: tuple[Float32Array, ...]
    distances: tuple[Float32Array, ...]


@dataclass(frozen=True, eq=False)
class PatchSample:
    """Some patches of test images, and what they show.

    Attributes:
        embeddings: (n_patches, n_features) float32.
        kinds: "normal image", "beside a defect" (of an anomalous image, outside its
            mask) or "defect", (n_patches,).
    """

    embeddings: Float32Array
    kinds: tuple[str, ...]


def distance_shares(
    model: PatchCore, samples: Sequence[Sample]
) -> list[DistanceShares]:
    """Take apart the distance of each image's highest patch, by stage and channel.

    Args:
        model: Fitted, with an embedding that keeps channels apart ("concat" or
            "nearest").
        samples: Images of one class.

    Returns:
        Of the normal, then of the anomalous images, where there are any.

    Raises:
        ValueError: The model's embedding mixes channels.
        ImageError: An image is unusable.
        NotFittedError: The model was not fitted.

    Note:
        Images whose highest patch is itself in the bank, at a distance of 0, are left
        out.
    """
    slices = _stage_slices(model)
    sums: dict[str, list[Float64Array]] = {"normal": [], "anomalous": []}
    for one in model.embeddings([sample.image_path for sample in samples]):
        queries = one.patches.reshape(-1, one.patches.shape[2])
        found = model.memory_bank_.kneighbors(queries)
        worst = int(found.distances[:, 0].argmax())
        squares = _squares(model, queries[[worst]], found.indices[[worst], 0])[0]
        kind = samples[one.position].label == ANOMALOUS
        total = squares.sum()
        if total > 0.0:
            sums["anomalous" if kind else "normal"].append(squares / total)
    shares = []
    for kind_name, parts in sums.items():
        if not parts:
            continue
        mean = np.mean(parts, axis=0)
        stages = {name: float(mean[part].sum()) for name, part in slices.items()}
        of = samples[0].class_name
        shares.append(DistanceShares(of, kind_name, len(parts), stages, mean))
    return shares


def stage_maps(model: PatchCore, sample: Sample) -> StageMaps:
    """Return what each stage responds to on an image, and what it adds to the map.

    Args:
        model: As ``distance_shares`` takes it.
        sample: The image.

    Returns:
        Activations at each stage's own size, and distances on the patch grid.

    Raises:
        ValueError: The model's embedding mixes channels.
        ImageError: The image is unusable.
        NotFittedError: The model was not fitted.
    """
    slices = _stage_slices(model)
    side = model.image_size
    size = (side, side) if isinstance(side, int) else (side[0], side[1])
    source = open_source([sample.image_path], "stage_maps")
    (batch,) = read_batches(source, image_size=size, batch_size=1)
    stages = model.backbone_(torch.from_numpy(batch.images))
    activations = [stage[0].norm(dim=0).cpu().numpy() for stage in stages]
    (one,) = model.embeddings([sample.image_path])
    queries = one.patches.reshape(-1, one.patches.shape[2])
    nearest = model.memory_bank_.kneighbors(queries).indices[:, 0]
    squares = _squares(model, queries, nearest)
    distances = [
        np.sqrt(squares[:, part].sum(axis=1)).reshape(model.grid_).astype(np.float32)
        for part in slices.values()
    ]
    return StageMaps(tuple(slices), tuple(activations), tuple(distances))


def sample_patches(
    model: PatchCore,
    samples: Sequence[Sample],
    *,
    n_each: int = 500,
    seed: int = 0,
) -> PatchSample:
    """Draw patches of normal images, of defects, and of what lies beside defects.

    Args:
        model: Fitted.
        samples: Images of one class, of which anomalous ones without a mask are left
            out.
        n_each: Patches of each kind, at most.
        seed: Of the draw.

    Returns:
        The patches, kind by kind, and within a kind in the order of images and grid.

    Raises:
        ImageError: An image or mask is unusable.
        NotFittedError: The model was not fitted.

    Note:
        Memory is bounded: of each image at most ``n_each`` patches of a kind are kept.
    """
    pools: dict[str, list[Float32Array]] = {NORMAL_IMAGE: [], BESIDE: [], DEFECT: []}
    masks = Masks(samples, model.grid_)
    rng = np.random.default_rng(seed)
    for one in model.embeddings([sample.image_path for sample in samples]):
        sample = samples[one.position]
        patches = one.patches.reshape(-1, one.patches.shape[2])
        if sample.label != ANOMALOUS:
            parts = {NORMAL_IMAGE: patches}
        elif sample.mask_path is None:
            continue
        else:
            marked = masks[one.position].ravel()
            parts = {BESIDE: patches[~marked], DEFECT: patches[marked]}
        for kind, some in parts.items():
            # So many of each image as could be drawn in the end: memory stays bounded.
            kept = rng.permutation(len(some))[:n_each]
            pools[kind].append(some[np.sort(kept)])
    embeddings, kinds = [], []
    for kind, pool in pools.items():
        if not pool:
            continue
        whole = np.concatenate(pool)
        chosen = np.sort(rng.permutation(len(whole))[:n_each])
        embeddings.append(whole[chosen])
        kinds += [kind] * len(chosen)
    return PatchSample(np.concatenate(embeddings), tuple(kinds))


def project(
    embeddings: AnyArray, method: Projection = "tsne", *, seed: int = 0
) -> Float64Array:
    """Lay patch embeddings out in a plane, so that neighbours stay neighbours.

    Distances between groups, and their sizes, mean nothing in such a plane.

    Args:
        embeddings: (n_patches, n_features) float32 or float64, more than 30 patches.
        method: "tsne" (scikit-learn) or "umap" (extra ``study``).
        seed: The same seed gives the same plane.

    Returns:
        (n_patches, 2).

    Raises:
        ValueError: There are too few, or the method is unknown.
        ImportError: umap-learn is asked for and not installed.

    References:
        1. L. van der Maaten and G. Hinton, "Visualizing data using t-SNE", JMLR 9,
           2008.
        2. L. McInnes, J. Healy and J. Melville, "UMAP: uniform manifold approximation
           and projection for dimension reduction", 2018.
    """
    check_option(method, "method", "project", ("tsne", "umap"))
    fewest = 31  # t-SNE's perplexity, and one more
    if len(embeddings) < fewest:
        rule = f"at least {fewest} patches"
        raise ValueError(refusal("embeddings", "project", rule, len(embeddings)))
    if method == "tsne":
        from sklearn.manifold import TSNE  # noqa: PLC0415 - seldom needed

        plane = TSNE(init="pca", random_state=seed).fit_transform(embeddings)
    else:
        try:
            with warnings.catch_warnings():
                # Of a part of umap that needs TensorFlow, which nobody asked for.
                warnings.simplefilter("ignore", ImportWarning)
                from umap import UMAP  # noqa: PLC0415 - optional
        except ImportError as error:
            raise ImportError(
                "project by 'umap' needs the package umap-learn. Run: pip install "
                '"adlib-vision[study]", or take the method "tsne".'
            ) from error
        # One thread, said here: a seed asks for it, and UMAP warns of it otherwise.
        plane = UMAP(random_state=seed, n_jobs=1).fit_transform(embeddings)
    return np.asarray(plane, np.float64)


def _stage_slices(model: PatchCore) -> dict[str, slice]:
    """Return which features each stage gives, or raise where they are mixed."""
    if model.embedding == "paper":
        raise ValueError(
            "model must keep channels apart, with the embedding 'concat' or "
            "'nearest'; 'paper' pools them."
        )
    channels = [stage.channels for stage in model.backbone_.stages]
    ends = np.cumsum(channels).tolist()
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
