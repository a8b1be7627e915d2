"""What a result's image and model still say: pictures, map, nearest good patch."""

from __future__ import annotations

import hashlib
import json
import stat
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from adlib._files import sha256_of
from adlib._typing import AnyArray
from adlib.exceptions import ImageError
from adlib.images import Source
from adlib.images._pixels import PLAIN, Box
from adlib.images._sources import Item
from adlib.serve._cache import Cache
from adlib.serve._drawn import as_glow, as_jpeg, close_up, decoded
from adlib.serve._folder import Candidate, Key, Loaded
from adlib.serve._model import Model, load_copy
from adlib.serve._results import Result

THUMBNAIL, PHOTO = 320, 1600  # pixels of the longer side
MOST_MODELS = 3  # in memory
MOST_HASHES = 100
SHORT = 12  # digits of a SHA-256 that are shown


class Unavailable(Exception):  # noqa: N818 - a state of affairs
    """A picture cannot be shown; the text says why, for people."""


class Place(NamedTuple):
    """Where the files of a product are, as the database has it."""

    folder: str
    model_file: str


class State(NamedTuple):
    """What there is still of a result.

    Attributes:
        missing: Why the image cannot be shown; "": it can.
        model: SHA-256 of the product's model of now; "": there can be no map.
        about: What is to be said of the map or its absence.
    """

    missing: str = ""
    model: str = ""
    about: str = ""


class Compared(NamedTuple):
    """The good patch that is nearest to the worst patch of an image.

    Attributes:
        distance: Between the two.
        image: The training image, as ``fit`` was given it.
        centre: (row, column) of the patch as shares of the network's input; None: it
            is not known where in the image that is, as this was turned or aligned.
        boxed: (height, width) of that input where images were letterboxed into it.
    """

    distance: float
    image: str
    centre: tuple[float, float] | None
    boxed: tuple[int, int] | None


class Examiner:
    """Draws the images of results and what models say of them.

    An image is shown only while its file has the bytes that were judged. All that is
    drawn is kept in a cache, by the SHA-256 of what it shows.

    Args:
        load: What loads a model file.
        cache: Where pictures are kept.
        training: A folder in which training images are looked for, where they are not
            where they were at ``fit``; None: nowhere else.
    """

    def __init__(
        self, load: Callable[[Path], Model], cache: Cache, training: Path | None = None
    ) -> None:
        self._load, self._cache, self._training = load, cache, training
        self._models: OrderedDict[Path, tuple[Key, Model, str]] = OrderedDict()
        self._hashes: OrderedDict[tuple[Path, Key], str] = OrderedDict()
        self._lock = threading.Lock()  # of the models: one is asked at a time

    def content(self, result: Result, place: Place) -> bytes:
        """Return the file of an image, if it is the one that was judged.

        Raises:
            Unavailable: It is not, or is gone.
        """
        if result.sha256 is None:
            raise Unavailable("The image could not be read when it was to be judged.")
        if result.moved_to is None and not place.folder:
            raise Unavailable("The database does not say where the images are.")
        path = Path(result.moved_to or Path(place.folder, result.path))
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):
                raise FileNotFoundError
            if result.size is not None and found.st_size != result.size:
                raise Unavailable(f"The image has changed since it was judged: {path}")
            content = path.read_bytes()
        except FileNotFoundError:
            raise Unavailable(f"The image is no longer there: {path}") from None
        except OSError as error:
            raise Unavailable(f"The image cannot be read: {error}") from None
        if hashlib.sha256(content).hexdigest() != result.sha256:
            raise Unavailable(f"The image has changed since it was judged: {path}")
        return content

    def state(self, result: Result, place: Place) -> State:
        """Return what there is still of a result."""
        try:
            self.content(result, place)
        except Unavailable as reason:
            return State(str(reason))
        if result.error is not None:
            return State()
        model = self.sha256_of(place)
        if model is None:
            where = place.model_file or "the database does not say where it is"
            return State(about=f"There is no map: the model file is gone ({where}).")
        if model == result.model:
            return State(model=model)
        about = (
            f"The map is by the present model {model[:SHORT]}, not by "
            f"{result.model[:SHORT]}, which judged the image."
        )
        return State(model=model, about=about)

    def picture(self, result: Result, place: Place, side: int) -> bytes:
        """Return the image as a JPEG of at most ``side`` pixels.

        Raises:
            Unavailable: The image is not there, or cannot be decoded.
        """
        name = f"{result.sha256}-{side}.jpg"
        kept = self._cache.get(name) if result.sha256 else None
        if kept is not None:
            return kept
        return self._cache.put(name, as_jpeg(self._pixels(result, place), side))

    def close(self, result: Result, place: Place) -> bytes:
        """Return the surroundings of the worst pixel as a JPEG.

        Raises:
            Unavailable: There is none, or the image is not there.
        """
        if result.worst_row is None or result.worst_column is None:
            raise Unavailable("The image has no worst pixel.")
        pixels = self._pixels(result, place)
        return close_up(pixels, result.worst_row, result.worst_column)

    def sha256_of(self, place: Place) -> str | None:
        """Return the SHA-256 of a product's present model file, None if it is gone."""
        path = Path(place.model_file)
        try:
            key = Key.of(path.stat())
            if (path, key) not in self._hashes:
                self._hashes[path, key] = sha256_of(path)
                while len(self._hashes) > MOST_HASHES:
                    self._hashes.popitem(last=False)
            return self._hashes[path, key]
        except OSError:
            return None

    def map(self, result: Result, place: Place, model: str) -> bytes:
        """Return the anomaly map as a PNG to lay over the image.

        Args:
            result: Of which image.
            place: Where its files are.
            model: The SHA-256 of the model that is to make it.

        Raises:
            Unavailable: The image or that model is not there, or the model fails.
        """
        name = f"{result.sha256}-{model}.png"
        kept = self._cache.get(name) if result.sha256 else None
        if kept is not None:
            return kept
        with self._lock:
            judge: Any = self._model(place, model)
            (found,) = judge.inspect(self._source(result, place))
        if found.map is None:
            raise Unavailable(str(found.error))
        shown = found.map if found.zones is None else found.zones.relative(found.map)
        limit = getattr(judge, "pixel_threshold_", None)
        outline = found.regions is None  # or they have their contours
        return self._cache.put(name, as_glow(shown, limit, outline=outline))

    def compared(self, result: Result, place: Place, model: str) -> Compared:
        """Return the good patch nearest to the worst one, by the model of a SHA-256.

        Raises:
            Unavailable: The image or that model is not there, or it keeps no patches.
        """
        name = f"{result.sha256}-{model}.json"
        kept = self._cache.get(name) if result.sha256 else None
        if kept is None:
            with self._lock:
                judge: Any = self._model(place, model)
                if not hasattr(judge, "explain"):
                    raise Unavailable(
                        "This kind of model keeps no training patches to compare with."
                    )
                found = judge.explain(self._source(result, place))
                if not found:
                    raise Unavailable("The image cannot be judged.")
                said = self._compared(judge, found[0])
            kept = self._cache.put(name, json.dumps(said).encode())
        return Compared(*json.loads(kept))

    def near(self, compared: Compared) -> bytes:
        """Return the surroundings of the good patch (or its image) as a JPEG.

        Raises:
            Unavailable: The training image is not found.
        """
        path = self.training_image(compared)
        try:
            pixels = decoded(path.read_bytes(), path.name)
        except (ImageError, OSError) as error:
            raise Unavailable(f"The training image cannot be shown: {error}") from None
        if compared.centre is None:
            return as_jpeg(pixels, THUMBNAIL)
        size = pixels.shape[0], pixels.shape[1]
        row, column = compared.centre
        if compared.boxed is not None:
            box = Box.of(size, compared.boxed)
            row = (row * compared.boxed[0] - box.top) / box.height
            column = (column * compared.boxed[1] - box.left) / box.width
        return close_up(pixels, row * size[0], column * size[1])

    def training_image(self, compared: Compared) -> Path:
        """Return the file of a training image.

        Where it was when the model was fitted, or below the folder that was given: by
        as much of the end of its path as is found there.

        Raises:
            Unavailable: It is not found.
        """
        path, places = Path(compared.image), [Path(compared.image)]
        if self._training is None:
            remedy = "pass --training FOLDER, which holds it"
        else:
            remedy = f"it is not below {self._training} either"
            tails = (path.parts[i:] for i in range(bool(path.anchor), len(path.parts)))
            places += [self._training.joinpath(*t) for t in tails if ".." not in t]
        for place in places:
            if place.is_file():
                return place
        raise Unavailable(f"The training image {path} is not there: {remedy}.")

    @staticmethod
    def _compared(model: Any, found: Any) -> Compared:
        centre = boxed = None
        if model.align is None and not model.augment:
            places = zip(found.compared_patch, model.grid_, strict=True)
            centre = tuple((place + 0.5) / n_patches for place, n_patches in places)
        if model.resize == "letterbox":
            boxed = tuple(model.backbone_.image_size)
        return Compared(found.distance, found.compared_with, centre, boxed)

    def _model(self, place: Place, sha256: str) -> Model:
        """Return a product's model, loaded when its file is new or has changed."""
        path = Path(place.model_file)
        try:
            key = Key.of(path.stat())
            if path not in self._models or self._models[path][0] != key:
                self._models[path] = key, *load_copy(path, self._load)
        except Exception as error:  # whatever is wrong with the file
            raise Unavailable(f"The model cannot be loaded: {error}") from error
        self._models.move_to_end(path)
        while len(self._models) > MOST_MODELS:
            self._models.popitem(last=False)
        _, model, found = self._models[path]
        if found != sha256:
            raise Unavailable("The model file has changed: load the page again.")
        return model

    def _pixels(self, result: Result, place: Place) -> AnyArray:
        try:
            return decoded(self.content(result, place), result.path)
        except ImageError as error:
            raise Unavailable(f"The image cannot be shown: {error}") from None

    def _source(self, result: Result, place: Place) -> Source:
        """Return the image as ``watch`` gave it to the model."""
        content = self.content(result, place)
        file = Candidate(result.path, Key(len(content), 0, 0), 0.0)
        item = Item(0, result.path, Loaded(file, content).pixels)
        return Source.of([item], PLAIN, "adlib review")
