"""Whether a phase of the study is done, and with what."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import adlib
from adlib.images import is_hidden
from adlib.study._environment import PACKAGES, package_versions
from adlib.study._json import write_json
from adlib.study._provenance import code_hash

if TYPE_CHECKING:
    from adlib.study._config import Config


@dataclass(frozen=True)
class PhaseRecord:
    """What a phase was run with, and the files that it wrote.

    Attributes:
        fingerprint: Of everything that the phase depends on.
        seconds: How long it took.
        peak_megabytes: Most memory that it held; None where the system does not say.
        files: Size in bytes of each file that it wrote, by path.
    """

    fingerprint: str
    seconds: float
    peak_megabytes: float | None
    files: dict[str, int]

    def holds(self, fingerprint: str) -> bool:
        """Return whether the phase is done: nothing changed, and nothing is missing."""
        if fingerprint != self.fingerprint:
            return False
        for name, size in self.files.items():
            path = Path(name)
            if not path.is_file() or path.stat().st_size != size:
                return False
        return True

    def write(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        write_json(asdict(self), path)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read it back; None: there is none, or it cannot be read."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


def study_fingerprint(config: Config, root: Path) -> str:
    """Return what changes when any phase could come out otherwise.

    It covers the configuration, the data set's files by name, size and time, adlib's
    own code, and the versions of what it stands on.

    Args:
        config: The study's.
        root: The data set's folder.
    """
    found = hashlib.sha256()
    # Neither what is kept nor who shows it changes a result.
    found.update(config.model_dump_json(exclude={"cache", "tensorboard"}).encode())
    found.update(json.dumps(package_versions(PACKAGES), sort_keys=True).encode())
    found.update(code_hash().encode())
    chosen = config.data.classes
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if chosen is not None and relative.parts[0] not in chosen:
            continue
        if path.is_file() and not is_hidden(relative):
            state = path.stat()
            line = f"{relative.as_posix()} {state.st_size} {state.st_mtime_ns}\n"
            found.update(line.encode())
    return found.hexdigest()


def phase_fingerprint(before: str, script: Path) -> str:
    """Return the fingerprint of a phase: of its script and of all that came before."""
    return hashlib.sha256(before.encode() + script.read_bytes()).hexdigest()


def written_since(folders: Iterable[Path], moment: int) -> dict[str, int]:
    """Return the size of each file that was changed since, by path.

    Args:
        folders: Where to look; one that is not there holds nothing.
        moment: In nanoseconds, as of ``time.time_ns``.
    """
    found = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.stat().st_mtime_ns >= moment:
                found[str(path)] = path.stat().st_size
    return found


def phase_scripts() -> Sequence[Path]:
    """Return the scripts of the study's phases, in order.

    Raises:
        FileNotFoundError: They were not installed with the package.

    Example:
        >>> from adlib.study import phase_scripts
        >>> phase_scripts()[0].stem
        'phase00_setup'
    """
    package = Path(adlib.__file__).parent
    for folder in (package / "examples", package.parent / "examples"):
        scripts = sorted(folder.glob("phase[0-9][0-9]_*.py"))
        if scripts:
            return scripts
    raise FileNotFoundError(
        f"There are no scripts of the study beside {str(package)!r}. Install adlib "
        "from a wheel, or run it from its repository."
    )
