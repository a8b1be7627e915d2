"""A web server of this process that hands out files, and breaks off when told to."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class FileServer(ThreadingHTTPServer):
    """Hands out ``files`` by path, and notes what was asked and what went out."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {}
        self.knows_ranges = True
        self.cuts = []  # bytes after which the next answers break off
        self.stalls = []  # like cuts, but the connection stays open and silent
        self.released = threading.Event()
        self.asked = []  # (path, Range or None)
        self.n_served = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def ranges(self):
        return [wanted for _, wanted in self.asked]


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    def do_GET(self):
        server = self.server
        wanted = self.headers["Range"]
        server.asked.append((self.path, wanted))
        if self.path not in server.files:
            self.send_error(404)
            return
        content = server.files[self.path]
        first = 0
        if wanted and server.knows_ranges:
            first = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if first >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            span = f"bytes {first}-{len(content) - 1}/{len(content)}"
            self.send_header("Content-Range", span)
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        body = content[first:]
        if server.cuts:
            body = body[: server.cuts.pop(0)]
            self.close_connection = True
        n_sent = server.stalls.pop(0) if server.stalls else len(body)
        server.n_served += n_sent  # before the client can be done with it
        self.wfile.write(body[:n_sent])
        if n_sent < len(body):
            self.close_connection = True
            self.wfile.flush()
            server.released.wait()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """A running server; nothing is asked through a proxy."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("adlib.datasets._download.PAUSE", 0.0)
    with FileServer() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.released.set()
        running.shutdown()
        thread.join()
