"""What the service says of images, as JSON."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from adlib._inspection import Decision, Inspection
from adlib.serve._drawn import as_grey
from adlib.serve._models import Model

MapFormat: TypeAlias = Literal["png", "npy"]
Pair: TypeAlias = tuple[int, int]


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RegionFound(_Said):
    """A connected area of the map above the pixel threshold, in pixels of the image."""

    box: tuple[int, int, int, int] = Field(description="top, left, bottom, right")
    area: float
    peak: float
    mean: float
    worst_pixel: Pair = Field(description="row, column")
    contours: list[list[tuple[float, float]]] = Field(description="rows and columns")
    area_mm2: None = None
    threshold: float | None = None
    zone: Pair | None = None


class Judgement(_Said):
    """One image. Where ``error`` is not null, the image could not be judged."""

    name: str = Field(description="The file's name as the client gave it, or 'image'.")
    score: float | None = Field(description="Higher is more anomalous.")
    verdict: Decision | None = Field(
        description="null: the model has no threshold. An image that could not be "
        "judged never passes."
    )
    p_value: float | None
    threshold_ratio: float | None = Field(description="The score over the threshold.")
    size: Pair | None = Field(description="Height and width of the image, upright.")
    worst_pixel: Pair | None = Field(description="Row and column of the highest score.")
    regions: list[RegionFound] | None = Field(description="The highest peak first.")
    map: str | None = Field(description="Base64 of what was asked for by `map`.")
    error: str | None


class Answer(_Said):
    """The images of a request, in their order, by one model."""

    model: str
    sha256: str = Field(description="Of the model's file.")
    threshold: float | None
    review_threshold: float | None
    promise: str = Field(description="What the thresholds promise, in words.")
    images: list[Judgement]


class Refusal(BaseModel):
    """Why a request was not answered."""

    detail: str


def answer(
    model: Model, results: Sequence[Inspection], map_format: MapFormat | None
) -> dict[str, Any]:
    """Return what ``Answer`` describes."""
    inspector = model.inspector
    limit = inspector.pixel_threshold_
    return {
        "model": model.name,
        "sha256": model.sha256,
        "threshold": inspector.threshold_,
        "review_threshold": inspector.review_threshold_,
        "promise": model.promise,
        "images": [_judgement(result, map_format, limit) for result in results],
    }


def _judgement(
    result: Inspection, map_format: MapFormat | None, limit: float | None
) -> dict[str, Any]:
    regions = result.regions
    return {
        "name": result.path,
        "score": None if math.isnan(result.score) else result.score,
        "verdict": result.decision,
        "p_value": result.p_value,
        "threshold_ratio": result.threshold_ratio,
        "size": result.size,
        "worst_pixel": result.worst_pixel,
        "regions": None if regions is None else [one.as_dict() for one in regions],
        "map": _map_text(result, map_format, limit),
        "error": result.error,
    }


def _map_text(
    result: Inspection, map_format: MapFormat | None, limit: float | None
) -> str | None:
    """Return the map as base64, None where none was asked for or there is none."""
    if map_format is None or result.map is None:
        return None
    file = io.BytesIO()
    if map_format == "npy":
        np.save(file, result.map, allow_pickle=False)
    else:
        shown = result.map
        if result.zones is not None:
            shown = result.zones.relative(shown)
        Image.fromarray(as_grey(shown, limit)).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")
