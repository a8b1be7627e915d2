"""The evaluator measures what its parts do, as far as the data allow."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from adlib import PatchCore
from adlib.datasets import Sample, read_mask
from adlib.exceptions import ImageError
from adlib.metrics import (
    aupimo,
    best_f1,
    compute_auroc,
    compute_f1_at_threshold,
    compute_pixel_auroc,
    compute_pro,
    per_defect_type,
)
from adlib.study import (
    Masks,
    Predictions,
    evaluate,
    macro_average,
    results_table,
    write_results,
)
from adlib.study._predictions import resized_mask


@pytest.fixture(scope="module")
def samples(tmp_path_factory, good, mixed):
    """Six good images and six others, three of them scratched, with masks."""
    folder = tmp_path_factory.mktemp("samples")
    listed = []
    for number, pixels in enumerate([*good, *mixed]):
        path = folder / f"{number:02d}.png"
        Image.fromarray(pixels).save(path)
        label, mask_path = int(number >= 9), None
        if label:
            mask = np.zeros(pixels.shape, np.uint8)
            mask[20:40, 10 : 20 + number] = 255
            mask_path = folder / f"{number:02d}_mask.png"
            Image.fromarray(mask).save(mask_path)
        kind = ("scratch" if number % 2 else "dent") if label else "good"
        listed.append(Sample(path, label, kind, mask_path, "metal", "test"))
    return listed


@pytest.fixture(scope="module")
def model(samples):
    """A PatchCore of the first five images, with a threshold."""
    fitted = PatchCore(image_size=48, coreset=0.3, on_error="skip", progress=False)
    fitted.fit([sample.image_path for sample in samples[:5]])
    fitted.threshold_ = 0.5
    return fitted


@pytest.fixture(scope="module")
def tested(samples):
    return samples[3:]


def test_every_figure_is_that_of_its_metric(model, tested):
    paths = [sample.image_path for sample in tested]
    y = [sample.label for sample in tested]
    scores, maps = model.score(paths), model.anomaly_maps(paths)
    threshold = float(np.median(scores))
    found = evaluate(model, tested, threshold)
    assert (found.method, found.class_name) == ("PatchCore", "metal")
    assert (found.n_normal, found.n_anomalous, found.n_skipped) == (6, 3, 0)
    masks = [
        np.zeros((48, 48), bool)
        if sample.mask_path is None
        else resized_mask(read_mask(sample.mask_path), (48, 48))
        for sample in tested
    ]
    figures = found.figures()
    assert figures["image_auroc"] == compute_auroc(y, scores)
    assert figures["image_f1"] == compute_f1_at_threshold(y, scores, threshold)
    assert figures["image_best_f1"] == best_f1(y, scores).f1
    assert figures["pixel_auroc"] == compute_pixel_auroc(masks, maps)
    assert figures["aupro"] == compute_pro(masks, maps, 0.3)
    assert figures["aupimo"] == aupimo(masks, maps).mean
    types = [sample.defect_type for sample in tested]
    assert found.defect_types == per_defect_type(y, scores, types, threshold)
    assert sum(group.n_images for group in found.sizes.values()) == 3
    assert sum(group.n_images for group in found.positions.values()) == 3
    assert found.image.auroc.low <= found.image.auroc.value <= found.image.auroc.high
    assert sum(found.image.confusion) == 9


def test_a_model_brings_its_threshold_and_its_predictions_serve_as_well(model, tested):
    found = evaluate(model, tested)
    assert found.threshold == 0.5
    kept = Predictions.of(model, tested)
    assert evaluate(kept, tested, 0.5, method="PatchCore") == found
    with pytest.raises(ValueError, match="those that the Predictions were made of"):
        evaluate(kept, tested[:-1], 0.5)


def test_scores_alone_give_what_needs_no_map(model, tested):
    scores = model.score([sample.image_path for sample in tested])
    found = evaluate(scores, tested)
    assert found.method == "scores"
    assert found.pixel is found.threshold is found.image.f1 is None
    whole = evaluate(model, tested)
    assert found.image.auroc == whole.image.auroc
    assert "pixel_auroc" not in found.figures()
    assert found.sizes.keys() == whole.sizes.keys()


def test_without_anomalous_images_there_are_verdicts_but_no_curves(model, tested):
    good = [sample for sample in tested if not sample.label]
    found = evaluate(model, good, 0.0)
    assert found.image.auroc is found.pixel is None
    assert found.image.specificity == 0.0
    assert not found.defect_types
    assert np.isnan(found.image.recall)
    json.dumps(found.as_dict(), allow_nan=False)


def test_without_masks_there_is_nothing_by_pixel(model, tested):
    bare = [
        Sample(s.image_path, s.label, s.defect_type, None, s.class_name, s.split)
        for s in tested
    ]
    found = evaluate(model, bare)
    assert found.pixel is None
    assert found.sizes == found.positions == {}
    assert found.image.auroc == evaluate(model, tested).image.auroc


def test_anomalous_images_without_a_mask_are_left_out_by_pixel_alone(model, tested):
    last = tested[-1]
    partly = [
        *tested[:-1],
        Sample(last.image_path, 1, last.defect_type, None, "metal", "test"),
    ]
    found = evaluate(model, partly)
    assert found.n_anomalous == 3
    assert found.pixel.n_images == 8
    assert found.pixel == evaluate(model, tested[:-1]).pixel


def test_skipped_images_are_counted_and_left_out(model, tested, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    extra = Sample(broken, 1, "dent", tested[-1].mask_path, "metal", "test")
    found = evaluate(model, [tested[0], extra, *tested[1:]])
    assert found.n_skipped == 1
    whole = evaluate(model, tested)
    assert found.image == whole.image
    assert found.pixel == whole.pixel
    strict = PatchCore(image_size=48, coreset=0.3, progress=False)
    strict.fit([sample.image_path for sample in tested[:3]])
    with pytest.raises(ImageError, match="broken"):
        evaluate(strict, [extra])


def test_scores_that_do_not_fit_are_refused(tested):
    with pytest.raises(ValueError, match=r"\(9,\) numbers, one for each sample"):
        evaluate([1.0, 2.0], tested)
    with pytest.raises(ValueError, match="at least one image"):
        evaluate([], [])
    with pytest.raises(TypeError, match="scores of Predictions"):
        evaluate(["a"] * 9, tested)


def test_masks_are_those_of_the_nearest_pixels_and_none_vanishes():
    mask = np.zeros((8, 12), bool)
    mask[1, 2] = True
    expected = np.zeros((4, 6), bool)
    for row in range(4):
        for column in range(6):
            expected[row, column] = mask[2 * row + 1, 2 * column + 1]
    assert not expected.any()
    found = resized_mask(mask, (4, 6))
    assert np.argwhere(found).tolist() == [[0, 1]]
    mask[3, 5] = True
    assert np.argwhere(resized_mask(mask, (4, 6))).tolist() == [[1, 2]]
    assert resized_mask(mask, (8, 12)) is mask
    assert not resized_mask(np.zeros((9, 9), bool), (2, 2)).any()
    assert resized_mask(np.ones((3, 5), bool), (7, 9)).all()


def test_masks_are_read_when_asked_for(samples):
    masks = Masks(samples, (32, 32))
    assert len(masks) == len(samples) == len(list(masks))
    assert not masks[0].any()
    assert masks[9].any()


def test_files_hold_every_figure_and_the_macro_average(model, tested, tmp_path):
    one = evaluate(model, tested, 0.5)
    scores = np.arange(9.0)
    other = evaluate(scores, tested, 3.5, method="order")
    wood = [
        Sample(s.image_path, s.label, s.defect_type, s.mask_path, "wood", s.split)
        for s in tested
    ]
    third = evaluate(-scores, wood, -3.5, method="order")
    paths = write_results([one, other, third], tmp_path / "new", "clean", {"seed": 42})
    content = json.loads(paths[0].read_text())
    assert content["seed"] == 42
    order = content["methods"]["order"]
    assert set(order["classes"]) == {"metal", "wood"}
    assert order["classes"]["metal"]["image"]["auroc"]["value"] == 1.0
    assert order["macro_average"]["image_auroc"] == 0.5
    assert macro_average([other, third]) == order["macro_average"]
    with paths[1].open() as file:
        rows = list(csv.DictReader(file))
    values = {(r["method"], r["class"], r["metric"]): float(r["value"]) for r in rows}
    assert values["order", "macro average", "image_auroc"] == 0.5
    assert values["PatchCore", "metal", "aupro"] == one.pixel.aupro
    table = results_table([one, other, third], ["image_auroc", "aupro"])
    lines = table.splitlines()
    assert lines[0].split() == ["method", "class", "auroc", "aupro"]
    assert lines[2].split() == ["order", "metal", "1.0000", "-"]
    assert lines[4].split() == ["order", "macro", "average", "0.5000", "-"]


def test_what_is_no_number_is_null_and_no_error(tmp_path):
    # Nothing is called anomalous, so there is no precision.
    alone = [Sample(tmp_path / "0.png", 0, "good", None, "metal", "test")]
    one = evaluate([0.3], alone, 0.5)
    paths = write_results([one], tmp_path, "clean")
    method = json.loads(paths[0].read_text())["methods"]["scores"]
    assert method["classes"]["metal"]["image"]["precision"] is None
    assert method["macro_average"]["image_precision"] is None
    assert "image_precision,nan" in paths[1].read_text()


def test_a_method_comes_once_a_class(tested, tmp_path):
    one = evaluate(np.arange(9.0), tested)
    with pytest.raises(ValueError, match=r"'scores' twice for 'metal'"):
        write_results([one, one], tmp_path, "clean")
    with pytest.raises(ValueError, match="at least one; got none"):
        results_table([], ["aupro"])
