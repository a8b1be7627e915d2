"""What every script of the study starts with: configuration, data, files."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

import adlib
from adlib._device import resolve_device
from adlib._threads import available_threads
from adlib.datasets._splits import ClassSplit
from adlib.features import FeatureCache, use_feature_cache
from adlib.study import _names as names
from adlib.study._compare import compare_conditions, compare_methods
from adlib.study._config import Config, config_from_arguments
from adlib.study._data import clean_splits, shifted_splits, some_of
from adlib.study._evaluate import FPR_LIMIT, N_RESAMPLES, Run
from adlib.study._run_study import locked
from adlib.study._tables import (
    as_text,
    joined,
    read_figures,
    read_scores,
    with_means,
    write_figures,
    write_json,
    write_table,
)

PACKAGES = (
    *("numpy", "torch", "torchvision", "timm", "numba", "pandas"),
    *("pillow", "scikit-image", "scikit-learn", "scipy"),
)
UNSEEN = {"paths", "cache", "tensorboard"}  # of a configuration: change no result
INTERVALS = {
    "metric": f"stratified BCa bootstrap of {N_RESAMPLES:,} resamples",
    "difference of AUROC": "DeLong's method",
    "other difference": f"percentile bootstrap of {N_RESAMPLES:,} resamples",
    "recall of a group": "Clopper and Pearson's exact method",
}


class Phase:
    """A script of the study: its configuration, its data, and where it writes.

    Its ``name`` ("phase05_evaluate_clean") is the column "phase", and in short the name
    of the ``folder`` of its pictures below ``outputs``.
    """

    def __init__(self, config: Config, name: str) -> None:
        self.config, self.name = config, name
        self.outputs = config.paths.outputs
        self.folder = self.outputs / name[:7]
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock: Any = None  # held until the process ends

    @classmethod
    def start(cls, description: str | None, script: str | Path) -> Phase:
        """Read the configuration, and let backbones keep their feature maps.

        While another phase works in the same outputs, this one waits, and others wait
        until this process ends or ``close`` is called.
        """
        path = Path(script)
        config = config_from_arguments(description, path.with_name("config.yaml"))
        phase = cls(config, path.stem)
        phase._lock = locked(phase.outputs, "phase", print)
        limit = round(config.cache.gigabytes * 10**9)
        use_feature_cache(FeatureCache(config.cache.folder, limit) if limit else None)
        return phase

    def close(self) -> None:
        """Let another phase begin while this process, a notebook's kernel, lives on."""
        self._lock.lock.release(force=True)

    @cached_property
    def clean(self) -> Mapping[str, ClassSplit]:
        """The split of each class."""
        return clean_splits(self.config)

    @cached_property
    def shifted(self) -> Mapping[str, ClassSplit]:
        """The shifted twin of each class's split."""
        return shifted_splits(self.config)

    def load(self, method: str, class_name: str, domain: str = "clean") -> Any:
        """Return the model of a domain, "clean" or "shift", that was saved before."""
        path = self.config.paths.model(method, class_name, domain)
        return adlib.load(_written(path))

    def some(self) -> dict[str, ClassSplit]:
        """Return clean splits of as many images as the section ablation says."""
        sizes = self.config.ablation.model_dump()
        return {name: some_of(split, **sizes) for name, split in self.clean.items()}

    def scores(self, condition: str) -> pd.DataFrame:
        """Return the scores of a condition that an earlier phase wrote."""
        _written(self.outputs / "results" / f"{names.CONDITIONS[condition]}_scores.csv")
        found = read_scores(self.outputs)
        return found[found["condition"] == condition].drop(columns=["file", "row"])

    def whole(self, conditions: Sequence[str]) -> pd.DataFrame:
        """Return what was written of whole classes so far, and a column "model"."""
        found = read_figures(self.outputs)
        found = found.assign(model=found["class"] + ", " + found["method"])
        return found[
            (found["setting"] == "")
            & (found["versus"] == "")
            & found["condition"].isin(list(conditions))
            & (found["class"] != names.MEAN)
            & found["file"].str.endswith("_results.json")
        ]

    def write(self, name: str, *tables: pd.DataFrame) -> pd.DataFrame:
        """Write figures, and what they were made with; return them with their phase."""
        found = joined(*tables).assign(phase=self.name)
        write_figures(found, self.outputs / "results" / f"{name}.json")
        made_with = self.outputs / "provenance" / f"{self.name}.json"
        write_json(provenance(self.config), made_with)
        return found

    def write_condition(
        self,
        condition: str,
        runs: Sequence[Run],
        before: Sequence[pd.DataFrame] = (),
        *,
        after: Sequence[pd.DataFrame] = (),
        methods: bool = False,
        threshold: Callable[[Run], float] = lambda run: run.threshold,
    ) -> pd.DataFrame:
        """Measure runs in a condition; write and show figures, scores and thresholds.

        It is compared with the scores of those ``before`` and ``after`` it, and, if
        asked, its ``methods`` with each other. The scores are returned.
        """
        pairs = [(run, threshold(run)) for run in runs]
        scores = joined(*(run.scores(condition, limit) for run, limit in pairs))
        scores = scores.assign(phase=self.name)
        stem, seed = names.CONDITIONS[condition], self.config.seed
        write_table(scores, self.outputs / "results" / f"{stem}_scores.csv")
        compared = [(scores, one) for one in before] + [(one, scores) for one in after]
        measured = joined(*(run.figures(condition, limit) for run, limit in pairs))
        tables = [
            with_means(measured),
            *(compare_conditions(*pair, random_state=seed) for pair in compared),
            *([compare_methods(scores)] if methods else []),
        ]
        found = self.write(f"{stem}_results", *tables)
        plain = found[(found["setting"] == "") & (found["versus"] == "")]
        if condition in names.THRESHOLD_FILES:
            path = self.outputs / "thresholds" / names.THRESHOLD_FILES[condition]
            limits = plain[plain["metric"] == names.THRESHOLD]
            write_figures(limits, path.with_suffix(".json"))
        print(as_text(plain, self.config.metrics))
        print(as_text(found[found["versus"] != ""]))
        return scores


def _written(path: Path) -> Path:
    """Return the path of an earlier phase's file; SystemExit: there is none."""
    if not path.is_file():
        raise SystemExit(f"There is no {path}: run the phases before this one.")
    return path


def provenance(config: Config) -> dict[str, Any]:
    """Return seed, configuration, version, device, machine and kinds of intervals."""
    return {
        "seed": config.seed,
        "config": config.model_dump(mode="json", exclude=UNSEEN),
        "version": adlib.__version__,
        "device": resolve_device("auto", "provenance"),
        "environment": environment(),
        "intervals": INTERVALS,
        "aupro_fpr_limit": FPR_LIMIT,
    }


def environment() -> dict[str, str]:
    """Return versions, processor, threads and GPU, as short texts by name."""
    import torch  # noqa: PLC0415 - heavy

    # Python's own call often lacks the processor's name on Linux.
    cpus = Path("/proc/cpuinfo")
    text = cpus.read_text(encoding="utf-8") if cpus.exists() else ""
    named = re.search(r"model name\s*: (.+)", text)
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": named[1] if named else platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "threads used": str(available_threads()),
        "GPU": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "adlib-vision": adlib.__version__,
        **{package: version(package) for package in PACKAGES},
    }
