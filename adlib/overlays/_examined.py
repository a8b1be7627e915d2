"""Pictures of the training images that stand out, and of those nearly the same."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from adlib._files import replacing
from adlib._html import ORANGE
from adlib._typing import Float32Array, Float64Array
from adlib._validation import refusal
from adlib.estimators import AnomalyDetector, Examination
from adlib.images import Images, open_source
from adlib.images._pixels import PixelFormat, as_shares
from adlib.overlays._saved import check_kinds, check_outside, roots_of

OWNER = "save_examined"
HEIGHT = 480  # pixels of each image in a picture
STRIP, GAP = 40, 4  # below them, for the text; between them
MARGIN = 2  # patches around the one that is marked


def save_examined(
    model: AnomalyDetector,
    X: Images,
    folder: str | os.PathLike[str],
    *,
    examination: Examination | None = None,
) -> list[Path]:
    """Save a picture of each training image that stands out, and of each pair.

    An image that stands out is beside the one whose patch is nearest to its highest
    patch, both patches marked; two that are nearly the same are side by side.

    Args:
        model: A detector that was fitted to ``X``.
        X: Its training images, in the same order.
        folder: Where the pictures go, outside of the folders in ``X``; made if it is
            not there: "stands_out_001.png", the highest score first, and
            "nearly_the_same_001.png".
        examination: What ``examine``, or ``fit``, gave; None calls ``examine``.

    Returns:
        The path of each picture.

    Raises:
        TypeError: ``model`` is no detector, or ``folder`` no path.
        ValueError: ``X`` does not hold the training images, or ``folder`` lies in a
            folder that ``X`` names.
        OSError: ``folder`` cannot be made or written to. No picture is left half
            written.
        NotFittedError: ``fit`` was not called.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> import numpy as np
        >>> from adlib import PatchCore
        >>> from adlib.overlays import save_examined
        >>> images = np.random.default_rng(0).random((6, 64, 64), dtype=np.float32)
        >>> images[5] = images[2]
        >>> model = PatchCore(image_size=64, coreset=0.5).fit(images)
        >>> with TemporaryDirectory() as folder:
        ...     [path.name for path in save_examined(model, images, folder)]
        ['nearly_the_same_001.png']
    """
    check_kinds(model, folder, OWNER)
    check_outside(roots_of(X), [Path(folder)], OWNER)
    found = model.examine(X) if examination is None else examination
    source = open_source(X, OWNER, PixelFormat(model.color, model.max_value))
    items, alignment = list(source.items), model._ready().alignment

    def shown(position: int, patch: tuple[int, int] | None = None) -> Image.Image:
        if position >= len(items):
            rule, came = "the training images", f"{len(items)} images"
            raise ValueError(refusal("X", OWNER, rule, came))
        pixels = source.read(items[position])
        image = _shown(as_shares(pixels))
        if patch is not None:
            place = np.eye(2, 3)
            if alignment is not None:  # patches lie in the image as it was moved
                place = alignment.find(pixels, OWNER)
            _mark(image, patch, place, model)
        return image

    target, saved = Path(folder), []
    target.mkdir(parents=True, exist_ok=True)

    def save(name: str, images: list[Image.Image], text: str) -> None:
        path = target / name
        with replacing(path) as temporary:
            _side_by_side(images, text).save(temporary, format="PNG")
        saved.append(path)

    for number, one in enumerate(found.stand_out, 1):
        images = [shown(one.position, one.patch)]
        text = f"{one.path}: score {one.score:.4g}, the others' limit {found.limit:.4g}"
        if one.compared_position is not None and one.compared_patch is not None:
            images.append(shown(one.compared_position, one.compared_patch))
            text += f"\nnearest patch in {one.compared_with}"
        save(f"stands_out_{number:03d}.png", images, text)
    for number, pair in enumerate(found.near_duplicates, 1):
        text = f"{pair.paths[0]}\n{pair.paths[1]}"
        images = [shown(position) for position in pair.positions]
        save(f"nearly_the_same_{number:03d}.png", images, text)
    return saved


def _shown(pixels: Float32Array) -> Image.Image:
    """Return an image at the height of all, in colours."""
    image = Image.fromarray(np.round(255 * pixels).astype(np.uint8)).convert("RGB")
    width = max(1, round(image.width * HEIGHT / image.height))
    return image.resize((width, HEIGHT))


def _mark(
    image: Image.Image,
    patch: tuple[int, int],
    place: Float64Array,
    model: AnomalyDetector,
) -> None:
    """Draw a box around a patch and those beside it.

    ``place`` says where the patches lie that were moved to a reference, (2, 3).
    """
    box = model._box((image.height, image.width))  # in image_size
    first = np.array(patch) - MARGIN
    (top, left), (bottom, right) = (
        corner / model.grid_ * model._size for corner in (first, first + 2 * MARGIN + 1)
    )
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    # The centre of the first pixel is 0 there, and 0.5 here.
    moved = (corners - 0.5) @ place[:, :2].T + place[:, 2] + 0.5
    moved = (moved - (box.left, box.top)) / (box.width, box.height)
    moved *= image.width, image.height
    outline = moved.ravel().tolist()
    ImageDraw.Draw(image).polygon(outline, outline=ORANGE, width=3)


def _side_by_side(images: list[Image.Image], text: str) -> Image.Image:
    """Put images side by side, with two lines of text below them."""
    font = ImageFont.load_default(13)
    lines = text.split("\n")
    needed = round(max(font.getlength(line) for line in lines)) + 12
    widths = [image.width for image in images]
    wide = max(sum(widths) + GAP * (len(images) - 1), needed)
    canvas = Image.new("RGB", (wide, HEIGHT + STRIP), "white")
    left = 0
    for image in images:
        canvas.paste(image, (left, 0))
        left += image.width + GAP
    pen = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        pen.text((6, HEIGHT + 3 + 18 * number), line, "black", font)
    return canvas
