"""How the phases of a study went, and a table of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from adlib.study._tables import text_table

State: TypeAlias = Literal["run", "kept"]


@dataclass(frozen=True)
class PhaseRun:
    """How a phase went.

    Attributes:
        name: Of its script, e.g. "phase03_patchcore_clean".
        state: "run", or "kept" where it was done and nothing had changed.
        seconds: How long it took, now or then.
        peak_megabytes: Most memory that it held; None where the system does not say.
    """

    name: str
    state: State
    seconds: float
    peak_megabytes: float | None


def runs_table(runs: Sequence[PhaseRun]) -> str:
    """Return how the phases went as a table for people.

    Args:
        runs: What ``run_study`` gave.

    Returns:
        A heading, a line for each phase, and one for all.

    Example:
        >>> from adlib.study import PhaseRun, runs_table
        >>> print(runs_table([PhaseRun("phase00_setup", "run", 12.5, 410.0)]))
        phase               seconds  peak MB
        phase00_setup  run     12.5      410
        all                    12.5
    """
    rows = [
        [
            run.name,
            run.state,
            f"{run.seconds:.1f}",
            "-" if run.peak_megabytes is None else f"{run.peak_megabytes:,.0f}",
        ]
        for run in runs
    ]
    rows.append(["all", "", f"{sum(run.seconds for run in runs):.1f}", ""])
    return text_table(["phase", "", "seconds", "peak MB"], rows, n_names=2)
