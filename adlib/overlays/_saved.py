"""Save the images of a source with their anomaly maps laid over them."""

from __future__ import annotations

import glob
import itertools
import os
import re
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from adlib._files import replacing
from adlib._html import BLUE, OLIVE, ORANGE
from adlib._typing import Float32Array
from adlib._validation import describe, refusal
from adlib.estimators import AnomalyDetector, Inspection
from adlib.estimators._regions import large_alone
from adlib.images import Images, open_source
from adlib.images._folders import is_image_name
from adlib.images._pixels import PixelFormat
from adlib.images._sources import Item
from adlib.overlays._overlay import overlay
from adlib.runtime import ExportedModel

OWNER = "save_overlays"
NARROWEST = 256  # pixels of width to which small images are enlarged, so that the
TALLEST = 1024  # strip fits, unless they would then be higher than this
LONGEST_NAME = 60  # characters of a numbered name, which hold the folders too
NUMBERED = re.compile(r"\d{4,}_.*\.png")
VERDICTS = {1: ("normal", BLUE), -1: ("anomalous", ORANGE)}
REVIEW = ("review", OLIVE)

Saved = tuple[Inspection, Path | None]


def save_overlays(
    model: AnomalyDetector | ExportedModel,
    X: Images,
    folder: str | os.PathLike[str],
    *,
    by_score: bool = False,
    each: Callable[[Inspection, Path | None], None] | None = None,
) -> list[Path | None]:
    """Save each image with its anomaly map, score and verdict as a PNG.

    Colour and a contour begin at the model's pixel threshold (``pixel_threshold_``;
    where there is none, at ``threshold_``; with ``zones`` at each zone's own), and
    colour is strongest at 1.5 times that, the same in all pictures. Score and verdict
    stand on a strip below the image, which covers nothing; images narrower than 256
    pixels are enlarged by a whole number.

    Args:
        model: A fitted or exported detector with a threshold.
        X: Images, as in ``fit``; read in one pass, in bounded memory.
        folder: Where the pictures go, outside of the folders in ``X``; made if it is
            not there. "late/bolt.jpg" of a folder ``X`` becomes "late/bolt.png", image
            7 of an array "image 7.png"; two images never share a picture.
        by_score: Number the pictures by score, the most anomalous first, all in one
            folder: "0001_late_bolt.png". They appear when all are drawn, and ``folder``
            must not hold numbered ones yet.
        each: Called with each result and the path of its picture, None for a skipped
            image, as soon as there is one: for a table in the same pass. With
            ``by_score`` at the end, in order of score, skipped images last, and with
            results whose ``map`` is None.

    Returns:
        The path of each picture in the order of ``X``, or of the scores; None for a
        skipped image.

    Raises:
        ValueError: The model has no threshold, ``folder`` lies in a folder that ``X``
            names, or holds numbered pictures already; found before any work. Or a
            picture would replace its own image.
        ImageError: An image is unusable and ``on_error`` is "raise".
        OSError: ``folder`` cannot be made or written to. No picture is left half
            written.
        NotFittedError: ``fit`` was not called.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> import numpy as np
        >>> from adlib import PatchCore
        >>> from adlib.overlays import save_overlays
        >>> images = np.random.default_rng(0).random((4, 64, 64), dtype=np.float32)
        >>> model = PatchCore(image_size=64, coreset=0.5).fit(images[:2])
        >>> model = model.calibrate(images[2:], false_positive_rate=0.5)
        >>> with TemporaryDirectory() as folder:
        ...     [path.name for path in save_overlays(model, images[:2], folder)]
        ['image 0.png', 'image 1.png']
    """
    check_kinds(model, folder, OWNER)
    source = open_source(X, OWNER, PixelFormat(model.color, model.max_value))
    waiting: deque[Item] = deque()

    def noted() -> Iterator[Item]:
        for item in source.items:
            waiting.append(item)
            yield item

    results = model.inspect(replace(source, items=noted()))
    if model.threshold_ is None:
        rule = "a model with a threshold, at which colour begins"
        raise ValueError(refusal("model", OWNER, rule, "one without", "Calibrate it."))
    low = getattr(model, "pixel_threshold_", None)
    low = model.threshold_ if low is None else low
    roots = roots_of(X)
    names, target = _Names(roots), Path(folder)
    below = [Path() if by_score else names.below(root) for root in roots]
    check_outside(roots, [target / place for place in below], OWNER)
    _prepare(target, by_score)

    def draw(place: Path, named: Callable[[str], Path]) -> Iterator[Saved]:
        for result in results:
            item = waiting.popleft()
            if result.map is None:
                yield result, None
                continue
            path = place / named(result.path)
            image = Path(result.path)
            if image.exists() and path.exists() and path.samefile(image):
                rule = "a folder where no picture replaces the image that it shows"
                raise ValueError(refusal("folder", OWNER, rule, str(folder)))
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels, least = source.load(item), model.least_area
            picture = _picture(pixels, result, low, model.threshold_ or 0.0, least)
            with replacing(path) as temporary:
                picture.save(temporary, format="PNG")
            yield result, path

    saved: Iterable[Saved] = draw(target, names)
    if by_score:
        with tempfile.TemporaryDirectory(prefix=".adlib-", dir=target) as drawing:
            numbers = map(Path, map(str, itertools.count()))
            drawn = draw(Path(drawing), lambda _: next(numbers))
            found = [
                (replace(result, map=None, zones=None), path) for result, path in drawn
            ]
            found.sort(key=lambda one: np.inf if one[1] is None else -one[0].score)
            saved = []
            for rank, (result, path) in enumerate(found, 1):
                name = "_".join(names(result.path).with_suffix("").parts)
                place = target / f"{rank:04d}_{name[-LONGEST_NAME:]}.png"
                saved.append((result, path and path.replace(place)))
    paths = []
    for result, path in saved:
        paths.append(path)
        if each is not None:
            each(result, path)
    return paths


def check_kinds(model: object, folder: object, owner: str) -> None:
    """Raise unless these are a model and a path, as they may be swapped."""
    if not isinstance(model, AnomalyDetector | ExportedModel):
        rule = "a fitted detector, such as adlib.load gives"
        raise TypeError(refusal("model", owner, rule, describe(model)))
    if not isinstance(folder, str | os.PathLike) or not os.fspath(folder):
        rule = "the path of a folder"
        raise TypeError(refusal("folder", owner, rule, describe(folder)))


def roots_of(X: Images) -> dict[str, bool]:
    """Return the folders where paths of X lie, and whether X reads all below them."""
    if isinstance(X, np.ndarray) and X.dtype.kind in "OUS":
        X = X.tolist()
    words = X if isinstance(X, list | tuple) else [X]
    roots: dict[str, bool] = {}
    for word in words:
        if not isinstance(word, str | os.PathLike):
            return {}
        root, below = os.path.abspath(os.fspath(word)), True  # noqa: PTH100 - links stay
        if not os.path.isdir(root):  # noqa: PTH112
            is_glob = not os.path.exists(root) and glob.has_magic(root)  # noqa: PTH110
            root, last = os.path.split(root)
            below = is_glob and (glob.has_magic(root) or "**" in last)
            while is_glob and glob.has_magic(root):
                root = os.path.dirname(root)  # noqa: PTH120
        roots[root] = roots.get(root, False) or below
    return roots


class _Names:
    """Names pictures after their images, each differently, below one folder."""

    def __init__(self, roots: Iterable[str]) -> None:
        try:
            self._root = Path(os.path.commonpath(list(roots)))
        except ValueError:  # of nothing, and of several drives of Windows
            self._root = Path.cwd()
        self._taken: set[str] = set()

    def below(self, path: str) -> Path:
        """Return a path relative to the deepest folder that holds all roots."""
        full = Path(os.path.abspath(path))  # noqa: PTH100 - links stay
        root = self._root if full.is_relative_to(self._root) else full.anchor
        return full.relative_to(root)

    def __call__(self, path: str) -> Path:
        """Return the relative path of the picture of an image."""
        image = self.below(path)
        known = is_image_name(image)
        stem = image.stem if known else image.name
        longer = f"{stem}_{image.suffix[1:]}" if known else stem
        twin = Path(path).with_suffix(".png")
        if known and twin != Path(path) and twin.exists():
            stem = longer  # bolt.png is the picture of the twin
        counted = (f"{longer}_{number}" for number in itertools.count(2))
        names = itertools.chain((stem, longer), counted)
        for picture in (image.with_name(f"{name}.png") for name in names):
            key = str(picture).casefold()  # as Windows and macOS compare names
            if key not in self._taken:
                self._taken.add(key)
                return picture
        raise AssertionError  # counted never ends


def check_outside(roots: dict[str, bool], places: list[Path], owner: str) -> None:
    """Raise where pictures would lie among the images that X names."""
    sources = {Path(root).resolve(): below for root, below in roots.items()}
    for place in map(Path.resolve, places):
        for above in (place, *place.parents):
            if above in sources and (sources[above] or above == place):
                rule = "a folder outside of those that hold the images"
                came = f"{str(place)!r}, which lies in {str(above)!r}"
                remedy = "The next run would take the pictures for images of parts."
                raise ValueError(refusal("folder", owner, rule, came, remedy))


def _prepare(folder: Path, by_score: bool) -> None:
    """Make the folder for the pictures, or raise if they cannot be put there."""
    if folder.exists() and not folder.is_dir():
        came = f"the file {str(folder)!r}"
        raise ValueError(refusal("folder", OWNER, "a folder", came))
    folder.mkdir(parents=True, exist_ok=True)
    if by_score and any(NUMBERED.fullmatch(path.name) for path in folder.iterdir()):
        rule = "a folder without numbered pictures, which would mix with the new ones"
        raise ValueError(refusal("folder", OWNER, rule, repr(str(folder))))
    try:
        tempfile.TemporaryFile(dir=folder).close()  # now, not after the first batch
    except OSError as error:
        reason = f"{str(folder)!r} cannot be written to ({error.strerror})."
        raise OSError(reason) from error


def _picture(
    pixels: Float32Array,
    result: Inspection,
    low: float,
    threshold: float,
    least_area: float,
) -> Image.Image:
    """Draw an image with its map, and below it a strip with score and verdict."""
    assert result.map is not None
    height, width = pixels.shape[:2]
    times = min(-(-NARROWEST // width), TALLEST // height)
    if times > 1:
        pixels = pixels.repeat(times, axis=0).repeat(times, axis=1)
    shown, limit = result.map, f"{low:.4g}"
    if result.zones is not None:
        shown, limit = result.zones.relative(shown), "its zone's threshold"
    shown = large_alone(shown, low, (height, width), least_area)
    drawn = overlay(pixels, shown, low, 1.5 * low, contour=True)
    size = max(12.0, min(max(drawn.size) / 36, drawn.width / 21))
    font = ImageFont.load_default(size)
    verdict, colour = VERDICTS[-1 if result.verdict == -1 else 1]
    if result.decision == "REVIEW":
        verdict, colour = REVIEW
    texts = f"{result.score:.4g}", f"{threshold:.4g}"
    if texts[0] == texts[1]:  # show on which side of the threshold the score lies
        texts = f"{result.score:.9g}", f"{threshold:.9g}"
    lines = (f"score {texts[0]}, threshold {texts[1]}", f"outline: map above {limit}")
    gap = size / 2
    badge = font.getlength(verdict) + 2 * gap
    needed = badge + 2 * gap + max(font.getlength(line) for line in lines)
    strip = round(3.6 * size)
    wide = max(drawn.width, round(needed))
    canvas = Image.new("RGB", (wide, drawn.height + strip), "white")
    canvas.paste(drawn, ((wide - drawn.width) // 2, 0))
    pen = ImageDraw.Draw(canvas)
    middle = drawn.height + strip / 2
    pen.rectangle((0, drawn.height, badge, canvas.height), fill=colour)
    pen.text((badge / 2, middle), verdict, "white", font, anchor="mm")
    for line, offset in zip(lines, (-0.8, 0.8), strict=True):
        place = (badge + gap, middle + offset * size)
        pen.text(place, line, "black", font, anchor="lm")
    return canvas
