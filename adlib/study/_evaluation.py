"""What an evaluation found, as typed results that JSON can hold."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from adlib.metrics._bootstrap import Interval
from adlib.metrics._breakdown import Group
from adlib.metrics._image_metrics import Confusion
from adlib.study._json import plain


@dataclass(frozen=True)
class ImageResults:
    """How well images are told apart; None where the data do not allow it.

    Attributes:
        auroc: With its bootstrap interval.
        auprc: Average precision, with its bootstrap interval.
        fpr_at_95_tpr: False-positive rate where 95 % of the defects are found.
        best_f1: Highest F1 over all thresholds, chosen on these very images.
        best_f1_threshold: Where that is.
        f1: At the threshold, with its bootstrap interval.
        accuracy: At the threshold.
        precision: At the threshold; NaN where no image is called anomalous.
        recall: At the threshold.
        specificity: At the threshold.
        confusion: Counts at the threshold.
    """

    auroc: Interval | None = None
    auprc: Interval | None = None
    fpr_at_95_tpr: float | None = None
    best_f1: float | None = None
    best_f1_threshold: float | None = None
    f1: Interval | None = None
    accuracy: float | None = None
    precision: float | None = None
    recall: float | None = None
    specificity: float | None = None
    confusion: Confusion | None = None


@dataclass(frozen=True)
class PixelResults:
    """How well defects are located.

    Attributes:
        auroc: Pixel AUROC, over all pixels of all images, normal ones too.
        auprc: Pixel average precision.
        best_f1: Highest pixel F1 over all thresholds, chosen on these very maps.
        best_f1_threshold: Where that is.
        aupro: Area under the per-region overlap up to ``fpr_limit``.
        fpr_limit: The false-positive rate at which the PRO curve is cut.
        aupimo: Mean area under the per-image overlap; None without normal images.
        n_images: Images whose pixels were judged.
        n_regions: Regions of all masks, 8-connected.
        height: Of the maps and of the masks as they were compared.
        width: Likewise.
    """

    auroc: float
    auprc: float
    best_f1: float
    best_f1_threshold: float
    aupro: float
    fpr_limit: float
    aupimo: float | None
    n_images: int
    n_regions: int
    height: int
    width: int


@dataclass(frozen=True)
class Evaluation:
    """Everything that was measured of one model on one class.

    Attributes:
        method: What the model is called.
        class_name: What the images show.
        n_normal: Normal images that were scored.
        n_anomalous: Anomalous images that were scored.
        n_skipped: Images that were not.
        threshold: Above it an image is called anomalous; None: nobody set it.
        image: By image.
        pixel: By pixel and region; None: there are no maps or no masks.
        defect_types: By defect type.
        sizes: By size of the defect, where there are masks.
        positions: By its position, where there are masks.
    """

    method: str
    class_name: str
    n_normal: int
    n_anomalous: int
    n_skipped: int
    threshold: float | None
    image: ImageResults
    pixel: PixelResults | None
    defect_types: dict[str, Group]
    sizes: dict[str, Group]
    positions: dict[str, Group]

    def figures(self) -> dict[str, float]:
        """Return every single number by the name that configurations use."""
        image, pixel = self.image, self.pixel
        found: dict[str, Interval | float | None] = {
            "image_auroc": image.auroc,
            "image_auprc": image.auprc,
            "image_f1": image.f1,
            "image_accuracy": image.accuracy,
            "image_precision": image.precision,
            "image_recall": image.recall,
            "image_specificity": image.specificity,
            "image_fpr_at_95_tpr": image.fpr_at_95_tpr,
            "image_best_f1": image.best_f1,
        }
        if pixel is not None:
            found |= {
                "pixel_auroc": pixel.auroc,
                "pixel_auprc": pixel.auprc,
                "pixel_best_f1": pixel.best_f1,
                "aupro": pixel.aupro,
                "aupimo": pixel.aupimo,
            }
        return {
            name: value.value if isinstance(value, Interval) else value
            for name, value in found.items()
            if value is not None
        }

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it: what is missing or NaN is null."""
        found: dict[str, Any] = plain(asdict(self))
        return found
