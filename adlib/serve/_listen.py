"""Listen at an address: who may ask, and how it ends."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import uvicorn

from adlib.serve._keys import Keys

LOCAL = ["127.0.0.1", "localhost", "::1", "[::1]"]  # what a browser may call it
MOST_CONNECTIONS = 1000


def keys_for(host: str, keys: Path | None) -> Keys | None:
    """Return the keys of a file, or raise where an address needs some.

    Raises:
        ValueError: ``keys`` is None and other machines reach the address, or its file
            is not as ``Keys`` reads it.
        OSError: It cannot be read.
    """
    if keys is None and not _is_local(host):
        raise ValueError(
            f"--host {host} can be reached from other machines, so --keys must name a "
            "file of API keys. Make it by `adlib serve --new-key NAME --keys FILE`."
        )
    return None if keys is None else Keys(keys)


def listening(
    app: Any, host: str, port: int, *, headers: list[tuple[str, str]], grace: float
) -> uvicorn.Server:
    """Return the server of an ASGI application.

    Args:
        app: The application.
        host: The address.
        port: 0: any that is free.
        headers: That each answer gets.
        grace: Seconds that requests have to end when it is stopped.
    """
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            log_config=None,
            headers=headers,
            server_header=False,
            proxy_headers=False,  # whoever asks could write them
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=int(grace),
        )
    )


def _is_local(host: str) -> bool:
    """Ask whether only this machine can reach an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # the name of some machine
        return False
