"""A made-up study, small enough to be read: what the report is written from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from adlib.report.document import Paragraph, Table
from adlib.report.study_report import CitedNumbers, _figures
from adlib.report.study_report._study import Study
from adlib.report.study_report._write import study_document
from adlib.study._intervals import INTERVALS

from adlib.study import Config

Files = dict[str, Any]
METHODS, CLASSES = ("PatchCore", "PaDiM"), ("screw", "tile")
PAIRS = [(method, name) for method in METHODS for name in CLASSES]
N_NORMAL, N_ANOMALOUS = 10, 30
N_IMAGES = N_NORMAL + N_ANOMALOUS
NOTHING = (0.0, -0.1, 0.1, 0.9)  # difference, low, high, p: none is shown
AUROC = {"auroc": 0.8, "auroc_low": 0.7, "auroc_high": 0.9}
LOSS, GAIN = (-0.2, -0.3, -0.1, 0.001), (0.2, 0.1, 0.3, 0.001)


def results() -> Files:
    """Return the files of a study in which no difference is shown, by name."""
    config = Config.from_dict({"data": {"root": "parts"}}).model_dump(mode="json")
    machine = dict.fromkeys(
        ("python", "adlib-vision", "torch", "timm", "processor", "GPU"), "some"
    )
    kinds = {"good": N_NORMAL, "scratch": N_ANOMALOUS}
    parts = {"train": {"good": 40}, "val": dict(kinds), "test": dict(kinds)}
    files: Files = {
        "phase00/config.json": config,
        "phase00/environment.json": {**machine, "threads used": "2"},
        "phase00/data_check.json": {"n_equal_images": 3},
        "phase01/counts.json": {name: dict(parts) for name in CLASSES},
    }
    names = ("clean", "shifted_no_adaptation", "shift_threshold_only")
    for name in (*names, "shift_with_adaptation", "global"):
        files[f"results/{name}_results.json"] = _conditions()
    for method in METHODS:
        fittings = [_fitting(method, name) for name in CLASSES]
        file = f"results/{method.lower()}_clean_fitting.json"
        files[file] = {"fittings": fittings}
    files["results/adaptation_ways.json"] = {"ways": _ways()}
    files["results/global_analysis.json"] = {
        "neighbours": [
            {
                "class_name": name,
                "kind": "worst",
                "n_patches": N_ANOMALOUS,
                "shares": dict.fromkeys(CLASSES, 1.0),
            }
            for name in CLASSES
        ],
        "shortcut": [
            {
                "class_name": name,
                "anomalous_drop": 0.001,
                "normal_drop": 0.002,
                "n_normal": N_NORMAL,
                "n_anomalous": N_ANOMALOUS,
                **_test(*NOTHING),
            }
            for name in CLASSES
        ],
    }
    files["results/errors.json"] = {"conditions": {"clean": _errors()}}
    files["results/ablations.json"] = {
        "intervals": INTERVALS,
        "rows": [
            _choice("as configured", "", None),
            _choice("coreset", "1 %", NOTHING),
            _choice("selection", "random", NOTHING),
        ],
    }
    files["results/shift_ablations.json"] = {
        "crossed": [],
        "parts": [
            {
                **_key(method, name),
                "judged_on": "blur",
                "severity": "moderate",
                **AUROC,
                "difference": -0.1,
                "p_value": 0.3,
                "n_images": 20,
            }
            for method, name in PAIRS
        ],
    }
    files["results/interpretation.json"] = {
        "shares": [
            {
                "class_name": name,
                "kind": "anomalous",
                "n_images": N_ANOMALOUS,
                "n_features": 152,
                "stages": {"stride 8": 0.3, "stride 16": 0.7},
                "effective_number": 100.0,
            }
            for name in CLASSES
        ]
    }
    shares = {"decode": 0.2, "backbone": 0.6, "embed": 0.2, "all": 1.0}
    times = ("p50_milliseconds", "p95_milliseconds", "p99_milliseconds")
    cost = dict.fromkeys((*times, "images_a_second", "megabytes"), 9.0)
    files["results/efficiency.json"] = {
        "stages": [
            {**_key(*pair), "stage": stage, "share": share, **cost}
            for pair in PAIRS
            for stage, share in shares.items()
        ],
        "saved": [{**_key(*pair), **cost, "n_timed": 20} for pair in PAIRS],
        "trade_off": [],
    }
    copied: Files = json.loads(json.dumps(files))  # nothing is shared
    return copied


def set_change(files: Files, condition: str, effect: str, to: Any, metric: str) -> None:
    """Set a change of a figure in every model."""
    for one in files[f"results/{condition}_results.json"][effect]:
        one["figures"][metric] |= _test(*to)
        one["p_value"] = to[-1]


def report_of(folder: Path, change: Callable[[Files], Any]) -> str:
    """Return the text of the report of the study after a change of its results."""
    files = results()
    change(files)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    for name in ("clean", "shifted_no_adaptation"):
        path = folder / f"results/{name}_details_scores.csv"
        path.write_text("method,class,image,defect_type,label,score,verdict\n")
    study = Study(folder, CitedNumbers(folder), folder / "figures")
    with patch.object(_figures, "_save", lambda _study, name, _draw: Path(name)):
        document = study_document(study)
    texts = [document.title, document.abstract]
    for block in document.blocks():
        if isinstance(block, Paragraph):
            texts.append(block.text)
            continue
        texts.append(block.caption)
        if isinstance(block, Table):
            texts += [" | ".join(row) for row in block.rows]
    return "\n".join(texts).replace("\N{MINUS SIGN}", "-")


def _conditions() -> dict[str, Any]:
    means = dict.fromkeys(("image_auroc", "image_f1", "image_specificity"), 0.0)
    effects = (
        "change_from_clean",
        "change_from_no_adaptation",
        "explained_by_threshold",
        "explained_by_model",
        "change_by_model",
        "change_by_threshold",
    )
    found: dict[str, Any] = {"intervals": INTERVALS}
    for effect in effects:
        found[effect] = [
            {
                **_key(*pair),
                "n_images": N_IMAGES,
                "p_value": NOTHING[-1],
                "figures": {m: {"after": 0.9, **_test(*NOTHING)} for m in means},
            }
            for pair in PAIRS
        ]
        found[f"mean_{effect}"] = {method: dict(means) for method in METHODS}
    found["comparison"] = {
        "methods": list(METHODS),
        "classes": [
            {
                "class_name": name,
                "n_images": N_IMAGES,
                "auroc": [0.9, 0.9],
                "delong": _test(*NOTHING),
                "corrected_p": NOTHING[-1],
                "permutation_p": NOTHING[-1],
            }
            for name in CLASSES
        ],
        "over_classes": _test(*NOTHING),
    }
    singles = ("accuracy", "precision", "recall", "specificity")
    averages = ("image_auroc", "image_auprc", "image_f1", "pixel_auroc", "aupro")
    found["methods"] = {
        method: {
            "classes": {name: _evaluation() for name in CLASSES},
            "macro_average": dict.fromkeys(
                (*averages, *(f"image_{one}" for one in singles)), 0.9
            ),
        }
        for method in METHODS
    }
    return found


def _evaluation() -> dict[str, Any]:
    interval = {"value": 0.9, "low": 0.8, "high": 0.95}
    image = {name: dict(interval) for name in ("auroc", "auprc", "f1")}
    singles = ("accuracy", "precision", "recall", "specificity")
    return {
        "n_normal": N_NORMAL,
        "n_anomalous": N_ANOMALOUS,
        "threshold": 2.5,
        "image": {**image, **dict.fromkeys(singles, 0.9)},
        "pixel": {"auroc": 0.9, "aupro": 0.8, "fpr_limit": 0.3},
        "defect_types": {},
        "sizes": {},
        "positions": {},
    }


def _fitting(method: str, name: str) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "backbone": "some_net",
        "weights": "pretrained",
        "image_size": 320,
        "embedding": "concat",
        "top_ratio": 0.01,
    }
    if method == "PatchCore":
        parameters |= {
            "aggregation": "top_mean",
            "coreset": 0.05,
            "selection": "greedy",
            "search": "exact",
        }
    else:
        parameters |= {
            "aggregation": "max",
            "channels": "random",
            "n_channels": 160,
            "regularization": 0.1,
        }
    bank = {"n_bank": 800, "n_patches": 16000} if method == "PatchCore" else {}
    return {
        "class_name": name,
        "setting": "coreset 5 %",
        "val_auroc": 0.9,
        "threshold": 2.5,
        "facts": {
            "parameters": parameters,
            "stages": [{"stride": 8, "channels": 40}, {"stride": 16, "channels": 112}],
            "n_training": 40,
            "n_embedded": 152,
            "n_features": 152,
            "threshold": {"rule": "best F1", "n_normal": 10, "n_anomalous": 30},
            **bank,
        },
    }


def _ways() -> list[dict[str, Any]]:
    figures = {"auroc": 0.8, "f1": 0.7, "specificity": 0.6}
    ways = ("threshold of the clean domain", "threshold moved by median and spread")
    return [
        {**_key(*pair), "way": way, "n_labelled": 0, **figures}
        for pair in PAIRS
        for way in ways
    ]


def _errors() -> dict[str, Any]:
    agreement = {"both_right": 30, "first_wrong": 4, "second_wrong": 4, "both_wrong": 2}
    pattern = {
        "method": "PatchCore",
        "kind": "missed",
        "quantity": "brightness",
        "n_wrong": 4,
        "n_right": 26,
        "wrong": 0.3,
        "right": 0.5,
        "p_value": 0.4,
    }
    return {
        name: {
            "agreement": {**agreement, "expected_both_wrong": 1.0, "p_value": 1.0},
            "patterns": [dict(pattern)],
        }
        for name in CLASSES
    }


def _choice(group: str, name: str, to: Any) -> dict[str, Any]:
    difference, low, high, p_value = to or (0.0, None, None, None)
    return {
        **_key("PatchCore", "screw"),
        "group": group,
        "name": name,
        "n_training": 40,
        "n_judged": 20,
        **AUROC,
        "difference": difference,
        "difference_low": low,
        "difference_high": high,
        "p_value": p_value,
        "score_milliseconds": 9.0,
    }


def _test(difference: float, low: float, high: float, p: float) -> dict[str, float]:
    return {"difference": difference, "low": low, "high": high, "p_value": p}


def _key(method: str, class_name: str) -> dict[str, str]:
    return {"method": method, "class_name": class_name}
