"""Data sets in folders become samples, each as its publisher lays it out."""

from __future__ import annotations

from pathlib import Path

import pytest

from adlib.datasets import ANOMALOUS, NORMAL, Sample, read_samples
from adlib.datasets._layouts import class_names

SHARED = Path(__file__).parents[3] / "shared" / "data" / "mvtec_ad"


def put(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def told(samples, root):
    """Return path, label, defect type, mask and split of samples, paths relative."""
    return [
        (
            s.image_path.relative_to(root).as_posix(),
            s.label,
            s.defect_type,
            s.mask_path and s.mask_path.relative_to(root).as_posix(),
            s.split,
        )
        for s in samples
    ]


def test_mvtec_ad(tmp_path):
    root = put(
        tmp_path,
        "nut/train/good/000.png",
        "nut/test/good/000.png",
        "nut/test/crack/000.png",
        "nut/test/crack/001.JPG",
        "nut/ground_truth/crack/000_mask.png",
        "nut/license.txt",
        "zip/train/good/000.png",
        "readme.txt",
    )
    samples = read_samples(root)
    assert class_names(samples) == ["nut", "zip"]
    assert told(samples[:-1], root) == [
        (
            "nut/test/crack/000.png",
            1,
            "crack",
            "nut/ground_truth/crack/000_mask.png",
            "test",
        ),
        ("nut/test/crack/001.JPG", 1, "crack", None, "test"),
        ("nut/test/good/000.png", 0, "good", None, "test"),
        ("nut/train/good/000.png", 0, "good", None, "train"),
    ]
    assert [s.class_name for s in read_samples(root, ["zip", "zip"])] == ["zip"]


def test_mvtec_loco_has_a_folder_of_masks_and_a_validation_set(tmp_path):
    root = put(
        tmp_path,
        "box/train/good/000.png",
        "box/validation/good/000.png",
        "box/test/logical_anomalies/003.png",
        "box/ground_truth/logical_anomalies/003/000.png",
        "box/ground_truth/logical_anomalies/003/001.png",
    )
    assert told(read_samples(root), root) == [
        (
            "box/test/logical_anomalies/003.png",
            1,
            "logical_anomalies",
            "box/ground_truth/logical_anomalies/003",
            "test",
        ),
        ("box/train/good/000.png", 0, "good", None, "train"),
        ("box/validation/good/000.png", 0, "good", None, "validation"),
    ]


def test_mvtec_ad_2_has_a_public_test_set(tmp_path):
    root = put(
        tmp_path,
        "can/train/good/000_regular.png",
        "can/validation/good/000_regular.png",
        "can/test_public/good/000_regular.png",
        "can/test_public/bad/000_overexposed.png",
        "can/test_public/ground_truth/bad/000_overexposed_mask.png",
        "can/test_private/000_regular.png",
    )
    samples = read_samples(root)
    assert len(samples) == 4
    [bad] = [s for s in samples if s.label == ANOMALOUS]
    assert bad.defect_type == "bad"
    assert bad.mask_path.name == "000_overexposed_mask.png"


def test_btad_calls_good_images_ok(tmp_path):
    root = put(
        tmp_path,
        "01/train/ok/0000.bmp",
        "01/test/ok/0001.bmp",
        "01/test/ko/0002.bmp",
        "01/ground_truth/ko/0002.png",
    )
    assert told(read_samples(root), root) == [
        ("01/test/ok/0001.bmp", 0, "good", None, "test"),
        ("01/test/ko/0002.bmp", 1, "ko", "01/ground_truth/ko/0002.png", "test"),
        ("01/train/ok/0000.bmp", 0, "good", None, "train"),
    ]


def test_visa_comes_as_a_table(tmp_path):
    table = tmp_path / "split_csv" / "1cls.csv"
    table.parent.mkdir()
    table.write_text(
        "object,split,label,image,mask\n"
        "candle,train,normal,candle/Data/Images/Normal/0000.JPG,\n"
        "candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,"
        "candle/Data/Masks/Anomaly/000.png\n"
        "pcb1,test,normal,pcb1/Data/Images/Normal/0001.JPG,\n"
    )
    samples = read_samples(tmp_path)
    assert [(s.class_name, s.split, s.label) for s in samples] == [
        ("candle", "test", 1),
        ("candle", "train", 0),
        ("pcb1", "test", 0),
    ]
    assert samples[0].mask_path == tmp_path / "candle/Data/Masks/Anomaly/000.png"
    assert len(read_samples(tmp_path, ["pcb1"])) == 1
    table.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="must have the columns image, label"):
        read_samples(tmp_path)


def test_a_plain_folder_learns_good_and_tests_the_others(tmp_path):
    root = put(tmp_path, "good/a.png", "good/b.tif", "scratch/c.png", "notes/d.txt")
    assert told(read_samples(root), root) == [
        ("scratch/c.png", 1, "scratch", None, "test"),
        ("good/a.png", 0, "good", None, "train"),
        ("good/b.tif", 0, "good", None, "train"),
    ]


def test_the_folder_that_is_worked_in_has_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(put(tmp_path / "nut", "good/a.png", "scratch/c.png"))
    assert {sample.class_name for sample in read_samples(".", ["nut"])} == {"nut"}


def test_samples_are_frozen(tmp_path):
    sample = Sample(tmp_path / "a.png", NORMAL, "good", None, "nut", "train")
    with pytest.raises(AttributeError):
        sample.label = ANOMALOUS


def test_what_is_no_data_set_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        read_samples(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="looks like no data set"):
        read_samples(tmp_path)
    root = put(tmp_path, "nut/train/good/000.png")
    with pytest.raises(FileNotFoundError, match=r"no class 'bolt' .* which has nut"):
        read_samples(root, ["bolt"])
    for wrong in ("nut", []):
        with pytest.raises(ValueError, match="classes of read_samples must be"):
            read_samples(root, wrong)
    with pytest.raises(ValueError, match="layout of read_samples must be one of"):
        read_samples(root, layout="coco")


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the real data of ../shared/data")
def test_real_data_has_the_counts_that_its_page_states():
    samples = read_samples(SHARED)
    counts = {
        (name, split, label): sum(
            (s.class_name, s.split, s.label) == (name, split, label) for s in samples
        )
        for name in ("screw", "magnetic_tile")
        for split, label in (("train", 0), ("test", 0), ("test", 1))
    }
    assert list(counts.values()) == [320, 41, 119, 761, 191, 388]
    assert all(s.mask_path.is_file() for s in samples if s.label == ANOMALOUS)
