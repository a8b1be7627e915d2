"""What a notebook shows of a result or a model: a title, pictures, and rows of text."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from html import escape
from typing import TypeVar

from PIL import Image

Shown = TypeVar("Shown")

# Good and anomalous, by Okabe and Ito, and to be reviewed; white can be read on them.
BLUE, ORANGE, OLIVE = "#0072b2", "#d55e00", "#6b6b00"
SIDE = 256  # pixels of a picture, at most
JPEG_QUALITY = 85
# No colour of text or ground, so that both are those of a light or a dark theme.
CARD = "display:inline-block;max-width:100%;border:1px solid #8888;border-radius:6px;"
CARD += "padding:8px 12px;margin:2px 0;font-size:13px;line-height:1.45"
BADGE = "color:#fff;border-radius:4px;padding:1px 7px;margin-left:8px;background:"
TABLE = "border:0;margin:4px 0 0;table-layout:auto;color:inherit;font-size:inherit"
NAME = "text-align:left;vertical-align:top;padding:1px 14px 1px 0;opacity:.75"
NAME += ";font-weight:normal;white-space:nowrap;background:none"
VALUE = "text-align:left;padding:1px 0;overflow-wrap:anywhere;background:none"


def or_nothing(
    method: Callable[[Shown], str],
) -> Callable[[Shown], str | None]:
    """Let a ``_repr_html_`` return None, for which ``repr`` is shown, not raise."""

    @wraps(method)
    def shown(self: Shown) -> str | None:
        try:
            return method(self)
        except Exception:  # of a state that has no better text than its repr
            return None

    return shown


def card(
    title: str,
    rows: Mapping[str, str],
    *,
    badge: tuple[str, str] | None = None,
    pictures: Iterable[str] = (),
) -> str:
    """Return a card; all texts are escaped but ``pictures``, as ``picture`` has them.

    ``badge`` is a text and its colour.
    """
    head = f'<strong style="overflow-wrap:anywhere">{escape(title)}</strong>'
    if badge is not None:
        head += f'<span style="{BADGE}{badge[1]}">{escape(badge[0])}</span>'
    shown = "".join(pictures)
    lines = "".join(
        f'<tr style="background:none"><th scope="row" style="{NAME}">{escape(name)}'
        f'</th><td style="{VALUE}">{escape(text)}</td></tr>'
        for name, text in rows.items()
    )
    table = f'<table style="{TABLE}">{lines}</table>'
    return f'<div style="{CARD}">{head}{shown and f"<div>{shown}</div>"}{table}</div>'


def picture(image: Image.Image, alt: str) -> str:
    """Return an RGB image of at most ``SIDE`` pixels a side as an element."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=JPEG_QUALITY)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return (
        f'<img src="data:image/jpeg;base64,{data}" alt="{escape(alt)}" '
        f'width="{image.width}" height="{image.height}" '
        'style="margin:6px 6px 0 0;max-width:100%;display:inline-block">'
    )


def fitting(size: tuple[int, int]) -> tuple[int, int]:
    """Return the (height, width) at which all of an image fits into a picture."""
    scale = min(1.0, SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
