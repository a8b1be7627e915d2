"""anomalib's PatchCore and PaDiM, from its files, as adlib's own detectors."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from adlib._typing import AnyArray, Float32Array
from adlib.anomalib._shells import Shell, read_torch_file
from adlib.estimators import PaDiM, PatchCore
from adlib.estimators._gaussian_cpu import (
    SIDE_BY_SIDE,
    n_blocks,
    n_packed,
    pack_inverses,
)
from adlib.estimators._model_file import ModelContent
from adlib.estimators._saving import BACKBONE_PREFIX
from adlib.estimators._settings import resolve_place
from adlib.exceptions import ModelFileError
from adlib.features import Backbone
from adlib.features._backbone import _architecture
from adlib.features._embedding import Embedder
from adlib.features._weights import Normalisation, Weights

NETWORK = "model.feature_extractor.feature_extractor."
MEMORY_BANK, INVERSES = "model.memory_bank", "model.gaussian.inv_covariance"
CONFIG = "anomalib_pre_processor_config"
IMAGENETS = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
OUT_OF_MEMORY = (MemoryError, torch.cuda.OutOfMemoryError)
AT_MOST = 2**23  # bytes of inverse covariances that are turned at once


class Read(NamedTuple):
    """What a file of anomalib's says of a model."""

    tensors: Weights  # by the names of the Lightning module's state dict
    settings: Mapping[str, Any]  # what the module was constructed with
    size: tuple[int, int]
    normalisation: Normalisation


def read_checkpoint(
    path: str | os.PathLike[str], *, device: str = "auto"
) -> PatchCore | PaDiM:
    """Read anomalib's PatchCore or PaDiM as a fitted detector of adlib's.

    The file is a checkpoint of Lightning's (``model.ckpt``) or what
    ``export_type="torch"`` writes (``model.pt``), of anomalib 2.4 to 2.7, which need
    not be installed. The network's weights, the memory bank or the Gaussians, the size
    and normalisation of images and the thresholds come from it. Scores and maps are
    anomalib's before its normalisation to [0, 1].

    Args:
        path: The file.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Returns:
        The detector, with ``maps="anomalib"`` and ``threshold_`` and
        ``pixel_threshold_`` as anomalib's validation set them, or None where it did
        not. ``save`` and ``export`` write it as any other.

    Raises:
        FileNotFoundError: There is no such file.
        ModelFileError: It is no such file, is damaged, or holds what adlib has not: a
            centre crop, another transform than ``Resize`` to (height, width) and
            ``Normalize``, layers that are not in their order, or a backbone that is not
            a name.
        ValueError: The device is not as stated.

    Note:
        What the file names is never run: of the code that a pickle asks for, only
        that which rebuilds tensors is called. What differs from anomalib on the same
        image: distances are exact where anomalib's cancel (a patch that is in the bank
        scores 0), and the network's batch norms are folded. Where it was measured,
        image scores differed by 4e-6, maps by 7e-5 and near patches of the bank by
        9e-3, all relative. Of ``precision="float16"`` all is computed in float32.
        Neither the training images nor which of them an entry of the bank is from are
        in the file: ``training_images_`` holds one name that stands for all, and
        ``leave_one_out_scores`` refuses. The thresholds are those of a sensitivity of
        0.5, anomalib's default.

    Example:
        >>> from adlib.anomalib import read_checkpoint
        >>> model = read_checkpoint("model.ckpt")  # doctest: +SKIP
        >>> model.save("part.adlib")  # doctest: +SKIP
    """
    place = resolve_place(device, "torch", "read_checkpoint")
    try:
        return _restored(path, device, place)
    except (FileNotFoundError, ModelFileError, *OUT_OF_MEMORY):
        raise
    except Exception as error:  # of entries of other kinds, where a file is damaged
        raise ModelFileError(
            f"{os.fspath(path)!r} is not what anomalib writes, or it is damaged "
            f"({type(error).__name__}: {error})."
        ) from error


def _restored(
    path: str | os.PathLike[str], device: str, place: str
) -> PatchCore | PaDiM:
    """Return the detector on a device that is there."""
    read = _read(path)
    backbone = _backbone(read)
    shared: dict[str, Any] = {
        "backbone": backbone.name,
        "stages": tuple(stage.index for stage in backbone.stages),
        "image_size": read.size,
        "maps": "anomalib",
        "device": device,
    }
    grid = _grid(backbone, read.size)
    detector: PatchCore | PaDiM
    state: dict[str, Any]
    if MEMORY_BANK in read.tensors:
        detector, state, arrays = _patchcore(read, shared)
    else:
        detector, state, arrays = _padim(read, shared, grid)
    state |= {
        "grid": list(grid),
        "threshold": _threshold(read.tensors, "image", "pixel"),
        "pixel_threshold": _threshold(read.tensors, "pixel", "image"),
        "training_images": [f"an image that {Path(path).name} was trained on"],
        "training_digests": [""],
        "stages": list(shared["stages"]),
        "mean": list(read.normalisation.mean),
        "std": list(read.normalisation.std),
    }
    for name, weight in backbone.state().items():
        arrays[BACKBONE_PREFIX + name] = weight.numpy()
    detector._restore(ModelContent({"state": state}, arrays), place)
    return detector


def _patchcore(
    read: Read, shared: dict[str, Any]
) -> tuple[PatchCore, dict[str, Any], dict[str, AnyArray]]:
    bank = _array(read.tensors, MEMORY_BANK)
    n_neighbors = int(read.settings.get("num_neighbors", 9))
    reweighted = n_neighbors != 1
    detector = PatchCore(
        coreset=float(read.settings.get("coreset_sampling_ratio", 0.1)),
        aggregation="reweighted" if reweighted else "max",
        n_neighbors=n_neighbors if reweighted else 2,
        **shared,
    )
    origins = np.zeros((len(bank), 3), np.int64)
    arrays: dict[str, AnyArray] = {"bank.embeddings": bank, "bank.origins": origins}
    n_patches = math.ceil(len(bank) / detector.coreset)  # within one entry's worth
    return detector, {"n_patches": n_patches}, arrays


def _padim(
    read: Read, shared: dict[str, Any], grid: tuple[int, int]
) -> tuple[PaDiM, dict[str, Any], dict[str, AnyArray]]:
    inverses = _tensor(read.tensors, INVERSES)
    mean = _array(read.tensors, "model.gaussian.mean")
    chosen = _tensor(read.tensors, "model.idx").numpy().astype(np.int64)
    n_positions, n_features = grid[0] * grid[1], len(chosen)
    if mean.shape != (n_features, n_positions) or tuple(inverses.shape) != (
        n_positions,
        n_features,
        n_features,
    ):
        rule = f"Gaussians of {n_features} features at {n_positions} positions"
        raise _unfit(rule, f"those of shape {tuple(inverses.shape)}")
    order = np.argsort(chosen)
    detector = PaDiM(
        embedding="nearest",
        n_channels=n_features,
        regularization=0.01 + 1e-5,
        aggregation="map_max",
        **shared,
    )
    arrays: dict[str, AnyArray] = {
        "channels": chosen[order],
        "gaussian.mean": np.ascontiguousarray(mean[order].T),
        "gaussian.factors": _factors(inverses, order),
    }
    return detector, {}, arrays


def _factors(inverses: torch.Tensor, order: AnyArray) -> Float32Array:
    """Return the packed factors F of inverse covariances, (n, d, d), F'F = inverse."""
    n_positions, n_features = inverses.shape[:2]
    shape = (n_blocks(n_positions), n_packed(n_features), SIDE_BY_SIDE)
    factors = np.zeros(shape, np.float32)
    # U U' with U upper is what Cholesky's L L' is of rows and columns read backwards.
    backwards = order[::-1].copy()
    step = max(1, AT_MOST // (8 * n_features**2 * SIDE_BY_SIDE)) * SIDE_BY_SIDE
    unit = torch.eye(n_features, dtype=torch.float64)
    for first in range(0, n_positions, step):
        some = inverses[first : first + step].double()[:, backwards][:, :, backwards]
        found, info = torch.linalg.cholesky_ex((some + some.mT) / 2)
        if bool((info != 0).any()):
            raise _unfit(
                "with inverse covariances that are positive definite", "others"
            )
        upper = found.flip(1, 2)
        lower = torch.linalg.solve_triangular(upper.mT, unit, upper=False)
        block = first // SIDE_BY_SIDE
        pack_inverses(lower.contiguous().numpy(), factors[block:])
    return factors


def _backbone(read: Read) -> Backbone:
    """Return the network, cut off behind the last layer that is read."""
    name, layers = read.settings.get("backbone"), read.settings.get("layers")
    if not isinstance(name, str) or not isinstance(layers, list | tuple) or not layers:
        raise _unfit("whose backbone is the name of a timm network, with layers", name)
    try:
        network = _architecture(name, device="meta")
    except (ValueError, TypeError) as error:
        raise _unfit("whose backbone is the name of a timm network", name) from error
    modules = [stage["module"] for stage in getattr(network, "feature_info", [])]
    stages = [modules.index(layer) for layer in layers if layer in modules]
    if len(stages) < len(layers) or stages != sorted(set(stages)):
        raise _unfit(f"with layers of {', '.join(modules)}, in this order", layers)
    # In some networks timm flattens names such as "stages.0" to "stages_0".
    held = {
        tensor.removeprefix(NETWORK).replace(".", "_"): values.float()
        if values.is_floating_point()
        else values
        for tensor, values in read.tensors.items()
        if tensor.startswith(NETWORK)
    }
    flat = {tensor: tensor.replace(".", "_") for tensor in network.state_dict()}
    weights = {tensor: held[key] for tensor, key in flat.items() if key in held}
    try:
        return Backbone.from_weights(name, weights, stages, read.normalisation, "cpu")
    except Exception as error:
        raise _unfit(f"with the weights of {name}", str(error)) from error


def _grid(backbone: Backbone, size: tuple[int, int]) -> tuple[int, int]:
    embedder = Embedder(backbone, "nearest")
    height, width = embedder(torch.zeros(1, 3, *size)).shape[1:3]
    return height, width


def _threshold(tensors: Weights, first: str, second: str) -> float | None:
    """Return a threshold; like anomalib that of the other kind, where there is none."""
    for kind in (first, second):
        found = tensors.get(f"post_processor._{kind}_threshold")
        if found is not None and math.isfinite(float(found)):
            return float(found)
    return None


def _array(tensors: Weights, name: str) -> Float32Array:
    found: Float32Array = _tensor(tensors, name).float().contiguous().numpy()
    if not found.size or not np.isfinite(found).all():
        raise _unfit(f"with {name} of finite numbers, as fit leaves it", "others")
    return found


def _tensor(tensors: Weights, name: str) -> torch.Tensor:
    found = tensors.get(name)
    if not isinstance(found, torch.Tensor):
        raise _unfit(f"with {name}", "none")
    if found.nbytes > found.untyped_storage().nbytes():  # as expand makes them
        raise _unfit(f"with {name} whole", "one that repeats its numbers")
    return found.detach()


def _read(path: str | os.PathLike[str]) -> Read:
    """Return what either kind of file says."""
    held = read_torch_file(path)
    if isinstance(held, dict) and isinstance(held.get("model"), Shell):
        module = held["model"]  # the Lightning module as it was
        tensors = _tensors_of(module, "")
        settings = vars(module) | vars(_part(module, "model"))
        transform = _part(_part(module, "pre_processor"), "transform")
    elif isinstance(held, dict) and isinstance(held.get("state_dict"), dict):
        tensors = held["state_dict"]
        settings = held.get("hyper_parameters", {})
        transform = _transform_of(held, settings)
    else:
        raise _unfit("what Lightning or anomalib's export writes", type(held).__name__)
    if not {MEMORY_BANK, INVERSES} & set(tensors):
        raise _unfit("of PatchCore or PaDiM, fitted", "none of their tensors")
    size, normalisation = _size_and_normalisation(transform)
    return Read(tensors, settings, size, normalisation)


def _tensors_of(module: Any, prefix: str) -> Weights:
    """Return a module's tensors by the names of its state dict."""
    own = vars(module) if isinstance(module, Shell) else {}
    found = {}
    for kind in ("_parameters", "_buffers"):
        for name, tensor in own.get(kind, {}).items():
            if isinstance(tensor, torch.Tensor):
                found[prefix + name] = tensor.detach()
    for name, part in own.get("_modules", {}).items():
        found |= _tensors_of(part, f"{prefix}{name}.")
    return found


def _part(module: Shell, name: str) -> Shell:
    """Return a module that is an attribute of another, an empty one if none is."""
    found = vars(module).get("_modules", {}).get(name)
    return found if isinstance(found, Shell) else Shell()


def _transform_of(held: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
    """Return the transform of a checkpoint; True is the models' default."""
    if CONFIG in held:  # anomalib 2.7 says it in words
        return (held[CONFIG] or {}).get("transform")
    given = settings.get("pre_processor")
    return _part(given, "transform") if isinstance(given, Shell) else given


def _size_and_normalisation(transform: Any) -> tuple[tuple[int, int], Normalisation]:
    """Return what a transform does to images, or raise where adlib cannot do so."""
    if transform is True:
        return (256, 256), IMAGENETS
    kind, given = _parts(transform)
    steps = given.get("transforms", []) if kind == "Compose" else [transform]
    rule = "that resizes images to (height, width), bilinearly and antialiased, and may"
    rule += " normalise them, and does no more"
    size, normalisation = None, None
    for step in steps:
        kind, given = _parts(step)
        sides = given.get("size")
        bilinear = str(_plain(given.get("interpolation"))).lower() == "bilinear"
        pair = isinstance(sides, list | tuple) and len(sides) == 2  # noqa: PLR2004 - sides
        alike = pair and bilinear and given.get("antialias") is True
        if kind == "Resize" and alike and size is None:
            assert sides is not None
            size = (int(sides[0]), int(sides[1]))
        elif kind == "Normalize" and size is not None and normalisation is None:
            mean, std = (tuple(map(float, given[part])) for part in ("mean", "std"))
            if len(mean) != len(std) or len(std) != 3 or min(std) <= 0:  # noqa: PLR2004 - RGB
                raise _unfit(rule, f"{mean} and {std}")
            normalisation = Normalisation(
                (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])
            )
        else:
            raise _unfit(rule, f"{kind}({', '.join(map(str, given.values()))})")
    if size is None:
        raise _unfit(rule, "none")
    return size, normalisation or Normalisation((0.0,) * 3, (1.0,) * 3)


def _parts(step: Any) -> tuple[str, Mapping[str, Any]]:
    """Return the name of a transform and what it was given."""
    if isinstance(step, Shell):
        own = {k: v for k, v in vars(step).items() if not k.startswith("_")}
        own.pop("training", None)
        return type(step).of, own
    if isinstance(step, dict) and "class_path" in step:
        return str(step["class_path"]).rpartition(".")[2], step.get("init_args", {})
    return "None" if step is None else type(step).__name__, {}


def _plain(value: Any) -> Any:
    """Return what an enumeration's member was made from."""
    if isinstance(value, Shell) and value.given:
        return value.given[0]
    return value


def _unfit(rule: str, came: object) -> ModelFileError:
    return ModelFileError(
        f"read_checkpoint reads models {rule}; this file has {came}. Fit adlib's own "
        "detector to the training images instead."
    )
