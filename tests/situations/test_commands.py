"""What people do with what commands read and write."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from pathlib import Path

import numpy as np
import pytest

from adlib.cli import main
from tests.conftest import scratched
from tests.situations.situation import RefusedError, check, refused, warned, works

UMLAUTS, CHINESE, NOT_UTF8 = "größe.png", "螺丝.png", "latin\udcff.png"
ODD = 'a "quoted",\nbroken\rname.png'
HEADER = "path,score,verdict,error,threshold,worst_row_px,worst_column_px,overlay"
HEADER += ",decision,p_value,threshold_ratio"


def saved(place, threshold=30.0):
    """Write the model with a threshold that scratched images exceed."""
    place.model.threshold_ = threshold
    place.model.save(place.folder / "m.adlib")
    return place.folder / "m.adlib"


def new(place, *names):
    """Write good images with these names, and a scratched one."""
    for name in names or ("a.png",):
        place.write(f"new/{name}", place.good[0])
    place.write("new/z.png", np.kron(scratched(9), np.ones((3, 5), np.uint8)))
    return place.folder / "new"


def rows(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def table(place, name="scores.csv"):
    return (place.folder / name).read_bytes().decode("utf-8-sig", "surrogateescape")


@contextlib.contextmanager
def standard_output(encoding):
    """Stand in for a terminal or a pipe of an encoding, which raises what it lacks."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    with contextlib.redirect_stdout(stream):
        yield stream


def printed(place, encoding, *names):
    """Return what score prints, and raise its warnings."""
    words = ["score", saved(place), new(place, *names)]
    with standard_output(encoding) as stream:
        place.run(*words)
        assert stream.errors == "strict"  # as it was before
        stream.flush()
        return stream.buffer.getvalue()


def tables_have_all_columns(place):
    place.run("score", saved(place), new(place), "-o", place.folder / "scores.csv")
    lines = table(place).splitlines()
    first, last = rows(table(place))
    return (
        lines[0] == HEADER
        and list(first)[:4] == ["path", "score", "verdict", "error"]
        and first["verdict"] == "normal"
        and last["verdict"] == "anomalous"
        and {first["threshold"], last["threshold"]} == {"30"}
        and 80 <= int(last["worst_row_px"]) < 112
        and 0 <= int(last["worst_column_px"]) < 320
    )


def tables_name_overlays(place):
    maps = place.folder / "maps"
    told = place.run("score", saved(place), new(place), "--overlays", maps)
    paths = [row["overlay"] for row in rows(told.out)]
    return paths == [str(maps / "a.png"), str(maps / "z.png")] and all(
        Path(path).is_file() for path in paths
    )


def skipped_rows_are_empty(place):
    model, folder = saved(place), new(place)
    (folder / "b.png").write_text("no image")
    maps = place.folder / "maps"
    words = ["score", model, folder, "--on-error", "skip", "--overlays", maps]
    row = rows(place.run(*words).out)[1]
    cells = row["worst_row_px"], row["worst_column_px"], row["overlay"]
    return row["verdict"] == "skipped" and cells == ("", "", "")


def no_threshold_no_cell(place):
    place.model.save(place.folder / "m.adlib")
    told = place.run("score", place.folder / "m.adlib", new(place))
    return {row["threshold"] for row in rows(told.out)} == {""}


def by_score(place, *options):
    model, folder = saved(place), new(place, "a.png", "b.png", "c.png")
    told = place.run("score", model, folder, "--by-score", *options)
    scores = [float(row["score"]) for row in rows(told.out)]
    return scores == sorted(scores, reverse=True) and rows(told.out)


def by_score_with_overlays(place):
    first, *_ = by_score(place, "--overlays", place.folder / "maps")
    return first["overlay"] == str(place.folder / "maps/0001_z.png")


def failing_run_prints_nothing(place):
    model, folder = saved(place), new(place)
    (folder / "0.png").write_text("no image")
    with standard_output("utf-8") as stream, pytest.raises(RefusedError) as caught:
        place.run("score", model, folder)
    assert stream.buffer.getvalue() == b""
    raise caught.value


def closed_output(place):
    """The reader of a pipe has gone before the first row; nothing else is harmed."""
    model, folder = saved(place), new(place)
    before = model.read_bytes()
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream, contextlib.redirect_stdout(stream):
        code = main(["score", str(model), str(folder)])
    told = place._capture.readouterr().err
    return code == 141 and not told and model.read_bytes() == before


def closed_output_of_info(place):
    model = saved(place)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream, contextlib.redirect_stdout(stream):
        return main(["info", str(model)]) == 141


def info_in_ascii(place):
    path = place.folder / "größe.adlib"
    saved(place).rename(path)
    with standard_output("ascii") as stream:
        place.run("info", path)
        stream.flush()
        return b"gr\\xf6\\xdfe.adlib" in b"".join(stream.buffer.getvalue().split())


def names_come_back(place):
    place.run("score", saved(place), new(place, ODD), "-o", place.folder / "scores.csv")
    paths = [row["path"] for row in rows(table(place))]
    return paths == [str(place.folder / "new" / name) for name in (ODD, "z.png")]


def file_for_a_spreadsheet(place):
    target = place.folder / "scores.csv"
    place.run("score", saved(place), new(place, UMLAUTS), "-o", target)
    content = target.read_bytes()
    return content.startswith(b"\xef\xbb\xbfpath,") and UMLAUTS.encode() in content


def no_formulas(place):
    model, folder = saved(place), new(place, "=1+1.png", "-1.png", "@a.png", "+1.png")
    (folder / "=broken.png").write_text("no image")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = ["score", model, ".", "--on-error", "skip"]
        found = rows(place.run(*words).out)
        paths = [row["path"] for row in found]
        cells = [cell for row in found for cell in row.values()]
        return (
            not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
            and len(paths) == 6
            and all(Path(path).is_file() for path in paths)
        )


def dash_is_standard_output(place):
    told = place.run("score", saved(place), new(place), "-o", "-")
    return len(rows(told.out)) == 2 and not Path("-").exists()


def score_to(place, output, **exists):
    """Score to an output below the folder; nothing may be read before."""
    model = saved(place)
    (place.folder / "g").mkdir()
    place.run(
        "score", model, place.folder / "nothing", "-o", f"{place.folder}/{output}"
    )


def fit_to(place, output):
    (place.folder / "g").mkdir()
    place.run("fit", place.write_good(), "-o", f"{place.folder}/{output}")


def swapped(place, *more):
    place.run("score", new(place), *more, saved(place))


def unquoted_glob(place):
    """The shell passes a word for each file."""
    model, folder = saved(place), new(place)
    told = place.run("score", model, *sorted(folder.iterdir()))
    return len(rows(told.out)) == 2


def unquoted_glob_for_fit(place):
    folder = place.write_good()
    model = place.folder / "p.adlib"
    small = ["--image-size", "64", "--holdout", "0"]
    told = place.run("fit", *sorted(folder.iterdir()), "-o", model, *small)
    return "Learning 6 images" in told.err and model.is_file()


def folders_and_files(place):
    """Pictures keep the folders below the one that holds all that was typed."""
    model, folder = saved(place), new(place)
    other = place.write("other/a.png", place.good[1])
    last = place.write("last/b.png", place.good[2])
    maps = place.folder / "maps"
    words = ["score", model, folder, other.parent, last, "--overlays", maps]
    found = rows(place.run(*words).out)
    drawn = [Path(row["overlay"]).relative_to(maps).as_posix() for row in found]
    return drawn == ["new/a.png", "new/z.png", "other/a.png", "last/b.png"]


def overlays_in_the_second_folder(place):
    folder, other = new(place), place.write("other/a.png", place.good[1]).parent
    place.run("score", saved(place), folder, other, "--overlays", other / "maps")


def quoted_glob_with_overlays(place):
    model, folder = saved(place), new(place)
    maps = place.folder / "maps"
    place.run("score", model, f"{folder}/*.png", "--overlays", maps)
    return {path.name for path in maps.iterdir()} == {"a.png", "z.png"}


def overlays_twice(place):
    """The next run does not find what the first one wrote."""
    model, folder = saved(place), new(place)
    maps = place.folder / "maps"
    tables = [place.run("score", model, folder, "--overlays", maps) for _ in range(2)]
    return tables[0].out == tables[1].out


def table_beside_images(place):
    model, folder = saved(place), new(place)
    outputs = []
    for _ in range(2):
        place.run("score", model, folder, "-o", folder / "scores.csv")
        outputs.append(table(place, "new/scores.csv"))
    return outputs[0] == outputs[1] and len(rows(outputs[0])) == 2


def refused_overlays_write_nothing(place):
    model, folder = saved(place), new(place)
    before = sorted(place.folder.rglob("*"))
    with standard_output("utf-8") as stream, pytest.raises(RefusedError) as caught:
        place.run("score", model, folder, "--overlays", folder / "maps")
    assert sorted(place.folder.rglob("*")) == before
    assert not stream.buffer.getvalue()
    raise caught.value


def fit(place, *words):
    """Fit to six good images in a folder; return what was printed."""
    size = ("--image-size", "64")
    model = place.folder / "part.adlib"
    return place.run("fit", place.write_good(), *size, *words, "-o", model)


SITUATIONS = {
    "the columns of the table": works(tables_have_all_columns),
    "the overlays in the table": works(tables_name_overlays),
    "a skipped image in the table": works(skipped_rows_are_empty),
    "a table without a threshold": works(no_threshold_no_cell),
    "a table in order of score": works(by_score),
    "overlays and table in order of score": works(by_score_with_overlays),
    "umlauts on an output of ASCII": warned(
        lambda place: (
            b"gr\\xf6\\xdfe.png" in (out := printed(place, "ascii", UMLAUTS))
            and out.count(b"\n") == 3
        ),
        "Standard output is ascii, .* PYTHONIOENCODING=utf-8, or pass --output FILE",
    ),
    "Chinese names on a Windows code page": warned(
        lambda place: b"\\u87ba\\u4e1d.png" in printed(place, "cp1252", CHINESE),
        "Standard output is cp1252",
    ),
    "names that are not UTF-8 on a code page": warned(
        lambda place: b"latin\\udcff.png" in printed(place, "cp1252", NOT_UTF8),
        "Standard output is cp1252",
    ),
    "umlauts on a Windows code page that has them": works(
        lambda place: UMLAUTS.encode("cp1252") in printed(place, "cp1252", UMLAUTS)
    ),
    "plain names on an output of ASCII": works(
        lambda place: printed(place, "ascii").count(b"\n") == 3
    ),
    "Chinese names on an output of UTF-8": works(
        lambda place: CHINESE.encode() in printed(place, "utf-8", CHINESE)
    ),
    "names that are not UTF-8 on an output of UTF-8": works(
        lambda place: b"latin\xff.png" in printed(place, "utf-8", NOT_UTF8)
    ),
    "info of a model with umlauts on an output of ASCII": works(info_in_ascii),
    "score into head": works(closed_output),
    "info into head": works(closed_output_of_info),
    "a run that fails before the first row": refused(
        failing_run_prints_nothing, r"error: .*0.png must be a readable image"
    ),
    "copies of a kind that there is not": refused(
        lambda place: fit(place, "--augment", "mirror"),
        r"--augment must be one of 'flips', .*; got 'mirror'",
    ),
    "a contamination in percent": refused(
        lambda place: fit(place, "--contamination", "5"),
        r"--contamination must be a number in \(0, 1\); got 5",
    ),
    "a contamination of most patches": refused(
        lambda place: fit(place, "--contamination", "0.6"),
        r"--contamination must be None or a number in \(0, 0.5\); got 0.6",
    ),
    "copies for padim": refused(
        lambda place: fit(place, "--method", "padim", "--augment", "flips"),
        "--augment belongs to --method patchcore",
    ),
    "pictures of odd images among the images": refused(
        lambda place: fit(place, "--examine", place.folder / "good/odd"),
        "--examine must be a folder outside of those that hold the images",
    ),
    "quotes and line ends in names": works(names_come_back),
    "a table for a spreadsheet": works(file_for_a_spreadsheet),
    "names that look like formulas": works(no_formulas),
    "-o -": works(dash_is_standard_output),
    "score -o g/": refused(
        lambda place: score_to(place, "g/"),
        r"--output must be a file; got the folder .*g/scores.csv",
    ),
    "score -o a folder": refused(
        lambda place: score_to(place, "g"), "--output must be a file; got the folder"
    ),
    "score -o new/": refused(
        lambda place: score_to(place, "none/"), "--output must be a file; got the fold"
    ),
    "score -o in a folder that does not exist": refused(
        lambda place: score_to(place, "none/scores.csv"), "none' does not exist"
    ),
    "score -o an image, as an unquoted glob would have it": refused(
        lambda place: score_to(place, "a.PNG"), "which is the name of an image"
    ),
    "score -o the model": refused(
        lambda place: score_to(place, "m.adlib"), "another file than the model"
    ),
    "one name for the table and for the overlays": refused(
        lambda place: place.run(
            "score", saved(place), "none", "-o", "maps", "--overlays", "maps/"
        ),
        "--output must be a file, and --overlays another folder",
    ),
    "fit -o g/": refused(
        lambda place: fit_to(place, "g/"),
        r"--output must be a file; got the folder .*g/part.adlib",
    ),
    "fit -o a folder": refused(
        lambda place: fit_to(place, "g"), "--output must be a file; got the folder"
    ),
    "score FOLDER MODEL": refused(
        swapped, r"The model file comes before the images: adlib score \S+m.adlib \S+ew"
    ),
    "score IMAGES MODEL, many images": refused(
        lambda place: place.run("score", *sorted(new(place).iterdir()), saved(place)),
        "The model file comes before the images",
    ),
    "score FOLDER FOLDER": refused(
        lambda place: place.run("score", new(place), new(place)),
        "is not a model file of adlib's",
    ),
    "score of a folder that does not exist": refused(
        lambda place: place.run("score", saved(place), place.folder / "none"),
        r"error: IMAGES must be a folder, a glob or a path; got",
    ),
    "score of an empty folder": refused(
        lambda place: (
            (place.folder / "empty").mkdir(),
            place.run("score", saved(place), place.folder / "empty"),
        ),
        "error: IMAGES must be a folder with images",
    ),
    "overlays of a folder that does not exist": refused(
        lambda place: place.run(
            "score", saved(place), "none", "--overlays", place.folder / "maps"
        ),
        "error: IMAGES must be",
    ),
    "fit --good of a folder that does not exist": refused(
        lambda place: place.run(
            "fit", place.write_good(), "-o", place.folder / "p", "--good", "none"
        ),
        "error: --good must be a folder, a glob or a path",
    ),
    "fit --coreset 0": refused(
        lambda place: place.run(
            "fit", place.write_good(), "-o", place.folder / "p", "--coreset", "0"
        ),
        "error: --coreset must be a ratio",
    ),
    "an unquoted glob": works(unquoted_glob),
    "an unquoted glob for fit": works(unquoted_glob_for_fit),
    "folders and files together": works(folders_and_files),
    "overlays inside of the second folder": refused(
        overlays_in_the_second_folder, "error: --overlays must be a folder outside"
    ),
    "a quoted glob with overlays": works(quoted_glob_with_overlays),
    "overlays twice": works(overlays_twice),
    "overlays inside of the images": refused(
        refused_overlays_write_nothing,
        "error: --overlays must be a folder outside of those that hold the images",
    ),
    "a table inside of the images, scored again": warned(
        table_beside_images, r"left out: 1 \.csv"
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_comes_of(name, place):
    check(SITUATIONS[name], place)
