"""VisA's table of images, however a spreadsheet saved it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

from adlib._validation import describe, refusal
from adlib.datasets._samples import ANOMALOUS, GOOD, NORMAL, Sample, Split, path_in

COLUMNS = ("object", "split", "label", "image", "mask")
DELIMITERS = ",;\t|"
Meaning = TypeVar("Meaning", int, Split)
# Not 0 and 1: which of them is normal differs from table to table.
LABELS = dict.fromkeys(("normal", "good", "ok", "nominal"), NORMAL)
LABELS |= dict.fromkeys(("anomaly", "anomalous", "abnormal", "bad"), ANOMALOUS)
LABELS |= dict.fromkeys(("defect", "defective", "ko", "ng"), ANOMALOUS)
SPLITS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "test": "test",
    "testing": "test",
}


def read_table(table: Path, root: Path) -> list[Sample]:
    """Return the samples that a table lists, in its order, or raise with the row.

    It is UTF-8 or UTF-16, with commas, semicolons, tabs or bars. The case of names,
    labels and splits does not count, nor do blanks around values; blank rows are left
    out.
    """
    if not table.is_file():
        raise FileNotFoundError(f"VisA's table {str(table)!r} is missing.")
    samples: dict[Path, Sample] = {}
    for line, row in _rows(table):
        where = f"line {line} of {str(table)!r}"
        for column in COLUMNS[:-1]:  # normal images have no mask
            if not row[column]:
                raise ValueError(refusal(column, where, "given", "nothing"))
        label = _meaning(row["label"], LABELS, "label", where)
        normal = label == NORMAL
        masked = row["mask"] and not normal
        sample = Sample(
            path_in(root, row["image"], where),
            label,
            GOOD if normal else "anomaly",
            path_in(root, row["mask"], where) if masked else None,
            row["object"],
            _meaning(row["split"], SPLITS, "split", where),
        )
        if sample.image_path in samples:
            rule = "a path that comes once in the table"
            raise ValueError(refusal("image", where, rule, describe(row["image"])))
        samples[sample.image_path] = sample
    if not samples:
        raise ValueError(f"{str(table)!r} must have a row for each image; it has none.")
    return list(samples.values())


def _rows(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number of each row's last line, and its cells by column."""
    lines = list(io.StringIO(_text(table), newline=""))
    first = next((line for line in lines if line.strip()), "")
    reader = csv.reader(lines, delimiter=max(DELIMITERS, key=first.count), strict=True)
    stripped = ([cell.strip() for cell in cells] for cells in reader)
    filled = (row for row in stripped if any(row))
    try:
        columns = [cell.lower() for cell in next(filled, [])]
        if any(columns.count(column) != 1 for column in COLUMNS):
            raise ValueError(
                f"{str(table)!r} must have the columns {', '.join(sorted(COLUMNS))}, "
                f"each once; it has {', '.join(columns) or 'none'}."
            )
        for row in filled:
            if any(row[len(columns) :]):
                where = f"line {reader.line_num} of {str(table)!r}"
                rule = f"{len(columns)} cells"
                raise ValueError(refusal("row", where, rule, f"{len(row)}"))
            yield reader.line_num, dict(zip_longest(columns, row, fillvalue=""))
    except csv.Error as error:
        where = f"line {reader.line_num} of {str(table)!r}"
        raise ValueError(f"{where} must be a row of a CSV table: {error}.") from error


def _text(table: Path) -> str:
    """Return a table's text, in the encoding that its first bytes tell."""
    data = table.read_bytes()
    try:
        return data.decode(json.detect_encoding(data))
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{str(table)!r} must be UTF-8 or UTF-16 text ({error}). Save it as "
            "CSV UTF-8."
        ) from error


def _meaning(
    word: str, words: Mapping[str, Meaning], column: str, where: str
) -> Meaning:
    """Return what a word stands for, or raise with the words that are known."""
    if word.lower() not in words:
        rule = f"one of {', '.join(words)}"
        raise ValueError(refusal(column, where, rule, describe(word)))
    return words[word.lower()]
