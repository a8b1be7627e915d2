"""Where models fail: which images, of which kind, and whether both fail alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest, mannwhitneyu

from adlib._typing import BoolArray, Float64Array
from adlib.datasets import Sample, read_mask
from adlib.images import read_image
from adlib.images._pixels import as_pixels
from adlib.metrics._breakdown import mask_area_ratio, touches_border
from adlib.study._json import plain
from adlib.study._scores import ImageScores
from adlib.study._tables import text_table

MISSED, FALSE_ALARM = "missed", "false alarm"


@dataclass(frozen=True)
class TypeCounts:
    """Verdicts on the images of one defect type; "good" is one too.

    Attributes:
        method: What the model is called.
        class_name: The class.
        defect_type: What the images show.
        n_images: How many were scored.
        n_called: How many were called anomalous.
    """

    method: str
    class_name: str
    defect_type: str
    n_images: int
    n_called: int


@dataclass(frozen=True)
class Agreement:
    """Two models' verdicts on the same images.

    Attributes:
        methods: The first and the second.
        class_name: The class.
        both_right: Images that both judge rightly.
        first_wrong: That the first alone judges wrongly.
        second_wrong: That the second alone does.
        both_wrong: That both do.
        expected_both_wrong: How many that were if they failed independently, normal and
            anomalous images apart.
        p_value: Chance of numbers of ``first_wrong`` and ``second_wrong`` as unlike as
            these if neither is better (McNemar's test, exact).
    """

    methods: tuple[str, str]
    class_name: str
    both_right: int
    first_wrong: int
    second_wrong: int
    both_wrong: int
    expected_both_wrong: float
    p_value: float


@dataclass(frozen=True)
class ErrorCase:
    """An image that at least one model judges wrongly.

    Attributes:
        class_name: The class.
        image: Its file name.
        defect_type: What it shows.
        kind: "missed" or "false alarm".
        wrong: Which models judge it wrongly.
        ranks: Of its score by model, the share of normal test images that score below.
        area_ratio: Share of the image that its mask marks; None without one.
        at_border: Whether the mask touches the border; None without one.
    """

    class_name: str
    image: str
    defect_type: str
    kind: str
    wrong: tuple[str, ...]
    ranks: dict[str, float]
    area_ratio: float | None
    at_border: bool | None


@dataclass(frozen=True)
class Pattern:
    """What wrongly judged images have more, or less, of than rightly judged ones.

    Attributes:
        method: What the model is called.
        class_name: The class.
        kind: "missed", beside anomalous images that were found; or "false alarm",
            beside normal images that were not called.
        quantity: What was measured of each image.
        n_wrong: Images judged wrongly.
        n_right: Images judged rightly.
        wrong: Median of those judged wrongly; of "at the border" the share.
        right: Median of those judged rightly.
        p_value: Of a difference, by Mann and Whitney's test; as many are tried at once,
            one alone proves little.
    """

    method: str
    class_name: str
    kind: str
    quantity: str
    n_wrong: int
    n_right: int
    wrong: float
    right: float
    p_value: float


@dataclass(frozen=True)
class ErrorAnalysis:
    """Where the models fail on the test images of one class.

    Attributes:
        types: Verdicts by method and defect type.
        agreement: Of the first two methods; None for a single one.
        cases: Every image that is judged wrongly, those that all models fail on first.
        patterns: What they have in common.
    """

    types: tuple[TypeCounts, ...]
    agreement: Agreement | None
    cases: tuple[ErrorCase, ...]
    patterns: tuple[Pattern, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        found: dict[str, Any] = plain(asdict(self))
        return found


def analyse_errors(
    scores: Sequence[ImageScores], samples: Sequence[Sample]
) -> ErrorAnalysis:
    """Say where models fail on the test images of one class.

    Args:
        scores: Of one or more methods on the same images.
        samples: These images, in the same order.

    Returns:
        Verdicts, cases and what they have in common, for images that all models scored.

    Raises:
        ValueError: Images differ.
        ImageError: An image or mask is unusable.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> import numpy as np
        >>> from PIL import Image
        >>> from adlib.datasets import Sample
        >>> from adlib.study import ImageScores, analyse_errors
        >>> called = np.array([False, True, False, True])
        >>> with TemporaryDirectory() as folder:
        ...     paths = [Path(folder, f"{i}.png") for i in range(4)]
        ...     for path in paths:
        ...         Image.new("L", (8, 8)).save(path)
        ...     samples = [
        ...         Sample(path, int(i > 1), "any", None, "part", "test")
        ...         for i, path in enumerate(paths)]
        ...     scores = ImageScores(
        ...         "any", "part", tuple(path.name for path in paths), ("any",) * 4,
        ...         np.array([False, False, True, True]), 1.0 * called, called)
        ...     found = analyse_errors([scores], samples)
        >>> [(case.image, case.kind) for case in found.cases]
        [('1.png', 'false alarm'), ('2.png', 'missed')]
    """
    names = tuple(sample.image_path.name for sample in samples)
    for one in scores:
        if one.images != names:
            raise ValueError(
                f"samples of analyse_errors must be the images that {one.method} "
                f"scored of {one.class_name!r}, in the same order."
            )
    usable = np.logical_and.reduce([one.usable for one in scores])
    measured = _measured(samples)
    wrong = {one.method: usable & (one.called != one.anomalous) for one in scores}
    agreement = None
    if len(scores) > 1:
        agreement = _agreement(scores[0], scores[1], wrong, usable)
    return ErrorAnalysis(
        tuple(row for one in scores for row in _types(one)),
        agreement,
        tuple(_cases(scores, wrong, measured)),
        tuple(row for one in scores for row in _patterns(one, usable, measured)),
    )


def agreement_table(found: Sequence[Agreement]) -> str:
    """Return how models fail together as a table for people.

    Args:
        found: Of the same two methods, at least one class.

    Returns:
        A heading, and a line for each class.

    Example:
        >>> from adlib.study import Agreement, agreement_table
        >>> found = Agreement(("A", "B"), "part", 90, 4, 3, 3, 0.4, 1.0)
        >>> agreement_table([found]).splitlines()[1].split()
        ['part', '90', '4', '3', '3', '0.4', '1']
    """
    first, second = found[0].methods
    columns = ["class", "both right", f"only {first} wrong", f"only {second} wrong"]
    columns += ["both wrong", "if independent", "p McNemar"]
    rows = [
        [
            one.class_name,
            *(f"{n}" for n in (one.both_right, one.first_wrong, one.second_wrong)),
            f"{one.both_wrong}",
            f"{one.expected_both_wrong:.1f}",
            f"{one.p_value:.3g}",
        ]
        for one in found
    ]
    return text_table(columns, rows, n_names=1)


def patterns_table(found: Sequence[Pattern]) -> str:
    """Return what errors have in common as a table for people.

    Args:
        found: Patterns of an ``ErrorAnalysis``.

    Returns:
        A heading, and a line for each pattern.

    Example:
        >>> from adlib.study import Pattern, patterns_table
        >>> found = Pattern("A", "part", "missed", "brightness", 4, 40, 0.3, 0.5, 0.02)
        >>> print(patterns_table([found]))
        method  class  kind    quantity      wrong     right     p
        A       part   missed  brightness  0.3 (4)  0.5 (40)  0.02
    """
    rows = [
        [
            one.method,
            one.class_name,
            one.kind,
            one.quantity,
            f"{one.wrong:.4g} ({one.n_wrong})",
            f"{one.right:.4g} ({one.n_right})",
            f"{one.p_value:.2g}",
        ]
        for one in found
    ]
    columns = ["method", "class", "kind", "quantity", "wrong", "right", "p"]
    return text_table(columns, rows, n_names=4)


def _measured(samples: Sequence[Sample]) -> dict[str, Float64Array]:
    """Return what is known of each image, (n_images,); NaN where it is not."""
    rows = []
    for sample in samples:
        area, border = float("nan"), float("nan")
        if sample.mask_path is not None:
            mask = read_mask(sample.mask_path)
            area, border = mask_area_ratio(mask), float(touches_border(mask))
        pixels = as_pixels(read_image(sample.image_path), str(sample.image_path))
        rows.append([area, border, float(pixels.mean()), float(pixels.std())])
    names = ("area of the defect", "at the border", "brightness", "contrast")
    return dict(zip(names, np.array(rows, np.float64).T, strict=True))


def _types(one: ImageScores) -> list[TypeCounts]:
    kinds = np.array(one.defect_types)
    good = set(kinds[~one.anomalous].tolist())  # last, after the defects
    return [
        TypeCounts(
            one.method,
            one.class_name,
            str(kind),
            int((one.usable & (kinds == kind)).sum()),
            int((one.called & (kinds == kind)).sum()),
        )
        for kind in sorted(set(one.defect_types), key=lambda kind: (kind in good, kind))
    ]


def _agreement(
    first: ImageScores,
    second: ImageScores,
    wrong: Mapping[str, BoolArray],
    usable: BoolArray,
) -> Agreement:
    one, other = wrong[first.method], wrong[second.method]
    n_first, n_second = int((one & ~other).sum()), int((other & ~one).sum())
    expected = 0.0
    for kind in (first.anomalous & usable, ~first.anomalous & usable):
        if kind.any():
            expected += float(one[kind].sum() * other[kind].sum() / kind.sum())
    differing = n_first + n_second
    return Agreement(
        (first.method, second.method),
        first.class_name,
        int((usable & ~one & ~other).sum()),
        n_first,
        n_second,
        int((one & other).sum()),
        expected,
        float(binomtest(n_first, differing).pvalue) if differing else 1.0,
    )


def _cases(
    scores: Sequence[ImageScores],
    wrong: Mapping[str, BoolArray],
    measured: Mapping[str, Float64Array],
) -> list[ErrorCase]:
    known = scores[0]
    areas, borders = measured["area of the defect"], measured["at the border"]
    cases = []
    for place in np.flatnonzero(np.logical_or.reduce(list(wrong.values()))).tolist():
        missing = np.isnan(areas[place])
        ranks = {}
        for one in scores:
            normal = one.scores[one.usable & ~one.anomalous]
            ranks[one.method] = float(np.mean(normal < one.scores[place]))
        cases.append(
            ErrorCase(
                known.class_name,
                known.images[place],
                known.defect_types[place],
                MISSED if known.anomalous[place] else FALSE_ALARM,
                tuple(method for method, which in wrong.items() if which[place]),
                ranks,
                None if missing else float(areas[place]),
                None if missing else bool(borders[place]),
            )
        )
    return sorted(cases, key=lambda case: -len(case.wrong))


def _patterns(
    one: ImageScores, usable: BoolArray, measured: Mapping[str, Float64Array]
) -> list[Pattern]:
    kinds = {MISSED: one.anomalous, FALSE_ALARM: ~one.anomalous}
    found = []
    for kind, chosen in kinds.items():
        for quantity, values in measured.items():
            known = usable & chosen & ~np.isnan(values)
            bad = values[known & (one.called != one.anomalous)]
            right = values[known & (one.called == one.anomalous)]
            if not len(bad) or not len(right):
                continue
            # A share says more of what is there or not than a median.
            middle = np.mean if quantity == "at the border" else np.median
            found.append(
                Pattern(
                    one.method,
                    one.class_name,
                    kind,
                    quantity,
                    len(bad),
                    len(right),
                    float(middle(bad)),
                    float(middle(right)),
                    float(mannwhitneyu(bad, right).pvalue),
                )
            )
    return found
