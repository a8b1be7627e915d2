"""Any image source becomes decoded, resized batches; what is wrong is found here."""

from adlib.images._decode import read_image
from adlib.images._pixels import PixelFormat
from adlib.images._sources import Images, Source, open_source
from adlib.images._stream import Batch, Failure, read_batches

__all__ = [
    "Batch",
    "Failure",
    "Images",
    "PixelFormat",
    "Source",
    "open_source",
    "read_batches",
    "read_image",
]
