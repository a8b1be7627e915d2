"""Where a failed alignment begins: correlations of right and of wrong alignments.

    python benchmarks/alignment.py ROOT/screw [--parts 60]

Plates of the demo set at 512 pixels, drawn anew, each turned and shifted by a known
motion, are aligned to one plate; so are screws, each to itself in weaker light and with
noise, and each to another screw; parts of which a square is hidden; and foreign images.
An alignment is right where all corners of the middle half of the image come to lie
within two pixels of where they belong (of plates, whose own places vary: of where the
motion takes them from where they were found without it). For each motion: how many are
right, and the least, median and highest correlation of those, and of the others.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from adlib.datasets._demo_parts import plate
from adlib.images import _align
from adlib.images._align import Alignment

SIZE = 512
ANGLES, SHIFTS = (0.0, 2.0, 5.0, 10.0, 20.0, 45.0, 180.0), (0.0, 0.02, 0.05, 0.1)
NEAR = 2.0  # pixels
PART = 30  # grey levels that the part differs from the background
HIDDEN = (0.05, 0.1, 0.2)
CORNERS = np.array([(x, y, 1.0) for x in (0.25, 0.75) for y in (0.25, 0.75)])
CORNERS[:, :2] *= SIZE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--parts", type=int, default=60)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    _align.LEAST_CORRELATION = -2.0  # nothing is refused: the correlation is read
    plates = [plate(SIZE, "aligned", rng).image for _ in range(arguments.parts)]
    files = sorted((arguments.root / "train" / "good").glob("*.png"))
    screws = [
        np.asarray(Image.open(file).convert("L").resize((SIZE, SIZE)))
        for file in files[: arguments.parts]
    ]
    print("| parts | turned, shifted | right | their correlation | of the others |")
    print("|---|---|---|---|---|")
    noise = [rng.integers(0, 256, (SIZE, SIZE)).astype(np.uint8) for _ in plates]
    blank = [exposed(np.full((SIZE, SIZE), 120, np.uint8), rng) for _ in plates]
    slightly = [(2.0, 0.02)]
    still, motions = [(0.0, 0.0)], [(angle, 0.0) for angle in ANGLES]
    motions += [(2.0, shift) for shift in SHIFTS[1:]]
    lit = [exposed(one, rng) for one in screws]
    rows = [
        ("plates", [(plates[0], one) for one in plates[1:]], motions),
        ("screws, in other light", list(zip(screws, lit, strict=True)), motions),
        ("other screws", list(pairwise(screws)), still),
        ("screws to a plate", [(plates[0], one) for one in screws], still),
        ("plates to a screw", [(screws[0], one) for one in plates], still),
        ("noise to a plate", [(plates[0], one) for one in noise], still),
        ("blank images to a plate", [(plates[0], one) for one in blank], still),
    ]
    for share in HIDDEN:
        covered = [hidden(one, share, rng) for one in screws]
        pairs = list(zip(screws, covered, strict=True))
        rows.append((f"screws, {share:.0%} of the part hidden", pairs, slightly))
        pairs = [(plates[0], hidden(one, share, rng)) for one in plates[1:]]
        rows.append((f"plates, {share:.0%} of the part hidden", pairs, slightly))
    for name, pairs, moved in rows:
        homes = [np.eye(2, 3)] * len(pairs)
        if name.startswith("plates") and pairs[0][0] is plates[0]:
            homes = [found(*pair)[0] for pair in pairs]
        for angle, shift in moved:
            cells = row(pairs, homes, angle, shift, rng)
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


def row(pairs: list, homes: list, angle: float, shift: float, rng) -> list[str]:
    """Return the cells of one motion."""
    seen = [
        measured(*pair, home, angle, shift, rng)
        for pair, home in zip(pairs, homes, strict=True)
    ]
    right = np.array([error <= NEAR and at > -1 for error, at in seen])  # -1: none
    correlations = np.array([correlation for _, correlation in seen])
    cells = [f"{angle:g} degrees, {shift:.0%}", f"{right.sum()} of {len(right)}"]
    return [*cells, spread(correlations[right]), spread(correlations[~right])]


def spread(values: np.ndarray) -> str:
    """Return least, median and most."""
    if not len(values):
        return ""
    return f"{values.min():.2f}, {np.median(values):.2f}, {values.max():.2f}"


def measured(
    reference, other, home, angle: float, shift: float, rng
) -> tuple[float, float]:
    """Return by how many pixels an alignment errs, and its correlation."""
    turn = np.deg2rad(angle * rng.choice([-1, 1]))
    way = rng.uniform(0, 2 * np.pi)
    middle, moved_by = SIZE / 2, shift * SIZE * np.array([np.cos(way), np.sin(way)])
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    offset = middle + moved_by - turned @ np.full(2, middle)
    motion = np.vstack([np.column_stack([turned, offset]), [0, 0, 1]])
    back = np.linalg.inv(motion)[:2]
    fill = int(np.median(other[0]))
    image = Image.fromarray(other).transform(
        (SIZE, SIZE),
        Image.Transform.AFFINE,
        back.ravel().tolist(),
        Image.Resampling.BILINEAR,
        fillcolor=fill,
    )
    place, correlation = found(reference, np.asarray(image))
    truth = (motion @ np.vstack([home, [0, 0, 1]]))[:2]
    apart = CORNERS @ place.T - CORNERS @ truth.T
    return float(np.linalg.norm(apart, axis=1).max()), correlation


def found(reference: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, float]:
    """Return where a part is found, and the correlation."""
    alignment = Alignment(reference, (SIZE, SIZE), "PatchCore")
    correlations = []
    correlate = alignment._correlate

    def noted(pixels):
        correlation, place = correlate(pixels)
        correlations.append(correlation)
        return correlation, place

    alignment._correlate = noted  # type: ignore[method-assign]
    return alignment.find(image, "image"), correlations[0]


def hidden(image: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return an image with a square of another grey on the part, of a share of it."""
    background = int(np.median(image[0]))
    part = np.abs(image.astype(int) - background) > PART
    side = round(np.sqrt(share * part.sum()))
    rows, columns = np.nonzero(part)
    at = rng.integers(len(rows))
    top, left = (max(0, int(one[at]) - side // 2) for one in (rows, columns))
    covered = image.copy()
    covered[top : top + side, left : left + side] = rng.integers(0, 256)
    return covered


def exposed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an image in weaker light, with the noise of a camera."""
    noisy = 0.7 * image + rng.normal(0, 4, image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
