"""The command that judges what comes into a folder."""

from __future__ import annotations

import logging
import re
import signal
import sqlite3
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from adlib.cli._console import Device, file_to_write, tell
from adlib.cli._score import PrecisionOfModel, RuntimeOfModel, load_any

if TYPE_CHECKING:
    from adlib.serve._deliver import Sink
    from adlib.serve._model import Model


def watch(
    folder: Annotated[
        Path, typer.Argument(help="Folder that images come into, folders inside too.")
    ],
    model: Annotated[
        Path,
        typer.Option("--model", "-m", help="Model file, of `adlib fit` or `export`."),
    ],
    output: Annotated[
        str,
        typer.Option("--output", "-o", help="Results database (SQLite), kept on."),
    ],
    product: Annotated[
        str | None,
        typer.Option(help="Name of what is made. Default: that of the model file."),
    ] = None,
    csv: Annotated[
        str | None, typer.Option(help="CSV file that gets a row for each result.")
    ] = None,
    webhook: Annotated[
        str | None,
        typer.Option(help="URL that each result is posted to, as JSON."),
    ] = None,
    mqtt: Annotated[
        str | None,
        typer.Option(
            help="mqtt://[USER:PASSWORD@]HOST[:PORT]/TOPIC a result; mqtts: TLS."
        ),
    ] = None,
    move_to: Annotated[
        Path | None,
        typer.Option(help="Folder whose PASS, REVIEW or FAIL images are moved to."),
    ] = None,
    link_to: Annotated[
        Path | None, typer.Option(help="The same, with links; images stay.")
    ] = None,
    settle: Annotated[
        float,
        typer.Option(help="Seconds for which a file must not change; 0: no wait."),
    ] = 1.0,
    interval: Annotated[
        float, typer.Option(help="Seconds between looks at the folder.")
    ] = 0.5,
    once: Annotated[
        bool, typer.Option("--once", help="Judge what is there, then end.")
    ] = False,
    json_log: Annotated[
        bool, typer.Option("--json-log", help="Say what happens as lines of JSON.")
    ] = False,
    device: Device = "auto",
    precision: PrecisionOfModel = None,
    runtime: RuntimeOfModel = None,
) -> None:
    """Judge the images that come into a folder, each once, until stopped.

    Results are PASS, REVIEW or FAIL, in a database that survives kills and power cuts.
    What cannot be judged is to be reviewed. Files still being written are waited for.
    A changed model file is loaded and replaces the old one, unless it is broken. Ctrl-C
    or SIGTERM ends it after the images in work; the next start goes on. Every option
    can be set in the environment, as ADLIB_WATCH_WEBHOOK.

    Example: adlib watch camera/ -m part.adlib -o results.db --csv results.csv
    """
    for name, value in (("--settle", settle), ("--interval", interval)):
        if not 0 <= value < 3600:  # noqa: PLR2004 - an hour
            raise ValueError(f"{name} must be in [0, 3600) seconds; got {value}.")
    if move_to is not None and link_to is not None:
        raise ValueError("--move-to and --link-to cannot both be given.")
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {str(folder)!r} to watch.")
    product = model.stem if product is None else product
    if not re.fullmatch(r"\w[\w .-]*", product):
        rule = "must begin with a letter or digit and hold those, spaces, . - and _"
        raise ValueError(f"--product {rule}; got {product!r}.")
    database = file_to_write(output, "results.db")

    from filelock import FileLock, Timeout

    from adlib.serve._deliver import Courier, Notes
    from adlib.serve._log import log_json_lines
    from adlib.serve._model import ModelFile
    from adlib.serve._results import Results
    from adlib.serve._watch import Watch

    say: Callable[[str], None] = tell.print
    if json_log:
        log_json_lines()
        say = logging.getLogger("adlib.watch").info
    sinks = _sinks(folder, csv, webhook, mqtt, move_to, link_to)
    stop = threading.Event()
    with ExitStack() as closing:
        try:
            lock = FileLock(f"{database}.{product}.lock", blocking=False)
            closing.enter_context(lock)
        except Timeout:
            raise ValueError(
                f"Another adlib watch writes results of {product!r} to {output!r}. "
                "End it, or pass another --product."
            ) from None

        def load(path: Path) -> Model:
            loaded: Any = load_any(path, device, precision, runtime)
            loaded.progress = False  # each batch would have a bar
            return cast("Model", loaded)

        loaded = ModelFile(model, load)
        closing.callback(loaded.close)
        try:
            results = closing.enter_context(Results(database))
            notes = Notes(say)
            couriers = [Courier(database, product, sink, notes) for sink in sinks]
            work = Watch(
                folder,
                loaded,
                results,
                product,
                settle=settle,
                interval=interval,
                couriers=couriers,
                excluded=move_to or link_to,
                say=say,
                stop=stop,
            )
            closing.callback(_stopped_by_signals(stop))
            say(f"Watching {folder} for {product}; results in {output}.")
            work.run(once=once)
        except sqlite3.DatabaseError as error:  # such as a damaged one
            raise OSError(f"The results database {output!r}: {error}.") from error


def _sinks(
    folder: Path,
    csv: str | None,
    webhook: str | None,
    mqtt: str | None,
    move_to: Path | None,
    link_to: Path | None,
) -> list[Sink]:
    """Return where results go, or raise where that cannot be."""
    from adlib.serve._place import Place
    from adlib.serve._sinks import Csv, Mqtt, Webhook

    sinks: list[Sink] = []
    if csv is not None:
        sinks.append(Csv(file_to_write(csv, "results.csv")))
    if webhook is not None:
        sinks.append(Webhook(webhook))
    if mqtt is not None:
        sinks.append(Mqtt(mqtt))
    if move_to is not None:
        sinks.append(Place(folder, move_to, "move"))
    if link_to is not None:
        sinks.append(Place(folder, link_to, "link"))
    return sinks


def _stopped_by_signals(stop: threading.Event) -> Callable[[], None]:
    """Let SIGINT and SIGTERM set ``stop``; return what undoes that."""
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}

    def undo() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        stop.set()
        undo()  # a second one ends it at once

    if threading.current_thread() is not threading.main_thread():
        return lambda: None  # as in tests; signals come to the main thread alone
    for number in before:
        signal.signal(number, note)
    return undo
