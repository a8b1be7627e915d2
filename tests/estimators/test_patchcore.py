"""PatchCore: what it finds, what it says about it, and what it refuses."""

from __future__ import annotations

import copy
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone

from adlib import PatchCore
from adlib.exceptions import ImageError, SkippedImagesWarning, WeightsError
from adlib.features import patch_embeddings
from adlib.neighbors import MemoryBank

APPROXIMATE = ["faiss-ivf", "faiss-hnsw", "faiss-ivfpq", "faiss-sq"]


def small(**parameters):
    return PatchCore(
        **{"image_size": 64, "coreset": 0.2, "progress": False} | parameters
    )


def patch_distances(model, images):
    """Measure every patch against every bank entry, (n_images, n_patches) float64."""
    pixels = torch.from_numpy(images / np.float32(255)).float()
    colours = pixels[:, None].expand(-1, 3, -1, -1).contiguous()
    embeddings = patch_embeddings(model.backbone_(colours), model.embedding).numpy()
    patches = embeddings.reshape(len(images), -1, 1, embeddings.shape[3])
    bank = model.memory_bank_.embeddings.astype(np.float64)
    return np.stack([np.linalg.norm(p - bank, axis=2).min(axis=1) for p in patches])


@pytest.fixture
def broken(folder):
    """The folder of good images, with 2.png cut off in the middle."""
    path = folder / "2.png"
    path.write_bytes(path.read_bytes()[:60])
    return folder


def test_defects_score_higher_than_good_textures(fitted, mixed):
    scores = fitted.score(mixed)
    assert scores[3:].min() > 1.3 * scores[:3].max()


def test_maps_are_highest_at_the_scratch(fitted, mixed):
    for image in fitted.anomaly_maps(mixed[3:]):
        row, column = np.unravel_index(image.argmax(), image.shape)
        assert 26 <= row < 38
        assert 8 <= column < 56


@pytest.mark.parametrize(
    ("parameters", "aggregate"),
    [
        ({"aggregation": "max"}, lambda d: d.max(axis=1)),
        (
            {"aggregation": "top_mean", "top_ratio": 0.05},
            lambda d: np.sort(d, axis=1)[:, -3:].mean(axis=1),
        ),
        ({"aggregation": "top_mean", "top_ratio": 1.0}, lambda d: d.mean(axis=1)),
    ],
)
def test_scores_aggregate_the_distances_to_the_bank(parameters, aggregate, good, mixed):
    model = small(**parameters).fit(good)
    wanted = aggregate(patch_distances(model, mixed))
    np.testing.assert_allclose(model.score(mixed), wanted, rtol=1e-5)


def test_reweighting_lowers_the_maximum_and_keeps_defects_on_top(good, mixed):
    highest = small(aggregation="max").fit(good).score(mixed)
    reweighted = small(aggregation="reweighted").fit(good).score(mixed)
    assert (reweighted < highest).all()
    assert (reweighted > 0).all()
    assert reweighted[3:].min() > reweighted[:3].max()


def test_training_images_score_zero_when_all_patches_are_remembered(good):
    model = small(coreset=1.0).fit(good)
    np.testing.assert_array_equal(model.score(good), 0.0)


@pytest.mark.parametrize(
    ("coreset", "n_bank"),
    [(1, 1), (10, 10), (10**6, 384), (0.25, 96), (1.0, 384), (1e-9, 1), (0.1, 38)],
)
def test_the_coreset_is_a_ratio_or_a_count(coreset, n_bank, good):
    model = small(coreset=coreset).fit(good)
    assert model.n_patches_ == 384
    assert len(model.memory_bank_) == n_bank


def test_a_projection_changes_the_selection_and_not_the_features(fitted, good):
    projected = small(projection=4).fit(good)
    again = small(projection=4).fit(good)
    bank = projected.memory_bank_
    assert bank.embeddings.shape == fitted.memory_bank_.embeddings.shape
    assert not np.array_equal(bank.origins, fitted.memory_bank_.origins)
    np.testing.assert_array_equal(bank.origins, again.memory_bank_.origins)


def test_the_seed_governs_the_selection(good):
    banks = [small(random_state=seed).fit(good).memory_bank_ for seed in (0, 0, 1)]
    np.testing.assert_array_equal(banks[0].origins, banks[1].origins)
    assert not np.array_equal(banks[0].origins, banks[2].origins)


def test_random_weights_follow_the_seed(good):
    scores = [
        small(weights=None, random_state=seed).fit(good).score(good)
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


def test_bank_entries_are_the_patches_their_origins_name(fitted, good):
    image, row, column = fitted.memory_bank_.origins.T
    pixels = torch.from_numpy(good / np.float32(255))[:, None].expand(-1, 3, -1, -1)
    embeddings = patch_embeddings(fitted.backbone_(pixels.contiguous()), "concat")
    np.testing.assert_array_equal(
        embeddings.numpy()[image, row, column], fitted.memory_bank_.embeddings
    )


def test_faiss_agrees_with_the_exact_search(fitted, good, mixed):
    model = small(search="faiss-flat").fit(good)
    np.testing.assert_allclose(model.score(mixed), fitted.score(mixed), rtol=1e-4)


@pytest.mark.parametrize("search", ["exact", *APPROXIMATE])
def test_recall_is_measured_on_patches_that_the_bank_does_not_hold(
    search, good, monkeypatch
):
    asked = []
    recall = MemoryBank.recall

    def spy(bank, queries):
        asked.append(queries)
        return recall(bank, queries)

    monkeypatch.setattr(MemoryBank, "recall", spy)
    model = small(search=search).fit(good)
    if search == "exact":
        assert (model.search_recall_, asked) == (None, [])
        assert "search" not in model.describe()
        return
    [queries] = asked
    held = {row.tobytes() for row in model.memory_bank_.embeddings}
    assert len(queries) == 384 - 76
    assert not any(row.tobytes() in held for row in queries)
    assert model.search_recall_.n_queries == 308
    assert model.search_recall_.recall >= 0.9
    text = model.describe()["search"]
    assert text.startswith(f"{search}, recall@1 ")
    assert " of 308 training patches that the bank does not hold" in text
    assert "% too long on average" in text


@pytest.mark.slow
def test_the_recall_of_many_patches_is_that_of_a_seeded_sample(good, monkeypatch):
    monkeypatch.setattr("adlib.estimators._patchcore.RECALL_QUERIES", 50)
    recalls = [
        small(search="faiss-ivf", random_state=seed).fit(good).search_recall_
        for seed in (0, 0, 1)
    ]
    assert recalls[0] == recalls[1] != recalls[2]
    assert recalls[0].n_queries == 50


def test_there_is_no_recall_where_the_bank_holds_every_patch(good, tmp_path):
    model = small(search="faiss-hnsw", coreset=1.0).fit(good)
    assert model.search_recall_ is None
    np.testing.assert_array_equal(model.score(good), 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("search", APPROXIMATE)
def test_approximate_scores_are_not_below_the_exact_ones(search, fitted, good, mixed):
    model = small(search=search, aggregation="max").fit(good)
    exact = small(aggregation="max").fit(good).score(mixed)
    assert (model.score(mixed) >= exact).all()
    np.testing.assert_allclose(model.score(mixed), exact, rtol=0.05)
    assert clone(model).get_params() == model.get_params()


def test_inspect_is_score_maps_and_predict_in_one_pass(fitted, good, others, mixed):
    model = clone(fitted).fit(good).calibrate(others, false_positive_rate=0.2)
    results = list(model.inspect(mixed))
    assert [r.path for r in results] == [f"image {i}" for i in range(6)]
    assert [r.verdict for r in results] == model.predict(mixed).tolist()
    assert all(r.error is None for r in results)
    np.testing.assert_array_equal([r.score for r in results], model.score(mixed))
    np.testing.assert_array_equal(
        np.stack([r.map for r in results]), model.anomaly_maps(mixed)
    )


@pytest.mark.parametrize("search", ["exact", "faiss-hnsw"])
@pytest.mark.parametrize(
    "how",
    [
        {"aggregation": "max"},
        {"aggregation": "reweighted"},
        {"top_ratio": 0.1},
        pytest.param({"top_ratio": 0.001}, marks=pytest.mark.slow),
        pytest.param({"top_ratio": 1.0}, marks=pytest.mark.slow),
    ],
)
def test_scores_alone_are_those_with_maps(how, search, good, others, mixed):
    model = small(search=search, **how).fit(good)
    for images in (good, others, mixed):
        found = [result.score for result in model.inspect(images)]
        np.testing.assert_array_equal(model.score(images), found)


def test_inspect_gives_no_verdict_before_calibrate(fitted, mixed):
    assert {result.verdict for result in fitted.inspect(mixed)} == {None}


def test_inspect_reads_an_endless_stream_as_it_goes(fitted, good):
    def camera():
        while True:
            yield good[0]

    results = fitted.inspect(camera())
    scores = [next(results).score for _ in range(40)]
    results.close()
    assert set(scores) == {float(fitted.score(good[:1])[0])}


def test_explain_names_the_good_patch_that_is_nearest(folder):
    model = small(coreset=1.0).fit(folder)
    for explanation in model.explain(folder):
        assert explanation.distance == 0.0
        assert explanation.compared_with == explanation.path
        assert explanation.compared_patch == explanation.patch


def test_explain_gives_the_largest_patch_distance_and_its_place(folder, mixed):
    model = small(aggregation="max").fit(folder)
    distances = patch_distances(model, mixed)
    explanations = model.explain(mixed)
    assert [e.distance for e in explanations] == model.score(mixed).tolist()
    for explanation, patches in zip(explanations, distances, strict=True):
        assert explanation.patch == divmod(int(patches.argmax()), 8)
        origin = [int(explanation.compared_with[-5]), *explanation.compared_patch]
        assert origin in model.memory_bank_.origins.tolist()
    assert all(e.patch[0] in {3, 4} for e in explanations[3:])


def test_explain_places_patches_in_grids_that_are_not_square(good, mixed):
    model = small(image_size=(64, 128)).fit(good)
    assert model.grid_ == (8, 16)
    assert all(e.patch[0] in {3, 4} for e in model.explain(mixed[3:]))
    assert max(e.patch[1] for e in model.explain(mixed)) >= 8


@pytest.mark.parametrize("method", ["score", "explain", "inspect", "anomaly_maps"])
@pytest.mark.parametrize(
    "changed",
    [{"image_size": 96}, {"embedding": "paper"}, {"stages": (1, 2)}],
    ids=lambda changed: next(iter(changed)),
)
def test_what_fit_rests_on_must_not_change_after_it(good, mixed, changed, method):
    model = small().fit(good).set_params(**changed)
    [name] = changed
    with pytest.raises(ValueError, match=f"^{name} of PatchCore .*it was fitted; got"):
        getattr(model, method)(mixed)


def test_parameters_set_after_fit_are_checked(good, mixed):
    model = small().fit(good).set_params(aggregation="maximal")
    with pytest.raises(ValueError, match="aggregation of PatchCore must be one of"):
        model.score(mixed)


def test_a_bank_of_one_cannot_be_reweighted(good):
    with pytest.raises(ValueError, match="the coreset's size of PatchCore"):
        small(coreset=1, aggregation="reweighted").fit(good)


def test_calibrate_on_good_images_takes_the_conformal_rank(fitted, good, mixed):
    model = clone(fitted).fit(good).calibrate(mixed, false_positive_rate=0.3)
    assert model.threshold_ == np.sort(fitted.score(mixed))[4]  # ceil(7 * 0.7) = 5


def test_calibrate_with_labels_separates_what_can_be_separated(fitted, good, mixed):
    y = [1, 1, 1, -1, -1, -1]
    model = clone(fitted).fit(good).calibrate(mixed, y)
    scores = fitted.score(mixed).astype(float)
    assert model.threshold_ == (scores[:3].max() + scores[3:].min()) / 2
    assert model.predict(mixed).tolist() == y


@pytest.mark.parametrize(
    ("y", "rate", "fragment"),
    [
        ([1] * 6, None, "only normal ones"),
        ([-1] * 6, None, "only anomalous ones"),
        ([1, -1, 1], None, "one label for each image of X; got 3 labels and 6"),
        ([1, 1, 1, -1, -1, -1], 0.1, "None where y is given"),
        ([0, 1, 2, 0, 0, 0], None, "the values 0, 1, 2"),
        (None, 0.05, "more normal images; got 6, which allow 0.143"),
        (None, 0.0, r"a number in \(0, 1\); got 0\.0"),
        (None, 1, r"a number in \(0, 1\); got 1"),
    ],
)
def test_calibrate_refuses_what_gives_no_threshold(y, rate, fragment, fitted, mixed):
    with pytest.raises(ValueError, match=fragment):
        fitted.calibrate(mixed, y, false_positive_rate=rate)
    assert fitted.threshold_ is None


def test_calibrate_refuses_labels_whose_defects_were_all_skipped(broken):
    model = small(on_error="skip").fit(broken / "0.png")
    paths = [broken / f"{i}.png" for i in (1, 2, 3)]
    with (
        pytest.warns(SkippedImagesWarning),
        pytest.raises(ValueError, match="anomalous"),
    ):
        model.calibrate(paths, [1, -1, 1])


def test_fit_skips_unusable_images_on_demand(broken, good):
    model = small(on_error="skip")
    with pytest.warns(SkippedImagesWarning, match=r"1 images were skipped: .*2\.png"):
        model.fit(broken)
    kept = small().fit(np.delete(good, 2, axis=0))
    assert [path[-5:] for path in model.training_images_] == [
        f"{i}.png" for i in (0, 1, 3, 4, 5)
    ]
    [failure] = model.skipped_
    assert failure.position == 2
    assert failure.name.endswith("2.png")
    np.testing.assert_array_equal(model.score(good), kept.score(good))


def test_skipped_positions_count_the_images_that_labels_leave_out(broken):
    model = small(on_error="skip")
    with pytest.warns(SkippedImagesWarning):
        model.fit(broken, [-1, 1, 1, 1, 1, 1])
    assert [failure.position for failure in model.skipped_] == [2]


def test_skipped_images_have_no_score_no_map_and_a_bad_verdict(broken, good, others):
    model = small(on_error="skip").fit(good).calibrate(others, false_positive_rate=0.2)
    with pytest.warns(SkippedImagesWarning, match=r"2\.png"):
        scores = model.score(broken)
    with pytest.warns(SkippedImagesWarning, match=r"2\.png"):
        maps = model.anomaly_maps(broken)
    with pytest.warns(SkippedImagesWarning, match=r"2\.png"):
        verdicts = model.predict(broken)
    with pytest.warns(SkippedImagesWarning, match=r"2\.png"):
        decision = model.decision_function(broken)
    lost = np.arange(6) == 2
    np.testing.assert_array_equal(np.isnan(scores), lost)
    np.testing.assert_array_equal(np.isnan(maps).all(axis=(1, 2)), lost)
    np.testing.assert_array_equal(np.isnan(maps).any(axis=(1, 2)), lost)
    np.testing.assert_array_equal(np.isnan(decision), lost)
    assert verdicts[2] == -1
    np.testing.assert_array_equal(scores[~lost], model.score(good)[~lost])


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_inspect_reports_skipped_images_in_their_place(batch_size, broken, good):
    model = small(on_error="skip", batch_size=batch_size).fit(good)
    results = list(model.inspect(broken))
    assert [result.path[-5] for result in results] == list("012345")
    assert np.isnan(results[2].score)
    assert (results[2].verdict, results[2].map) == (None, None)
    assert "2.png" in results[2].error
    assert [result.error is None for result in results] == [i != 2 for i in range(6)]


def test_explain_leaves_skipped_images_out(broken, good):
    model = small(on_error="skip").fit(good)
    with pytest.warns(SkippedImagesWarning, match=r"2\.png"):
        explained = [explanation.path[-5] for explanation in model.explain(broken)]
    assert explained == list("01345")


def test_a_warning_of_many_skipped_images_names_the_first_five(good):
    images = [good[0], *([np.full((16, 16), np.nan)] * 8)]
    match = r"^8 images were skipped: (?=.*image 5)(?!.*image 6).*; and 3 more$"
    with pytest.warns(SkippedImagesWarning, match=match):
        small(on_error="skip").fit(images)


def test_nothing_but_unusable_images_cannot_be_learned(broken):
    with pytest.raises(ImageError, match=r"at least one usable normal .*\(1 skipped\)"):
        small(on_error="skip").fit(broken / "2.png")
    with pytest.raises(ImageError, match=r"2\.png"):
        small().fit(broken)


def test_calibrate_needs_a_usable_image(broken, good):
    model = small(on_error="skip").fit(good)
    with (
        pytest.warns(SkippedImagesWarning),
        pytest.raises(ImageError, match="at least one usable image"),
    ):
        model.calibrate(broken / "2.png", false_positive_rate=0.5)


def test_all_scores_are_nan_when_everything_was_skipped(broken, good):
    model = small(on_error="skip").fit(good)
    with pytest.warns(SkippedImagesWarning):
        maps = model.anomaly_maps(broken / "2.png")
    assert maps.shape == (1, 64, 64)
    assert np.isnan(maps).all()


@pytest.mark.parametrize("as_stream", [False, True])
@pytest.mark.parametrize(
    "y", [[1, -1, 1, -1, 1, 1], [0, 1, 0, 1, 0, 0], np.array([0, 1, 0, 1, 0, 0], bool)]
)
def test_labels_leave_anomalous_images_out(y, as_stream, good):
    X = (image for image in good) if as_stream else good
    model = small().fit(X, y)
    wanted = small().fit(good[[0, 2, 4, 5]])
    assert model.training_images_ == [f"image {i}" for i in (0, 2, 4, 5)]
    np.testing.assert_array_equal(model.score(good), wanted.score(good))


@pytest.mark.parametrize("n_labels", [1, 5, 7])
@pytest.mark.parametrize("as_stream", [False, True])
def test_the_wrong_number_of_labels_is_refused(n_labels, as_stream, good):
    X = (image for image in good) if as_stream else good
    message = f"one label for each image of X; got {n_labels} labels and"
    with pytest.raises(ValueError, match=message):
        small().fit(X, [1] * n_labels)


def test_labels_that_call_everything_anomalous_leave_nothing(good):
    with pytest.raises(ImageError, match="at least one usable normal image"):
        small().fit(good, [-1] * 6)


@pytest.mark.parametrize("method", ["fit", "score", "anomaly_maps"])
def test_an_empty_stream_is_refused(method, fitted):
    with pytest.raises(ValueError, match="at least one"):
        getattr(clone(fitted) if method == "fit" else fitted, method)(iter(()))


def test_images_of_different_sizes_are_one_set(fitted, good):
    larger = np.asarray(Image.fromarray(good[0]).resize((150, 90)))
    scores = fitted.score([good[0], larger])
    assert np.isfinite(scores).all()


@pytest.mark.parametrize(
    ("parameter", "value", "kind", "fragment"),
    [
        ("backbone", "resnet_of_mine", ValueError, "the name of a timm network"),
        ("backbone", 5, TypeError, "backbone of"),
        ("weights", "no/such.pth", WeightsError, r"no/such\.pth"),
        ("weights", 5, TypeError, "weights of"),
        ("stages", (9,), ValueError, r"which offers .*stride 8"),
        ("stages", (), ValueError, "different stage indices"),
        ("stages", (2, 2), ValueError, "different stage indices"),
        ("stages", 2, TypeError, "stages of"),
        ("image_size", 8, ValueError, "an integer of at least 16; got 8"),
        ("image_size", 64.0, TypeError, r"an integer of at least 16; got 64\.0"),
        ("image_size", (64, 64, 3), ValueError, r"a pair \(height, width\)"),
        ("image_size", (64, 8), ValueError, "at least 16; got 8"),
        ("image_size", "64", TypeError, "got '64'"),
        (
            "embedding",
            "sum",
            ValueError,
            "one of 'concat', 'paper', 'nearest'; got 'sum'",
        ),
        ("embedding", None, TypeError, "one of 'concat', 'paper', 'nearest'; got None"),
        ("coreset", 0, ValueError, "at least 1; got 0"),
        ("coreset", 0.0, ValueError, r"a ratio in \(0, 1\] or a count"),
        ("coreset", 1.5, ValueError, r"a ratio in \(0, 1\] or a count"),
        ("coreset", float("nan"), ValueError, "got nan"),
        ("coreset", "0.1", TypeError, r"got '0\.1'"),
        ("coreset", True, TypeError, "got True"),
        ("projection", 0, ValueError, "projection of PatchCore .* at least 1; got 0"),
        ("projection", 2.5, TypeError, r"projection of PatchCore .* got 2\.5"),
        ("search", "hnsw", ValueError, "one of 'exact', 'faiss-flat'"),
        ("aggregation", "mean", ValueError, "'top_mean', 'max', 'reweighted'"),
        ("top_ratio", 0, ValueError, r"top_ratio of PatchCore .* \(0, 1\]; got 0"),
        ("top_ratio", 1.01, ValueError, r"top_ratio of PatchCore .* \(0, 1\]"),
        ("top_ratio", "all", TypeError, r"top_ratio of PatchCore .* got 'all'"),
        ("n_neighbors", 1, ValueError, "n_neighbors of PatchCore .* at least 2"),
        ("n_neighbors", 3.0, TypeError, "n_neighbors of PatchCore"),
        ("batch_size", 0, ValueError, "batch_size of PatchCore .* at least 1; got 0"),
        ("batch_size", None, TypeError, "batch_size of PatchCore .* got None"),
        ("device", "gpu", ValueError, '"auto", "cpu", "cuda" or "cuda:N"; got'),
        ("device", "cuda:99", ValueError, "a device of this machine"),
        ("device", 0, TypeError, 'device of PatchCore must be "auto"'),
        ("n_workers", 0, ValueError, "n_workers of PatchCore .* at least 1; got 0"),
        ("n_workers", "two", TypeError, "n_workers of PatchCore .* got 'two'"),
        ("on_error", "ignore", ValueError, "one of 'raise', 'skip'; got 'ignore'"),
        ("progress", 1, TypeError, "progress of PatchCore must be True or False"),
        ("random_state", -1, ValueError, "random_state of PatchCore .* at least 0"),
        ("random_state", 0.5, TypeError, "random_state of PatchCore"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(parameter, value, kind, fragment, good):
    model = small(**{parameter: value})
    with pytest.raises(kind, match=fragment):
        model.fit(good)
    assert not hasattr(model, "backbone_")


def test_a_random_coreset_is_as_large_and_drawn_by_the_seed(good):
    greedy, one, again, other = (
        small(selection=selection, random_state=seed).fit(good).memory_bank_.origins
        for selection, seed in (
            ("greedy", 0),
            ("random", 0),
            ("random", 0),
            ("random", 1),
        )
    )
    assert len(one) == len(greedy)
    assert len(np.unique(one, axis=0)) == len(one)
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, greedy)
    assert not np.array_equal(one, other)
    with pytest.raises(ValueError, match="selection of PatchCore"):
        small(selection="best").fit(good)


def test_an_error_ends_the_reading_even_where_it_is_kept(fitted, folder, monkeypatch):
    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(MemoryBank, "farthest", interrupted)
    model = copy.copy(fitted).set_params(batch_size=2, n_workers=2)
    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt) as kept:  # as an interactive Python keeps it
        model.score(sorted(folder.iterdir()) * 20)
    assert set(threading.enumerate()) <= before
    del kept
