"""Where results go: a CSV file, a webhook, an MQTT broker."""

from __future__ import annotations

import base64
import csv
import io
import json
import threading
import urllib.request
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit, urlunsplit

from adlib._cells import number_cell, text_cell
from adlib.serve._deliver import Refused
from adlib.serve._results import Result, Results

if TYPE_CHECKING:
    from paho.mqtt.client import Client

TIMEOUT = 10.0  # seconds that a receiver may take
TAIL = 2**20  # bytes at the end of a CSV file, in which its last row is
COLUMNS = ["number", "product", "judged_utc", "path", "decision", "score", "threshold"]
COLUMNS += ["review_threshold", "p_value", "threshold_ratio", "worst_row_px"]
COLUMNS += ["worst_column_px", "n_regions", "error", "sha256", "model"]
# Excel takes a file for UTF-8 only if it begins with a byte-order mark.
HEADER = (",".join(COLUMNS) + "\n").encode("utf-8-sig")
REFUSALS = (400, 413, 415, 422)  # what is wrong with the message, not with the way


def message_of(result: Result) -> bytes:
    """Return a result as JSON, its regions without their outlines."""
    found = result.as_dict()
    for region in found["regions"]:
        region.pop("contours", None)
    return json.dumps(found).encode()


class Csv:
    """A CSV file that holds every result of a product once, in order.

    The last row says how far it got, so that nothing is lost or there twice after a
    kill: a row that was begun is cut off, and what misses comes from the database.
    """

    name = "csv"

    def __init__(self, path: Path) -> None:
        self._path = path

    def start(self, results: Results, product: str) -> int:
        """Return the number of the last whole row, 0 for a new file."""
        if not self._path.exists():
            return 0
        with self._path.open("r+b") as file:
            self._check(HEADER.startswith(file.read(len(HEADER))))
            end = file.seek(0, 2)
            begin = file.seek(max(0, end - TAIL))
            tail = file.read()
            whole = tail[: tail.rfind(b"\n") + 1]
            self._check(bool(whole) or begin == 0)
            file.truncate(begin + len(whole))
        if whole in (b"", HEADER):
            return 0
        last = whole[:-1].rpartition(b"\n")[2]
        cells = next(csv.reader([last.decode("utf-8", "surrogateescape")]))
        self._check(len(cells) == len(COLUMNS) and cells[0].isdecimal())
        number = int(cells[0])
        rows = results.after(product, number - 1, 1)
        self._check([row.number for row in rows] == [number])
        return number

    def send(self, result: Result) -> None:
        """Append a row."""
        worst = (result.worst_row, result.worst_column)
        numbers = (result.threshold, result.review_threshold)
        cells = [
            str(result.number),
            text_cell(result.product),
            result.judged_utc,
            text_cell(result.path),
            result.decision,
            number_cell(result.score),
            *map(number_cell, (*numbers, result.p_value, result.threshold_ratio)),
            *("" if pixel is None else str(pixel) for pixel in worst),
            str(len(json.loads(result.regions))),
            text_cell(result.error),
            result.sha256 or "",
            result.model,
        ]
        # A row is a line, whatever is in names.
        cells = [c.replace("\r", "\\r").replace("\n", "\\n") for c in cells]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(cells)
        with self._path.open("ab") as file:
            if file.tell() == 0:
                file.write(HEADER)
            file.write(text.getvalue().encode("utf-8", "surrogateescape"))

    def close(self) -> None:
        """Do nothing: the file is open only while a row is written."""

    def _check(self, is_right: bool) -> None:
        if not is_right:
            raise ValueError(
                f"{str(self._path)!r} does not go on with these results. Move it away: "
                "it is then written from the database, from the first result on."
            )


class _InDatabase:
    """A sink whose place is kept in the database; a new one begins with what comes."""

    name: str

    def start(self, results: Results, product: str) -> int:
        """Return the number of the last result that it has had."""
        return results.sink_at(product, self.name)

    def close(self) -> None:
        """Let go of connections."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Redirected, urllib would ask without the message, and call that delivered."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        return None


class Webhook(_InDatabase):
    """POSTs each result as JSON. An answer of 2xx means that it was taken.

    Args:
        url: http or https; a user and password in it are sent as basic authentication.

    Raises:
        ValueError: It is no such URL.
    """

    name = "webhook"

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            rule = "must be http://HOST/... or https://HOST/..."
            raise ValueError(f"--webhook {rule}; got {_shown(url)!r}.")
        host = parts.netloc.rpartition("@")[2]
        self._url = urlunsplit(parts._replace(netloc=host, fragment=""))
        self._headers = {"Content-Type": "application/json", "User-Agent": "adlib"}
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            coded = base64.b64encode(user.encode()).decode()
            self._headers["Authorization"] = f"Basic {coded}"
        self._opener = urllib.request.build_opener(_NoRedirects)

    def send(self, result: Result) -> None:
        """Post a result."""
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            self._url, message_of(result), self._headers, method="POST"
        )
        try:
            self._opener.open(request, timeout=TIMEOUT).close()
        except HTTPError as error:
            error.close()
            text = f"the receiver answers {error.code} {error.reason}"
            if error.code in REFUSALS:
                raise Refused(text) from None
            raise OSError(text) from None


class Mqtt(_InDatabase):
    """Publishes each result as JSON with quality of service 1.

    Args:
        url: mqtt://HOST/TOPIC or, with TLS, mqtts://HOST/TOPIC; a port, and a user and
            password, as in other URLs.

    Raises:
        ValueError: It is no such URL.
        ImportError: The extra ``mqtt`` is not installed.
    """

    name = "mqtt"

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        topic = unquote(parts.path.removeprefix("/"))
        if (
            parts.scheme not in ("mqtt", "mqtts")
            or not parts.hostname
            or not topic
            or set(topic) & set("+#\0")
        ):
            rule = "must be mqtt://HOST/TOPIC or mqtts://HOST/TOPIC, without + and #"
            raise ValueError(f"--mqtt {rule}; got {_shown(url)!r}.")
        try:
            import paho.mqtt.client  # noqa: F401, PLC0415 - an extra
        except ImportError as error:
            text = 'MQTT needs paho-mqtt. Run: pip install "adlib-vision[mqtt]".'
            raise ImportError(text) from error
        self._parts, self._topic = parts, topic
        self._client: Client | None = None

    def send(self, result: Result) -> None:
        """Publish a result and wait until the broker has it."""
        if self._client is None or not self._client.is_connected():
            self.close()
            self._client = self._connected()
        sent = self._client.publish(self._topic, message_of(result), qos=1)
        sent.wait_for_publish(TIMEOUT)
        if not sent.is_published():
            self.close()  # or the client would send it later, too
            raise OSError(f"the broker did not take it within {TIMEOUT:g} s")

    def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None

    def _connected(self) -> Client:
        from paho.mqtt.client import Client  # noqa: PLC0415
        from paho.mqtt.enums import CallbackAPIVersion  # noqa: PLC0415

        client = Client(CallbackAPIVersion.VERSION2)
        answered, answers = threading.Event(), []

        def note(
            _client: Any, _data: Any, _flags: Any, reason: Any, _more: Any
        ) -> None:
            answers.append(reason)
            answered.set()

        client.on_connect = note
        if self._parts.scheme == "mqtts":
            client.tls_set()
        if self._parts.username is not None:
            password = self._parts.password
            user = unquote(self._parts.username)
            client.username_pw_set(
                user, None if password is None else unquote(password)
            )
        port = self._parts.port or (8883 if self._parts.scheme == "mqtts" else 1883)
        client.connect_timeout = TIMEOUT
        client.connect(str(self._parts.hostname), port)
        client.loop_start()
        if not answered.wait(TIMEOUT) or answers[0].is_failure:
            client.disconnect()
            client.loop_stop()
            reason = answers[0] if answers else f"no answer within {TIMEOUT:g} s"
            raise OSError(f"the broker does not connect: {reason}")
        return client


def _shown(url: str) -> str:
    """Return a URL without a password."""
    scheme, found, rest = url.partition("://")
    return f"{scheme}{found}{rest.rpartition('@')[2]}" if found else rest or scheme
