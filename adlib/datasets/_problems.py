"""What can be wrong with a data set on disk, how bad it is, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

Severity: TypeAlias = Literal["error", "warning"]
Kind: TypeAlias = Literal[
    "no training images",
    "no test images",
    "one-sided test",
    "anomalous training image",
    "unreadable image",
    "unreadable mask",
    "missing mask",
    "orphan mask",
    "mask size",
    "empty mask",
    "mostly marked mask",
    "lossy mask",
    "many-valued mask",
    "mask without 0",
    "mask in alpha",
    "shared by splits",
    "two labels",
    "duplicate image",
    "unread image",
    "not an image",
    "published counts",
]


class _Rule(NamedTuple):
    severity: Severity
    remedy: str


# An error makes a result wrong or impossible; a warning is worth a look.
RULES: dict[Kind, _Rule] = {
    "no training images": _Rule("error", "Put normal images there to learn from."),
    "no test images": _Rule("error", "Put images there to test with."),
    "one-sided test": _Rule(
        "warning", "Add images of the other kind, or report no metric that needs both."
    ),
    "anomalous training image": _Rule("error", "Move it to the test images."),
    "unreadable image": _Rule(
        "error", "Get it again from its publisher, or delete it."
    ),
    "unreadable mask": _Rule("error", "Get it again from its publisher."),
    "missing mask": _Rule(
        "error", "Get it from the publisher, draw it, or delete the image."
    ),
    "orphan mask": _Rule("error", "Restore its image, rename the mask, or delete it."),
    "mask size": _Rule("error", "Resize the mask, or save the image upright."),
    "empty mask": _Rule(
        "error", "Draw the defect, or move the image to the good ones."
    ),
    "mostly marked mask": _Rule(
        "warning", "If normal pixels are the marked ones, invert it."
    ),
    "lossy mask": _Rule(
        "warning", "Save masks as PNG: lossy formats change the edges of defects."
    ),
    "many-valued mask": _Rule(
        "warning", "See whether it is a mask; save it as 0 where normal, else 255."
    ),
    "mask without 0": _Rule("warning", "Save normal pixels as 0."),
    "mask in alpha": _Rule(
        "warning", "Save it as grey without alpha: 0 where normal, else 255."
    ),
    "shared by splits": _Rule(
        "error", "Keep it in one split: results on images that were learned are void."
    ),
    "two labels": _Rule("error", "Decide which is right and delete the other."),
    "duplicate image": _Rule(
        "warning", "Delete one, unless it counts twice on purpose."
    ),
    "unread image": _Rule(
        "warning", "Move it into a folder of its kind, such as good, or delete it."
    ),
    "not an image": _Rule("warning", "Move it out of the images, or delete it."),
    "published counts": _Rule(
        "warning", "Download the class again, if it should be the published one."
    ),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a data set.

    Attributes:
        class_name: The class.
        kind: What is wrong, one of a fixed list.
        path: The file or folder.
        text: What was found, in words.
    """

    class_name: str
    kind: Kind
    path: Path
    text: str

    @property
    def severity(self) -> Severity:
        """Whether it breaks the data set ("error") or not ("warning")."""
        return RULES[self.kind].severity

    @property
    def remedy(self) -> str:
        """What to mend."""
        return RULES[self.kind].remedy
