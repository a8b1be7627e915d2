"""Feature maps kept on disk, so that no image passes the backbone twice."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from adlib._validation import check_int

Compute = Callable[[torch.Tensor], list[torch.Tensor]]

SUFFIX = ".features"
CHECKSUM_BYTES = 4
CHANNELS_LAST = "channels last"
TEMPORARY = ".tmp"
SECONDS_OF_A_WRITE = 600  # a temporary file that is older belongs to a killed process
KEPT_RATIO = 0.9  # of the limit, once it was exceeded: not one file for each new one


class FeatureCache:
    """Feature maps on disk; the least recently used files are deleted first.

    The key of an image's maps is a hash of its pixels as the backbone gets them, and of
    the backbone: network, weights, stages, normalisation, precision, runtime, device,
    threads, the versions of torch, timm and OpenVINO, and the code of
    ``adlib.features``. A damaged file is ignored.

    Args:
        folder: Made if it is not there. Processes may share it.
        max_bytes: Most that the files may take together, at least 1.

    Attributes:
        hits: Images whose maps were found.
        misses: Images whose maps were computed.

    Raises:
        TypeError, ValueError: ``max_bytes`` is not as stated.
        OSError: The folder cannot be made.

    Note:
        Cached maps are the computed ones, bit for bit. On a GPU the maps of an image
        may depend on its batch; the cache keeps those of its first batch.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> import torch
        >>> from adlib.features import FeatureCache
        >>> with TemporaryDirectory() as folder:
        ...     cache = FeatureCache(folder, max_bytes=10**6)
        ...     for _ in range(2):
        ...         maps = cache.maps(b"net", torch.ones(1, 3, 8, 8), lambda x: [x])
        >>> cache.misses, cache.hits
        (1, 1)
    """

    def __init__(self, folder: str | Path, max_bytes: int) -> None:
        self.folder = Path(folder)
        self.max_bytes = check_int(max_bytes, "max_bytes", "FeatureCache", low=1)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.hits = self.misses = 0
        self._lock = Lock()
        self._n_bytes: int | None = None  # counted when something is first written
        self._writable = True

    def __reduce__(self) -> tuple[Any, ...]:
        return FeatureCache, (self.folder, self.max_bytes)

    def maps(
        self, fingerprint: bytes, images: torch.Tensor, compute: Compute
    ) -> list[torch.Tensor]:
        """Return the maps of images, computed only where they are not found.

        Args:
            fingerprint: Of the backbone: bytes that change when its maps could.
            images: (n, 3, height, width) float32.
            compute: Gives the maps of images that are not found.

        Returns:
            One map a stage, (n, channels, height, width) float32, in the order of
            ``images``.

        Note:
            A folder that cannot be written to is warned of once, and no error.
        """
        paths = [self._path(fingerprint, image) for image in images]
        found = [self._read(path) for path in paths]
        missing = [place for place, maps in enumerate(found) if maps is None]
        none_found = len(missing) == len(found)
        with self._lock:
            self.hits += len(found) - len(missing)
            self.misses += len(missing)
        if missing or none_found:
            computed = compute(images if none_found else images[missing])
            for number, place in enumerate(missing):
                maps = [stage[number : number + 1].cpu() for stage in computed]
                self._write(paths[place], maps)
                found[place] = maps
            if none_found:
                return computed
        stages = zip(*(maps for maps in found if maps is not None), strict=True)
        return [stage[0] if len(stage) == 1 else torch.cat(stage) for stage in stages]

    def n_bytes(self) -> int:
        """Return how much the files take together."""
        return sum(size for _, size, _ in self._files())

    def _path(self, fingerprint: bytes, image: torch.Tensor) -> Path:
        key = hashlib.blake2b(fingerprint, digest_size=20)
        key.update(repr(tuple(image.shape)).encode())
        # In the order in which images lie in memory: as a rule nothing is copied.
        key.update(image.cpu().permute(1, 2, 0).contiguous().numpy().data)
        name = key.hexdigest()
        return self.folder / name[:2] / f"{name[2:]}{SUFFIX}"

    def _read(self, path: Path) -> list[torch.Tensor] | None:
        try:
            content = path.read_bytes()
            stated, tensors = content[:CHECKSUM_BYTES], content[CHECKSUM_BYTES:]
            if zlib.crc32(tensors).to_bytes(CHECKSUM_BYTES, "little") != stated:
                return None
            maps = load(tensors)
            os.utime(path)  # used just now
        except (OSError, SafetensorError):
            return None
        return [_from_memory(maps, place) for place in range(len(maps))]

    def _write(self, path: Path, maps: list[torch.Tensor]) -> None:
        if not self._writable:
            return
        tensors = save(dict(map(_in_memory, *zip(*enumerate(maps), strict=True))))
        size = CHECKSUM_BYTES + len(tensors)
        if size > self.max_bytes:
            return
        # Whole or not at all, but not forced onto the disk: what a crash leaves
        # unfinished the checksum finds.
        temporary = path.with_suffix(f".{secrets.token_hex(4)}{TEMPORARY}")
        try:
            path.parent.mkdir(exist_ok=True)
            with temporary.open("wb") as file:
                file.write(zlib.crc32(tensors).to_bytes(CHECKSUM_BYTES, "little"))
                file.write(tensors)
            temporary.replace(path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            self._writable = False
            warnings.warn(
                f"The feature cache in {str(self.folder)!r} cannot be written to "
                f"({error}); features are computed, and no longer kept.",
                RuntimeWarning,
                stacklevel=2,
            )
            return
        with self._lock:
            known = self._n_bytes
            self._n_bytes = self.n_bytes() if known is None else known + size
            if self._n_bytes > self.max_bytes:
                self._n_bytes = self._make_room()

    def _make_room(self) -> int:
        """Delete the files that were not used for longest; return what is left."""
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        for _, size, path in files:
            if total <= KEPT_RATIO * self.max_bytes:
                break
            path.unlink(missing_ok=True)
            total -= size
        return total

    def _files(self) -> Iterator[tuple[int, int, Path]]:
        """Yield when each file was last used, its size and its path.

        What a killed process left half-written is deleted on the way.
        """
        oldest = time.time() - SECONDS_OF_A_WRITE
        for path in self.folder.rglob("*"):
            with suppress(OSError):  # another process made room
                state = path.stat()
                if path.suffix == SUFFIX:
                    yield state.st_mtime_ns, state.st_size, path
                elif path.suffix == TEMPORARY and state.st_mtime < oldest:
                    path.unlink()


def _in_memory(place: int, stage: torch.Tensor) -> tuple[str, torch.Tensor]:
    """Return a map's name and the map in the order in which it lies in memory.

    What comes after the backbone adds up in that order: another would be another sum.
    """
    if stage.is_contiguous():
        return f"{place}", stage
    return f"{place} {CHANNELS_LAST}", stage.permute(0, 2, 3, 1).contiguous()


def _from_memory(maps: dict[str, torch.Tensor], place: int) -> torch.Tensor:
    """Undo ``_in_memory``."""
    if f"{place}" in maps:
        return maps[f"{place}"]
    return maps[f"{place} {CHANNELS_LAST}"].permute(0, 3, 1, 2)


_current: FeatureCache | None = None


def use_feature_cache(found: FeatureCache | None) -> None:
    """Let every backbone of this process use a cache from now on.

    Args:
        found: The cache; None: none.

    Example:
        >>> from adlib.features import use_feature_cache
        >>> use_feature_cache(None)
    """
    global _current  # noqa: PLW0603 - one for the process, as the function says
    _current = found


def current_feature_cache() -> FeatureCache | None:
    """Return the cache that backbones use; None: none."""
    return _current


@contextmanager
def without_feature_cache() -> Iterator[None]:
    """Let backbones use no cache inside the block, e.g. because a clock runs."""
    before = _current
    use_feature_cache(None)
    try:
        yield
    finally:
        use_feature_cache(before)


@cache
def code_fingerprint() -> bytes:
    """Return a hash of the code of ``adlib.features``, which computes maps."""
    found = hashlib.blake2b(digest_size=20)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        found.update(path.name.encode())
        found.update(path.read_bytes())
    return found.digest()
