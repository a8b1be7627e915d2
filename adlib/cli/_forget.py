"""The command that removes training images from a model."""

from __future__ import annotations

from typing import Annotated

import typer

from adlib.cli._console import ModelFile, file_to_write, tell


def forget(
    model_file: ModelFile,
    names: Annotated[
        list[str], typer.Argument(help="Training images, named as `adlib fit` did.")
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="Model file to write.")],
) -> None:
    """Write a model without all that it holds of some training images.

    It has no threshold, since scores rise. Other files are not touched: the old model
    and what was exported from it hold the images until you delete them.

    Example: adlib forget part.adlib parts/good/017.png -o new.adlib
    """
    from adlib.estimators import PatchCore, load

    file = file_to_write(output, "new.adlib")
    model = load(model_file, device="cpu")
    if not isinstance(model, PatchCore):
        raise ValueError(
            f"MODEL_FILE must hold a PatchCore, whose entries know their image; a "
            f"{type(model).__name__} cannot forget: fit it again without them."
        )
    n_images, n_entries = len(model.training_images_), len(model.memory_bank_)
    model.forget(names).save(file)
    tell.print(
        f"{len(model.training_images_)} of {n_images} images and "
        f"{len(model.memory_bank_):,} of {n_entries:,} entries are left; the model has "
        "no threshold."
    )
