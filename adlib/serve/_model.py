"""A model file in service: loaded once, and again beside itself when it changes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from adlib._files import sha256_of
from adlib._inspection import Inspection
from adlib.images import Images
from adlib.images._stream import OnError
from adlib.serve._folder import Key

GREY = np.full((1, 64, 64), 128, np.uint8)


class Model(Protocol):
    """What is asked of a detector or an exported file; neither is imported here."""

    threshold_: float | None
    review_threshold_: float | None
    on_error: OnError

    def inspect(self, X: Images) -> Iterator[Inspection]:
        """Yield what is said of each image, in order."""


M = TypeVar("M", bound=Model)


class Loaded(NamedTuple):
    """A model, and SHA-256 of the file that it came from."""

    model: Model
    sha256: str


class ModelFile:
    """A model file whose latest good version is in service.

    Args:
        path: The file, of ``save`` or ``export``.
        load: What loads it.

    Raises:
        FileNotFoundError, ModelFileError, ValueError: It cannot be loaded, or has no
            threshold.
    """

    def __init__(self, path: Path, load: Callable[[Path], Model]) -> None:
        self.path = path
        self._load = load
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="adlib-model")
        self._pending: Future[Loaded] | None = None
        if not path.is_file():
            raise FileNotFoundError(f"There is no model file at {str(path)!r}.")
        self._tried = self._last = Key.of(path.stat())
        self.now = self._loaded()

    def look(self) -> str:
        """Swap when a changed file has been loaded; say what happened, "" if nothing.

        It is loaded in a thread once two looks have found it the same. One that cannot
        be loaded leaves the old one in service.
        """
        if self._pending is not None:
            if not self._pending.done():
                return ""
            pending, self._pending = self._pending, None
            try:
                self.now = pending.result()
            except Exception as error:  # whatever is wrong with the file
                return f"The new model file cannot be used, the old stays: {error}"
            return f"{self.path} has changed: the new model is in service."
        try:
            key = Key.of(self.path.stat())
        except OSError:  # it is being replaced, or gone: the old stays
            return ""
        if key == self._last and key != self._tried:
            self._tried = key
            self._pending = self._pool.submit(self._loaded)
        self._last = key
        return ""

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _loaded(self) -> Loaded:
        return Loaded(*load_copy(self.path, self._with_threshold))

    def _with_threshold(self, path: Path) -> Model:
        model = self._load(path)
        if model.threshold_ is None:
            raise ValueError(
                f"{self.path} has no threshold, so nothing could pass. Fit it with "
                "--holdout above 0, --good or --defects."
            )
        return model


def load_copy(path: Path, load: Callable[[Path], M]) -> tuple[M, str]:
    """Return a model that has judged an image, and SHA-256 of its file.

    It is loaded from a copy: what is hashed is what is loaded, whoever writes to the
    file, and one that is cut short while it is mapped into memory would end the
    process.
    """
    with tempfile.TemporaryDirectory(prefix="adlib-") as folder:
        copy = Path(folder, path.name)
        shutil.copyfile(path, copy)
        sha256 = sha256_of(copy)
        model = load(copy)
        model.on_error = "skip"
        for _ in model.inspect(GREY):  # what compiles does so before it is in service
            pass
    return model, sha256
