"""Ranges that the shifts of a data set are drawn from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self, TypeAlias, get_args

from adlib._validation import check_option, check_positive, check_range

Range: TypeAlias = tuple[float, float]
Part: TypeAlias = Literal[
    "rotation", "crop", "translation", "colour", "illumination", "blur", "noise"
]
Backend: TypeAlias = Literal["torchvision", "albumentations"]
PARTS: tuple[Part, ...] = get_args(Part)
GEOMETRIC: tuple[Part, ...] = ("rotation", "crop", "translation")
PHOTOMETRIC: tuple[Part, ...] = ("colour", "blur", "noise")
Severity: TypeAlias = Literal["mild", "moderate", "severe"]
SEVERITIES: dict[Severity, float] = {"mild": 0.5, "moderate": 1.0, "severe": 1.5}
# What each range must lie within, and the value that changes nothing.
LIMITS: dict[Part, tuple[float, float, float]] = {
    "rotation": (-180.0, 180.0, 0.0),
    "crop": (0.1, 1.0, 1.0),
    "translation": (-0.5, 0.5, 0.0),
    "colour": (0.0, 4.0, 1.0),
    "illumination": (0.0, 0.95, 0.0),
    "blur": (1.0, 31.0, 1.0),
    "noise": (0.0, 1.0, 0.0),
}


@dataclass(frozen=True)
class ShiftSettings:
    """Uniform ranges of the parts of a shift; None switches a part off.

    Rotation, crop and translation move image and mask; all others change the image
    alone. The defaults are the study's.

    Attributes:
        rotation: Degrees, counter-clockwise, within [-180, 180].
        crop: Share of the image's area that a crop of its shape keeps, within
            [0.1, 1]; it is resized to the whole.
        translation: Share of the side, down and to the right, within [-0.5, 0.5].
        colour: Factors of brightness, contrast and saturation, within [0, 4].
        illumination: Share of the light that a gradient takes away where it is darkest,
            within [0, 0.95].
        illumination_ratio: Share of the images that get a gradient, in [0, 1].
        blur: Sides in pixels of a Gaussian kernel, within [1, 31]; odd ones are drawn.
        noise: Standard deviation of Gaussian noise, of a range of 1, within [0, 1].
        backend: What draws and computes: "torchvision", or "albumentations" (extra
            ``albumentations``), from the same ranges. The images differ.

    Raises:
        TypeError: A range is not a pair of numbers.
        ValueError: A range, or ``backend``, is not as stated.

    Example:
        >>> from adlib.datasets import ShiftSettings
        >>> ShiftSettings().only("rotation").scaled("mild").rotation
        (-5.0, 5.0)
    """

    rotation: Range | None = (-10.0, 10.0)
    crop: Range | None = (0.9, 1.0)
    translation: Range | None = (-0.03, 0.03)
    colour: Range | None = (0.7, 1.3)
    illumination: Range | None = (0.4, 0.7)
    illumination_ratio: float = 0.5
    blur: Range | None = (3, 5)
    noise: Range | None = (0.01, 0.05)
    backend: Backend = "torchvision"

    # For the reader of configurations: unknown keys are errors.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        owner = type(self).__name__
        for part, (low, high, _) in LIMITS.items():
            value = getattr(self, part)
            if value is not None:
                checked = check_range(value, part, owner, low=low, high=high)
                object.__setattr__(self, part, checked)  # a list, from a file
        check_option(self.backend, "backend", owner, get_args(Backend))
        ratio = (0.0, self.illumination_ratio)
        check_range(ratio, "illumination_ratio", owner, low=0.0, high=1.0)

    def only(self, *parts: Part) -> Self:
        """Return settings with all parts but some switched off.

        Args:
            *parts: Names of attributes but ``illumination_ratio``.

        Returns:
            New settings.

        Raises:
            TypeError: A part is no text.
            ValueError: There is no such part.
        """
        for part in parts:
            check_option(part, "parts", "only", PARTS)
        others: dict[str, Any] = dict.fromkeys(set(PARTS).difference(parts))
        return replace(self, **others)

    def scaled(self, severity: Severity | float) -> Self:
        """Multiply the distance of every range from what changes nothing.

        Args:
            severity: "mild" (0.5), "moderate" (1), "severe" (1.5), or any factor above
                0. What would leave a limit is cut there.

        Returns:
            New settings; what is switched off stays so.

        Raises:
            TypeError: ``severity`` is neither a name nor a number.
            ValueError: There is no such name, or the factor is not above 0.
        """
        if isinstance(severity, str):
            check_option(severity, "severity", "scaled", tuple(SEVERITIES))
            factor = SEVERITIES[severity]
        else:
            factor = check_positive(severity, "severity", "scaled")
        changes: dict[str, Any] = {
            part: tuple(
                max(low, min(neutral + factor * (value - neutral), high))
                for value in getattr(self, part)
            )
            for part, (low, high, neutral) in LIMITS.items()
            if getattr(self, part) is not None
        }
        return replace(self, **changes)
