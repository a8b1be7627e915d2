"""Run every phase of the study in order, and none twice for nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adlib._files import replacing
from adlib.study._phase_runs import PhaseRun
from adlib.study._phase_state import (
    PhaseRecord,
    phase_fingerprint,
    phase_scripts,
    study_fingerprint,
    written_since,
)
from adlib.study._phases import data_root
from adlib.study._tensorboard import check_tensorboard, write_tensorboard

if TYPE_CHECKING:
    from adlib.study._config import Config

LAST_LINES = 25  # of a failed phase's output, in the error


class PhaseError(RuntimeError):
    """A phase of the study failed; the message holds the end of what it printed."""


def run_study(
    config: Config,
    *,
    scripts: Sequence[Path] | None = None,
    anew: bool = False,
    say: Callable[[str], None] = print,
) -> list[PhaseRun]:
    """Run the phases of the study in order; go on where an earlier run ended.

    Each phase is a process of its own. A phase that is done is kept, as long as its
    script, the configuration, the data, adlib's code, the versions of what it stands
    on, and all phases before it are what they were, and its files are there.

    Args:
        config: The study's; a phase gets it as a file.
        scripts: The phases, in order; None: all of adlib's.
        anew: Keep nothing.
        say: Told one line a phase.

    Returns:
        How each phase went.

    Raises:
        PhaseError: A phase failed; those before it are done and will be kept.
        ImportError: The configuration asks for TensorBoard, which is not installed.
        OSError: A folder cannot be written to.

    Note:
        Whoever runs the same study meanwhile waits; so does who comes after a run that
        was killed, until its last phase, which no one stopped, has ended.
        Below ``paths.outputs``: what each phase printed is in ``logs``, what it depends
        on in ``state``, and one line of JSON for each event in ``study.jsonl``.
    """
    if config.tensorboard:
        check_tensorboard()  # before the long work
    outputs = config.paths.outputs
    state, logs = outputs / "state", outputs / "logs"
    for folder in (state, logs):
        folder.mkdir(parents=True, exist_ok=True)
    with _alone(state / "lock", say) as lock:
        return _run_phases(config, scripts, anew, say, lock)


def _run_phases(
    config: Config,
    scripts: Sequence[Path] | None,
    anew: bool,
    say: Callable[[str], None],
    lock: int | None,
) -> list[PhaseRun]:
    """Do what ``run_study`` says; phases inherit the lock."""
    outputs = config.paths.outputs
    state, logs = outputs / "state", outputs / "logs"
    log = _EventLog(outputs / "study.jsonl")
    stated = state / "config.json"  # JSON is YAML
    with replacing(stated) as temporary:
        temporary.write_text(config.model_dump_json(indent=1) + "\n", encoding="utf-8")
    fingerprint = study_fingerprint(config, data_root(config))
    log.write("study started", fingerprint=fingerprint, anew=anew)
    runs = []
    kept = not anew
    for script in phase_scripts() if scripts is None else scripts:
        fingerprint = phase_fingerprint(fingerprint, script)
        path = state / f"{script.stem}.json"
        record = PhaseRecord.read(path)
        # What follows a phase that was run again may have read what it wrote.
        if kept and record is not None and record.holds(fingerprint):
            run = PhaseRun(script.stem, "kept", record.seconds, record.peak_megabytes)
        else:
            kept = False
            log.write("phase started", phase=script.stem)
            path.unlink(missing_ok=True)
            moment = time.time_ns()
            printed = logs / f"{script.stem}.txt"
            seconds, peak = _run_phase(script, stated, printed, log, lock)
            folders = (outputs, config.paths.processed, config.paths.shifted)
            files = written_since(folders, moment)
            for name in [name for name in files if Path(name).parent in (state, logs)]:
                del files[name]
            files.pop(str(outputs / "study.jsonl"), None)
            PhaseRecord(fingerprint, seconds, peak, files).write(path)
            run = PhaseRun(script.stem, "run", seconds, peak)
        runs.append(run)
        log.write(f"phase {run.state}", phase=run.name, seconds=run.seconds)
        say(_line(run))
    if config.tensorboard:
        write_tensorboard(outputs, config.metrics, runs)
    log.write("study finished", seconds=sum(run.seconds for run in runs))
    return runs


class _EventLog:
    """Lines of JSON, one an event, added to what is there."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, event: str, **details: Any) -> None:
        """Add an event with the time and its details."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "event": event, **details})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


@contextmanager
def _alone(path: Path, say: Callable[[str], None]) -> Iterator[int | None]:
    """Hold a lock, which processes that inherit it hold, too; None where none are.

    The system gives it back when the last of them ends, in whatever way.
    """
    if sys.platform == "win32":
        yield None
        return
    import fcntl  # noqa: PLC0415 - POSIX's

    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process works in {str(path.parent.parent)!r}; waiting ...")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def _run_phase(
    script: Path, config: Path, output: Path, log: _EventLog, lock: int | None
) -> tuple[float, float | None]:
    """Run a script; return its seconds and its peak in megabytes, or raise."""
    command = [sys.executable, str(script), "--config", str(config)]
    started = time.perf_counter()
    with output.open("wb") as file:
        # Progress bars belong on the terminal, if there is one.
        bars = None if sys.stderr.isatty() else subprocess.STDOUT
        # This Python, a script of the study, no shell.
        child = subprocess.Popen(  # noqa: S603
            command,
            stdout=file,
            stderr=bars,
            pass_fds=() if lock is None else (lock,),
        )
        try:
            code, peak = _wait(child)
        except BaseException:  # whoever stops the study stops the phase
            child.kill()
            child.wait()
            raise
    seconds = time.perf_counter() - started
    if code:
        log.write("phase failed", phase=script.stem, code=code, seconds=seconds)
        with output.open(encoding="utf-8", errors="replace") as file:
            last = "".join(deque(file, LAST_LINES)).rstrip()
        raise PhaseError(
            f"{script.stem} failed with exit code {code} after {seconds:.0f} s; all it "
            f"printed is in {str(output)!r}. It ended:\n{last}"
        )
    return seconds, peak


def _wait(child: subprocess.Popen[bytes]) -> tuple[int, float | None]:
    """Wait for a process; return its exit code and its peak in megabytes."""
    if not hasattr(os, "wait4"):
        return child.wait(), None
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, else kilobytes
    return child.returncode, usage.ru_maxrss * unit / 1e6


def _line(run: PhaseRun) -> str:
    if run.state == "kept":
        return f"{run.name}: done before, kept"
    return f"{run.name}: {run.seconds:.1f} s"
