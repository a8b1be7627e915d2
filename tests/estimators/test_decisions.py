"""PASS, REVIEW and FAIL, p-values, and the log-normal rule in the estimators."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
from sklearn.base import clone

import adlib
from adlib import PatchCore, load
from adlib._inspection import Limits
from adlib.estimators._model_file import read_model, write_model
from adlib.exceptions import InputWarning, ModelFileError, SkippedImagesWarning
from adlib.thresholds import conformal_threshold, log_normal_threshold
from tests.conftest import texture

SMALL = {"image_size": 64, "coreset": 0.2, "progress": False}
MANY = np.stack([texture(seed) for seed in range(100, 120)])


def p_value(scores, score):
    """Return the p-value by its definition."""
    return (1 + sum(one >= score for one in scores)) / (len(scores) + 1)


@pytest.fixture(scope="module")
def reviewing(good):
    """A model that fails 1 in 10 and lets 1 in 2 pass, from 20 images."""
    model = PatchCore(**SMALL).fit(good)
    return model.calibrate(MANY, false_positive_rate=0.1, review_rate=0.5)


def test_two_rates_give_two_conformal_thresholds(reviewing, mixed):
    scores = reviewing.score(MANY).astype(float)
    assert reviewing.threshold_ == conformal_threshold(scores, 0.1)
    assert reviewing.review_threshold_ == conformal_threshold(scores, 0.5)
    assert reviewing.calibration_.scores == tuple(sorted(scores))
    found = list(reviewing.inspect(np.concatenate([MANY, mixed])))
    for one in found:
        expected = "PASS" if one.score <= reviewing.review_threshold_ else "REVIEW"
        expected = "FAIL" if one.score > reviewing.threshold_ else expected
        assert one.decision == expected
        assert one.verdict == (-1 if expected == "FAIL" else 1)
        assert one.p_value == p_value(scores, one.score)
        assert one.threshold_ratio == one.score / reviewing.threshold_
    decisions = [one.decision for one in found[:20]]
    assert [decisions.count(kind) for kind in ("PASS", "REVIEW", "FAIL")] == [11, 8, 1]
    assert {one.decision for one in found[-3:]} == {"FAIL"}


def test_without_a_second_rate_nothing_is_to_be_reviewed(fitted, good, mixed):
    model = clone(fitted).fit(good)
    before = next(model.inspect(mixed))
    assert before.decision is before.p_value is before.threshold_ratio is None
    model.calibrate(MANY, false_positive_rate=0.1)
    assert model.review_threshold_ is None
    assert {one.decision for one in model.inspect(mixed)} == {"PASS", "FAIL"}


def test_with_labels_p_values_are_of_the_good_images(fitted, good, mixed):
    model = clone(fitted).fit(good).calibrate(mixed, [1, 1, 1, -1, -1, -1])
    normal = sorted(fitted.score(mixed[:3]).tolist())
    assert model.calibration_.scores == tuple(normal)
    found = [one.p_value for one in model.inspect(mixed)]
    assert found[3:] == [0.25] * 3
    assert sorted(found[:3]) == [0.5, 0.75, 1.0]


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.3])
def test_the_conformal_verdict_is_the_p_value_at_the_rate(rate):
    rng = np.random.default_rng(round(100 * rate))
    for _ in range(200):
        scores = rng.integers(0, 30, 25).astype(float)  # with ties
        threshold = conformal_threshold(scores, rate)
        limits = Limits(threshold, None, tuple(sorted(scores)))
        for score in rng.integers(0, 32, 20).astype(float):
            found = limits.judged(score, 1)["p_value"]
            assert (found <= rate + 1e-12) == (score > threshold)


def test_p_values_of_good_images_are_as_low_as_they_say():
    rng = np.random.default_rng(0)
    drawn = rng.lognormal(size=(4000, 20))
    found = np.array(
        [Limits(None, None, tuple(sorted(d[1:]))).judged(d[0], None) for d in drawn]
    )
    found = np.array([one["p_value"] for one in found])
    for level in (0.05, 0.2, 0.5):
        share = np.mean(found <= level + 1e-12)
        assert abs(share - level) < 4 * np.sqrt(level * (1 - level) / 4000)


@pytest.mark.parametrize(("review_rate", "decision"), [(None, "FAIL"), (0.4, "REVIEW")])
def test_a_skipped_image_never_passes(good, mixed, review_rate, decision, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    model = PatchCore(**SMALL, on_error="skip").fit(good)
    assert next(model.inspect([tmp_path / "broken.png"])).decision is None
    model.calibrate(mixed, false_positive_rate=0.2, review_rate=review_rate)
    skipped = next(model.inspect([tmp_path / "broken.png"]))
    assert (skipped.decision, skipped.verdict, skipped.p_value) == (decision, -1, None)
    with pytest.warns(SkippedImagesWarning):
        assert model.predict([tmp_path / "broken.png"]).tolist() == [-1]


def test_thresholds_by_hand_decide_and_keep_the_p_values(reviewing, tmp_path, mixed):
    reviewing.save(tmp_path / "m.adlib")
    model = adlib.load(tmp_path / "m.adlib")
    scores = np.sort(model.score(mixed).astype(float))
    model.review_threshold_, model.threshold_ = scores[1], scores[3]
    found = sorted(model.inspect(mixed), key=lambda one: one.score)
    assert [one.decision for one in found] == [*["PASS"] * 2, *["REVIEW"] * 2] + [
        "FAIL"
    ] * 2
    assert found[0].p_value == p_value(reviewing.calibration_.scores, found[0].score)
    text = model.describe()["threshold"]
    assert text.count("set by hand") == 2
    model.threshold_ = 0.0
    assert next(model.inspect(mixed)).threshold_ratio is None
    model.review_threshold_ = "high"
    with pytest.raises(TypeError, match="review_threshold_ of PatchCore"):
        next(model.inspect(mixed))


def test_other_aggregations_have_no_p_values(good, mixed):
    model = PatchCore(**SMALL).fit(good)
    model.calibrate(MANY, false_positive_rate=0.1, review_rate=0.5)
    model.set_params(aggregation="max")
    model.threshold_ = 12.0  # but the review threshold is still the one that was set
    with pytest.raises(ValueError, match="aggregation of PatchCore must be 'top_mean'"):
        next(model.inspect(mixed))
    model.review_threshold_ = None
    assert next(model.inspect(mixed)).p_value is None


def test_all_of_it_is_saved(reviewing, mixed, tmp_path):
    reviewing.save(tmp_path / "m.adlib")
    loaded = adlib.load(tmp_path / "m.adlib")
    assert loaded.calibration_ == reviewing.calibration_
    assert loaded.review_threshold_ == reviewing.review_threshold_
    assert loaded.describe() == reviewing.describe()
    for own, other in zip(reviewing.inspect(mixed), loaded.inspect(mixed), strict=True):
        assert own.p_value == other.p_value
        assert own.decision == other.decision
    loaded.save(tmp_path / "again.adlib")
    assert (tmp_path / "again.adlib").read_bytes() == (
        tmp_path / "m.adlib"
    ).read_bytes()


def test_files_of_earlier_versions_load_and_have_no_p_values(
    reviewing, mixed, tmp_path
):
    path = tmp_path / "m.adlib"
    reviewing.save(path)
    content = read_model(path)
    for name in ("threshold_rule", "review_rate"):
        del content.header["parameters"][name]
    del content.header["state"]["review_threshold"]
    for name in ("rule", "review_rate", "review_threshold", "scores"):
        del content.header["state"]["calibration"][name]
    write_model(path, content)
    model = adlib.load(path)
    assert (model.threshold_rule, model.review_rate) == ("quantile", None)
    assert model.threshold_ == reviewing.threshold_
    found = list(model.inspect(mixed))
    assert {one.p_value for one in found} == {None}
    assert {one.decision for one in found} <= {"PASS", "FAIL"}
    assert model.describe()["threshold"] in reviewing.describe()["threshold"]


def test_the_log_normal_rule_of_left_out_scores(good):
    by_quantile = PatchCore(**SMALL, false_positive_rate=0.2).fit(good)
    model = PatchCore(
        **SMALL, false_positive_rate=0.05, review_rate=0.2, threshold_rule="log-normal"
    ).fit(good)
    left_out = model.left_out_scores_
    np.testing.assert_array_equal(left_out, by_quantile.left_out_scores_)
    assert model.threshold_ == log_normal_threshold(left_out, 0.05)
    assert model.review_threshold_ == log_normal_threshold(left_out, 0.2)
    assert model.pixel_threshold_ > 0
    text = model.describe()["threshold"]
    assert "leave-one-out, about 5 % of good parts predicted anomalous by" in text
    assert "an estimate without a guarantee, from 6 training images" in text
    assert "about 20 % of good parts do not pass" in text


def test_the_log_normal_rule_of_held_out_images(good, mixed):
    model = PatchCore(**SMALL, threshold_rule="log-normal").fit(good)
    model.calibrate(MANY, false_positive_rate=0.01)
    assert model.threshold_ == log_normal_threshold(model.score(MANY), 0.01)
    peaks = model.anomaly_maps(MANY).max(axis=(1, 2))
    assert model.pixel_threshold_ == log_normal_threshold(peaks, 0.01)
    assert (model.calibration_.kind, model.calibration_.rule) == (
        "held-out",
        "log-normal",
    )
    assert "from 20 good images" in model.describe()["threshold"]


def with_odd_ones(n_odd):
    """Return images of which some score far above the others."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    board = np.uint8(255) * (np.indices((64, 64)).sum(axis=0) // 8 % 2).astype(np.uint8)
    return np.concatenate([[noise, board][:n_odd], MANY])


@pytest.mark.slow
@pytest.mark.parametrize("n_odd", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_an_odd_image_that_sets_the_threshold_is_named(n_odd):
    images = with_odd_ones(n_odd)
    rate = 1 / (len(images) + 1)  # the highest score
    with pytest.warns(InputWarning, match="the score of a training image") as caught:
        model = PatchCore(**SMALL, false_positive_rate=rate).fit(images)
    [warning] = caught
    assert warning.filename == __file__
    highest = int(model.left_out_scores_.argmax())
    assert f"unlike the others: 'image {highest}'. Their" in str(warning.message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PatchCore(**SMALL, false_positive_rate=rate, threshold_rule="log-normal").fit(
            images
        )
        # Where a lower score sets the threshold there is nothing to tell.
        PatchCore(**SMALL, false_positive_rate=0.2).fit(images)


def test_good_images_alone_are_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PatchCore(**SMALL, false_positive_rate=1 / 21).fit(MANY)


@pytest.mark.parametrize(
    ("parameters", "fragment"),
    [
        ({"review_rate": 0.3}, "review_rate of PatchCore.fit must be None without"),
        (
            {"review_rate": 0.2, "false_positive_rate": 0.2},
            "review_rate of PatchCore.fit must be above 0.2",
        ),
        (
            {"review_rate": 1.0, "false_positive_rate": 0.2},
            r"review_rate of PatchCore.fit must be a number in \(0, 1\)",
        ),
        (
            {
                "review_rate": 0.5,
                "false_positive_rate": 0.2,
                "threshold_rule": "log-normal",
            },
            "review_rate of PatchCore.fit must be below 0.5 with threshold_rule='log",
        ),
        ({"threshold_rule": "normal"}, "threshold_rule of PatchCore.fit must be one"),
    ],
)
def test_rates_and_rules_are_checked(parameters, fragment, good):
    with pytest.raises(ValueError, match=fragment):
        PatchCore(**SMALL, **parameters).fit(good)


def test_three_images_have_no_log_normal_law(good):
    with pytest.raises(
        ValueError, match=r"X of PatchCore.fit must be at least 4 image"
    ):
        PatchCore(**SMALL, false_positive_rate=0.3, threshold_rule="log-normal").fit(
            good[:3]
        )


def test_labels_take_no_review_rate(fitted, good, mixed):
    model = clone(fitted).fit(good)
    with pytest.raises(ValueError, match=r"review_rate of .* must be None where y is"):
        model.calibrate(mixed, [1, 1, 1, -1, -1, -1], review_rate=0.2)


def test_a_loaded_model_has_no_p_values_of_other_scores(
    fitted, others, mixed, tmp_path
):
    model = copy.copy(fitted).calibrate(others, false_positive_rate=0.2)
    model.set_params(aggregation="max")
    model.threshold_ = 50.0  # by hand: the calibration holds other scores
    model.save(tmp_path / "part.adlib")
    again = load(tmp_path / "part.adlib")
    for one in (model, again):
        assert {result.p_value for result in one.inspect(mixed)} == {None}
        one.set_params(aggregation="top_mean")
    wanted = [result.p_value for result in model.inspect(mixed)]
    assert [result.p_value for result in again.inspect(mixed)] == wanted
    assert None not in wanted


@pytest.mark.parametrize("value", [None, {"aggregation": "max"}, {"aggregation": []}])
def test_what_thresholds_were_set_with_is_checked(fitted, others, tmp_path, value):
    model = copy.copy(fitted).calibrate(others, false_positive_rate=0.2)
    path = tmp_path / "part.adlib"
    model.save(path)
    content = read_model(path)
    content.header["state"]["calibrated_with"] = value
    write_model(path, content)
    with pytest.raises(ModelFileError, match="'calibrated_with' must be an object"):
        load(path)
