"""Which training images stand out, and which are nearly the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from adlib._inspection import Short
from adlib._typing import Float64Array, Int64Array
from adlib.estimators._calibration import Candidates
from adlib.estimators._results import Scored

FENCE = 3.0  # interquartile ranges above the upper quartile: Tukey's "far out"
NEAR = 0.5  # of an image's median patch distance
# Of the entries of two images, so near: see NearDuplicates. benchmarks/examined.py has
# what other limits name.
SHARED, FEWEST = 0.05, 3


@dataclass(frozen=True, repr=False)
class StandOut(Short):
    """A training image that scores far above the others, left out of them.

    Attributes:
        path: The image.
        position: Which image of the source it is.
        score: Its leave-one-out score.
        patch: (row, column) of its highest patch score in the grid.
        distance: That patch score.
        compared_with: Path of the training image that the nearest entry of the memory
            bank is from; None for a detector without a bank, such as PaDiM.
        compared_position: Which image of the source that is; or None.
        compared_patch: (row, column) of that entry in its image's grid; or None.
    """

    path: str
    position: int
    score: float
    patch: tuple[int, int]
    distance: float
    compared_with: str | None = None
    compared_position: int | None = None
    compared_patch: tuple[int, int] | None = None


@dataclass(frozen=True, repr=False)
class NearDuplicates(Short):
    """Two training images that are nearly the same.

    Attributes:
        paths: Both images.
        positions: Which images of the source they are.
        share: Of the entries of the memory bank that come from one of them, how many
            have a patch of the other within half of that image's median distance.
    """

    paths: tuple[str, str]
    positions: tuple[int, int]
    share: float


@dataclass(frozen=True, repr=False)
class Examination(Short):
    """What leave-one-out scores and distances say of the training images.

    Attributes:
        stand_out: Images that score above ``limit``, the highest score first.
        limit: Upper quartile of the leave-one-out scores plus three interquartile
            ranges.
        near_duplicates: Pairs of images, those that share most first; of PatchCore
            alone.
        grid: (height, width) of the patch grid.
    """

    stand_out: tuple[StandOut, ...]
    limit: float
    near_duplicates: tuple[NearDuplicates, ...]
    grid: tuple[int, int]

    def __str__(self) -> str:
        """Return one line for each image that stands out and each pair."""
        lines = []
        for one in self.stand_out:
            line = f"{one.path} stands out: score {one.score:.4g}, the others' limit "
            line += f"{self.limit:.4g}, highest in row {one.patch[0]}, column "
            line += f"{one.patch[1]} of the {self.grid[0]} x {self.grid[1]} patches"
            lines.append(line)
        pairs = (" and ".join(pair.paths) for pair in self.near_duplicates)
        lines += [f"{pair} are nearly the same" for pair in pairs]
        return "\n".join(lines) or "no image stands out, and no two are nearly the same"


class Examiner:
    """Collects in a pass over the training images what an ``Examination`` needs."""

    def __init__(self, origins: Int64Array | None) -> None:
        """Take the origins of the bank's entries, (n_bank, 3), where there are any."""
        self._origins = origins
        self._worst: list[tuple[int, int, float]] = []  # patch, its entry, distance
        self._near: Counter[tuple[int, int]] = Counter()  # entries, by pair

    def note(self, scored: Scored, numbers: Int64Array) -> None:
        """Take training images into account, (n,) numbers, each scored left out."""
        patch_scores = scored.patch_scores.reshape(len(numbers), -1)
        places = np.arange(patch_scores.shape[1])
        if scored.inside is not None:
            places = np.flatnonzero(scored.inside.patches)
        for i, number in enumerate(numbers.tolist()):
            distances = patch_scores[i, places]
            worst, entry = int(distances.argmax()), -1
            if self._origins is not None and scored.nearest is not None:
                nearest = scored.nearest[i]
                entry = int(nearest[worst])
                # Of a copy, in a large bank, that median is 0.
                near = np.unique(nearest[distances <= NEAR * np.median(distances)])
                others = np.unique(self._origins[near, 0], return_counts=True)
                for other, count in zip(*map(np.ndarray.tolist, others), strict=True):
                    self._near[min(number, other), max(number, other)] += count
            highest = float(distances[worst])
            self._worst.append((int(places[worst]), entry, highest))

    def result(self, candidates: Candidates, grid: tuple[int, int]) -> Examination:
        """Return what was found in images of these names, positions and scores."""
        names, positions = candidates.names.tolist(), candidates.positions.tolist()
        limit = stand_out_limit(candidates.scores)
        order = np.argsort(-candidates.scores, kind="stable")
        found = []
        for i in order[candidates.scores[order] > limit].tolist():
            patch, entry, distance = self._worst[i]
            one = StandOut(
                names[i],
                positions[i],
                float(candidates.scores[i]),
                divmod(patch, grid[1]),
                distance,
            )
            if self._origins is not None and entry >= 0:
                image, row, column = self._origins[entry].tolist()
                one = replace(
                    one,
                    compared_with=names[image],
                    compared_position=positions[image],
                    compared_patch=(row, column),
                )
            found.append(one)
        pairs = []
        if self._origins is not None:
            counts = np.bincount(self._origins[:, 0], minlength=len(names))
            for (a, b), n_near in self._near.items():
                share = n_near / int(counts[a] + counts[b])
                if share >= SHARED and n_near >= FEWEST:
                    both, places = (names[a], names[b]), (positions[a], positions[b])
                    pairs.append(NearDuplicates(both, places, share))
        pairs.sort(key=lambda pair: (-pair.share, pair.positions))
        return Examination(tuple(found), limit, tuple(pairs), grid)


def stand_out_limit(scores: Float64Array) -> float:
    """Return the upper quartile and three interquartile ranges more."""
    lower, upper = np.quantile(scores, [0.25, 0.75])
    return float(upper + FENCE * (upper - lower))
