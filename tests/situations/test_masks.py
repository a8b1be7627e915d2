"""How people store masks, and the tables and folders that go with them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from adlib.datasets import (
    MVTecDataset,
    Sample,
    check_shifted_set,
    load_clean_splits,
    read_mask,
    read_samples,
    save_clean_splits,
    verify,
)
from adlib.datasets._splits import ClassSplit
from adlib.metrics import aupimo, compute_pixel_auroc, compute_pro
from adlib.metrics._breakdown import mask_area_ratio, touches_border
from tests.situations.situation import Place, check, refused, works

SIZE = 64
DEFECT = np.zeros((SIZE, SIZE), np.bool_)
DEFECT[21:34, 9:46] = True
OTHER = np.zeros((SIZE, SIZE), np.bool_)
OTHER[45:52, 12:20] = True
BLACK, WHITE, RED = (0, 0, 0), (255, 255, 255), (255, 0, 0)
CLEAR_BLACK, CLEAR_WHITE = (*BLACK, 0), (*WHITE, 0)
SOLID_BLACK, SOLID_WHITE = (*BLACK, 255), (*WHITE, 255)


def grey(normal: float, anomalous: float, dtype: Any = np.uint8) -> np.ndarray:
    """Return the defect in one value on another."""
    return np.where(DEFECT, anomalous, normal).astype(dtype)


def colours(normal: tuple[int, ...], anomalous: tuple[int, ...]) -> np.ndarray:
    """Return the defect in one colour, or colour and alpha, on another."""
    return np.where(DEFECT[:, :, None], anomalous, normal).astype(np.uint8)


def soft(factor: int = 8) -> np.ndarray:
    """Return the defect as programs draw it smoothly: shifted by half a pixel."""
    large = np.kron(grey(0, 255), np.ones((factor, factor), np.uint8))
    large = np.roll(large, (2, 3), (0, 1))
    size = (SIZE, SIZE)
    return np.asarray(Image.fromarray(large).resize(size, Image.Resampling.BOX))


def palette(path: Path, *painted: tuple[int, ...], **options: Any) -> Path:
    """Write a PNG whose pixels are numbers into a list of colours."""
    image = Image.fromarray(DEFECT.astype(np.uint8))
    image.putpalette([value for colour in painted for value in colour])
    image.save(path, **options)
    return path


def reads(values: np.ndarray, name: str = "m.png", **options: Any):
    """Say that a mask of these values is read as the defect."""
    return works(
        lambda place: np.array_equal(
            read_mask(place.write(name, values, **options)), DEFECT
        )
    )


def mask_refused(values: np.ndarray, says: str, name: str = "m.png"):
    """Say that a mask of these values is refused."""
    return refused(lambda place: read_mask(place.write(name, values)), says)


def data(place: Place, mask: np.ndarray, name: str = "0_mask.png", **options: Any):
    """Write a class in the layout of MVTec AD, and return the root."""
    for i in (0, 1):
        place.write(f"data/nut/train/good/{i}.png", place.good[i])
    place.write("data/nut/test/good/2.png", place.good[2])
    place.write("data/nut/test/crack/0.png", place.good[3])
    place.write(f"data/nut/ground_truth/crack/{name}", mask, **options)
    return place.folder / "data"


def kinds(root: Path) -> list[str]:
    """Return what verify finds."""
    return [problem.kind for problem in verify(root, progress=False).problems]


def reports(kind: str, mask: np.ndarray, name: str = "0_mask.png", **options: Any):
    """Say that verify finds a mask of these values to be of a kind, and no more."""
    return works(lambda place: kinds(data(place, mask, name, **options)) == [kind])


def silent(mask: np.ndarray):
    """Say that verify finds nothing."""
    return works(lambda place: kinds(data(place, mask)) == [])


ROWS = [
    "object,split,label,image,mask",
    "nut,train,normal,nut/a.png,",
    "nut,test,anomaly,nut/b.png,nut/b_mask.png",
]


def table(place: Place, rows: list[str], encoding: str = "utf-8") -> Path:
    """Write VisA's table, and return the root."""
    path = place.folder / "split_csv" / "1cls.csv"
    path.parent.mkdir()
    path.write_bytes("\r\n".join(rows).encode(encoding))
    return place.folder


def table_works(rows: list[str], encoding: str = "utf-8"):
    """Say that a table gives the samples that ``ROWS`` give."""

    def does(place: Place) -> bool:
        root = table(place, rows, encoding)
        return read_samples(root) == [
            Sample(
                root / "nut/b.png", 1, "anomaly", root / "nut/b_mask.png", "nut", "test"
            ),
            Sample(root / "nut/a.png", 0, "good", None, "nut", "train"),
        ]

    return works(does)


def table_refused(rows: list[str], says: str, encoding: str = "utf-8"):
    """Say that a table is refused."""
    return refused(lambda place: read_samples(table(place, rows, encoding)), says)


def labels(normal: str, anomalous: str) -> list[str]:
    """Return the table with other words for its labels."""
    return [row.replace("normal", normal).replace("anomaly", anomalous) for row in ROWS]


def split_file(place: Place, change: Any, encoding: str = "utf-8") -> bool:
    """Change a file of splits, and return whether it is read as before."""
    place.write("nut/a.png", place.good[0])
    sample = Sample(place.folder / "nut" / "a.png", 0, "good", None, "nut", "train")
    split = ClassSplit("nut", 42, (sample,), (), (), 0.8, 0.3)
    path = place.folder / "clean_splits.json"
    save_clean_splits(path, [split], place.folder)
    content = json.loads(path.read_text())
    change(content["classes"]["nut"]["train"][0])
    path.write_bytes(json.dumps(content).encode(encoding))
    return load_clean_splits(path, place.folder) == {"nut": split}


def auroc(mask: Any) -> float:
    """Return the pixel AUROC of a map that is right but for one pixel."""
    heatmap = DEFECT.astype(np.float32)
    heatmap[0, 0] = 2
    return compute_pixel_auroc([mask], [heatmap])


def measures(mask: Any):
    """Say that a mask measures as the defect does."""
    return works(lambda place: auroc(mask) == auroc(DEFECT))


def unmeasured(mask: Any, says: str = "whole numbers, 0 where normal"):
    """Say that a mask is refused by metrics."""
    return refused(lambda place: auroc(mask), says)


def hidden(*names: str):
    """Say that hidden files and folders change neither samples nor verify's report."""

    def does(place: Place) -> bool:
        root = data(place, grey(0, 255))
        before = read_samples(root)
        for name in names:
            place.write(f"data/{name}", place.good[4])
        return read_samples(root) == before and kinds(root) == []

    return works(does)


def hidden_masks(place: Place) -> bool:
    """Read a folder of masks with what a Mac leaves beside them."""
    place.write("000/000.png", grey(0, 255))
    for name in ("._000.png", "@eaDir/000.png"):
        place.write(f"000/{name}", np.full((8, 8), 255, np.uint8))
    return np.array_equal(read_mask(place.folder / "000"), DEFECT)


def hidden_plain(place: Place) -> bool:
    """Read a plain folder with hidden folders beside good."""
    place.write("good/0.png", place.good[0])
    place.write(".ipynb_checkpoints/0.png", place.good[1])
    place.write("__MACOSX/good/._0.png", place.good[1])
    return len(read_samples(place.folder)) == 1 and kinds(place.folder) == []


def hidden_in_shifted_set(place: Place) -> bool:
    """Check a shifted set that a file browser looked into."""
    record = place.folder / "shifted_splits.json"
    record.write_text('{"version": 1, "classes": {"nut": {"sha256": {}}}}')
    place.write("nut/test/images/0.png", place.good[0])
    (place.folder / "nut/test/images/Thumbs.db").touch()
    [unlisted] = check_shifted_set(record, place.folder, progress=False)
    return "0.png is not in the record" in unlisted


def missing_images(place: Place) -> bool:
    """Verify a table whose images are not there."""
    found = kinds(table(place, ROWS))
    return found.count("unreadable image") == 2 and found.count("unreadable mask") == 1


def printed(place: Place) -> bool:
    """Verify an inverted mask by the command."""
    out = place.run("data", "verify", data(place, grey(255, 0))).out
    return "mostly marked mask" in out and "invert it" in out


def of_loader(place: Place) -> bool:
    """Read a JPEG mask through the torch data set."""
    image = place.write("0.png", place.good[0])
    mask = place.write("m.jpg", grey(0, 255))
    entry = MVTecDataset([image], [mask])[0]
    return torch.equal(entry.mask[0].bool(), torch.from_numpy(DEFECT))


def undrawn(place: Place) -> float:
    """Measure with the mask that the torch data set gives where nobody drew one."""
    image = place.write("0.png", place.good[0])
    mask = MVTecDataset([image], labels=[1])[0].mask[0].numpy()
    return auroc(mask)


SITUATIONS = {
    # Files.
    "a mask of 0 and 255": reads(grey(0, 255)),
    "a mask of 0 and 1": reads(grey(0, 1)),
    "a mask of 0 and 3, the number of a kind of defect": reads(grey(0, 3)),
    "a mask of 0 and 248, the number of a kind in MVTec LOCO": reads(grey(0, 248)),
    "a mask of 1 and 2": reads(grey(1, 2)),
    "a mask of 1 bit": reads(DEFECT),
    "a mask of 16 bits": reads(grey(0, 65535, np.uint16)),
    "a mask of 16 bits with numbers of kinds": reads(grey(0, 2, np.uint16)),
    "a mask of floats from 0 to 1": reads(grey(0, 1, np.float32), "m.tiff"),
    "a mask of NaN": mask_refused(
        grey(0, np.nan, np.float32), "must hold finite values", "m.tiff"
    ),
    "a mask of -1 and 1": mask_refused(
        grey(-1, 1, np.float32), "values of at least 0", "m.tiff"
    ),
    "six kinds of defects numbered in one mask": works(
        lambda place: np.array_equal(
            read_mask(place.write("m.png", np.arange(7, dtype=np.uint8)[None])),
            [[False] + 6 * [True]],
        )
    ),
    "three kinds painted in any greys": works(
        lambda place: np.array_equal(
            read_mask(place.write("m.png", np.array([[0, 60, 120, 250]], np.uint8))),
            [[False, True, True, True]],
        )
    ),
    "a JPEG mask of quality 50": reads(grey(0, 255), "m.jpg", quality=50),
    "a JPEG mask of quality 90": reads(grey(0, 255), "m.jpg", quality=90),
    "a JPEG mask in colours": reads(colours(BLACK, RED), "m.jpg", quality=95),
    "a lossy mask saved as PNG again": works(
        lambda place: np.array_equal(
            read_mask(
                place.write(
                    "m.png",
                    np.asarray(Image.open(place.write("m.jpg", grey(0, 255)))),
                )
            ),
            DEFECT,
        )
    ),
    "a JPEG mask of quality 100 saved as PNG again": works(
        lambda place: np.array_equal(
            read_mask(place.write("m.png", grey(0, 255) ^ (np.eye(SIZE) > 0))), DEFECT
        )
    ),
    "a lossy WebP mask": reads(grey(0, 255), "m.webp", quality=80),
    "a lossless WebP mask": reads(grey(0, 255), "m.webp", lossless=True),
    "kinds of defects numbered in a JPEG": mask_refused(
        np.add(grey(0, 12), 20 * OTHER).astype(np.uint8), "can be lossy", "m.jpg"
    ),
    "a JPEG mask of 0 and 1": refused(
        lambda place: read_mask(place.write("m.jpg", grey(0, 1), quality=95)),
        "values as near as 0 to 1",
    ),
    "a mask with smooth edges": works(
        lambda place: np.array_equal(
            read_mask(place.write("m.png", soft())), soft() > 127
        )
    ),
    "a mask in red on black": reads(colours(BLACK, RED)),
    "a mask in red on white": mask_refused(colours(WHITE, RED), "must be black"),
    "a photograph with the defect in red": works(
        lambda place: (
            kinds(
                data(
                    place,
                    np.where(DEFECT[..., None], RED, place.good[0][..., None]).astype(
                        np.uint8
                    ),
                )
            )
            == ["many-valued mask"]
        )
    ),
    "a palette whose colour 1 is red": works(
        lambda place: np.array_equal(
            read_mask(palette(place.folder / "m.png", BLACK, RED)), DEFECT
        )
    ),
    "a palette whose colour 0 is dark blue and 1 yellow": works(
        lambda place: np.array_equal(
            read_mask(palette(place.folder / "m.png", (68, 1, 84), (253, 231, 37))),
            DEFECT,
        )
    ),
    "a palette whose colour 0 is transparent": works(
        lambda place: np.array_equal(
            read_mask(palette(place.folder / "m.png", WHITE, RED, transparency=0)),
            DEFECT,
        )
    ),
    "a black mask, drawn in the alpha channel": reads(
        colours(CLEAR_BLACK, SOLID_BLACK)
    ),
    "a white mask, drawn in the alpha channel": reads(
        colours(CLEAR_WHITE, SOLID_WHITE)
    ),
    "a grey mask with alpha": reads(colours((255, 0), (255, 255))),
    "red on transparent white": reads(colours(CLEAR_WHITE, (*RED, 255))),
    "an alpha channel that says nothing": reads(colours(SOLID_BLACK, SOLID_WHITE)),
    "black on transparent white": mask_refused(
        colours(CLEAR_WHITE, SOLID_BLACK), "mark what can be seen"
    ),
    "a mask all over": works(
        lambda place: read_mask(
            place.write("m.png", np.full((4, 4), 7, np.uint8))
        ).all()
    ),
    "a mask of 0": works(
        lambda place: not read_mask(place.write("m.jpg", grey(0, 0))).any()
    ),
    "a folder of masks with hidden files": works(hidden_masks),
    "the path as a string": works(
        lambda place: np.array_equal(
            read_mask(str(place.write("m.png", grey(0, 255)))), DEFECT
        )
    ),
    "bytes of a mask": refused(
        lambda place: read_mask(place.write("m.png", grey(0, 255)).read_bytes()),
        "path of read_mask must be the path",
    ),
    "an open file of a mask": refused(
        lambda place: read_mask(io.BytesIO(b"")), "path of read_mask must be the path"
    ),
    "an array for a path": refused(
        lambda place: read_mask(DEFECT), "Of an array take mask != 0"
    ),
    "an empty string for a path": refused(
        lambda place: read_mask(""), "path of read_mask must be the path"
    ),
    "a JPEG mask through the torch data set": works(of_loader),
    # What verify says.
    "verify finds nothing in 0 and 255": silent(grey(0, 255)),
    "verify finds nothing in numbered kinds": silent(
        grey(0, 1) + 2 * OTHER.astype("u1")
    ),
    "verify finds a lossy mask": reports("lossy mask", grey(0, 255), "0_mask.jpg"),
    "verify finds soft edges": reports("many-valued mask", soft()),
    "verify finds an inverted mask": reports("mostly marked mask", grey(255, 0)),
    "verify finds 0 marked on 1": reports("mostly marked mask", grey(1, 0)),
    "verify finds a mask all over": reports("mostly marked mask", grey(9, 9)),
    "verify finds a mask without 0": reports("mask without 0", grey(1, 2)),
    "verify finds a mask in alpha": reports(
        "mask in alpha", colours(CLEAR_BLACK, SOLID_BLACK)
    ),
    "verify finds an alpha channel that hides all": reports(
        "unreadable mask", colours(CLEAR_WHITE, SOLID_BLACK)
    ),
    "the command says what to do about an inverted mask": works(printed),
    # Folders.
    "a notebook's folder among the classes": hidden(
        ".ipynb_checkpoints/train/good/0.png", ".Trash-1000/train/good/0.png"
    ),
    "a Mac's folder among the classes": hidden("__MACOSX/train/good/0.png"),
    "a server's folder among the defect types": hidden("nut/test/@eaDir/0.png"),
    "a notebook's folder among the defect types": hidden(
        "nut/test/.ipynb_checkpoints/0.png", "nut/train/.ipynb_checkpoints/1.png"
    ),
    "hidden images beside images": hidden("nut/train/good/._0.png"),
    "hidden masks beside masks": hidden(
        "nut/ground_truth/crack/._0_mask.png",
        "nut/ground_truth/crack/@eaDir/0_mask.png",
    ),
    "hidden folders in a plain folder": works(hidden_plain),
    "hidden files in a shifted set": works(hidden_in_shifted_set),
    "bytes for the folder of a data set": refused(
        lambda place: read_samples(b"data"), "root of read_samples must be the path"
    ),
    "an empty string for the folder of a data set": refused(
        lambda place: read_samples(""), "root of read_samples must be the path"
    ),
    # VisA's table.
    "a table as published": table_works(ROWS),
    "labels Normal and Anomaly": table_works(labels("Normal", "Anomaly")),
    "labels GOOD and BAD": table_works(labels("GOOD", "BAD")),
    "labels ok and defective, with blanks": table_works(labels(" ok ", " defective")),
    "a label that nobody knows": table_refused(
        labels("nrmal", "anomaly"), r"label of line 2 of .* got 'nrmal'"
    ),
    "labels 0 and 1": table_refused(labels("0", "1"), "label of line 2 .* got '0'"),
    "splits TRAIN and Test": table_works(
        [row.replace("train", "TRAIN").replace("test", "Test") for row in ROWS]
    ),
    "a split that nobody knows": table_refused(
        [row.replace("test", "holdout") for row in ROWS],
        "split of line 3 .* got 'holdout'",
    ),
    "a table with a byte-order mark": table_works(ROWS, "utf-8-sig"),
    "a table in UTF-16": table_works(ROWS, "utf-16"),
    "a table in UTF-16 without a mark": table_works(ROWS, "utf-16-le"),
    "a table in another encoding": table_refused(
        [*ROWS, "nüsse,test,normal,c.png,"], "Save it as CSV UTF-8", "latin-1"
    ),
    "a table with semicolons": table_works([row.replace(",", ";") for row in ROWS]),
    "a table with tabs": table_works([row.replace(",", "\t") for row in ROWS]),
    "a table with quotes": table_works(
        [",".join(f'"{cell}"' for cell in row.split(",")) for row in ROWS]
    ),
    "a header in capitals and with blanks": table_works(
        ["Object, Split, LABEL ,Image,Mask", *ROWS[1:]]
    ),
    "a header with other names": table_refused(
        ["class,split,label,image,mask", *ROWS[1:]], "it has class, split"
    ),
    "a header that is missing": table_refused(ROWS[1:], "must have the columns"),
    "blank rows": table_works(["", *ROWS[:2], "", ",,,,", *ROWS[2:], ""]),
    "a row without the comma for its mask": table_works(
        [ROWS[0], ROWS[1].rstrip(","), ROWS[2]]
    ),
    "commas at the end of rows": table_works([row + ",," for row in ROWS]),
    "a row that breaks off": table_refused(
        [*ROWS, "nut,test"], "label of line 4 .* must be given"
    ),
    "a row with a cell too many": table_refused(
        [*ROWS, "nut,test,normal,nut/c, d.png,,x"], "row of line 4 .* 5 cells"
    ),
    "a quote that does not close": table_refused(
        [*ROWS, 'nut,test,normal,"nut/c.png,'], "line 4 .* row of a CSV table"
    ),
    "an image that comes twice": table_refused(
        [*ROWS, ROWS[1].replace("train", "test")], "image of line 4 .* once"
    ),
    "backslashes in a table": table_works([row.replace("/", "\\") for row in ROWS]),
    "an absolute path in a table": table_refused(
        [row.replace("nut/a", "/data/nut/a") for row in ROWS],
        "path of line 2 .* relative path",
    ),
    "a path of Windows in a table": table_refused(
        [row.replace("nut/a", "C:\\nut\\a") for row in ROWS],
        "path of line 2 .* relative path",
    ),
    "a path that leaves the root": table_refused(
        [row.replace("nut/b_", "../../b_") for row in ROWS],
        "path of line 3 .* stays in the data set",
    ),
    "a table without rows": table_refused(ROWS[:1], "it has none"),
    "an empty table": table_refused([], "must have the columns"),
    "a table of images that are missing": works(missing_images),
    # Files of splits.
    "backslashes in a file of splits": works(
        lambda place: split_file(place, lambda e: e.update(image_path="nut\\a.png"))
    ),
    "a file of splits with a byte-order mark": works(
        lambda place: split_file(place, lambda e: None, "utf-8-sig")
    ),
    "a file of splits in UTF-16": works(
        lambda place: split_file(place, lambda e: None, "utf-16")
    ),
    "a file of splits that leaves the root": refused(
        lambda place: split_file(place, lambda e: e.update(image_path="../a.png")),
        "clean_splits.json.* relative path that stays",
    ),
    # Arrays for metrics.
    "masks of 0 and 255 in metrics": measures(grey(0, 255)),
    "masks of 0.0 and 1.0 in metrics": measures(grey(0, 1, np.float32)),
    "masks of torch in metrics": measures(torch.from_numpy(grey(0, 255))),
    "numbered kinds in metrics": measures(DEFECT * (1 + np.arange(SIZE) % 5)),
    "masks resized smoothly in metrics": unmeasured(soft() / 255),
    "lossy masks in metrics": unmeasured(soft(), r"got \d+ different values .* > 127"),
    "masks of 0 and 0.5 in metrics": unmeasured(DEFECT * 0.5),
    "masks of 0 and -1 in metrics": unmeasured(-DEFECT.astype(int)),
    "masks of 1 and 2 in metrics": unmeasured(grey(1, 2), "Pass mask > 1"),
    "masks of NaN in metrics": unmeasured(grey(0, np.nan, np.float32)),
    "masks of text in metrics": unmeasured(DEFECT.astype(str)),
    "masks that nobody drew in metrics": refused(undrawn, "where nobody drew a mask"),
    "masks resized smoothly in AUPRO": refused(
        lambda place: compute_pro([soft() / 255], [np.ones((SIZE, SIZE))]),
        "whole numbers, 0 where normal",
    ),
    "masks resized smoothly in AUPIMO": refused(
        lambda place: aupimo([soft() / 255], [np.ones((SIZE, SIZE))]),
        "masks_true of aupimo",
    ),
    "the area of a lossy mask": refused(
        lambda place: mask_area_ratio(soft()), "mask of mask_area_ratio"
    ),
    "the place of a mask of fractions": refused(
        lambda place: touches_border(soft() / 255), "mask of touches_border"
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_comes_of(name, place):
    check(SITUATIONS[name], place)
