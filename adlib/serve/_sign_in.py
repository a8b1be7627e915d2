"""Who may use the review page: one key a browser, and no other site's forms."""

from __future__ import annotations

import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from adlib.serve._keys import Keys

SECONDS = 14 * 3600  # after which a browser signs in again: no shift is longer
MOST_SESSIONS = 1000
MOST_BYTES, MOST_FIELDS = 20_000, 10  # of a form
OWN_PAGE = re.compile(r"/(results/\d{1,19}|scores)?(\?[\w%&=.:+-]*)?")


class Sessions:
    """Browsers that have shown a key, by a random number in a cookie.

    They are forgotten when the server ends.

    Args:
        keys: What lets them in; None: all may, as on 127.0.0.1.
    """

    def __init__(self, keys: Keys | None) -> None:
        self._keys = keys
        self.needed = keys is not None
        self._known: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def name_of(self, request: Request) -> str | None:
        """Return the name of the key that a browser has shown, "" where none is asked.

        None: it has shown none.
        """
        if self._keys is None:
            return ""
        given = request.cookies.get(_cookie(request), "")
        name, end = self._known.get(given, ("", 0.0))
        return name if time.monotonic() < end else None

    def sign_in(self, request: Request, key: str, answer: Response) -> bool:
        """Let a browser in whose key is right, by a cookie of the answer."""
        name = None if self._keys is None else self._keys.name_of(key)
        if name is None:
            return False
        token = secrets.token_urlsafe(32)
        self._known[token] = name, time.monotonic() + SECONDS
        while len(self._known) > MOST_SESSIONS:
            self._known.popitem(last=False)
        answer.set_cookie(
            _cookie(request), token, SECONDS, httponly=True, samesite="strict"
        )
        return True

    def sign_out(self, request: Request) -> None:
        """Forget a browser."""
        self._known.pop(request.cookies.get(_cookie(request), ""), None)


def _cookie(request: Request) -> str:
    """Return the cookie's name: browsers do not tell the ports of a machine apart."""
    return f"adlib-review-{request.url.port or 80}"


def is_own(headers: Mapping[str, str]) -> bool:
    """Ask whether a form was sent by a page of this server, as the browser says."""
    site = headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    origin = headers.get("origin")
    if origin is None:  # browsers send one of the two
        return site is not None
    scheme, _, place = origin.partition("://")
    return scheme in ("http", "https") and place == headers.get("host")


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form.

    Raises:
        HTTPException: It is too large.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise HTTPException(413, "The comment is too long.")
    try:
        found = parse_qs(
            body.decode("ascii", "replace"),
            keep_blank_values=True,
            max_num_fields=MOST_FIELDS,
        )
    except ValueError:
        raise HTTPException(400, "The form has too many fields.") from None
    return {name: values[-1] for name, values in found.items()}


def own_page(path: str) -> str:
    """Return the path of a page to go to, "/" where it is none of this server."""
    return path if OWN_PAGE.fullmatch(path) else "/"
