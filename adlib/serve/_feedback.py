"""Accept good images that did not pass into a model, unless a defect would pass then.

Which images may set the threshold of the new model? Not those that somebody confirmed
one by one: people look at what did not pass, so that their scores say little of those
of good images. A threshold from them, or from them and the old scores, promises
nothing. So the threshold stays, which keeps its promise, since no score rises. Or a
stretch of results sets it, each of which was confirmed: the good ones among these are
as good images come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from adlib._inspection import Decision
from adlib.estimators import PatchCore
from adlib.serve._confirmed import Confirmed, confirmed, source_of
from adlib.serve._results import LABEL, Results

OWNER = "adlib accept"
MOST_NAMED = 3


class Compared(NamedTuple):
    """A confirmed image, by the model of before and by the new one."""

    image: Confirmed
    before: Decision
    after: Decision
    is_added: bool


@dataclass(frozen=True)
class Change:
    """What accepting does, on all confirmed images that could be read.

    Attributes:
        compared: Each of them, in order of results.
        unusable: Why the others could not be read; those count for nothing.
        thresholds: Of image scores, before and after.
        review_thresholds: Likewise, None where there is none.
        n_entries: Of the memory bank, before and after.
        n_calibrated: How many good images set the new threshold; 0: it stayed.
    """

    compared: list[Compared]
    unusable: list[str]
    thresholds: tuple[float | None, float | None]
    review_thresholds: tuple[float | None, float | None]
    n_entries: tuple[int, int]
    n_calibrated: int

    def released(self) -> list[Compared]:
        """Return the confirmed defects that did not pass and would pass now."""
        return [
            one
            for one in self.compared
            if one.image.is_defect and one.before != "PASS" and one.after == "PASS"
        ]


def accept(
    model: PatchCore,
    sha256: str,
    results: Results,
    product: str,
    *,
    by: str,
    holdout: tuple[int, int] | None = None,
    allow_missing: bool = False,
) -> Change:
    """Accept the confirmed good images that a model does not pass.

    Args:
        model: With a threshold; it is changed, and is not to be used if this raises.
        sha256: Of its file.
        results: Where images were confirmed.
        product: What the model is for.
        by: Who accepts.
        holdout: The first and the last number of results, all of them confirmed, of
            which the good ones are not added but set the threshold. None: it stays.
        allow_missing: Go on where confirmed defects cannot be read.

    Returns:
        What has changed. ``released`` must be empty, or the model must not be used.

    Raises:
        ValueError: Nothing can be accepted, a defect cannot be read, a result of
            ``holdout`` is not confirmed, or labels contradict each other.
    """
    images = confirmed(results, product)
    held = _held_out(results, product, holdout, images)
    rates = _rates(model) if holdout is not None else {}
    usual, model.on_error = model.on_error, "skip"
    before, unusable = _decisions(model, images)
    model.on_error = "raise"  # whatever was read is still there, or nothing is done
    gone = [one for one in images if one.number not in before]
    _check_gone(gone, unusable, held, allow_missing=allow_missing)
    images = [one for one in images if one.number in before]
    added = [
        one
        for one in images
        if not one.is_defect and one.number not in held and before[one.number] != "PASS"
    ]
    if not added:
        raise ValueError(
            f"There is nothing to accept: of {len(images)} confirmed images of "
            f"{product!r} none is good, does not pass and may be added."
        )
    threshold, review = model.threshold_, model.review_threshold_
    n_entries = len(model.memory_bank_)
    digests = [one.sha256 for one in added]
    model.accept(source_of(added, OWNER), by=by, sha256=digests, model=sha256)
    n_calibrated = 0
    if holdout is not None:
        chosen = [one for one in images if one.number in held]
        model.calibrate(source_of(chosen, OWNER), **rates)
        assert model.calibration_ is not None
        n_calibrated = model.calibration_.n_normal
    after, _ = _decisions(model, images)
    model.on_error = usual
    is_added = {one.number for one in added}
    return Change(
        [
            Compared(one, before[n], after[n], n in is_added)
            for one in images
            for n in [one.number]
        ],
        unusable,
        (threshold, model.threshold_),
        (review, model.review_threshold_),
        (n_entries, len(model.memory_bank_)),
        n_calibrated,
    )


def _held_out(
    results: Results,
    product: str,
    holdout: tuple[int, int] | None,
    images: Sequence[Confirmed],
) -> set[int]:
    """Return the numbers of the good images of a stretch that is confirmed whole."""
    if holdout is None:
        return set()
    text = (
        f"SELECT number, sha256, {LABEL} FROM results "  # noqa: S608 - a constant
        "WHERE product = ? AND error IS NULL AND number BETWEEN ? AND ? ORDER BY number"
    )
    with results.transaction("DEFERRED") as db:
        rows = db.execute(text, (product, *holdout)).fetchall()
    for number, _, defect in rows:
        if defect is None:
            raise ValueError(
                f"--holdout must be results that are all confirmed; result {number} is "
                "not. A selection promises nothing: confirm each from "
                f"{holdout[0]} to {holdout[1]}, or choose another stretch."
            )
    contents = {sha256 for _, sha256, _ in rows}
    return {
        one.number for one in images if one.sha256 in contents and not one.is_defect
    }


def _rates(model: PatchCore) -> dict[str, float | None]:
    """Return the rates of a model's threshold, or raise."""
    known = model.calibration_
    if known is None or known.false_positive_rate is None:
        raise ValueError(
            "--holdout needs a model whose threshold was set for a false-positive "
            "rate. Leave it out: the threshold then stays."
        )
    return {
        "false_positive_rate": known.false_positive_rate,
        "review_rate": known.review_rate,
    }


def _decisions(
    model: PatchCore, images: Sequence[Confirmed]
) -> tuple[dict[int, Decision], list[str]]:
    """Return the decision on each image by its number, and why others have none."""
    decisions: dict[int, Decision] = {}
    errors: list[str] = []
    found = model.inspect(source_of(images, OWNER))
    for image, one in zip(images, found, strict=True):
        if one.error is not None or one.decision is None:
            errors.append(one.error or f"{one.path}: the model has no threshold.")
        else:
            decisions[image.number] = one.decision
    return decisions, errors


def _check_gone(
    gone: Sequence[Confirmed],
    unusable: Sequence[str],
    held: set[int],
    *,
    allow_missing: bool,
) -> None:
    """Raise where images cannot be read without which nothing can be shown."""
    reasons = dict(zip((one.number for one in gone), unusable, strict=True))
    left = [reasons[one.number] for one in gone if one.number in held]
    if left:
        raise ValueError(
            f"{len(left)} good images of --holdout cannot be used, and those that are "
            f"left are a selection: {_first(left)}"
        )
    defects = [reasons[one.number] for one in gone if one.is_defect]
    if defects and not allow_missing:
        raise ValueError(
            f"{len(defects)} confirmed defects cannot be scored, so that nobody knows "
            f"whether they would pass: {_first(defects)} Bring them back, or pass "
            "--allow-missing."
        )


def _first(texts: Sequence[str]) -> str:
    more = len(texts) - MOST_NAMED
    named = " ".join(texts[:MOST_NAMED])
    return f"{named} And {more} more." if more > 0 else named
