"""Any image source becomes decoded, resized batches; what is wrong is found here."""

from adlib.images._decode import SUFFIXES, read_image
from adlib.images._folders import check_good_alone, is_hidden, is_image_name
from adlib.images._pixels import (
    COLOR_ORDERS,
    ColorOrder,
    PixelFormat,
    as_pixels,
    resize,
)
from adlib.images._sources import (
    Again,
    ImageLike,
    Images,
    Item,
    Source,
    open_source,
)
from adlib.images._stream import (
    ON_ERROR,
    Batch,
    Failure,
    OnError,
    read_batches,
)

__all__ = [
    "COLOR_ORDERS",
    "ON_ERROR",
    "SUFFIXES",
    "Again",
    "Batch",
    "ColorOrder",
    "Failure",
    "ImageLike",
    "Images",
    "Item",
    "OnError",
    "PixelFormat",
    "Source",
    "as_pixels",
    "check_good_alone",
    "is_hidden",
    "is_image_name",
    "open_source",
    "read_batches",
    "read_image",
    "resize",
]
