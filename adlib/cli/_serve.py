"""The command that serves models over HTTP."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from adlib.cli._console import Device, show, tell

MILLION = 1_000_000


def serve(
    models: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of model files (.adlib, or exported .onnx); each is served by "
            "its name, and swapped when it changes.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at. Others than this need --keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    keys: Annotated[
        Path | None, typer.Option(help="File of API keys, which holds their hashes.")
    ] = None,
    new_key: Annotated[
        str | None,
        typer.Option(help="Print a new key, add it to --keys by this name, and end."),
    ] = None,
    device: Device = "auto",
    max_megabytes: Annotated[
        float, typer.Option(help="Most megabytes of a request.")
    ] = 32,
    max_megapixels: Annotated[
        float, typer.Option(help="Most megapixels of an image.")
    ] = 50,
    max_waiting: Annotated[
        int, typer.Option(help="Most requests at once; further ones get status 429.")
    ] = 64,
    timeout: Annotated[
        float, typer.Option(help="Seconds from a request to its answer.")
    ] = 30,
) -> None:
    """Serve models: POST an image, get its score, verdict and regions as JSON.

    Needs the extra `serve`. The page /docs of the service describes it. Every option
    can be set in the environment, as ADLIB_SERVE_PORT. Stop it by SIGTERM or Ctrl-C:
    requests that were accepted are answered first.

    Example: adlib serve models/
    """
    try:
        from adlib.serve._keys import add_key
        from adlib.serve._log import log_json_lines
        from adlib.serve._server import server
        from adlib.serve._uploads import Limits
    except ModuleNotFoundError as error:
        raise ImportError(
            f"`adlib serve` needs {error.name}: pip install 'adlib-vision[serve]'."
        ) from error

    if new_key is not None:
        if keys is None:
            raise ValueError("--new-key needs --keys FILE, to which it is added.")
        key = add_key(keys, new_key)
        tell.print(f"The key of {new_key!r}, shown only now; {keys} has its hash:")
        show.print(key, soft_wrap=True)
        return
    if models is None:
        raise ValueError("MODELS must be a folder of model files; got none.")
    limits = Limits(
        n_bytes=int(max_megabytes * MILLION),
        n_pixels=int(max_megapixels * MILLION),
        n_waiting=max_waiting,
        seconds=timeout,
    )
    log_json_lines()
    service = server(
        models, host=host, port=port, keys=keys, device=device, limits=limits
    )
    with suppress(KeyboardInterrupt):  # raised when all is over
        service.run()
