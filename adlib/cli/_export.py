"""The command that writes a model as one ONNX file."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from adlib.cli._console import ModelFile, file_to_write, tell


def export(
    model_file: ModelFile,
    output: Annotated[
        str, typer.Option("--output", "-o", help="File to write, ending in .onnx.")
    ],
    images: Annotated[
        list[str] | None,
        typer.Option(
            help="Images to compare scores on: folders, globs or files. Default: made "
            "ones."
        ),
    ] = None,
    input_size: Annotated[
        tuple[int, int] | None,
        typer.Option(help="Height and width of all images that will come."),
    ] = None,
    original_maps: Annotated[
        bool, typer.Option(help="Give maps the size of their image.")
    ] = False,
    precision: Annotated[
        Literal["float32", "float16", "int8"],
        typer.Option(help="float16: half the file; int8: a backbone in 8 bits."),
    ] = "float32",
) -> None:
    """Write a model as one ONNX file that scores the same without torch.

    Nothing is written if it scores otherwise: see adlib info for how near it is.

    Example: adlib export part.adlib -o part.onnx --images camera/
    """
    from adlib.estimators import load
    from adlib.runtime._file import read_exported

    file = file_to_write(output, "part.onnx")
    load(model_file, device="cpu").export(
        file,
        images=images,
        input_size=input_size,
        map_size="original" if original_maps else None,
        precision=precision,
    )
    for engine, check in read_exported(file).header["check"].items():
        tell.print(f"{engine}: {compared(check)}")


def compared(check: dict[str, object]) -> str:
    """Say how an exported file compares with its detector."""
    text = (
        f"scores differ by up to {check['score']:.1g}, maps by {check['map']:.1g}, "
        f"{check['n_flipped']} other verdicts of {check['n_images']}"
    )
    if check["n_tied"]:
        text += f" ({check['n_tied']} more at the threshold itself)"
    if isinstance(check["auroc"], list):
        text += ", AUROC {:.4f} becomes {:.4f}".format(*check["auroc"])
    return text
