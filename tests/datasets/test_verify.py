"""A sound data set passes; each kind of damage is found, named, and told to mend."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from adlib.cli import main
from adlib.datasets import verify
from tests.conftest import scratched, texture

IMAGE_ORIENTATION = 0x0112  # the EXIF tag
QUARTER_TURN = 6


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def mask(height=64, width=64):
    pixels = np.zeros((height, width), np.uint8)
    pixels[30:34, 8:56] = 255
    return pixels


def fill(folder):
    """Make a class of three good training images, two good ones and two scratches."""
    for i in range(3):
        save(folder / f"train/good/{i:03}.png", texture(i))
    for i in range(2):
        save(folder / f"test/good/{i:03}.png", texture(10 + i))
        save(folder / f"test/scratch/{i:03}.png", scratched(20 + i))
        save(folder / f"ground_truth/scratch/{i:03}_mask.png", mask())
    return folder


@pytest.fixture
def nut(tmp_path):
    """The only class of a sound set in the layout of MVTec AD."""
    (tmp_path / "data").mkdir()
    return fill(tmp_path / "data" / "nut")


def found(root, **options):
    """Return severity, kind and path of each problem, the path relative."""
    return [
        (p.severity, p.kind, p.path.relative_to(root).as_posix())
        for p in verify(root, **options).problems
    ]


def test_a_sound_set_has_no_problem(nut):
    report = verify(nut.parent)
    assert report.sound
    assert report.problems == []
    assert report.layout == "mvtec"
    assert report.classes == [
        {
            "class": "nut",
            "train": 3,
            "val": 0,
            "test good": 2,
            "test anomalous": 2,
            "defect types": 1,
            "masks": 2,
            "image sizes": "64x64",
            "problems": 0,
        }
    ]


def test_a_class_without_masks_is_sound(nut):
    shutil.rmtree(nut / "ground_truth")
    assert found(nut.parent) == []


def test_an_anomalous_image_without_mask(nut):
    (nut / "ground_truth/scratch/001_mask.png").unlink()
    assert found(nut.parent) == [("error", "missing mask", "nut/test/scratch/001.png")]


def test_a_mask_without_image(nut):
    (nut / "test/scratch/001.png").unlink()
    orphan = "nut/ground_truth/scratch/001_mask.png"
    assert found(nut.parent) == [("error", "orphan mask", orphan)]


def test_masks_of_normal_images_are_let_pass(nut):
    save(nut / "ground_truth/good/000_mask.png", np.zeros((64, 64), np.uint8))
    assert found(nut.parent) == []


def test_a_mask_of_another_size(nut):
    path = nut / "ground_truth/scratch/001_mask.png"
    save(path, mask(64, 60))
    assert found(nut.parent) == [
        ("error", "mask size", "nut/ground_truth/scratch/001_mask.png")
    ]
    assert "64x60, and its image 64x64" in verify(nut.parent).problems[0].text


def test_an_image_turned_by_exif_has_the_size_it_is_seen_with(nut):
    turned = Image.Exif()
    turned[IMAGE_ORIENTATION] = QUARTER_TURN
    save(nut / "test/scratch/002.png", scratched(30)[:, :40], exif=turned)
    save(nut / "ground_truth/scratch/002_mask.png", mask(40, 64))
    assert found(nut.parent) == []
    save(nut / "ground_truth/scratch/002_mask.png", mask(64, 40))
    assert [kind for _, kind, _ in found(nut.parent)] == ["mask size"]


def test_a_mask_that_marks_nothing(nut):
    save(nut / "ground_truth/scratch/001_mask.png", np.zeros((64, 64), np.uint8))
    assert found(nut.parent) == [
        ("error", "empty mask", "nut/ground_truth/scratch/001_mask.png")
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("train/good/001.png", "unreadable image"),
        ("test/scratch/001.png", "unreadable image"),
        ("ground_truth/scratch/001_mask.png", "unreadable mask"),
    ],
)
def test_a_truncated_file(name, kind, nut):
    whole = (nut / name).read_bytes()
    (nut / name).write_bytes(whole[: len(whole) // 2])
    assert found(nut.parent) == [("error", kind, f"nut/{name}")]
    assert "cannot be decoded" in verify(nut.parent).problems[0].text


def test_a_text_among_the_images(nut):
    for name in ("test/scratch/notes.txt", "ground_truth/notes.txt", "train/.hidden"):
        (nut / name).touch()
    (nut / "license.txt").touch()  # not among the images
    assert found(nut.parent) == [
        ("warning", "not an image", "nut/ground_truth/notes.txt"),
        ("warning", "not an image", "nut/test/scratch/notes.txt"),
    ]
    assert verify(nut.parent).sound


def test_images_where_none_are_looked_for(nut):
    save(nut / "test/000.png", texture(40))
    save(nut / "train/good/more/000.png", texture(41))
    assert found(nut.parent) == [
        ("warning", "unread image", "nut/test/000.png"),
        ("warning", "unread image", "nut/train/good/more/000.png"),
    ]


def test_a_training_image_among_the_test_images_in_another_format(nut):
    colours = np.repeat(texture(1)[:, :, None], 3, axis=2)
    save(nut / "test/good/copy.bmp", colours)
    [problem] = verify(nut.parent).problems
    assert (problem.severity, problem.kind) == ("error", "shared by splits")
    assert problem.path == nut / "test/good/copy.bmp"
    assert str(nut / "train/good/001.png") in problem.text
    assert "Keep it in one split" in problem.remedy


def test_an_image_that_is_both_normal_and_anomalous(nut):
    shutil.copy(nut / "test/scratch/001.png", nut / "test/good/009.png")
    assert found(nut.parent) == [("error", "two labels", "nut/test/scratch/001.png")]


def test_an_image_that_comes_twice_in_a_split(nut):
    shutil.copy(nut / "train/good/001.png", nut / "train/good/009.png")
    assert found(nut.parent) == [
        ("warning", "duplicate image", "nut/train/good/009.png")
    ]


def test_an_image_that_comes_in_two_classes(nut):
    fill(nut.parent / "zip")
    problems = found(nut.parent)
    assert len(problems) == 7
    assert {(severity, kind) for severity, kind, _ in problems} == {
        ("warning", "duplicate image")
    }
    assert all(path.startswith("zip/") for _, _, path in problems)
    assert found(nut.parent, classes=["zip"]) == []


def test_anomalous_images_to_train_with(nut):
    save(nut / "train/crack/000.png", scratched(50))
    assert found(nut.parent) == [
        ("error", "anomalous training image", "nut/train/crack/000.png")
    ]


def test_a_class_without_training_images(nut):
    shutil.copytree(nut, nut.parent / "bolt")
    shutil.rmtree(nut.parent / "bolt" / "train")
    (nut.parent / "notes").mkdir()  # looks like no class
    assert found(nut.parent) == [("error", "no training images", "bolt/train/good")]
    (nut.parent / "bolt/train/good").mkdir(parents=True)
    shutil.rmtree(nut)
    assert found(nut.parent) == [("error", "no training images", "bolt")]


def test_a_class_without_test_images(nut):
    shutil.rmtree(nut / "test/good")
    assert found(nut.parent) == [("warning", "one-sided test", "nut")]
    shutil.rmtree(nut / "test")
    shutil.rmtree(nut / "ground_truth")
    assert found(nut.parent) == [("error", "no test images", "nut")]


def test_counts_unlike_those_published_for_a_class_of_mvtec_ad(nut):
    nut.rename(nut.parent / "metal_nut")
    [problem] = verify(nut.parent).problems
    assert (problem.severity, problem.kind) == ("warning", "published counts")
    assert "has 3/2/2 images" in problem.text
    assert "has 220/22/93" in problem.text


def test_the_folders_of_masks_of_mvtec_loco(nut):
    for i in range(2):
        old = nut / f"ground_truth/scratch/{i:03}_mask.png"
        new = nut / f"ground_truth/scratch/{i:03}"
        new.mkdir()
        old.rename(new / "000.png")
        save(new / "001.png", mask())
    assert found(nut.parent) == []
    save(nut / "ground_truth/scratch/001/002.png", mask(32, 32))
    save(nut / "ground_truth/scratch/009/000.png", mask())
    assert found(nut.parent) == [
        ("error", "orphan mask", "nut/ground_truth/scratch/009/000.png"),
        ("error", "unreadable mask", "nut/ground_truth/scratch/001"),
    ]


def test_mvtec_ad_2_keeps_masks_among_its_test_images(nut):
    (nut / "test").rename(nut / "test_public")
    (nut / "ground_truth").rename(nut / "test_public/ground_truth")
    assert found(nut.parent) == []
    (nut / "test_public/scratch/001.png").unlink()
    assert found(nut.parent) == [
        ("error", "orphan mask", "nut/test_public/ground_truth/scratch/001_mask.png")
    ]


def test_btad_names_masks_like_images(nut):
    (nut / "train/good").rename(nut / "train/ok")
    (nut / "test/good").rename(nut / "test/ok")
    for i in range(2):
        old = nut / f"ground_truth/scratch/{i:03}_mask.png"
        old.rename(old.with_name(f"{i:03}.png"))
    assert found(nut.parent) == []
    save(nut / "ground_truth/scratch/009.png", mask())
    assert found(nut.parent) == [
        ("error", "orphan mask", "nut/ground_truth/scratch/009.png")
    ]


def test_visa_lists_its_images_in_a_table(tmp_path):
    data = tmp_path / "nut" / "Data"
    for i in range(2):
        save(data / f"Images/Normal/{i}.png", texture(i))
    save(data / "Images/Anomaly/0.png", scratched(5))
    save(data / "Masks/Anomaly/0.png", mask())
    table = tmp_path / "split_csv" / "1cls.csv"
    table.parent.mkdir()
    place = "nut/Data"
    rows = [
        "object,split,label,image,mask",
        f"nut,train,normal,{place}/Images/Normal/0.png,",
        f"nut,test,normal,{place}/Images/Normal/1.png,",
        f"nut,test,anomaly,{place}/Images/Anomaly/0.png,{place}/Masks/Anomaly/0.png",
    ]
    table.write_text("\n".join(rows))
    assert found(tmp_path) == []
    save(data / "Masks/Anomaly/9.png", mask())
    (data / "Images/Normal/1.png").unlink()
    assert found(tmp_path) == [
        ("error", "orphan mask", "nut/Data/Masks/Anomaly/9.png"),
        ("error", "unreadable image", "nut/Data/Images/Normal/1.png"),
    ]


def test_a_plain_folder_need_have_nothing_to_test_with(tmp_path):
    save(tmp_path / "good/0.png", texture(0))
    assert found(tmp_path) == []
    save(tmp_path / "scratch/0.png", scratched(1))
    assert found(tmp_path) == []
    shutil.rmtree(tmp_path / "good")
    save(tmp_path / "good/more/0.png", texture(0))
    save(tmp_path / "good/0.png", texture(2))
    assert found(tmp_path, layout="folder") == [
        ("warning", "unread image", "good/more/0.png")
    ]


def test_what_is_no_data_set_is_refused(nut):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        verify(nut / "nowhere")
    with pytest.raises(FileNotFoundError, match="no class 'bolt'"):
        verify(nut.parent, ["bolt"])


def test_the_command_shows_a_table_and_ends_well(nut, capsys):
    fill(nut.parent / "zip")
    root = str(nut.parent)
    assert main(["data", "verify", root]) == 0  # warnings alone
    told = capsys.readouterr().out
    assert "warning: zip: duplicate image" in told
    assert f"{root} is sound: 0 errors, 7 warnings." in told
    assert main(["data", "verify", root, "--classes", "nut"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "nut 3 0 2 2 1 2 64x64 0" in told
    assert "zip" not in told


def test_the_command_tells_what_to_mend_and_ends_with_1(nut, capsys):
    (nut / "ground_truth/scratch/001_mask.png").unlink()
    assert main(["data", "verify", str(nut.parent)]) == 1
    told = capsys.readouterr()
    [line] = [line for line in told.out.splitlines() if line.startswith("error")]
    assert line.startswith(f"error: nut: missing mask: {nut}/test/scratch/001.png is")
    assert line.endswith("draw it, or delete the image.")
    assert "is broken: 1 errors, 0 warnings." in told.out
    assert told.err == ""


def test_a_narrow_terminal_cuts_no_word(nut, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    assert main(["data", "verify", str(nut.parent)]) == 0
    told = capsys.readouterr().out
    assert "anomalous" in told
    assert "64x64" in told
