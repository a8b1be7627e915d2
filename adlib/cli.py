"""The command line: fit, score, info and demo, with errors that say what to do."""

from __future__ import annotations

import contextlib
import csv
import glob
import sys
import warnings
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from adlib._files import replacing
from adlib._version import __version__
from adlib.exceptions import SkippedImagesWarning

if TYPE_CHECKING:
    from adlib.estimators import AnomalyDetector, Inspection

DONE, FAILED, FOUND_ANOMALIES = 0, 1, 3  # typer ends with 2 on wrong usage
EXIT_CODES = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 images anomalous or skipped "
    "(score --fail-on-anomaly)."
)

app = typer.Typer(
    name="adlib",
    help="Learn from images of good parts alone; score, map and judge new ones.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
tell = Console(stderr=True, highlight=False)


class OnError(StrEnum):
    """What to do with an image that cannot be used."""

    RAISE = "raise"
    SKIP = "skip"


class Method(StrEnum):
    """Which detector learns."""

    PATCHCORE = "patchcore"
    PADIM = "padim"


class Aggregation(StrEnum):
    """How patch scores become an image score."""

    TOP_MEAN = "top_mean"
    MAX = "max"
    REWEIGHTED = "reweighted"
    MAP_MAX = "map_max"


class Precision(StrEnum):
    """What the backbone computes in."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class Runtime(StrEnum):
    """What runs the backbone."""

    TORCH = "torch"
    OPENVINO = "openvino"


class CellKind(StrEnum):
    """Which solar cells the demo takes."""

    MONO = "mono"
    POLY = "poly"


ImageFolder = Annotated[
    str,
    typer.Argument(help="Folder of images (read recursively), a glob, or one file."),
]
ModelFile = Annotated[Path, typer.Argument(help="Model file that `adlib fit` wrote.")]
Device = Annotated[
    str, typer.Option(help="auto (the GPU where there is one), cpu, cuda or cuda:N.")
]
Errors = Annotated[
    OnError,
    typer.Option(help="At an unusable image: stop, or skip it and report."),
]


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks of errors.")
    ] = False,
) -> None:
    """Learn from images of good parts alone; score, map and judge new ones."""
    if version:
        print(__version__)
        raise typer.Exit(DONE)


@app.command(epilog=EXIT_CODES)
def fit(
    images: ImageFolder,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Model file to write.")
    ],
    method: Annotated[
        Method,
        typer.Option(
            help="patchcore remembers patches; padim has a Gaussian at every position, "
            "for parts that always stand in the same place."
        ),
    ] = Method.PATCHCORE,
    good: Annotated[
        str | None,
        typer.Option(help="Other good images, to set the threshold with."),
    ] = None,
    defects: Annotated[
        str | None,
        typer.Option(
            help="Images of defects; the threshold then maximises F1 between them and "
            "the held-out good ones."
        ),
    ] = None,
    holdout: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=0.9,
            help="Fraction of IMAGES that is not learned but sets the threshold, "
            "unless --good is given; 0 sets none.",
        ),
    ] = 0.2,
    false_positive_rate: Annotated[
        float | None,
        typer.Option(
            min=0.0001,
            max=0.9999,
            help="Share of good parts that may be called anomalous. Default: 0.05, or "
            "the lowest that the held-out images can promise.",
        ),
    ] = None,
    coreset: Annotated[
        float | None,
        typer.Option(
            help="Patches that patchcore remembers: a fraction in (0, 1], or a count. "
            "Default: 0.05."
        ),
    ] = None,
    image_size: Annotated[
        int, typer.Option(help="Side in pixels to which images are resized.")
    ] = 320,
    backbone: Annotated[
        str, typer.Option(help="Name of a timm network.")
    ] = "tf_efficientnet_lite0",
    aggregation: Annotated[
        Aggregation | None,
        typer.Option(
            help="How patch scores become an image score: top_mean (patchcore's "
            "default), max (padim's), reweighted (patchcore), map_max (padim)."
        ),
    ] = None,
    device: Device = "auto",
    precision: Annotated[
        Precision, typer.Option(help="What the backbone computes in.")
    ] = Precision.FLOAT32,
    runtime: Annotated[
        Runtime, typer.Option(help="What runs the backbone; openvino: on a CPU alone.")
    ] = Runtime.TORCH,
    on_error: Errors = OnError.RAISE,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
) -> None:
    """Learn from a folder of good images and write a model file.

    Example: adlib fit parts/good -o part.adlib
    """
    if not output.parent.is_dir():
        raise FileNotFoundError(f"The folder {str(output.parent)!r} does not exist.")
    model = _new_model(method, coreset, aggregation)
    model.set_params(
        backbone=backbone,
        image_size=image_size,
        device=device,
        precision=precision.value,
        runtime=runtime.value,
        on_error=on_error.value,
        random_state=seed,
    )
    training, held_out = _hold_out(images, 0.0 if good else holdout, seed)
    calibrating = [*held_out, *(_paths(good) if good else [])]
    found = [] if defects is None else _paths(defects)
    if found and not calibrating:
        raise ValueError(
            "--defects needs good images to tell them from. Raise --holdout or pass "
            "--good."
        )
    if false_positive_rate is not None and (found or not calibrating):
        raise ValueError(
            "--false-positive-rate needs good images set aside, and no --defects, with "
            "which the threshold maximises F1."
        )
    rate = _promised_rate(false_positive_rate, len(calibrating))
    tell.print(f"Learning {len(training)} images ...")
    with _telling_of_skipped_images():
        model.fit(training)
    try:
        with _telling_of_skipped_images():
            _calibrate(model, calibrating, found, rate)
    finally:  # what was learned is not lost for want of a threshold
        model.save(output)
    tell.print(
        f"Wrote {output} ({output.stat().st_size / 1e6:.1f} MB): "
        f"{'; '.join(model.describe().values())}; {_threshold_text(model)}.",
        markup=False,
        soft_wrap=True,
    )


def _new_model(
    method: Method, coreset: float | None, aggregation: Aggregation | None
) -> AnomalyDetector:
    """Return the detector with what is its own; the rest is set alike for all."""
    from adlib.estimators import PaDiM, PatchCore

    if method is Method.PADIM and coreset is not None:
        raise ValueError("--coreset belongs to --method patchcore; padim has none.")
    own: dict[str, Any] = {}
    if coreset is not None:
        own["coreset"] = (
            int(coreset) if coreset > 1 and coreset.is_integer() else coreset
        )
    if aggregation is not None:
        own["aggregation"] = aggregation.value
    return PatchCore(**own) if method is Method.PATCHCORE else PaDiM(**own)


def _calibrate(
    model: AnomalyDetector, calibrating: list[str], found: list[str], rate: float
) -> None:
    """Set the threshold on good images, and on defects where there are some."""
    if found:
        tell.print(
            f"Setting the threshold on {len(calibrating)} good images and "
            f"{len(found)} defects ..."
        )
        labels = [1] * len(calibrating) + [-1] * len(found)
        model.calibrate([*calibrating, *found], labels)
    elif calibrating:
        tell.print(
            f"Setting the threshold on {len(calibrating)} good images: at most "
            f"{100 * rate:.3g} % of good parts will be called anomalous ..."
        )
        model.calibrate(calibrating, false_positive_rate=rate)


@app.command(epilog=EXIT_CODES)
def score(
    model_file: ModelFile,
    images: ImageFolder,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="CSV file to write; else standard output."),
    ] = None,
    overlays: Annotated[
        Path | None,
        typer.Option(help="Folder for heat maps laid over the images (PNG)."),
    ] = None,
    fail_on_anomaly: Annotated[
        bool,
        typer.Option(
            "--fail-on-anomaly", help="Exit with 3 if any is anomalous or skipped."
        ),
    ] = False,
    device: Device = "auto",
    precision: Annotated[
        Precision | None,
        typer.Option(help="What the backbone computes in. Default: as in fit."),
    ] = None,
    runtime: Annotated[
        Runtime | None, typer.Option(help="What runs the backbone. Default: as in fit.")
    ] = None,
    on_error: Errors = OnError.RAISE,
) -> None:
    """Score images: a CSV line each with path, score, verdict and error.

    Higher scores are more anomalous. The verdict is normal or anomalous, empty where
    the model has no threshold, and skipped where an image could not be used.

    Example: adlib score part.adlib camera/ -o scores.csv --overlays maps/
    """
    from adlib.estimators import load

    model = load(
        model_file,
        device=device,
        precision=None if precision is None else precision.value,
        runtime=None if runtime is None else runtime.value,
    )
    model.set_params(on_error=on_error.value)
    if overlays is not None and model.threshold_ is None:
        raise ValueError(
            "--overlays needs a model with a threshold, which sets the colour scale. "
            "Fit it with --holdout above 0, --good or --defects."
        )
    if fail_on_anomaly and model.threshold_ is None:
        raise ValueError(
            "--fail-on-anomaly needs a model with a threshold. "
            "Fit it with --holdout above 0, --good or --defects."
        )
    n_images = n_anomalous = n_skipped = 0
    with _table_file(output) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["path", "score", "verdict", "error"])
        for result in model.inspect(images):
            n_images += 1
            verdict = _verdict(result)
            table.writerow(
                [result.path, f"{result.score:.6g}", verdict, result.error or ""]
            )
            n_anomalous += verdict == "anomalous"
            n_skipped += verdict == "skipped"
            if overlays is not None and result.map is not None:
                _write_overlay(result, images, overlays, model)
    counts = f"{n_images} images"
    if model.threshold_ is not None:
        counts += f", {n_anomalous} anomalous ({_threshold_text(model)})"
    tell.print(counts + (f", {n_skipped} skipped" if n_skipped else "") + ".")
    if fail_on_anomaly and (n_anomalous or n_skipped):
        raise typer.Exit(FOUND_ANOMALIES)


@app.command(epilog=EXIT_CODES)
def info(model_file: ModelFile) -> None:
    """Show what a model file holds.

    Example: adlib info part.adlib
    """
    from adlib.estimators import load

    model = load(model_file, device="cpu")
    stages = ", ".join(
        f"{stage.channels} channels at stride {stage.stride}"
        for stage in model.backbone_.stages
    )
    rows = {
        "file": f"{model_file} ({model_file.stat().st_size / 1e6:.1f} MB)",
        "detector": type(model).__name__,
        "backbone": f"{model.backbone} ({stages})",
        "learned from": f"{len(model.training_images_)} images",
        "patch grid": "{} x {}".format(*model.grid_),
        **model.describe(),
        "threshold": _threshold_text(model),
    }
    table = Table(show_header=False, box=None)
    for name, value in rows.items():
        table.add_row(name, Text(value))
    parameters = model.get_params(deep=False)
    listed = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
    table.add_row("parameters", Text(listed))
    Console(highlight=False).print(table)


@app.command(epilog=EXIT_CODES)
def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the page.")
    ] = Path("adlib-demo"),
    kind: Annotated[
        CellKind, typer.Option(help="Kind of solar cells.")
    ] = CellKind.MONO,
    device: Device = "auto",
) -> None:
    """Learn functional solar cells, find the defective ones, and write a page.

    Real photographs from the package elpv-dataset; nothing is downloaded. Takes about
    a minute on two cores.

    Example: adlib demo
    """
    from adlib.estimators import PatchCore
    from adlib.report import check_report_extra, write_demo_page
    from adlib.study import run_demo

    check_report_extra("The demo's page")  # before the long work
    result = run_demo(PatchCore(device=device), kind=kind.value, say=tell.print)
    page = write_demo_page(result, output)
    n_images = len(result.paths)
    table = Table(show_header=False, box=None)
    table.add_row("image AUROC", f"{result.auroc:.4f}")
    table.add_row("learning", f"{result.fit_seconds:.1f} s, {result.n_training} cells")
    per_image = 1000 * result.score_seconds / n_images
    table.add_row(
        "scoring",
        f"{result.score_seconds:.1f} s, {n_images} cells, {per_image:.0f} ms each",
    )
    out = Console(highlight=False)
    out.print(table)
    out.print(f" page: {page.resolve()}", soft_wrap=True, markup=False)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code; errors become one line."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    given = [argument for argument in given if argument != "--debug"]
    try:
        app(given, prog_name="adlib")
    except SystemExit as end:  # how typer ends, well or not
        return end.code if isinstance(end.code, int) else DONE
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        if debug:
            raise
        tell.print(f"error: {error}", markup=False, soft_wrap=True)
        return FAILED
    return DONE


@contextlib.contextmanager
def _telling_of_skipped_images() -> Iterator[None]:
    """Print warnings of skipped images as plain lines."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SkippedImagesWarning)
        yield
    for warning in caught:
        tell.print(str(warning.message), markup=False, soft_wrap=True)


def _paths(place: str) -> list[str]:
    """Return the image files of a folder, a glob or a path."""
    from adlib.images import open_source

    return [item.name for item in open_source(place, "adlib").items]


def _hold_out(place: str, ratio: float, seed: int) -> tuple[list[str], list[str]]:
    """Split the images at ``place`` into those to learn and those to set aside."""
    import numpy as np

    paths = _paths(place)
    n_held_out = int(len(paths) * ratio)
    drawn = np.random.default_rng(seed).permutation(len(paths))
    training = [paths[i] for i in sorted(drawn[n_held_out:])]
    return training, [paths[i] for i in sorted(drawn[:n_held_out])]


def _promised_rate(asked: float | None, n_normal: int) -> float:
    """Return the false-positive rate to promise, before anything slow has begun."""
    from adlib.estimators import lowest_rate

    lowest = lowest_rate(n_normal)
    if asked is None:
        return max(0.05, lowest)
    if n_normal and asked < lowest:
        raise ValueError(
            f"--false-positive-rate {asked:g} cannot be promised by {n_normal} good "
            f"images set aside, which allow {lowest:.3g} and above. Raise it, raise "
            "--holdout, or pass more images with --good."
        )
    return asked


def _threshold_text(model: AnomalyDetector) -> str:
    if model.threshold_ is None:
        return "no threshold"
    return f"threshold {model.threshold_:.6g}"


def _verdict(result: Inspection) -> str:
    if result.error is not None:
        return "skipped"
    return {1: "normal", -1: "anomalous", None: ""}[result.verdict]


@contextlib.contextmanager
def _table_file(output: Path | None) -> Iterator[TextIO]:
    """Open the CSV file, which appears whole at the end, or standard output."""
    if output is None:
        yield sys.stdout
        return
    # File names need not be UTF-8; they are written back as the bytes they were.
    with (
        replacing(output) as temporary,
        temporary.open(
            "w", newline="", encoding="utf-8", errors="surrogateescape"
        ) as file,
    ):
        yield file


def _write_overlay(
    result: Inspection, images: str, folder: Path, model: AnomalyDetector
) -> None:
    """Write an image with its map, under its path relative to the source."""
    from adlib.images import as_pixels, read_image
    from adlib.report import overlay

    path = Path(result.path)
    root = Path(images)
    while glob.has_magic(str(root)) or root.is_file():
        root = root.parent
    relative = path.relative_to(root)
    target = folder / relative.with_name(relative.name + ".png")
    target.parent.mkdir(parents=True, exist_ok=True)
    assert result.map is not None
    assert model.threshold_ is not None
    pixels = as_pixels(read_image(path), str(path))
    drawn = overlay(pixels, result.map, 0.5 * model.threshold_, 1.5 * model.threshold_)
    with replacing(target) as temporary:
        drawn.save(temporary, format="PNG")


if __name__ == "__main__":
    sys.exit(main())
