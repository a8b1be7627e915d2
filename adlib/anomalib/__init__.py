"""anomalib's models behind adlib's methods, to compare or migrate.

``read_checkpoint`` turns its files into adlib's own detectors, and needs no anomalib.
The adapters (extra ``anomalib``) score by anomalib's own code, with adlib's weights and
images. What anomalib does not give, they refuse: patch embeddings, and scores of images
that are left out.
"""

from adlib.anomalib._checkpoint import read_checkpoint
from adlib.anomalib._padim import AnomalibPadim
from adlib.anomalib._patchcore import AnomalibPatchcore

__all__ = ["AnomalibPadim", "AnomalibPatchcore", "read_checkpoint"]
