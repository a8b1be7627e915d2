"""Arguments are accepted, converted or refused with a message that says why."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adlib._validation import (
    check_bool,
    check_coreset,
    check_image_size,
    check_int,
    check_option,
    check_random_state,
    check_ratio,
    coreset_size,
    describe,
    refusal,
)

NAN, INF = float("nan"), float("inf")


def test_a_scalar_is_described_by_its_value():
    assert describe(-3) == "-3"
    assert describe("cosine") == "'cosine'"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.zeros((2, 3), np.float16), "ndarray of shape (2, 3) and dtype float16"),
        (torch.zeros(4), "Tensor of shape (4,) and dtype torch.float32"),
    ],
)
def test_an_array_is_described_by_its_shape_and_dtype(value, words):
    assert describe(value) == words


def test_a_long_value_is_cut_short_and_its_type_named():
    words = describe(list(range(1000)))
    assert words.startswith("list [0, 1, 2")
    assert words.endswith("...")
    assert len(words) < 100


def test_a_refusal_names_parameter_owner_rule_value_and_remedy():
    message = refusal("coreset", "PatchCore", "a ratio", 7.5, "Pass 0.1.")
    assert message == "coreset of PatchCore must be a ratio; got 7.5. Pass 0.1."


def test_a_refusal_takes_words_about_what_came_as_they_are():
    assert refusal("X", "fit", "an image", "none").endswith("got none.")


@pytest.mark.parametrize("value", [1, 5, np.int64(3), np.uint8(2)])
def test_integers_within_the_limits_become_plain_integers(value):
    number = check_int(value, "k", "fit", low=1, high=5)
    assert number == value
    assert type(number) is int


@pytest.mark.parametrize("value", [True, np.True_, 1.0, "1", None, np.array([1])])
def test_what_is_no_integer_is_refused_as_a_type(value):
    with pytest.raises(TypeError, match=r"^k of fit must be an integer of at least 1"):
        check_int(value, "k", "fit", low=1)


@pytest.mark.parametrize("value", [0, 6, -1, np.int64(10)])
def test_integers_outside_the_limits_are_refused_as_values(value):
    with pytest.raises(ValueError, match=r"k of fit .* in \[1, 5\]; got .*\d"):
        check_int(value, "k", "fit", low=1, high=5)


@pytest.mark.parametrize("value", [1e-9, 0.5, np.float32(0.25), 1, 1.0])
def test_ratios_become_plain_floats(value):
    number = check_ratio(value, "ratio", "fit", closed=True)
    assert number == value
    assert type(number) is float


@pytest.mark.parametrize("value", [0.0, -0.1, 1.1, NAN, INF, -INF])
@pytest.mark.parametrize("closed", [True, False])
def test_ratios_outside_the_interval_are_refused(value, closed):
    with pytest.raises(ValueError, match=r"ratio of fit must be a number in \(0, 1"):
        check_ratio(value, "ratio", "fit", closed=closed)


def test_an_open_interval_excludes_one():
    with pytest.raises(ValueError, match=r"a number in \(0, 1\); got 1"):
        check_ratio(1.0, "ratio", "fit", closed=False)


@pytest.mark.parametrize("value", [True, "0.5", None, 1j, np.array([0.5])])
def test_what_is_no_number_is_no_ratio(value):
    with pytest.raises(TypeError, match="ratio of fit must be a number"):
        check_ratio(value, "ratio", "fit", closed=True)


def test_an_option_is_returned():
    assert check_option(np.str_("b"), "mode", "fit", ("a", "b")) == "b"


@pytest.mark.parametrize(
    ("value", "error"), [("c", ValueError), ("A", ValueError), (1, TypeError)]
)
def test_an_unknown_option_is_answered_with_the_list(value, error):
    with pytest.raises(error, match="mode of fit must be one of 'a', 'b'; got"):
        check_option(value, "mode", "fit", ("a", "b"))


@pytest.mark.parametrize("value", [True, False, np.True_])
def test_bools_become_plain_bools(value):
    assert check_bool(value, "progress", "fit") is bool(value)


@pytest.mark.parametrize("value", [0, 1, "yes", None])
def test_what_is_no_bool_is_refused(value):
    with pytest.raises(TypeError, match="progress of fit must be True or False; got"):
        check_bool(value, "progress", "fit")


@pytest.mark.parametrize("value", [None, 0, 42, np.int32(7)])
def test_seeds_are_none_or_integers(value):
    assert check_random_state(value, "random_state", "fit") == value


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (-1, ValueError),
        (2**70, ValueError),
        (0.5, TypeError),
        (np.random.default_rng(0), TypeError),
    ],
)
def test_what_is_no_seed_is_refused(value, error):
    with pytest.raises(error, match="random_state of fit must be an integer"):
        check_random_state(value, "random_state", "fit")


@pytest.mark.parametrize(
    ("value", "kind"),
    [(1, int), (500, int), (np.int64(5), int), (1.0, float), (np.float32(0.5), float)],
)
def test_a_coreset_is_a_count_or_a_ratio_by_its_type(value, kind):
    checked = check_coreset(value, "coreset", "PatchCore")
    assert checked == value
    assert type(checked) is kind


@pytest.mark.parametrize("value", [0.0, 1.5, NAN, -0.1])
def test_a_coreset_ratio_outside_the_interval_is_refused(value):
    with pytest.raises(ValueError, match=r"a ratio in \(0, 1\] or a count of patches"):
        check_coreset(value, "coreset", "PatchCore")


@pytest.mark.parametrize("value", [0, -3])
def test_a_coreset_count_below_one_is_refused(value):
    with pytest.raises(ValueError, match=r"coreset of PatchCore .*at least 1; got"):
        check_coreset(value, "coreset", "PatchCore")


@pytest.mark.parametrize("value", [True, np.False_, "all", None])
def test_a_coreset_that_is_no_number_is_refused(value):
    with pytest.raises(TypeError, match="coreset of PatchCore must be"):
        check_coreset(value, "coreset", "PatchCore")


@pytest.mark.parametrize(
    ("coreset", "n_patches", "size"),
    [(0.1, 100, 10), (0.001, 10, 1), (1.0, 7, 7), (1, 7, 1), (5, 3, 3), (0.25, 10, 2)],
)
def test_a_coreset_has_at_least_one_patch_and_at_most_all(coreset, n_patches, size):
    assert coreset_size(coreset, n_patches) == size


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (64, (64, 64)),
        ((32, 48), (32, 48)),
        ([16, 20], (16, 20)),
        (np.int64(16), (16, 16)),
    ],
)
def test_an_image_size_is_a_side_or_height_and_width(value, size):
    assert check_image_size(value, "image_size", "PatchCore") == size


@pytest.mark.parametrize(
    ("value", "error", "fragment"),
    [
        (15, ValueError, "at least 16; got 15"),
        ((64, 8), ValueError, "at least 16; got 8"),
        ((64,), ValueError, r"a pair \(height, width\); got \(64,\)"),
        ((1, 2, 3), ValueError, r"a pair \(height, width\)"),
        ("64", TypeError, "got '64'"),
        (64.0, TypeError, r"got 64\.0"),
        ((64, None), TypeError, "got None"),
        (True, TypeError, "got True"),
    ],
)
def test_an_unusable_image_size_is_refused(value, error, fragment):
    with pytest.raises(error, match=f"image_size of PatchCore .*{fragment}"):
        check_image_size(value, "image_size", "PatchCore")
