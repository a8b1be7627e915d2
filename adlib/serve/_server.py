"""Run the service: models first, then the socket, until a signal."""

from __future__ import annotations

from pathlib import Path

import uvicorn

from adlib.serve._app import application
from adlib.serve._listen import keys_for, listening
from adlib.serve._metrics import Metrics
from adlib.serve._models import SUFFIXES, Models
from adlib.serve._uploads import Limits

GRACE = 5.0  # seconds beyond those of a request, until a stop is forced
HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
    ("Cache-Control", "no-store"),
]


def server(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    keys: Path | None = None,
    device: str = "auto",
    limits: Limits | None = None,
) -> uvicorn.Server:
    """Return the server with its models loaded; its ``run`` serves until a signal.

    Args:
        folder: Holds the model files.
        host: The address to listen at. All but those of this machine need ``keys``.
        port: To listen at; 0: any that is free.
        keys: File of API keys, as ``Keys`` reads it; None: no key is asked for.
        device: As ``adlib.load`` takes it.
        limits: Of requests; None: as ``Limits`` has them.

    Raises:
        ValueError: ``keys`` is None for another address, it or a limit is not as
            stated, or the folder has no model that can be loaded.
        OSError: The folder or ``keys`` cannot be read.

    Note:
        SIGTERM and SIGINT stop it: it takes no new request, answers those that it has
        accepted, and ends.
    """
    known = keys_for(host, keys)
    limits = limits or Limits()
    for name, value in limits._asdict().items():
        if not value > 0:
            raise ValueError(f"{name} of the limits must be above 0; got {value}.")
    metrics = Metrics()
    models = Models(folder, device=device, each=metrics.note_load)
    models.refresh()
    if not models.by_name:
        reasons = "; ".join(models.errors.values())
        came = reasons or f"none of {' and '.join(f'*{s}' for s in SUFFIXES)}"
        raise ValueError(f"{str(folder)!r} must hold a model that loads; got {came}.")
    app = application(models, metrics, limits=limits, keys=known)
    return listening(app, host, port, headers=HEADERS, grace=limits.seconds + GRACE)
