"""Score with an exported file, by ONNX Runtime or OpenVINO, without torch.

This room needs NumPy, Pillow and one of the two runtimes, and nothing else of adlib's
dependencies, unless an image is one of 16 bits in colour.
"""

from adlib.runtime._exported_model import ExportedModel, load

__all__ = ["ExportedModel", "load"]
