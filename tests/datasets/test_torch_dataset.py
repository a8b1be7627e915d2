"""The torch Dataset gives image, mask, label and path, and estimators take it."""

from __future__ import annotations

import signal

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms, tv_tensors
from torchvision.transforms import v2

from adlib import PatchCore
from adlib.datasets import (
    MVTecDataset,
    Sample,
    ShiftDomainTransform,
    get_clean_transforms,
)
from adlib.datasets._torch_dataset import UNKNOWN
from adlib.exceptions import ImageError
from tests.conftest import scratched, texture


@pytest.fixture
def files(tmp_path):
    """Four good images and two scratched ones with masks, all 64x64."""
    images, masks = [], []
    for seed in range(6):
        defective = seed >= 4
        pixels = scratched(seed) if defective else texture(seed)
        images.append(tmp_path / f"{seed}.png")
        Image.fromarray(pixels).save(images[-1])
        masks.append(None)
        if defective:
            mask = np.zeros((64, 64), np.uint8)
            mask[30:34, 8:-8] = 255
            masks[-1] = tmp_path / f"{seed}_mask.png"
            Image.fromarray(mask).save(masks[-1])
    return images, masks


def test_an_entry_is_image_mask_label_and_path(files):
    images, masks = files
    dataset = MVTecDataset(images, masks)
    image, mask, label, path = dataset[5]
    assert (image.shape, image.dtype) == ((3, 64, 64), torch.float32)
    assert (mask.shape, mask.dtype) == ((1, 64, 64), torch.uint8)
    assert (label, path) == (1, str(images[5]))
    np.testing.assert_allclose(image[0] * 255, scratched(5), atol=1e-4)
    assert int(mask.sum()) == 4 * 48
    assert dataset[0].label == 0
    assert int(dataset[0].mask.sum()) == 0


def test_training_takes_normal_images_alone(files):
    images, masks = files
    assert len(MVTecDataset(images, masks, phase="train")) == 4
    assert len(MVTecDataset(images, masks, phase="val")) == 6
    assert len(MVTecDataset(images, phase="train")) == 6  # all that are given
    with pytest.raises(ValueError, match="labels of MVTecDataset must be normal for"):
        MVTecDataset(images[4:], masks[4:], phase="train")


def test_a_mask_that_nobody_drew_is_unknown_not_normal(files):
    images, _ = files
    dataset = MVTecDataset(images, labels=[0, 0, 0, 0, 1, 1])
    assert set(dataset[4].mask.unique().tolist()) == {UNKNOWN}
    assert set(dataset[0].mask.unique().tolist()) == {0}


def test_samples_become_a_data_set(files):
    images, masks = files
    samples = [
        Sample(image, int(mask is not None), "good", mask, "tile", "test")
        for image, mask in zip(images, masks, strict=True)
    ]
    dataset = MVTecDataset.from_samples(samples)
    assert [entry.label for entry in dataset] == [0, 0, 0, 0, 1, 1]


@pytest.fixture
def child_signals():
    """Put back the handler that torch sets for its workers' ends and leaves behind.

    Later tests start other processes; with that handler, on the signal stack that
    another library left, the end of one of those crashed the whole run.
    """
    before = signal.getsignal(signal.SIGCHLD)
    yield
    signal.signal(signal.SIGCHLD, before)


@pytest.mark.slow
@pytest.mark.usefixtures("child_signals")
def test_a_loader_with_workers_gives_batches(files):
    dataset = MVTecDataset(*files, get_clean_transforms(48))
    # Not forked off the tests' own process, which has threads of many libraries.
    apart = {"num_workers": 2, "multiprocessing_context": "forkserver"}
    loader = DataLoader(dataset, batch_size=4, **apart)
    first, last = list(loader)
    assert (first.image.shape, first.mask.shape) == ((4, 3, 48, 48), (4, 1, 48, 48))
    assert last.label.tolist() == [1, 1]
    assert list(last.image_path) == [str(path) for path in files[0][4:]]
    assert set(last.mask.unique().tolist()) == {0, 1}


def test_estimators_score_a_data_set_as_they_score_its_files(files):
    images, masks = files
    model = PatchCore(image_size=64, coreset=0.2, progress=False)
    dataset = MVTecDataset(images, masks, get_clean_transforms(64), "train")
    model.fit(dataset)
    assert model.training_images_ == [str(path) for path in images[:4]]
    tested = MVTecDataset(images, masks, get_clean_transforms(64))
    loader = DataLoader(tested, batch_size=4)
    by_files = PatchCore(image_size=64, coreset=0.2, progress=False).fit(images[:4])
    np.testing.assert_array_equal(model.score(tested), by_files.score(images))
    np.testing.assert_array_equal(model.score(loader), by_files.score(images))
    assert [result.path for result in model.inspect(loader)] == list(map(str, images))


def test_a_shift_follows_the_position_among_all_images(files):
    images, masks = files
    shift = ShiftDomainTransform(random_state=1)
    whole = MVTecDataset(images, masks, shift, labels=[1, 0, 1, 0, 0, 0])
    train = MVTecDataset(images, masks, shift, "train", labels=[1, 0, 1, 0, 0, 0])
    assert torch.equal(train[1].image, whole[3].image)
    assert not torch.equal(train[1].image, train[0].image)


def test_clean_transforms_keep_masks_whole_and_normalise_on_demand(files):
    images, masks = files
    entry = MVTecDataset(images, masks, get_clean_transforms((32, 96)))[4]
    assert entry.image.shape == (3, 32, 96)
    assert set(entry.mask.unique().tolist()) == {0, 1}
    normalised = MVTecDataset(images, masks, get_clean_transforms(64, normalize=True))
    plain = MVTecDataset(images, masks, get_clean_transforms(64))
    expected = (plain[0].image[2] - 0.406) / 0.225
    torch.testing.assert_close(normalised[0].image[2], expected)
    with pytest.raises(ImageError, match="adlib normalises them"):
        PatchCore(image_size=64).fit(normalised)


def as_dict(image, mask):
    return {"image": image, "mask": mask}


WRONG_TRANSFORMS = [
    (as_dict, TypeError, "two tensors, image and mask.*got one that returns dict"),
    (lambda image, mask: image, TypeError, r"one that returns Tensor of shape \(1, 64"),
    (lambda image, mask: (image.numpy(), mask), TypeError, "two tensors"),
    (lambda image, mask: (image[:, :9], mask), ValueError, r"\(1, 9, 64\) and \(1, 64"),
    (lambda image, mask: (image, mask[0]), ValueError, r"and \(64, 64\)"),
    (v2.Lambda(lambda x: x[..., :9], tv_tensors.Image), ValueError, "of one size"),
    (v2.ToPILImage(), TypeError, "two tensors, image and mask"),
    (transforms.Resize((32, 32)), TypeError, r"takes masks.*same names in .*\.v2 do"),
]


@pytest.mark.parametrize(("transform", "kind", "fragment"), WRONG_TRANSFORMS)
def test_transforms_that_return_no_image_and_mask_of_one_size_are_named(
    transform, kind, fragment, files
):
    dataset = MVTecDataset(*files, transform)
    with pytest.raises(kind, match=f"transform of MVTecDataset .*{fragment}"):
        dataset[5]


def test_what_does_not_fit_is_refused(files):
    images, masks = files
    with pytest.raises(ValueError, match="image_paths of MVTecDataset must be a list"):
        MVTecDataset([])
    with pytest.raises(ValueError, match="Without masks pass labels"):
        MVTecDataset(images)
    with pytest.raises(ValueError, match=r"mask_paths .* as long as image_paths \(6\)"):
        MVTecDataset(images, masks[:2])
    with pytest.raises(ValueError, match="labels of MVTecDataset must be 0"):
        MVTecDataset(images, masks, labels=[0, 0, 0, 0, 1, 2])
    with pytest.raises(ValueError, match="phase of MVTecDataset must be one of"):
        MVTecDataset(images, masks, phase="validation")
    with pytest.raises(TypeError, match="transform of MVTecDataset must be None or a"):
        MVTecDataset(images, masks, [v2.RandomHorizontalFlip()])
    Image.fromarray(np.zeros((32, 64), np.uint8)).save(masks[4])
    with pytest.raises(ImageError, match="must be as large as its image"):
        MVTecDataset(images, masks)[4]
