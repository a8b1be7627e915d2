"""Annotated images, in COCO's or labelme's files, as samples with masks."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from adlib._files import replacing
from adlib._progress import ProgressBar
from adlib._typing import AnyArray, BoolArray
from adlib._validation import describe, refusal
from adlib.datasets._samples import (
    ANOMALOUS,
    GOOD,
    NORMAL,
    Sample,
    folder_name,
    path_in,
)
from adlib.images import read_image
from adlib.images._folders import find_images, is_hidden
from adlib.images._region import CORNERS, POINT, drawn

OWNER = "annotated_samples"
Id: TypeAlias = int | float | str
SEVERAL = "combined"  # defect type of an image with several, as in MVTec AD


class _Mark(NamedTuple):
    """What one annotation marks, by polygons of (x, y) or a mask of the whole image.

    ``where`` is what errors call it.
    """

    label: str
    where: str
    polygons: list[AnyArray]
    mask: BoolArray | None = None


class _Annotated(NamedTuple):
    """An image, its (height, width), and what annotations mark in it."""

    image: Path
    size: tuple[int, int]
    marks: list[_Mark]


def annotated_samples(
    annotations: str | os.PathLike[str],
    images: str | os.PathLike[str],
    masks: str | os.PathLike[str],
    *,
    progress: bool = True,
) -> list[Sample]:
    """Return the samples of annotated images, whose masks it draws as PNG files.

    A pixel is anomalous where its centre lies in a polygon of any annotation of its
    image, as everywhere in adlib: in COCO's and labelme's coordinates the centre of the
    first pixel is (0.5, 0.5). Tools that also draw a polygon's outline (labelme's
    export, pycocotools) mark up to one pixel more around it. Run-length codes and masks
    are taken as they are.

    Args:
        annotations: A COCO file, whose segmentations are polygons or run-length codes,
            compressed or not; or a folder of labelme's files, one for an image, with
            polygons, rectangles, circles and masks.
        images: The folder of the images. COCO's ``file_name`` is relative to it; a
            labelme file lies in ``annotations`` as its image does here.
        masks: The folder for the masks, outside of ``images``; made if it is not there.
            "late/bolt.jpg" has the mask "late/bolt_mask.png".
        progress: Show a bar on a terminal.

    Returns:
        A sample for each image of the COCO file, in its order, or of the folder
        ``images`` of labelme's, by path; all of the split "test", and of one class, by
        the name of ``images``. An image without annotations is good; else its defect
        type is their label, or "combined" where these are several.

    Raises:
        FileNotFoundError: A file or folder, or an image that is annotated, is missing.
        ValueError: A file is of neither kind; an annotation has no area (a box or a
            line), is for an image of another size, or marks no pixel; it is named. Or
            two images would have one mask.
        ImageError: An image that is annotated cannot be read.
        OSError: ``masks`` cannot be written to.
        ImportError: scikit-image, which draws polygons, is not installed.

    Example:
        >>> import json
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> from adlib.datasets import annotated_samples, read_mask
        >>> square = {"label": "hole", "points": [[1, 1], [4, 1], [4, 3], [1, 3]]}
        >>> file = {"shapes": [square | {"shape_type": "polygon"}]}
        >>> file |= {"imagePath": "0.png", "imageHeight": 4, "imageWidth": 6}
        >>> with TemporaryDirectory() as folder:
        ...     (images := Path(folder, "images")).mkdir()
        ...     Image.new("L", (6, 4)).save(images / "0.png")
        ...     _ = (images / "0.json").write_text(json.dumps(file))
        ...     (sample,) = annotated_samples(images, images, Path(folder, "masks"))
        ...     sample.defect_type, int(read_mask(sample.mask_path).sum())
        ('hole', 6)
    """
    place, root, target = Path(annotations), Path(images), Path(masks)
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {str(root)!r}.")
    if not place.exists():
        raise FileNotFoundError(f"There is no file or folder {str(place)!r}.")
    found = _labelme(place, root) if place.is_dir() else _coco(place, root)
    among, class_name = root.resolve(), folder_name(root)
    samples: dict[Path, Sample] = {}
    with ProgressBar("Drawing masks", None, enabled=progress) as bar:
        for one in found:
            relative = one.image.relative_to(root)
            path = target / relative.with_name(f"{relative.stem}_mask.png")
            if path in samples:
                rule = "of which no two have one folder and stem, and thus one mask"
                raise ValueError(refusal("images", OWNER, rule, str(one.image)))
            labels = {mark.label for mark in one.marks}
            if GOOD in labels:
                rule = f"of defects alone; what is not annotated is {GOOD!r}"
                raise ValueError(refusal("labels", str(one.image), rule, f"{GOOD!r}"))
            kind = SEVERAL if len(labels) > 1 else next(iter(labels), GOOD)
            if one.marks:
                if path.resolve().is_relative_to(among):
                    rule = "a folder whose masks lie outside of images, not among them"
                    raise ValueError(refusal("masks", OWNER, rule, str(target)))
                mask = _united(one)
                path.parent.mkdir(parents=True, exist_ok=True)
                with replacing(path) as temporary:
                    Image.fromarray(mask.astype(np.uint8) * 255).save(temporary, "PNG")
            label, drawn_at = (ANOMALOUS, path) if one.marks else (NORMAL, None)
            samples[path] = Sample(one.image, label, kind, drawn_at, class_name, "test")
            bar.advance()
    return list(samples.values())


def _united(one: _Annotated) -> BoolArray:
    """Return what all annotations of an image mark, at the image's own size."""
    mask = np.zeros(one.size, np.bool_)
    for mark in one.marks:
        own = drawn(mark.polygons, one.size) if mark.mask is None else mark.mask
        if not own.any():
            rule = "such that the centre of a pixel lies in it"
            raise ValueError(refusal("area", mark.where, rule, "one without any"))
        mask |= own
    return mask


def _size_of(image: Path, stated: tuple[int, int], where: str) -> tuple[int, int]:
    """Return (height, width) of an image, upright; raise where others are stated.

    It comes before masks are made, which are then no larger than the image.
    """
    _check_there(image)
    pixels = read_image(image)
    size = (pixels.shape[0], pixels.shape[1])
    if size != stated:
        came = "{}x{} and {}x{}".format(*stated, *size)
        rule = f"for the height and width of {image.name}"
        remedy = (
            "Were the images resized, or turned by EXIF, after they were annotated?"
        )
        raise ValueError(refusal("annotations", where, rule, came, remedy))
    return size


def _check_there(image: Path) -> None:
    if not image.is_file():
        raise FileNotFoundError(
            f"There is no image {str(image)!r}, which is annotated."
        )


def _coco(path: Path, root: Path) -> Iterator[_Annotated]:
    """Yield the images that a COCO file lists, in its order."""
    held = _json(path)
    where = repr(str(path))
    listed, marked = (
        _given(held, key, list, where) for key in ("images", "annotations")
    )
    names = {}
    for kind in _given(held, "categories", list | None, where) or []:
        number = _given(kind, "id", Id, f"a category of {where}")
        names[number] = str(kind.get("name", number))
    by_image: dict[Any, list[Mapping[str, Any]]] = {}
    for annotation in marked:
        number = _given(annotation, "image_id", Id, f"an annotation of {where}")
        by_image.setdefault(number, []).append(annotation)
    ids: set[Id] = set()
    for image in listed:
        name = _given(image, "file_name", str, f"an image of {where}")
        here = f"{name} in {where}"
        size = (_given(image, "height", int, here), _given(image, "width", int, here))
        number = _given(image, "id", Id, here)
        if number in ids:
            rule = "of one image alone, since annotations name it"
            raise ValueError(refusal("id", here, rule, f"{number!r} again"))
        ids.add(number)
        path, own = path_in(root, name, where), by_image.pop(number, [])
        if own:
            size = _size_of(path, size, here)
        marks = []
        for one in own:
            this = f"annotation {one.get('id')} of {here}"
            kind = _given(one, "category_id", Id | None, this)
            label = names.get(kind, str(kind))
            marks.append(_segmented(one.get("segmentation"), label, size, this))
        yield _Annotated(path, size, marks)
    if by_image:
        rule = "of images that it lists"
        raise ValueError(
            refusal("annotations", where, rule, f"image {next(iter(by_image))}")
        )


def _segmented(given: Any, label: str, size: tuple[int, int], where: str) -> _Mark:
    """Return what a COCO segmentation marks: polygons, or a run-length code."""
    if isinstance(given, Mapping):
        return _Mark(label, where, [], _from_runs(given, size, where))
    if isinstance(given, list) and given:
        polygons = []
        for flat in given:
            even = isinstance(flat, list) and len(flat) % POINT == 0
            points = [flat[i : i + POINT] for i in range(0, len(flat), POINT)]
            polygons.append(_polygon(points if even else None, where))
        return _Mark(label, where, polygons)
    rule = "polygons or a run-length code; a box says not which pixels are anomalous"
    raise ValueError(refusal("segmentation", where, rule, describe(given)))


def _from_runs(code: Mapping[str, Any], size: tuple[int, int], where: str) -> BoolArray:
    """Return the mask of a run-length code: lengths of 0, 1, 0, ... by columns."""
    counts = code.get("counts")
    coded: Any = _decompressed(counts) if isinstance(counts, str) else counts
    runs: list[int] = coded if isinstance(coded, list) else [-1]
    if (
        not all(type(n) is int and n >= 0 for n in runs)
        or code.get("size") != list(size)
        or sum(runs) != np.prod(size)
    ):
        rule = "a run-length code of {} x {} pixels".format(*size)
        raise ValueError(refusal("segmentation", where, rule, describe(code)))
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.ascontiguousarray(values.reshape(size, order="F"))


def _decompressed(text: str) -> list[int]:
    """Return the lengths that COCO's compressed form codes.

    A number is written in groups of 5 bits, the lowest first, each a character from "0"
    on, which has 32 more unless it is the last; bit 16 of the last is the sign. From
    the fourth on a length is written as what it adds to the one before the last.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - ord("0")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))  # noqa: PLR2004 - the fourth
        value = shift = 0
    return runs


def _labelme(folder: Path, root: Path) -> Iterator[_Annotated]:
    """Yield all images of a folder, with what labelme's files mark in them."""
    files: dict[Path, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() != ".json" or is_hidden(path.relative_to(folder)):
            continue
        name = _given(_json(path), "imagePath", str, repr(str(path)))
        name = PurePath(name.replace("\\", "/")).name
        image = root / path.relative_to(folder).parent / name
        _check_there(image)
        files.setdefault(image, []).append(path)
    for image in find_images(str(root), OWNER, beside=[".json"]):
        size, marks = (0, 0), []
        for path in files.pop(image, []):
            held, where = _json(path), repr(str(path))
            height, width = (
                _given(held, key, int, where) for key in ("imageHeight", "imageWidth")
            )
            size = _size_of(image, (height, width), where)
            marks += [
                _shape(one, size, where) for one in _given(held, "shapes", list, where)
            ]
        yield _Annotated(image, size, marks)
    if files:
        image, (path, *_) = next(iter(files.items()))
        rule = "the name of an image that is found in images"
        remedy = "Hidden files, unknown suffixes and links to folders are left out."
        raise ValueError(
            refusal("imagePath", repr(str(path)), rule, repr(str(image)), remedy)
        )


def _shape(given: Any, size: tuple[int, int], where: str) -> _Mark:
    """Return what a shape of labelme's marks."""
    label = _given(given, "label", str, f"a shape of {where}")
    here = f"shape {label!r} of {where}"
    kind = given.get("shape_type", "polygon")
    points = given.get("points")
    if kind == "polygon":
        return _Mark(label, here, [_polygon(points, here)])
    if kind not in ("rectangle", "circle", "mask"):
        rule = "a polygon, rectangle, circle or mask; others have no area"
        raise ValueError(refusal("shape_type", here, rule, describe(kind)))
    (left, top), (right, bottom) = _points(points, here, POINT)
    if kind == "rectangle":
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        return _Mark(label, here, [_polygon(corners, here)])
    mask = np.zeros(size, np.bool_)
    if kind == "circle":  # its centre, and a point of it
        rows, columns = np.ogrid[: size[0], : size[1]]
        apart = np.hypot(columns + 0.5 - left, rows + 0.5 - top)
        return _Mark(label, here, [], apart <= np.hypot(right - left, bottom - top))
    text = _given(given, "mask", str, here)
    try:
        picture = Image.open(io.BytesIO(base64.b64decode(text)), formats=["PNG"])
        part = np.asarray(picture.convert("L")) > 0
    except (ValueError, OSError, Image.DecompressionBombError) as error:
        raise ValueError(refusal("mask", here, "a PNG in base64", error)) from error
    first, row = int(left), int(top)
    inside = min(first, row) >= 0
    room = mask[row : row + part.shape[0], first : first + part.shape[1]]
    if not inside or room.shape != part.shape:
        rule = "a mask that lies inside of the image"
        came = "{} x {} pixels at ({}, {})".format(*part.shape, row, first)
        raise ValueError(refusal("mask", here, rule, came))
    room |= part
    return _Mark(label, here, [], mask)


def _polygon(points: Any, where: str) -> AnyArray:
    return _points(points, where, CORNERS)


def _points(given: Any, where: str, least: int) -> AnyArray:
    """Return finite points (x, y), at least so many, two of a pair alone; or raise."""
    try:
        points = np.array(given, np.float64)
        fits = points.ndim == POINT and points.shape[1] == POINT
        fits = fits and bool(np.isfinite(points).all())
        fits = fits and (
            len(points) >= least if least > POINT else len(points) == least
        )
    except (TypeError, ValueError, OverflowError):
        fits = False
    if not fits:
        rule = f"{'at least ' if least > POINT else ''}{least} points (x, y)"
        raise ValueError(refusal("points", where, rule, describe(given)))
    return points


def _json(path: Path) -> dict[str, Any]:
    try:
        held = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{str(path)!r} must be a JSON file: {error}") from error
    if not isinstance(held, dict):
        rule = "a file of COCO's or labelme's"
        raise ValueError(refusal("annotations", OWNER, rule, str(path)))
    return held


def _given(held: Any, key: str, kind: Any, where: str) -> Any:
    """Return an entry that must be there, of a kind, or raise."""
    value = held.get(key) if isinstance(held, Mapping) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        name = kind.__name__ if isinstance(kind, type) else kind  # a union
        raise ValueError(refusal(key, where, f"of kind {name}", describe(value)))
    return value
