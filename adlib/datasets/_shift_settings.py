"""How far the shifted twin of a data set may stray from it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, Self, TypeAlias

from adlib._validation import check_option, check_positive, check_range

Range: TypeAlias = tuple[float, float]
Part: TypeAlias = Literal[
    "rotation", "crop", "translation", "colour", "illumination", "blur", "noise"
]
PARTS: tuple[Part, ...] = (
    "rotation",
    "crop",
    "translation",
    "colour",
    "illumination",
    "blur",
    "noise",
)
GEOMETRIC: tuple[Part, ...] = ("rotation", "crop", "translation")
PHOTOMETRIC: tuple[Part, ...] = ("colour", "blur", "noise")
Severity: TypeAlias = Literal["mild", "moderate", "severe"]
SEVERITIES: dict[Severity, float] = {"mild": 0.5, "moderate": 1.0, "severe": 1.5}
DARKEST = 0.95  # of the light that a gradient may take away
LARGEST_KERNEL = 31


@dataclass(frozen=True)
class ShiftSettings:
    """What a shift draws from, uniformly; None switches a part off.

    Geometric parts move image and mask alike; all others change the image alone. The
    defaults are the study's.

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

    Raises:
        TypeError: A range is not a pair of numbers.
        ValueError: A range is not as stated.

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

    # For the reader of configurations: unknown keys are errors.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        limits: dict[Part, Range] = {
            "rotation": (-180.0, 180.0),
            "crop": (0.1, 1.0),
            "translation": (-0.5, 0.5),
            "colour": (0.0, 4.0),
            "illumination": (0.0, DARKEST),
            "blur": (1, LARGEST_KERNEL),
            "noise": (0.0, 1.0),
        }
        owner = type(self).__name__
        for part, (low, high) in limits.items():
            value = getattr(self, part)
            if value is not None:
                checked = check_range(value, part, owner, low=low, high=high)
                object.__setattr__(self, part, checked)  # a list, from a file
        check_range(
            (0.0, self.illumination_ratio),
            "illumination_ratio",
            owner,
            low=0.0,
            high=1.0,
        )

    def only(self, *parts: Part) -> Self:
        """Switch all parts off but some.

        Args:
            *parts: Of ``PARTS``, those to keep.

        Returns:
            New settings.

        Raises:
            TypeError: A part is no text.
            ValueError: There is no such part.
        """
        for part in parts:
            check_option(part, "parts", "only", PARTS)
        return self.without(*(part for part in PARTS if part not in parts))

    def without(self, *parts: Part) -> Self:
        """Switch some parts off.

        Args:
            *parts: Of ``PARTS``, those to switch off.

        Returns:
            New settings.

        Raises:
            TypeError: A part is no text.
            ValueError: There is no such part.
        """
        for part in parts:
            check_option(part, "parts", "without", PARTS)
        switched_off: dict[str, Any] = dict.fromkeys(parts)
        return replace(self, **switched_off)

    def scaled(self, severity: Severity | float) -> Self:
        """Make all parts stray further, or less far, from the image as it is.

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
            factor = SEVERITIES[
                check_option(severity, "severity", "scaled", tuple(SEVERITIES))
            ]
        else:
            factor = check_positive(severity, "severity", "scaled")

        def stretched(
            values: Range | None, neutral: float, low: float, high: float
        ) -> Range | None:
            if values is None:
                return None
            first, last = (neutral + factor * (value - neutral) for value in values)
            return max(low, min(first, high)), max(low, min(last, high))

        return replace(
            self,
            rotation=stretched(self.rotation, 0.0, -180.0, 180.0),
            crop=stretched(self.crop, 1.0, 0.1, 1.0),
            translation=stretched(self.translation, 0.0, -0.5, 0.5),
            colour=stretched(self.colour, 1.0, 0.0, 4.0),
            illumination=stretched(self.illumination, 0.0, 0.0, DARKEST),
            blur=stretched(self.blur, 1.0, 1.0, LARGEST_KERNEL),
            noise=stretched(self.noise, 0.0, 0.0, 1.0),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as JSON has them, ranges as lists."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        }
