"""Is what `adlib tune` advises at least as good as the defaults on real defects?

    python benchmarks/tune.py ROOT [--classes screw magnetic_tile] [--demo] [--json F]

Advises settings on ``train/good`` of each class under ROOT (and of the demo sets with
``--demo``), which is all that it sees. Then PatchCore learns ``train/good`` with its
defaults and as advised, and scores the test images: AUROC of both, with the test of
DeLong of their difference. One more row a class is the setting that found most of the
synthetic defects, whatever the advice. About 25 minutes a class of 240 images on two
cores, and hours where a large size wins and there are many images; with ``--quick``
fewer settings, defects and test images, to see that it runs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from adlib import PatchCore
from adlib.datasets import demo_root, read_samples
from adlib.metrics import compute_auroc, delong_test
from adlib.pod import tune

QUICK = {"image_sizes": [224, 320], "coresets": [0.01, 0.05], "n_defects": 60}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--classes", nargs="+", default=["screw", "magnetic_tile"])
    parser.add_argument("--demo", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--images", type=int, help="good images; default: all")
    parser.add_argument("--sizes", nargs="+", type=int, default=[224, 320, 448, 640])
    arguments = parser.parse_args()
    places = [(arguments.root, name) for name in arguments.classes]
    if arguments.demo:
        places += [(demo_root(), name) for name in ("brick", "grass", "gravel")]
        places += [(demo_root(size=2048), name) for name in ("aligned", "turned")]
    print(
        "| class | setting | size, coreset, top ratio | found | AUROC | difference, p |"
    )
    print("|---|---|---|---|---|---|", flush=True)
    kept = [measured(*place, arguments) for place in places]
    if arguments.json:
        arguments.json.write_text(json.dumps(kept, indent=1) + "\n")


def measured(root: Path, name: str, arguments: argparse.Namespace) -> dict:
    samples = read_samples(root, [name])
    train = [sample.image_path for sample in samples if sample.split == "train"]
    test = [sample for sample in samples if sample.split == "test"]
    rng = np.random.default_rng(0)
    if arguments.images is not None:
        order = rng.permutation(len(train))[: arguments.images]
        train = [train[i] for i in np.sort(order)]
    if arguments.quick:
        train = [train[i] for i in rng.permutation(len(train))[:60]]
        test = [test[i] for i in rng.permutation(len(test))[:60]]
    y = np.array([sample.label for sample in test])
    chosen = QUICK if arguments.quick else {"image_sizes": arguments.sizes}
    advice = tune(train, minutes=arguments.minutes, **chosen)
    best = max(advice.settings, key=lambda one: one.n_found)
    default = next(one for one in advice.settings if one.key == (320, 0.05, 0.01))
    scores: dict[tuple, np.ndarray] = {}
    rows = []
    for what, one in (
        ("default", default),
        ("advised", advice.setting),
        ("most", best),
    ):
        if one.key not in scores:
            model = PatchCore(**one.parameters).fit(train)
            scores[one.key] = model.score([sample.image_path for sample in test])
        found = delong_test(y, scores[one.key], scores[default.key])
        auroc = compute_auroc(y, scores[one.key])
        row = {"setting": what, **one.parameters, "found": one.n_found, "auroc": auroc}
        row |= {"difference": found.difference, "p": found.p_value}
        row |= {"low": found.low, "high": found.high}
        rows.append(row)
        cells = [name, what, ", ".join(f"{value:g}" for value in one.key)]
        cells += [f"{one.n_found} of {one.n_defects}", f"{auroc:.4f}"]
        cells += [
            f"{found.difference:+.4f} ({found.low:+.4f} to {found.high:+.4f}), "
            f"p = {found.p_value:.2g}"
        ]
        print(f"| {' | '.join(cells)} |", flush=True)
    return {"class": name, "rows": rows, "advice": advice.as_dict()}


if __name__ == "__main__":
    main()
