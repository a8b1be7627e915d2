"""What was accepted into a memory bank: which images, by whom and when."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from adlib._typing import Float32Array, Int64Array
from adlib._validation import describe, refusal
from adlib.estimators._calibration import Calibration
from adlib.estimators._patches import Pass
from adlib.estimators._saving import calibration_of, damaged, number

LIMITS = ("threshold", "pixel_threshold", "review_threshold")


class AcceptedImage(NamedTuple):
    """An image that was accepted.

    Attributes:
        name: Its path, or "image 7" for the eighth of those that have none.
        sha256: Of its file; "" where it was not given.
    """

    name: str
    sha256: str


class Before(NamedTuple):
    """What ``undo_accept`` gives back: sizes, thresholds and how they were set."""

    n_images: int
    n_entries: int
    n_patches: int
    covering_radius: float | None
    threshold: float | None
    pixel_threshold: float | None
    review_threshold: float | None
    calibration: Calibration | None


class Acceptance(NamedTuple):
    """One call of ``accept``.

    Attributes:
        by: Who accepted.
        when: ISO 8601 in UTC.
        model: SHA-256 of the model file that the images were accepted into, or "".
        images: An ``AcceptedImage`` for each.
        n_entries: How many entries the bank was given.
        before: What ``undo_accept`` gives back; None once ``partial_fit`` or ``forget``
            has changed the bank, after which it cannot.
    """

    by: str
    when: str
    model: str
    images: tuple[AcceptedImage, ...]
    n_entries: int
    before: Before | None


def without(one: Acceptance, gone: Collection[str]) -> Acceptance:
    """Return it without images of some names, and without what could be given back."""
    kept = tuple(image for image in one.images if image.name not in gone)
    return one._replace(images=kept, before=None)


def without_limits(one: Acceptance) -> Acceptance:
    """Return it without thresholds of before, as they were set for other scores."""
    if one.before is None:
        return one
    limits: dict[str, Any] = dict.fromkeys((*LIMITS, "calibration"))
    return one._replace(before=one.before._replace(**limits))


def as_state(one: Acceptance) -> dict[str, Any]:
    """Return it as a model file holds it."""
    before = one.before
    state = {**one._asdict(), "images": [list(image) for image in one.images]}
    if before is not None:
        calibration = before.calibration and before.calibration._asdict()
        state["before"] = {**before._asdict(), "calibration": calibration}
    return state


def now() -> str:
    """Return the time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def check_accepted(by: object, sha256: object, model: object, owner: str) -> list[str]:
    """Return the SHA-256s as a list, or raise for what is not as stated."""
    for name, value in (("by", by), ("model", model)):
        if not isinstance(value, str):
            raise TypeError(refusal(name, owner, "a text", describe(value)))
    if not str(by).strip():
        raise ValueError(refusal("by", owner, "the name of who accepts", repr(by)))
    if isinstance(sha256, str) or not isinstance(sha256, Sequence):
        rule = "a list of texts, one for each image, or empty"
        raise TypeError(refusal("sha256", owner, rule, describe(sha256)))
    return [str(one) for one in sha256]


class Above(NamedTuple):
    """Patches of images whose score is above a limit: what ``accept`` adds.

    ``rows`` are (n, n_features), ``origins`` (n, 3) with images counted from 0;
    ``n_patches`` counts all, and ``farthest`` is the highest score of the others.
    """

    rows: Float32Array
    origins: Int64Array
    n_patches: int
    farthest: float


def patches_above(
    images: Pass,
    score: Callable[[Float32Array], Float32Array],
    limit: float,
    grid: tuple[int, int],
) -> Above:
    """Return the patches of images that score above a limit, all in one pass."""
    rows, origins = list[Float32Array](), list[Int64Array]()
    n_patches, farthest = 0, 0.0
    for patches in images:
        scores = score(patches.embeddings).astype(np.float64)
        is_above = scores > limit
        n_patches += scores.size
        farthest = max(farthest, float(scores.max(initial=0.0, where=~is_above)))
        image, patch = np.nonzero(is_above)
        rows.append(patches.embeddings.reshape(*scores.shape, -1)[image, patch])
        places = np.arange(grid[0] * grid[1])
        if patches.inside is not None:
            places = np.flatnonzero(patches.inside.patches)
        image += len(images.names) - len(patches.names)
        origins.append(np.stack([image, *np.divmod(places[patch], grid[1])], axis=1))
    return Above(np.concatenate(rows), np.concatenate(origins), n_patches, farthest)


def accepted_of(
    state: Mapping[str, Any], n_images: int, origins: Int64Array
) -> tuple[Acceptance, ...]:
    """Return what the state of a model file says was accepted, or raise."""
    n_entries = len(origins)
    saved = state.get("accepted", [])  # older files know none
    if not isinstance(saved, list):
        raise damaged("accepted", "a list")
    found = tuple(_acceptance_of(one) for one in saved)
    for one in reversed(found):  # each was larger than the one before
        before = one.before
        if before is None:
            continue
        fewer = 0 < before.n_images < n_images and 0 < before.n_entries < n_entries
        n_images, n_entries = before.n_images, before.n_entries
        if not fewer or origins[:n_entries, 0].max() >= n_images:
            raise damaged("accepted", "of fewer images and entries before than after")
    return found


def _acceptance_of(saved: Any) -> Acceptance:
    rule = f"objects of {', '.join(Acceptance._fields)}"
    if not isinstance(saved, dict) or saved.keys() != set(Acceptance._fields):
        raise damaged("accepted", rule)
    texts = [saved["by"], saved["when"], saved["model"]]
    images = saved["images"]
    if not isinstance(images, list):
        raise damaged("accepted", rule)
    for one in images:
        if not isinstance(one, list) or len(one) != len(AcceptedImage._fields):
            raise damaged("accepted", rule)
        texts += one
    if not all(isinstance(text, str) for text in texts):
        raise damaged("accepted", rule)
    before = saved["before"]
    if before is not None:
        if not isinstance(before, dict) or before.keys() != set(Before._fields):
            raise damaged("accepted", f"{rule}, with {', '.join(Before._fields)}")
        counts: dict[str, Any] = {f: number(before, f, int) for f in Before._fields[:3]}
        numbers: dict[str, Any] = {
            field: None if before[field] is None else number(before, field, float)
            for field in ("covering_radius", *LIMITS)
        }
        before = Before(**counts, **numbers, calibration=calibration_of(before))
        if before.n_patches < before.n_entries or (before.covering_radius or 0) < 0:
            raise damaged("accepted", "of as many patches as entries or more")
    return Acceptance(
        saved["by"],
        saved["when"],
        saved["model"],
        tuple(AcceptedImage(*one) for one in images),
        number(saved, "n_entries", int),
        before,
    )
