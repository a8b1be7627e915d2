"""The study's figures as TensorBoard shows them (extra ``tensorboard``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from adlib.study._tables import read_figures


def write_tensorboard(
    outputs: Path, metrics: Sequence[str], runs: pd.DataFrame
) -> None:
    """Write ``outputs/tensorboard``, a run for each method and condition.

    Events of an earlier call are replaced. Each figure of each class is one point;
    beside them are the phases' seconds and peaks of memory.
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
            for key, value in zip(
                table["metric"] + "/" + table["class"], table["value"], strict=True
            ):
                writer.add_scalar(key, value)
    with summary_writer()(str(folder / "phases")) as writer:
        for step, run in enumerate(runs.to_dict("records")):
            writer.add_scalar("seconds", run["seconds"], step)
            if pd.notna(run["peak_megabytes"]):
                writer.add_scalar("peak_megabytes", run["peak_megabytes"], step)
        steps = [f"{step}. {name}" for step, name in enumerate(runs["phase"])]
        writer.add_text("steps", "\n".join(steps))


def summary_writer() -> Any:
    """Return TensorBoard's writer, or raise ImportError."""
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
