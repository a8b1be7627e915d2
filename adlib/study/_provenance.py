"""What a result was made with, to be kept beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import adlib
from adlib._device import resolve_device
from adlib.study._environment import environment
from adlib.study._intervals import INTERVALS

if TYPE_CHECKING:
    from adlib.study._config import Config


UNSEEN = {"paths", "cache", "tensorboard"}  # of a configuration: change no result


def provenance(config: Config) -> dict[str, Any]:
    """Return seed, configuration, code, device, machine and kinds of intervals.

    Where things are written, and which feature maps are kept, is left out: it changes
    no result.

    Args:
        config: The study's.

    Returns:
        "seed", "config", "code", "device", "environment" and "intervals".

    Example:
        >>> from adlib.study import Config, provenance
        >>> provenance(Config())["seed"]
        42
    """
    return {
        "seed": config.seed,
        "config": config.model_dump(mode="json", exclude=UNSEEN),
        "code": code_version(),
        "device": resolve_device("auto", "provenance"),
        "environment": environment(),
        "intervals": INTERVALS,
    }


def code_version() -> str:
    """Return adlib's version and a hash of its code, e.g. "0.1.0+3f0c1a2b9d4e"."""
    return f"{adlib.__version__}+{code_hash()[:12]}"


def code_hash() -> str:
    """Return a hash of every line of adlib's code."""
    found = hashlib.sha256()
    package = Path(adlib.__file__).parent
    for path in sorted(package.rglob("*.py")):
        found.update(path.relative_to(package).as_posix().encode())
        found.update(path.read_bytes())
    return found.hexdigest()
