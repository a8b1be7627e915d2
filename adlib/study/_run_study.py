"""Run every phase of the study in order, and none twice for nothing."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from filelock import FileLock, Timeout

import adlib
from adlib._files import replacing
from adlib.study import _names as names
from adlib.study._config import Config, found_anywhere
from adlib.study._data import samples_of
from adlib.study._notebooks import execute, library, write_notebooks
from adlib.study._tables import as_text, read_figures, write_json

LAST_LINES = 25  # of a failed phase's output, in the error


class PhaseError(RuntimeError):
    """A phase of the study failed; the message holds the end of what it printed."""


def run_study(
    config: Config,
    *,
    scripts: Sequence[Path] | None = None,
    anew: bool = False,
    notebooks: bool = False,
    say: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Run the phases of the study in order; go on where an earlier run ended.

    Each phase is a process of its own. One that is done is kept while its script, the
    configuration, the data, adlib's version and all phases before it are what they
    were, and its files are there.

    Args:
        config: The study's; a phase gets it as a file.
        scripts: The phases, in order; None: all of adlib's.
        anew: Keep nothing.
        notebooks: Run them as ten notebooks, in the order of the study's plan, and keep
            these, with all they showed, in ``outputs/notebooks``. They are made from
            the scripts, and results are the same.
        say: Told one line a phase.

    Returns:
        A row a phase: phase, state ("run" or "kept"), seconds.

    Raises:
        PhaseError: A phase failed; those before it are done and will be kept.
        ImportError: The configuration asks for TensorBoard, or ``notebooks`` for
            Jupyter's client (extra ``notebooks``), which is not installed.
        OSError: A folder cannot be written to.

    Note:
        While one runs, a second run of the same study waits; so does one that comes
        after a run that was killed, until its last phase, which nobody stopped, ends.
    """
    if config.tensorboard:
        summary_writer()  # raises before the long work
    if notebooks:
        config = found_anywhere(config)  # whoever opens one does so in its folder
        for needed in ("nbclient", "ipykernel"):
            library(needed)
    outputs = config.paths.outputs
    with locked(outputs, "study", say):
        with locked(outputs, "phase", say):
            pass  # of a killed run, or started by hand
        for unfinished in (outputs / "state").glob(".adlib-*.tmp"):
            unfinished.unlink()  # of a run that was killed while it wrote
        chosen = phase_scripts() if scripts is None else scripts
        if notebooks:
            stated, folder = outputs / "state/config.yaml", outputs / "state/notebooks"
            chosen = write_notebooks(chosen, stated, outputs, folder)
        runs = pd.DataFrame(_run_phases(config, chosen, anew, say))
    if config.tensorboard:
        write_tensorboard(outputs, config.metrics)
    return runs


def summary(runs: pd.DataFrame, config: Config) -> str:
    """Return how the phases went, and the means over classes that they found."""
    total = {"phase": "all", "state": "", "seconds": runs["seconds"].sum()}
    shown = pd.concat([runs, pd.DataFrame([total])])
    lines = [shown.to_string(index=False, na_rep="", float_format="{:,.1f}".format)]
    if any((config.paths.outputs / "results").glob("*.json")):
        found = read_figures(config.paths.outputs)
        means = found[(found["class"] == names.MEAN) & (found["versus"] == "")]
        if len(means):
            lines.append(as_text(means, config.metrics))
    return "\n".join([*lines, f"Written to {config.paths.outputs.resolve()}."])


def phase_scripts() -> Sequence[Path]:
    """Return the scripts of the study's phases, in order."""
    package = Path(adlib.__file__).parent
    for folder in (package / "examples", package.parent / "examples"):
        scripts = sorted(folder.glob("phase[0-9][0-9]_*.py"))
        if scripts:
            return scripts
    raise FileNotFoundError(
        f"There are no scripts of the study beside {str(package)!r}. Install adlib "
        "from a wheel, or run it from its repository."
    )


def _run_phases(
    config: Config, scripts: Sequence[Path], anew: bool, say: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """Run the phases that are not done; yield how each went."""
    outputs = config.paths.outputs
    state, stated = outputs / "state", outputs / "state" / "config.yaml"
    with replacing(stated) as temporary:
        text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
        temporary.write_text(text, encoding="utf-8")
    inputs = _inputs(config)
    log(outputs, "study started", inputs=inputs, anew=anew)
    kept, total = not anew, 0.0
    for script in scripts:
        inputs = hashlib.sha256(inputs.encode() + script.read_bytes()).hexdigest()
        path, phase = state / f"{script.stem}.json", script.stem
        record = _read(path)
        # What follows a phase that was run again may have read what it wrote.
        kept = kept and record.get("inputs") == inputs and _are_there(record["files"])
        if not kept:
            log(outputs, "phase started", phase=phase)
            path.unlink(missing_ok=True)
            moment = time.time_ns()
            record = {"seconds": _run_phase(script, stated, outputs), "inputs": inputs}
            record["files"] = _written_since(config, moment)
            write_json(record, path)
        how, seconds = "kept" if kept else "run", record["seconds"]
        total += seconds
        log(outputs, f"phase {how}", phase=phase, seconds=seconds)
        say(f"{phase}: {'done before, kept' if kept else f'{seconds:.1f} s'}")
        yield {"phase": phase, "state": how, "seconds": seconds}
    log(outputs, "study finished", seconds=total)


def _inputs(config: Config) -> str:
    """Return a hash of configuration, version, and the images (label, size, time)."""
    # Neither what is kept nor who shows it changes a result.
    shown = config.model_dump_json(exclude={"cache", "tensorboard"})
    found = hashlib.sha256(shown.encode() + adlib.__version__.encode())
    for sample in samples_of(config):
        found.update(repr(sample).encode())
        for path in (sample.image_path, sample.mask_path):
            if path is not None and path.is_file():
                is_now = path.stat()
                found.update(f"{is_now.st_size} {is_now.st_mtime_ns}\n".encode())
    return found.hexdigest()


def _read(path: Path) -> dict[str, Any]:
    """Return a phase's record; empty: there is none, or it cannot be read."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _are_there(files: dict[str, int]) -> bool:
    """Return whether all files are there and have their size."""
    paths = {Path(name): size for name, size in files.items()}
    return all(p.is_file() and p.stat().st_size == size for p, size in paths.items())


def _written_since(config: Config, moment: int) -> dict[str, int]:
    """Return the size of each file that the phase wrote, by path."""
    outputs = config.paths.outputs
    own = {outputs, outputs / "state", outputs / "logs"}  # the runner's
    folders = (outputs, config.paths.processed, config.paths.shifted)
    found = [path for folder in folders for path in sorted(folder.rglob("*"))]
    files = {p: p.stat() for p in found if p.parent not in own and p.is_file()}
    return {str(p): s.st_size for p, s in files.items() if s.st_mtime_ns >= moment}


def locked(outputs: Path, name: str, say: Callable[[str], None]) -> Any:
    """Return a lock, held until a with statement ends, or else until the process does.

    The system gives it back, however the process ends. Where another process holds it,
    that is said and waited for; the same process may take it again.
    """
    path = outputs / "state" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, is_singleton=True)
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        say(f"another process works in {str(outputs)!r}; waiting ...")
        return lock.acquire()


def log(outputs: Path, event: str, **details: Any) -> None:
    """Add an event with its time to study.jsonl."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    with (outputs / "study.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"time": now, "event": event, **details}) + "\n")


def _run_phase(script: Path, config: Path, outputs: Path) -> float:
    """Run a script or a notebook; return its seconds, or raise."""
    output = outputs / "logs" / f"{script.stem}.txt"
    output.parent.mkdir(exist_ok=True)
    if script.suffix == ".ipynb":
        return _run_notebook(script, outputs, output)
    command = [sys.executable, str(script), "--config", str(config)]
    started = time.perf_counter()
    with output.open("wb") as file:
        # Progress bars belong on the terminal, if there is one.
        bars = None if sys.stderr.isatty() else subprocess.STDOUT
        # This Python, a script of the study, no shell. What stops the study stops it.
        done = subprocess.run(command, stdout=file, stderr=bars, check=False)  # noqa: S603
    seconds, code = time.perf_counter() - started, done.returncode
    if code:
        log(outputs, "phase failed", phase=script.stem, code=code, seconds=seconds)
        with output.open(encoding="utf-8", errors="replace") as file:
            last = "".join(deque(file, LAST_LINES)).rstrip()
        raise PhaseError(
            f"{script.stem} failed with exit code {code} after {seconds:.0f} s; all it "
            f"printed is in {str(output)!r}. It ended:\n{last}"
        )
    return seconds


def _run_notebook(notebook: Path, outputs: Path, output: Path) -> float:
    """Run a notebook; return its seconds, or raise."""
    target, started = outputs / "notebooks" / notebook.name, time.perf_counter()
    error = execute(notebook, target, output)
    seconds = time.perf_counter() - started
    if error is not None:
        log(outputs, "phase failed", phase=notebook.stem, error=error, seconds=seconds)
        raise PhaseError(
            f"{notebook.stem} failed after {seconds:.0f} s with {error}. All it showed "
            f"is in {str(target)!r}."
        )
    return seconds


def write_tensorboard(outputs: Path, metrics: Sequence[str]) -> None:
    """Write ``outputs/tensorboard``, a run for each method and condition.

    Events of an earlier call are replaced. Each figure of each class is one point.
    """
    folder = outputs / "tensorboard"
    for old in folder.rglob("events.out.tfevents.*"):
        old.unlink()
    found = read_figures(outputs)
    whole = (found["setting"] == "") & (found["versus"] == "")
    chosen = found[whole & found["metric"].isin(list(metrics))]
    for (condition, method), table in chosen.groupby(["condition", "method"]):
        name = f"{method}, {condition}".replace(", ", "_").replace(" ", "_")
        with summary_writer()(str(folder / name)) as writer:
            for one in table.to_dict("records"):
                writer.add_scalar(f"{one['metric']}/{one['class']}", one["value"])


def summary_writer() -> Any:
    """Return TensorBoard's writer, or raise ImportError."""
    try:
        return import_module("torch.utils.tensorboard").SummaryWriter
    except ImportError as error:
        raise ImportError(
            "tensorboard: true in a configuration needs the package tensorboard. Run: "
            'pip install "adlib-vision[tensorboard]", or leave it false.'
        ) from error
