"""A made-up study, small enough to be read: what the report is written from."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd

CLASSES, METHODS = ("bolt", "nut & #1_$"), ("PatchCore", "PaDiM")
STEMS = {
    "clean": "clean",
    "shifted": "shifted_no_adaptation",
    "shifted, new threshold": "shift_threshold_only",
    "shifted, retrained": "shift_with_adaptation",
}
COLUMNS = (
    *("phase", "condition", "method", "class", "setting", "versus", "metric"),
    *("value", "low", "high", "n", "p"),
)


def figure(condition, method, name, metric, value=0.0, **more):
    row = dict.fromkeys(COLUMNS) | {"phase": "phase05", "setting": "", "versus": ""}
    row |= {"condition": condition, "method": method, "class": name, "metric": metric}
    return row | {"n": 30, "value": value} | more


def interval(value):
    """Return a difference that is shown, of the sign of the value."""
    return {"value": value, "low": value - 0.01, "high": value + 0.01, "p": 0.001}


def results(sign):
    """Return the rows of each condition; differences between them have this sign."""
    rng, found = np.random.default_rng(0), {}
    changes = {
        "shifted": [("clean", -0.2)],
        "shifted, new threshold": [("shifted", 0.1)],
        "shifted, retrained": [
            *(("shifted", 0.15), ("clean", -0.05), ("shifted, new threshold", 0.05)),
        ],
    }
    for condition, stem in STEMS.items():
        rows = []
        for method, name in itertools.product(METHODS, (*CLASSES, "mean")):
            key = condition, method, name
            for metric in ("auroc", "average_precision", "f1", "specificity", "recall"):
                value = float(rng.uniform(0.5, 1))
                ends = {} if name == "mean" else {"low": value - 0.1, "high": 1.0}
                rows.append(figure(*key, metric, value, **ends))
            for versus, value in changes.get(condition, ()):
                more = {"versus": versus, **interval(sign * value)}
                of = ("auroc", "f1", "specificity")
                rows += [figure(*key, metric, **more) for metric in of]
            if condition == "clean" and name != "mean":
                for setting in ("rule max", "rule best_f1", "aggregation max"):
                    of = ("f1", "false_positive_rate", "auroc")
                    rows += [figure(*key, one, 0.5, setting=setting) for one in of]
                rows.append(figure(*key, "expected_calibration_error", 0.1))
                bins = itertools.product((1, 2), ("predicted", "observed"))
                rows += [figure(*key, of, n / 3, setting=f"bin {n}") for n, of in bins]
        for name in CLASSES:
            for setting in ("", "Holm"):
                of = {"setting": setting, "versus": "PaDiM", **interval(sign * 0.1)}
                rows.append(figure(condition, "PatchCore", name, "auroc", **of))
        test = {"setting": "t-test", "versus": "PaDiM", "p": 0.5}
        rows.append(figure(condition, "PatchCore", "mean", "auroc", **test))
        found[f"{stem}_results"] = rows
    counts = [*itertools.product(CLASSES, ("train good", "val good", "val a", "val b"))]
    counts.append(("bolt", "test good"))  # the other class has none
    found["dataset"] = [
        figure("clean", "", name, "n_images", number, setting=setting, phase="phase01")
        for number, (name, setting) in enumerate(counts)
    ]
    return found


def study(folder, sign):
    """Write what phases 0, 1, 5, 6 and 7 of a small study write."""
    results_folder = folder / "results"
    results_folder.mkdir(parents=True)
    for stem, rows in results(sign).items():
        (results_folder / f"{stem}.json").write_text(json.dumps(rows))
    rng = np.random.default_rng(0)
    for condition, stem in STEMS.items():
        keys = itertools.product(METHODS, CLASSES, range(12))
        scores = [
            ("phase05", condition, method, name, "test", f"{n}.png", n % 2, "a", *score)
            for method, name, n in keys
            for score in [(rng.normal() + n % 2, 0.5, 1)]
        ]
        columns = "phase condition method class split image label defect_type score"
        table = pd.DataFrame(scores, columns=[*columns.split(), "threshold", "verdict"])
        table.to_csv(results_folder / f"{stem}_scores.csv", index=False)
    shift = dict.fromkeys(("crop", "translation", "colour", "illumination", "blur"))
    config = {
        "seed": 42,
        "data": {"root": "/data", "classes": None},
        "split": {"train_ratio": 0.8, "val_anomaly_ratio": 0.3},
        "shift": shift | {"rotation": [-10.0, 10.0], "noise": None},
        "ablation": {"n_training": 10, "n_judged": 10},
    }
    machine = ("python", "adlib-vision", "torch", "timm", "processor", "GPU")
    facts = {
        "phase00/config.json": config,
        "phase00/environment.json": dict.fromkeys((*machine, "threads used"), "1"),
        "phase00/data_check.json": {"n_equal_images": 0},
        "provenance/phase05_evaluate_clean.json": {
            "intervals": {"all": "the bootstrap"},
            "aupro_fpr_limit": 0.3,
        },
    }
    for name, content in facts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    return folder


def later_results(value):
    """Return rows of phases 6 to 9; every difference has this value."""
    found, shown = [], interval(value)
    for method, name in itertools.product(METHODS, CLASSES):
        # Condition, metric, value and what else each row has.
        rows = [("trained on blur", "auroc", 0.8, {"setting": "shift blur"})]
        for way, f1 in (("way moved", 0.7), ("way clean threshold", 0.9)):
            for metric, of in (("auroc", 0.8), ("f1", f1), ("n_labelled", 0.0)):
                rows.append(("shifted", metric, of, {"setting": way}))
        of = {"setting": "coreset 1 %", "versus": "configured", **shown}
        rows.append(("clean", "val_auroc", value, of))
        for part in ("shift rotation, moderate", "shift all parts, mild"):
            rows.append(("clean", "auroc", 0.7, {"setting": part}))
            of = {"setting": part, "versus": "not shifted", **shown}
            rows.append(("clean", "auroc", value, of))
        for stage, share in (("read", 0.4), ("backbone", 0.6)):
            rows.append(("clean", "time_share", share, {"setting": f"stage {stage}"}))
        costs = {"latency_ms_p50": 9.0, "model_megabytes": 4.0, "val_auroc": 0.9}
        for setting, metric in itertools.product(("", "coreset 1 %"), costs):
            of = {"setting": setting, "phase": "phase09_efficiency"}
            rows.append(("clean", metric, costs[metric], of))
        for setting, p in (("missed", 0.01), ("found", None)):
            of = {"setting": f"pattern {setting}", "p": p}
            rows.append(("clean", "brightness", 0.5, of))
        rows.append(("clean", "recall", 0.5, {"setting": "size small"}))
        for condition, versus in (
            ("global, thresholds by class", "clean"),
            ("global, one threshold", "global, thresholds by class"),
        ):
            of = {"versus": versus, **shown}
            rows += [(condition, metric, value, of) for metric in ("auroc", "f1")]
        found += [
            figure(condition, method, name, metric, **{"value": of} | more)
            for condition, metric, of, more in rows
        ]
    for name in CLASSES:
        of = {"setting": "shortcut", "versus": "own entries", **shown}
        found.append(figure("global, one threshold", "PatchCore", name, "auroc", **of))
        of = {"setting": "layer stride 8", "value": 0.6}
        metric = "distance_share_anomalous"
        found.append(figure("clean", "PatchCore", name, metric, **of))
        for setting, n in (("both wrong", 3), ("both wrong if independent", 1.5)):
            found.append(figure("clean", "both", name, "n_images", n, setting=setting))
    return found
