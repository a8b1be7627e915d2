"""anomalib's models behind adlib's methods (extra ``anomalib``), to compare or migrate.

They score by anomalib's own code with adlib's weights and images. What anomalib does
not give, they refuse: patch embeddings, and scores of images that are left out.
"""

from adlib.anomalib._padim import AnomalibPadim
from adlib.anomalib._patchcore import AnomalibPatchcore

__all__ = ["AnomalibPadim", "AnomalibPatchcore"]
