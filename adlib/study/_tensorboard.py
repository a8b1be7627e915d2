"""The study's figures as TensorBoard shows them (extra ``tensorboard``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adlib.study._headlines import saved_conditions
from adlib.study._phase_runs import PhaseRun


def write_tensorboard(
    outputs: Path, metrics: Sequence[str], runs: Sequence[PhaseRun] = ()
) -> Path:
    """Write saved figures as TensorBoard events, a run for each method and condition.

    Events of an earlier call are replaced. ``tensorboard --logdir`` the folder shows
    each figure of each class as one point, and the phases' seconds.

    Args:
        outputs: The study's.
        metrics: Which figures, by the names that configurations use.
        runs: How the phases went.

    Returns:
        The folder, ``outputs/tensorboard``.

    Raises:
        ImportError: tensorboard is not installed.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.study import write_tensorboard
        >>> with TemporaryDirectory() as folder:  # without results: nothing to write
        ...     write_tensorboard(Path(folder), ["image_auroc"]).name
        'tensorboard'
    """
    folder = outputs / "tensorboard"
    for old in folder.rglob("events.out.tfevents.*"):
        old.unlink()
    for condition, method, classes in saved_conditions(outputs / "results"):
        name = f"{method}, {condition}".replace(", ", "_").replace(" ", "_")
        with _writer(folder / name) as writer:
            for one in classes:
                for metric in metrics:
                    figure = one.figure(metric)
                    if figure is not None:
                        writer.add_scalar(f"{metric}/{one.class_name}", figure.value)
    if runs:
        with _writer(folder / "phases") as writer:
            for step, run in enumerate(runs):
                writer.add_scalar("seconds", run.seconds, step)
                if run.peak_megabytes is not None:
                    writer.add_scalar("peak_megabytes", run.peak_megabytes, step)
            names = "\n".join(f"{step}. {run.name}" for step, run in enumerate(runs))
            writer.add_text("steps", names)
    return folder


def check_tensorboard() -> None:
    """Raise ImportError unless tensorboard is installed."""
    _summary_writer()


def _writer(folder: Path) -> Any:
    return _summary_writer()(str(folder))


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import (  # noqa: PLC0415 - optional
            SummaryWriter,
        )
    except ImportError as error:
        raise ImportError(
            "tensorboard: true in a configuration needs the package tensorboard. Run: "
            'pip install "adlib-vision[tensorboard]", or leave it false.'
        ) from error
    return SummaryWriter
