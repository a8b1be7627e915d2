"""The command that shows results and takes what people say of them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from adlib.cli._console import tell


def review(
    results: Annotated[
        Path, typer.Argument(help="Results database, of `adlib watch`.")
    ],
    training: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the training images. Default: where they were at `fit`."
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at. Others than this need --keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8001,
    keys: Annotated[
        Path | None,
        typer.Option(help="File of keys, of `adlib serve --new-key NAME --keys FILE`."),
    ] = None,
) -> None:
    """Show results in a browser, and confirm there which parts are good or defects.

    Needs the extra `serve`. `adlib watch` may write to the database meanwhile. What
    people say is kept in its table `labels`; images and models are not touched. Every
    option can be set in the environment, as ADLIB_REVIEW_PORT. Stop it by Ctrl-C or
    SIGTERM.

    Example: adlib review results.db
    """
    show_page(results, training=training, host=host, port=port, keys=keys)


def show_page(
    results: Path,
    *,
    training: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 8001,
    keys: Path | None = None,
) -> None:
    """Serve the page until a signal."""
    try:
        from adlib.serve._log import log_json_lines
        from adlib.serve._review import server
    except ModuleNotFoundError as error:
        raise ImportError(
            f"The review page needs {error.name}: pip install 'adlib-vision[serve]'."
        ) from error

    page = server(results, training=training, host=host, port=port, keys=keys)
    log_json_lines()
    shown = f"[{host}]" if ":" in host else host
    tell.print(f"The results are at http://{shown}:{port}/ (Ctrl-C ends it).")
    with suppress(KeyboardInterrupt):  # raised when all is over
        page.run()
