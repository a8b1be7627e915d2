"""Write a fitted detector as one ONNX file that scores the same without torch."""

from adlib.export._export import export

__all__ = ["export"]
