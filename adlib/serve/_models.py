"""The models of a folder, each loaded once and swapped when its file changes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TypeAlias

from adlib import runtime
from adlib.estimators import AnomalyDetector, load
from adlib.features import Backbone
from adlib.runtime import ExportedModel
from adlib.runtime._file import SUFFIX
from adlib.serve._folder import Key
from adlib.serve._model import load_copy

SUFFIXES = (".adlib", SUFFIX)  # of model files
SECONDS = 2.0  # from one look at the folder to the next

Inspector: TypeAlias = AnomalyDetector | ExportedModel
log = logging.getLogger("adlib.serve")


class Model(NamedTuple):
    """A model in service; never changed, only replaced.

    Attributes:
        name: Its file's name without the suffix; of ``bolt.onnx`` beside ``bolt.adlib``
            with it.
        inspector: The detector, or the exported model.
        sha256: Of the file's bytes, as ``sha256sum`` prints it.
        promise: What its threshold promises, in words.
        loaded: When it was loaded, ISO 8601 in UTC.
    """

    name: str
    inspector: Inspector
    sha256: str
    promise: str
    loaded: str


class Models:
    """The models in service, by name.

    Args:
        folder: Holds the model files; those in folders below it do not count.
        device: As ``adlib.load`` takes it; exported files run on the CPU.
        each: Called with a name and whether its file could be loaded, for each file
            that was tried.

    Attributes:
        by_name: What is in service. A reader takes a model from it and keeps it as long
            as one request needs it.
        errors: Why the present file of a name is not in service; an older one may be.

    Note:
        A file that is not readable, or does not judge a grey image, changes nothing
        but ``errors``; neither does one that is gone. It is tried again when it has
        changed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: str = "auto",
        each: Callable[[str, bool], None] = lambda name, loaded: None,
    ) -> None:
        self.by_name: dict[str, Model] = {}
        self.errors: dict[str, str] = {}
        self._folder, self._device, self._each = folder, device, each
        self._tried: dict[str, tuple[Path, Key]] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="adlib-models")

    def refresh(self) -> None:
        """Load what is new or has changed since the last call.

        Raises:
            OSError: The folder cannot be listed.
        """
        found = self._listed()
        for name, path in found.items():
            try:
                key = Key.of(path.stat())  # of what a link points to
                if self._tried.get(name) == (path, key):
                    continue
                self._tried[name] = path, key
                model = self._load(name, path)
            except Exception as error:  # of any kind: what is in service stays
                self._refuse(name, f"{path.name} is not in service: {error}")
            else:
                self.by_name[name] = model
                self.errors.pop(name, None)
                self._each(name, True)
                log.info("%s is in service, SHA-256 %s", path.name, model.sha256)
        for name in self._tried.keys() - found.keys():
            if name in self.by_name and name not in self.errors:
                self._refuse(name, "Its file is gone; the model stays in service.")
            elif name not in self.by_name:  # it never was in service
                self.errors.pop(name, None)
            self._tried.pop(name)

    def start(self) -> None:
        """Look at the folder from time to time, in a thread, until ``stop``."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a file that is being loaded is waited for."""
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(SECONDS):
            try:
                self.refresh()
            except OSError as error:  # such as a share that is away for a while
                log.warning("%s cannot be listed: %s", self._folder, error)

    def _refuse(self, name: str, reason: str) -> None:
        self.errors[name] = reason
        self._each(name, False)
        log.error("%s: %s", name, reason)

    def _listed(self) -> dict[str, Path]:
        """Return the model files by name, one for each."""
        found: dict[str, Path] = {}
        for path in sorted(self._folder.iterdir()):
            if path.suffix in SUFFIXES and not path.name.startswith("."):
                found[path.name if path.stem in found else path.stem] = path
        return found

    def _load(self, name: str, path: Path) -> Model:
        inspector, sha256 = load_copy(path, self._read)
        if isinstance(inspector, ExportedModel):
            promise = str(inspector.header["promise"])
        else:
            promise = inspector.describe()["threshold"]
        loaded = datetime.now(UTC).isoformat(timespec="seconds")
        return Model(name, inspector, sha256, promise, loaded)

    def _read(self, path: Path) -> Inspector:
        if path.suffix == SUFFIX:
            return runtime.load(path)
        model = load(path, device=self._device)
        model.progress = False
        self._share_backbone(model)
        return model

    def _share_backbone(self, model: AnomalyDetector) -> None:
        """Give a detector the equal backbone of another, so that one is in memory."""
        for other in self.by_name.values():
            if isinstance(other.inspector, AnomalyDetector):
                kept = other.inspector.backbone_
                if _key(kept) == _key(model.backbone_):
                    model.backbone_ = kept
                    return


def _key(backbone: Backbone) -> tuple[object, ...]:
    """Return what two backbones have in common that give the same maps."""
    return backbone._own_fingerprint.digest(), backbone.device, backbone.image_size
