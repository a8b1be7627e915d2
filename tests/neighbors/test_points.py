"""What callers pass becomes contiguous float32 rows, or is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from adlib.neighbors._points import as_points


def test_contiguous_float32_is_used_in_place():
    X = np.ones((3, 2), np.float32)
    assert as_points(X, "X", "owner") is X


@pytest.mark.parametrize(
    "X",
    [
        [[1, 2], [3, 4]],
        np.array([[1, 2], [3, 4]], np.uint8),
        np.array([[1, 2], [3, 4]], np.float64),
        np.array([[1, 2], [3, 4]], np.float16),
        np.array([[1, 3], [2, 4]], np.float32).T,
        np.array([[1, 9, 2], [3, 9, 4]], np.float32)[:, ::2],
    ],
    ids=["list", "uint8", "float64", "float16", "transposed", "strided"],
)
def test_other_numbers_become_contiguous_float32(X):
    rows = as_points(X, "X", "owner")
    assert rows.dtype == np.float32
    assert rows.flags.c_contiguous
    assert rows.tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("X", "came"),
    [
        (np.zeros(3), r"shape \(3,\)"),
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"),
        (np.zeros((0, 4)), r"shape \(0, 4\)"),
        (np.zeros((4, 0)), r"shape \(4, 0\)"),
        (np.float64(1.0), r"shape \(\)"),
    ],
)
def test_other_shapes_are_refused(X, came):
    with pytest.raises(ValueError, match=rf"^X of owner must be a 2-D.*{came}"):
        as_points(X, "X", "owner")


@pytest.mark.parametrize(
    ("X", "dtype"),
    [
        ([["a", "b"]], "<U1"),
        ([[True, False]], "bool"),
        ([[1j, 2.0]], "complex128"),
        (np.array([[None, 1]]), "object"),
        ("text", "<U4"),
        (None, "object"),
    ],
)
def test_what_is_no_real_number_is_refused(X, dtype):
    with pytest.raises(TypeError, match=rf"^X of owner must be .* dtype {dtype}"):
        as_points(X, "X", "owner")


@pytest.mark.parametrize(
    ("value", "dtype", "shown"),
    [
        (np.nan, np.float32, "nan"),
        (np.inf, np.float32, "inf"),
        (-np.inf, np.float64, "inf"),
        (4e18, np.float32, r"1\.6e\+37"),
        (1e300, np.float64, "inf"),
    ],
)
def test_a_row_that_no_distance_can_hold_is_named(value, dtype, shown):
    X = np.ones((6, 3), dtype)
    X[4, 1] = value
    with pytest.raises(ValueError, match=rf"finite.*norm of {shown} in row 4"):
        as_points(X, "X", "owner")


def test_the_largest_rows_that_are_allowed_pass():
    X = np.full((2, 1), 3e18, np.float32)
    assert as_points(X, "X", "owner") is X
