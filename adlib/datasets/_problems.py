"""What can be wrong with a data set on disk, how bad it is, and the remedy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["error", "warning"]

# By kind, the remedy. An error makes a result wrong or impossible.
ERRORS = {
    "no training images": "Put normal images there to train on.",
    "no test images": "Put images there to test with.",
    "anomalous training image": "Move it to the test images.",
    "unreadable image": "Get it again from its publisher, or delete it.",
    "unreadable mask": "Get it again from its publisher.",
    "missing mask": "Get it from the publisher, draw it, or delete the image.",
    "orphan mask": "Restore its image, rename the mask, or delete it.",
    "mask size": "Resize the mask, or save the image upright.",
    "empty mask": "Draw the defect, or move the image to the good ones.",
    "shared by splits": "Keep it in one split: training images give no valid result.",
    "two labels": "Decide which is right and delete the other.",
}
# A warning is worth a look.
WARNINGS = {
    "one-sided test": (
        "Add images of the other kind, or report no metric that needs both."
    ),
    "mostly marked mask": "If normal pixels are the marked ones, invert it.",
    "lossy mask": "Save masks as PNG: lossy formats change the edges of defects.",
    "many-valued mask": (
        "See whether it is a mask; save it as 0 where normal, else 255."
    ),
    "mask without 0": "Save normal pixels as 0.",
    "mask in alpha": "Save it as grey without alpha: 0 where normal, else 255.",
    "duplicate image": "Delete one, unless it counts twice on purpose.",
    "unread image": "Move it into a folder of its kind, such as good, or delete it.",
    "not an image": "Move it out of the images, or delete it.",
    "published counts": (
        "Download the class again, if it should be the published one."
    ),
}
REMEDIES = ERRORS | WARNINGS


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a data set; ``kind`` is one of ``REMEDIES``."""

    class_name: str
    kind: str
    path: Path
    text: str

    @property
    def severity(self) -> Severity:
        """Whether it breaks the data set ("error") or not ("warning")."""
        return "error" if self.kind in ERRORS else "warning"

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return REMEDIES[self.kind]
