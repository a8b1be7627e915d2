"""The same seed gives the same results, whoever reads the images."""

from __future__ import annotations

import pytest

from adlib import PaDiM, PatchCore
from adlib.features import FeatureCache, use_feature_cache
from adlib.study import Config
from adlib.study._evaluate import run_on_split
from adlib.study._fitting import fit_on_split
from adlib.study._phase import Phase

pytestmark = pytest.mark.slow


def study(folder, split, n_workers, batch_size, *, seed=0):
    """Run a small study; everything that it finds is in the folder afterwards."""
    config = Config.from_dict({"seed": seed, "paths": {"outputs": folder}})
    phase = Phase(config, "phase05_evaluate_clean")
    options = {"image_size": 64, "random_state": seed, "progress": False}
    options |= {"n_workers": n_workers, "batch_size": batch_size}
    models = [PatchCore(coreset=0.3, **options), PaDiM(n_channels=20, **options)]
    paths = [folder / f"models/{n}.adlib" for n in range(2)]
    fitted = [fit_on_split(m, split, p) for m, p in zip(models, paths, strict=True)]
    phase.write("fitting", *fitted)
    runs = [run_on_split(model, split) for model in models]
    phase.write_condition("clean", runs, methods=True)
    return folder


def written(folder):
    """Return the bytes of the tables, but for the times."""
    return [
        (folder / "results" / name).read_bytes()
        for name in ("clean_results.json", "clean_scores.csv")
    ]


@pytest.fixture(scope="module")
def first(split, tmp_path_factory):
    return study(tmp_path_factory.mktemp("first"), split, 1, 16)


def test_any_number_of_workers_gives_the_same_bytes(first, split, tmp_path):
    assert written(first) == written(study(tmp_path, split, 3, 5))


def test_kept_features_give_the_same_numbers(first, split, tmp_path):
    cache = FeatureCache(tmp_path / "features", 10**8)
    use_feature_cache(cache)
    try:
        second, third = (study(tmp_path / n, split, 2, 4) for n in ("second", "third"))
    finally:
        use_feature_cache(None)
    assert cache.hits > 0
    assert written(first) == written(second) == written(third)


def test_another_seed_gives_something_else(first, split, tmp_path):
    another = written(study(tmp_path, split, 1, 16, seed=1))
    assert all(a != b for a, b in zip(written(first), another, strict=True))
