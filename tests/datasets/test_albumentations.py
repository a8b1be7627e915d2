"""Pipelines of albumentations and torchvision, and the study's shift by the former."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from adlib.datasets import MVTecDataset, ShiftDomainTransform, ShiftSettings
from adlib.datasets._shift import Shift

needs_albumentations = pytest.mark.skipif(
    find_spec("albumentations") is None, reason="albumentations is not installed"
)
LEFT = np.zeros((48, 64), bool)
LEFT[8:24, 4:20] = True
EDGE = 3  # pixels along an edge that interpolation may take either way
RANGES = ShiftSettings(backend="albumentations")


def saved(folder, colour):
    """Write an image that is bright where its mask is 1; return both paths."""
    pixels = np.where(LEFT, 250, 10).astype(np.uint8)
    pixels = np.repeat(pixels[..., None], 3, axis=2) if colour else pixels
    Image.fromarray(pixels).save(folder / "part.png")
    Image.fromarray(LEFT.astype(np.uint8) * 255).save(folder / "mask.png")
    return [folder / "part.png"], [folder / "mask.png"]


def marks_what_is_bright(image, mask):
    """Hold a mask against the brightness of its image, but for pixels of edges."""
    wrong = (image.mean(0) > 0.5) != mask[0].bool()
    return int(wrong.sum()) <= EDGE * 64


@pytest.mark.parametrize("colour", [False, True])
def test_torchvision_moves_the_mask_with_its_image(tmp_path, colour):
    transform = v2.Compose([v2.RandomHorizontalFlip(1.0), v2.Resize((96, 128))])
    (entry,) = MVTecDataset(*saved(tmp_path, colour), transform)
    assert entry.image.shape == (3, 96, 128)
    assert (type(entry.image), type(entry.mask)) == (torch.Tensor, torch.Tensor)
    assert entry.mask.dtype == torch.uint8
    assert entry.mask.unique().tolist() == [0, 1]
    assert entry.mask[0, :, :64].sum() == 0  # it lies to the right now
    assert marks_what_is_bright(entry.image, entry.mask)


def test_any_function_is_called_with_both(tmp_path):
    def turned(image, mask):
        return image.rot90(1, (1, 2)), mask.rot90(1, (1, 2))

    (entry,) = MVTecDataset(*saved(tmp_path, True), turned)
    assert entry.image.shape == (3, 64, 48)
    assert marks_what_is_bright(entry.image, entry.mask)


@pytest.mark.slow
@needs_albumentations
class TestAlbumentations:
    """What imports it, which takes seconds."""

    @pytest.mark.parametrize("colour", [False, True])
    @pytest.mark.parametrize("as_tensor", [False, True])
    def test_a_pipeline_moves_the_mask_too(self, tmp_path, colour, as_tensor):
        import albumentations

        parts = [albumentations.HorizontalFlip(p=1), albumentations.Resize(96, 128)]
        parts += [albumentations.RandomBrightnessContrast(p=1)]
        parts += [albumentations.ToTensorV2()] * as_tensor
        transform = albumentations.Compose(parts, seed=1)
        (entry,) = MVTecDataset(*saved(tmp_path, colour), transform)
        assert entry.image.shape == (3, 96, 128)
        assert entry.image.dtype == torch.float32
        assert (entry.mask.shape, entry.mask.dtype) == ((1, 96, 128), torch.uint8)
        assert entry.mask[0, :, :64].sum() == 0
        assert marks_what_is_bright(entry.image, entry.mask)

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("index", range(8))
    def test_a_shift_keeps_the_mask_on_what_it_marks(self, index, channels):
        quiet = replace(RANGES, colour=None, illumination=None, noise=None)
        image = torch.from_numpy(LEFT.astype(np.float32)).repeat(channels, 1, 1)
        mask = torch.from_numpy(LEFT.astype(np.uint8))[None]
        shift = ShiftDomainTransform(quiet).at(index)
        moved, moved_mask = shift(image, mask)
        assert moved.shape == image.shape
        assert marks_what_is_bright(moved, moved_mask)
        assert torch.equal(shift.move(mask), moved_mask)

    def test_masks_lie_to_no_side_of_their_images(self):
        kept = {"colour": None, "illumination": None, "blur": None, "noise": None}
        transform = ShiftDomainTransform(replace(RANGES, **kept), random_state=0)
        mask = torch.from_numpy(LEFT.astype(np.uint8))[None]
        offsets = []
        for index in range(40):
            moved, moved_mask = transform.at(index)(mask.float(), mask)
            both = (moved[0] > 0.5, moved_mask[0])
            centres = [one.nonzero().float().mean(0) for one in both]
            offsets.append(centres[1] - centres[0])
        assert torch.stack(offsets).mean(0).abs().max() < 0.1  # pixels

    def test_a_seed_gives_the_same_bytes_and_others_give_others(self):
        image, mask = torch.rand(3, 40, 50), torch.zeros(1, 40, 50, dtype=torch.uint8)
        transform = ShiftDomainTransform(RANGES, random_state=7)
        one, again, other = (transform.at(i)(image, mask)[0] for i in (3, 3, 4))
        assert torch.equal(one, again)
        assert not torch.equal(one, other)

    def test_an_attempt_draws_another_pose_alone(self):
        poses = replace(RANGES, illumination_ratio=1.0)
        mask = torch.from_numpy(LEFT.astype(np.uint8))[None]
        flat = torch.full((1, 48, 64), 0.5)
        first, second = (ShiftDomainTransform(poses).at(0, attempt=i) for i in (0, 1))
        assert not torch.equal(first.move(mask), second.move(mask))
        torch.testing.assert_close(first(flat, mask)[0], second(flat, mask)[0])

    @pytest.mark.parametrize(
        ("settings", "shift"),
        [
            ({"rotation": (7, 7)}, Shift(rotation=7.0)),
            ({"translation": (0.125, 0.125)}, Shift(offset=(0.125, 0.125))),
            ({"blur": (5, 5)}, Shift(blur=5)),
        ],
    )
    def test_one_value_gives_what_torchvision_gives(self, settings, shift):
        rng = np.random.default_rng(0)
        coarse = torch.from_numpy(rng.random((1, 1, 6, 8), np.float32))
        image = torch.nn.functional.interpolate(coarse, (48, 64), mode="bicubic")[0]
        image = image.clamp(0, 1)
        mask = torch.from_numpy(LEFT.astype(np.uint8))[None]
        alone = RANGES.only(*settings)
        (found, found_mask) = ShiftDomainTransform(replace(alone, **settings)).at(0)(
            image, mask
        )
        expected, expected_mask = shift(image, mask)
        inner = (slice(None), slice(6, -6), slice(6, -6))
        assert (found - expected)[inner].abs().max() < 0.05
        assert (found_mask != expected_mask).sum() <= EDGE * 32

    def test_light_and_noise_lie_within_their_ranges(self):
        flat = torch.full((1, 64, 64), 0.8)
        mask = torch.zeros(1, 64, 64, dtype=torch.uint8)
        lit = replace(RANGES.only("illumination"), illumination_ratio=1.0)
        for index in range(10):
            image, _ = ShiftDomainTransform(lit).at(index)(flat, mask)
            assert 0.8 * (1 - 0.7) <= image.min() < image.max() <= 0.8
            image, _ = ShiftDomainTransform(RANGES.only("noise")).at(index)(flat, mask)
            assert 0.009 < image.std() < 0.055
