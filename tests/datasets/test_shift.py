"""A shift moves image and mask alike, and draws what its number says."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from adlib.datasets import ShiftDomainTransform, ShiftSettings, get_shift_transforms
from adlib.datasets._shift import (
    LIGHTS,
    Shift,
    add_noise,
    blur,
    jitter_colours,
    light_field,
)
from adlib.datasets._shift_settings import GEOMETRIC, PARTS

SIZES = [(64, 64), (57, 120), (200, 33)]


def blank(height=64, width=64, channels=3, value=0.5):
    image = torch.full((channels, height, width), value)
    return image, torch.zeros((1, height, width), dtype=torch.uint8)


def pose_of(shift):
    return shift.rotation, shift.zoom, shift.offset


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("index", range(6))
def test_a_mask_stays_on_what_it_marks(size, index):
    # An image that is bright where its mask is 1: after the shift, too, but for the
    # pixels that an edge runs through.
    rng = np.random.default_rng(index)
    spots = ndimage.gaussian_filter(rng.standard_normal(size), 5) > 0.02
    mask = torch.from_numpy(spots.astype(np.uint8))[None]
    settings = ShiftSettings().scaled("severe").only(*GEOMETRIC)
    shift = ShiftDomainTransform(settings).at(index)
    image, moved = shift(mask.float().repeat(3, 1, 1), mask)
    assert moved.dtype == torch.uint8
    assert set(moved.unique().tolist()) <= {0, 1}
    inside = moved[0].numpy() == 1
    edge = ndimage.binary_dilation(inside) ^ ndimage.binary_erosion(
        inside, border_value=1
    )
    seen = image[0].numpy() > 0.5
    assert (seen == inside)[~edge].all()
    assert (seen == inside).mean() > 0.97


@pytest.mark.parametrize("size", SIZES)
def test_every_pixel_of_a_mask_comes_from_where_the_matrix_says(size):
    height, width = size
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 2, (1, *size), dtype=np.uint8)
    shift = ShiftDomainTransform(random_state=3).at(5)
    moved = shift.move(torch.from_numpy(mask), nearest=True).numpy()[0]
    matrix = shift.matrix(size)
    for row in range(0, height, 7):
        for column in range(0, width, 5):
            x, y = matrix @ [column + 0.5, row + 0.5, 1.0]
            near_a_border_of_pixels = min(x % 1, 1 - x % 1, y % 1, 1 - y % 1) < 1e-3
            if 0 < x < width and 0 < y < height and not near_a_border_of_pixels:
                assert moved[row, column] == mask[0, int(y), int(x)]


def test_rotation_is_counter_clockwise_and_offsets_go_down_and_right():
    image = torch.zeros(1, 64, 64)
    image[0, 31:33, 50:52] = 1.0  # right of the centre
    turned = Shift(rotation=90.0).move(image)
    assert turned[0, 12:14, 31:33].mean() == pytest.approx(1.0, abs=1e-4)  # above it
    moved = Shift(offset=(5 / 64, -3 / 64)).move(image)
    assert moved[0, 36:38, 47:49].mean() == pytest.approx(1.0, abs=1e-4)
    zoomed = Shift(zoom=1.5).move(image)
    assert zoomed[0, 31:33, 60].mean() == pytest.approx(1.0, abs=1e-4)
    assert zoomed.sum() == pytest.approx(4 * 1.5**2, rel=0.1)


def test_what_comes_from_outside_is_mirrored_not_black():
    image, mask = blank(40, 90)
    settings = ShiftSettings(rotation=(45, 45), crop=None, translation=(0.4, 0.4))
    moved, _ = ShiftDomainTransform(settings.only(*GEOMETRIC)).at(0)(image, mask)
    torch.testing.assert_close(moved, image)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_alone_changes_the_image_and_all_off_changes_nothing(part):
    image = torch.rand((3, 48, 48), generator=torch.Generator().manual_seed(0))
    mask = torch.zeros((1, 48, 48), dtype=torch.uint8)
    settings = ShiftSettings(illumination_ratio=1.0)
    changed, _ = ShiftDomainTransform(settings.only(part)).at(1)(image, mask)
    assert not torch.equal(changed, image)
    same, _ = ShiftDomainTransform(settings.only()).at(1)(image, mask)
    assert torch.equal(same, image)


@pytest.mark.parametrize("part", PARTS)
def test_switching_a_part_off_leaves_what_the_others_draw(part):
    whole = asdict(ShiftDomainTransform(ShiftSettings()).at(9))
    less = asdict(ShiftDomainTransform(replace(ShiftSettings(), **{part: None})).at(9))
    depends = {
        "rotation": {"rotation"},
        "crop": {"zoom", "offset"},
        "translation": {"offset"},
        "illumination": {"gradient"},
    }
    changed = {name for name in whole if whole[name] != less[name]}
    assert changed <= depends.get(part, {part})


def test_a_greater_severity_is_the_same_shift_further():
    mild, severe = (
        ShiftDomainTransform(ShiftSettings().scaled(severity)).at(4)
        for severity in ("mild", "severe")
    )
    assert severe.rotation == pytest.approx(3 * mild.rotation)
    assert severe.noise == pytest.approx(3 * mild.noise)
    assert np.subtract(severe.colour, 1) == pytest.approx(
        3 * np.subtract(mild.colour, 1)
    )


def test_the_seed_of_an_image_is_the_base_seed_and_its_number():
    assert get_shift_transforms(random_state=40).at(5) == get_shift_transforms(
        random_state=45
    ).at(0)
    assert get_shift_transforms(random_state=40).at(5) != get_shift_transforms(
        random_state=40
    ).at(6)


def test_another_attempt_draws_another_pose_and_nothing_else():
    transform = ShiftDomainTransform()
    first, second = transform.at(3), transform.at(3, attempt=1)
    assert pose_of(first) != pose_of(second)
    assert (first.colour, first.gradient, first.blur) == (
        second.colour,
        second.gradient,
        second.blur,
    )
    assert (first.noise, first.noise_seed) == (second.noise, second.noise_seed)


def test_draws_fill_their_ranges_and_half_of_the_images_are_lit():
    shifts = [ShiftDomainTransform().at(index) for index in range(1000)]
    rotations = [shift.rotation for shift in shifts]
    assert -10 <= min(rotations) < -9.8
    assert 9.8 < max(rotations) <= 10
    assert min(s.zoom for s in shifts) >= 1
    assert max(s.zoom for s in shifts) <= 0.9**-0.5
    # A crop stays inside the image: its window moves by what the zoom leaves.
    for shift in shifts:
        assert max(map(abs, shift.offset)) <= (shift.zoom - 1) / 2 + 0.03
    assert {shift.blur for shift in shifts} == {3, 5}
    gradients = [shift.gradient for shift in shifts if shift.gradient]
    assert 450 < len(gradients) < 550
    assert {gradient.kind for gradient in gradients} == set(LIGHTS)
    assert all(0.4 <= gradient.strength <= 0.7 for gradient in gradients)


@pytest.mark.parametrize(
    ("given", "drawn"), [((3, 5), {3, 5}), ((2, 3), {3}), ((4, 4), {3}), ((1, 2), {1})]
)
def test_kernels_are_odd(given, drawn):
    settings = ShiftSettings(blur=given)
    shifts = [ShiftDomainTransform(settings).at(index) for index in range(40)]
    assert {shift.blur for shift in shifts} == drawn


def test_a_linear_gradient_falls_away_from_where_the_light_comes_from():
    left, right, top, bottom = (light_field(kind, 0.6, (0, 0)) for kind in LIGHTS[:4])
    assert left.shape == (128, 128)
    assert (np.diff(left, axis=1) <= 0).all()
    assert left[:, :3].mean() == pytest.approx(0.976, abs=0.005)  # smoothed at the end
    assert left[:, -3:].mean() == pytest.approx(0.424, abs=0.005)
    np.testing.assert_allclose(right, left[:, ::-1], atol=1e-6)
    np.testing.assert_allclose(top, left.T, atol=1e-6)
    np.testing.assert_allclose(bottom, top[::-1], atol=1e-6)


def test_a_radial_gradient_is_brightest_near_its_centre():
    field = light_field("radial", 0.7, (0.25, 0.75))
    row, column = np.unravel_index(field.argmax(), field.shape)
    assert abs(row - 32) < 6
    assert abs(column - 96) < 6
    assert field.min() == field[-1, 0] < 0.4


def test_colours_change_as_their_factors_say():
    image = torch.tensor([0.2, 0.4, 0.3])[:, None, None].repeat(1, 4, 4)
    torch.testing.assert_close(jitter_colours(image, 1.5, 1.0, 1.0), image * 1.5)
    grey = jitter_colours(image, 1.0, 1.0, 0.0)
    assert grey.std(dim=0).max() < 1e-6
    step = torch.tensor([0.25, 0.75]).repeat(1, 4, 2)
    softer = jitter_colours(step, 1.0, 0.5, 3.0)  # one channel: saturation is nothing
    torch.testing.assert_close(softer, 0.25 + 0.5 * step)


def test_blur_keeps_the_mean_and_noise_has_its_deviation():
    image = torch.zeros(1, 33, 33)
    image[0, 16, 16] = 1.0
    soft = blur(image, 5)
    assert soft.sum() == pytest.approx(1.0, abs=1e-5)
    assert int((soft > 0).sum()) == 25
    assert torch.equal(blur(image, 1), image)
    assert blur(torch.rand(1, 2, 40), 7).shape == (1, 2, 40)
    grey = torch.full((1, 200, 200), 0.5)
    noisy = add_noise(grey, 0.05, (0,))
    assert float((noisy - grey).std()) == pytest.approx(0.05, rel=0.02)


def test_a_grey_image_stays_grey_and_values_stay_in_range():
    image, mask = blank(channels=1, value=0.98)
    for index in range(8):
        shifted, _ = ShiftDomainTransform().at(index)(image, mask)
        assert shifted.shape == (1, 64, 64)
        assert 0 <= float(shifted.min()) <= float(shifted.max()) <= 1


def test_a_wrong_number_is_refused():
    with pytest.raises(ValueError, match="index of at must be an integer of at least"):
        ShiftDomainTransform().at(-1)
    with pytest.raises(TypeError, match="random_state of ShiftDomainTransform"):
        ShiftDomainTransform(random_state=1.5)
