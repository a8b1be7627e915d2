"""What adlib raises beyond Python's own ValueError, TypeError and ImportError."""

__all__ = [
    "AlignmentError",
    "DownloadError",
    "ImageError",
    "InputWarning",
    "ModelFileError",
    "SkippedImagesWarning",
    "WeightsError",
]


class ImageError(ValueError):
    """An image source holds something that is no image, or an image that is unusable.

    The message names the file, or the position in the source, and what is wrong.
    """


class AlignmentError(ImageError):
    """An image cannot be aligned to the reference image (``align``)."""


class WeightsError(RuntimeError):
    """A backbone's weights cannot be loaded, or do not fit it."""


class DownloadError(RuntimeError):
    """A file cannot be downloaded, is not the published one, or cannot be unpacked."""


class ModelFileError(ValueError):
    """A model file is damaged, is not adlib's, or has a version that cannot be read."""


class InputWarning(UserWarning):
    """An input may not mean what was intended; the message says what to do."""


class SkippedImagesWarning(InputWarning):
    """Images were skipped because ``on_error="skip"`` asked for it; lists them."""
