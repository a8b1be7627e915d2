"""The same seed gives the same results, whoever reads the images, and says how."""

from __future__ import annotations

import json

import pytest

from adlib import PaDiM, PatchCore
from adlib.features import FeatureCache, use_feature_cache
from adlib.study import (
    Config,
    Variant,
    ablate,
    compare_methods,
    differing_results,
    fit_on_split,
    provenance,
    run_on_split,
    write_fittings,
    write_json,
    write_results,
    write_run_details,
    write_thresholds,
)


def study(folder, split, n_workers, batch_size, *, seed=0):
    """Run a small study; everything that it finds is in the folder afterwards."""
    results = folder / "results"
    notes = provenance(Config(seed=seed))
    options = {"image_size": 64, "random_state": seed, "progress": False}
    options |= {"n_workers": n_workers, "batch_size": batch_size}
    models = [PatchCore(coreset=0.3, **options), PaDiM(n_channels=20, **options)]
    fittings = [fit_on_split(model, split) for model in models]
    runs = [run_on_split(model, split, seed=seed) for model in models]
    comparison = compare_methods(runs[:1], runs[1:])
    evaluations = [run.evaluation for run in runs]
    notes["comparison"] = comparison.as_dict()
    write_results(evaluations, results, "clean_results", notes)
    write_run_details(runs, results, "clean_details")
    write_fittings(fittings, results, "fitting", notes)
    variants = [Variant("coreset", "10 %", {"coreset": 0.1})]
    rows = ablate(PatchCore(coreset=0.3, **options), variants, split)
    content = {"rows": [row.as_dict() for row in rows]}
    write_json(content, results / "ablations.json")
    write_thresholds(runs, folder / "thresholds/clean_thresholds.json")
    return folder


@pytest.fixture(scope="module")
def first(split, tmp_path_factory):
    return study(tmp_path_factory.mktemp("first"), split, 1, 16)


def test_any_number_of_workers_gives_the_same_bytes(first, split, tmp_path):
    second = study(tmp_path, split, 3, 5)
    assert differing_results(first, second) == []
    for name in ("clean_results.json", "clean_results.csv", "clean_details.json"):
        path = f"results/{name}"
        assert (first / path).read_bytes() == (second / path).read_bytes()


def test_kept_features_give_the_same_bytes(first, split, tmp_path):
    cache = FeatureCache(tmp_path / "features", 10**8)
    use_feature_cache(cache)
    try:
        second = study(tmp_path / "second", split, 2, 4)
        third = study(tmp_path / "third", split, 2, 4)
    finally:
        use_feature_cache(None)
    assert cache.hits > 0
    assert differing_results(first, second) == []
    assert differing_results(first, third) == []


def test_another_seed_gives_something_else(first, split, tmp_path):
    lines = differing_results(first, study(tmp_path, split, 1, 16, seed=1))
    assert any("clean_results.json" in line for line in lines)
    assert any("_scores.csv: other bytes" in line for line in lines)


def test_differences_are_told_with_their_place(tmp_path):
    contents = {
        "one": {"a": [{"x": 1.0, "fit_seconds": 3.0}], "b": None},
        "other": {"a": [{"x": 1.5, "fit_seconds": 4.0}]},
    }
    for name, content in contents.items():
        write_json(content, tmp_path / name / "results/r.json")
        write_json({}, tmp_path / name / "thresholds/t.json")
    write_json({}, tmp_path / "one/results/more.json")
    assert differing_results(tmp_path / "one", tmp_path / "other") == [
        "results/more.json: only in one",
        "results/r.json: a/0/x: 1.0, 1.5",
        "results/r.json: b: None, 'nothing'",
    ]
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        differing_results(tmp_path / "one", tmp_path / "gone")


def test_results_say_what_they_were_made_with(first):
    content = json.loads((first / "results/clean_results.json").read_text())
    assert content["seed"] == content["config"]["seed"] == 0
    assert content["config"]["patchcore"] == {"coreset": 0.05}
    assert content["code"].startswith("0.1.0+")
    assert content["device"] in ("cpu", "cuda:0")
    assert {"torch", "timm", "numpy", "python"} <= content["environment"].keys()
    assert "paths" not in content["config"]
