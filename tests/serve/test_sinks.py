from __future__ import annotations

import csv
import json
import socket
import struct
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from adlib.serve import _deliver, _sinks
from adlib.serve._deliver import Courier, Notes
from adlib.serve._results import Result, Results
from adlib.serve._sinks import HEADER, Csv, Mqtt, Webhook
from tests.serve.watching import Line, save, wait_for


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(_deliver, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(_deliver, "LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(_sinks, "TIMEOUT", 2.0)


@pytest.fixture
def line(tmp_path):
    return Line(tmp_path)


def result(number=1, **given):
    plain = Result(number, "part", "m", "a.png", 3, 5, "1", "2026", "PASS", 1.0)
    return plain._replace(**given)


@contextmanager
def courier(line, sink):
    Results(line.database).close()
    one = Courier(line.database, "part", sink, Notes(line.said.append))
    yield one
    one.end()
    if one.ident is not None:
        one.join(10)


class Receiver:
    """A web server that answers with the next of ``answers``, then with 200."""

    def __init__(self, *answers):
        self.answers, self.got, self.headers = list(answers), [], []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                length = int(self.headers["Content-Length"])
                message = json.loads(self.rfile.read(length))
                code = outer.answers.pop(0) if outer.answers else 200
                outer.headers.append(dict(self.headers))
                if code < 300:
                    outer.got.append(message)
                self.send_response(code)
                if code == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self):  # what urllib would make of a redirected message
                outer.got.append("GET")

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.01,)).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def test_a_webhook_gets_each_result_in_order(line):
    with (
        Receiver(503, 200, 500, 404, 302) as receiver,
        courier(line, Webhook(receiver.url)) as one,
    ):
        for number in range(5):
            save(line.inbox / f"{number}.png", 50 * number)
        rows = line.run(couriers=[one])
    assert [message["number"] for message in receiver.got] == [1, 2, 3, 4, 5]
    assert receiver.got == [row.as_dict() for row in rows]
    assert sum("webhook: the receiver answers 503" in text for text in line.said) == 1
    assert line.said[-1].endswith("waiting: 0.")


def test_a_result_that_a_receiver_refuses_is_left_out_and_counted(line):
    with Receiver(422) as receiver, courier(line, Webhook(receiver.url)) as one:
        for number in range(3):
            save(line.inbox / f"{number}.png", number)
        line.run(couriers=[one])
    assert [message["number"] for message in receiver.got] == [2, 3]
    assert any("result 1: the receiver answers 422" in text for text in line.said)
    with Results(line.database) as results, results.transaction() as db:
        assert db.execute("SELECT number, refused FROM sinks").fetchall() == [(3, 1)]


def test_a_dead_webhook_never_stops_inspection_and_gets_all_later(line, monkeypatch):
    monkeypatch.setattr("adlib.serve._watch.GRACE", 0.1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with courier(line, Webhook(f"http://127.0.0.1:{port}/")) as one:
        for number in range(4):
            save(line.inbox / f"{number}.png", number)
        assert len(line.run(couriers=[one])) == 4
    assert line.said[-1].endswith("waiting: 0; webhook: 4 to deliver.")
    with Receiver() as receiver, courier(line, Webhook(receiver.url)) as one:
        save(line.inbox / "5.png", 5)
        line.run(couriers=[one])
    assert [message["number"] for message in receiver.got] == [1, 2, 3, 4, 5]


def test_a_password_in_a_url_is_sent_and_not_shown():
    with Receiver() as receiver:
        Webhook(receiver.url.replace("//", "//me:se%40cret@")).send(result())
    assert receiver.headers[0]["Authorization"] == "Basic bWU6c2VAY3JldA=="
    for sink, url in ((Webhook, "ftp://me:secret@x/y"), (Mqtt, "mqtt://me:secret@x/")):
        with pytest.raises(ValueError, match="must be") as error:
            sink(url)
        assert "secret" not in str(error.value)


def test_outlines_are_not_sent():
    regions = json.dumps([{"area": 1.0, "contours": [[[1, 2]]]}])
    message = json.loads(_sinks.message_of(result(regions=regions)))
    assert message["regions"] == [{"area": 1.0}]


def rows_of(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_holds_every_result_once_however_it_was_cut(line):
    table = line.root / "results.csv"
    for number in range(4):
        save(line.inbox / f"{number}.png", 50 * number)
    with courier(line, Csv(table)) as one:
        line.run(couriers=[one])
    whole = table.read_bytes()
    assert [row["number"] for row in rows_of(table)] == ["1", "2", "3", "4"]
    with Results(line.database) as results:
        for length in range(0, len(whole) + 1, 3):
            table.write_bytes(whole[:length])
            sink = Csv(table)
            for row in results.after("part", sink.start(results, "part")):
                sink.send(row)
            assert table.read_bytes() == whole
    table.unlink()
    with courier(line, Csv(table)) as one:
        line.run(couriers=[one])
    assert table.read_bytes() == whole


def test_a_table_has_plain_rows_whatever_is_in_names(tmp_path):
    sink = Csv(tmp_path / "a.csv")
    name = '=cmd"|,\r\n\udcff.png'
    sink.send(result(path=name, score=None, error=f"{name} broken", decision="REVIEW"))
    lines = (tmp_path / "a.csv").read_bytes().splitlines()
    assert len(lines) == 2
    cells = next(csv.reader([lines[1].decode("utf-8", "surrogateescape")]))
    assert cells[3] == './=cmd"|,\\r\\n\udcff.png'


@pytest.mark.parametrize("text", [b"my,own\n1,2\n", HEADER + b"9,part\n", b"x" * 10])
def test_a_table_that_is_not_of_these_results_is_refused_as_it_is(line, text):
    table = line.root / "results.csv"
    table.write_bytes(text)
    with (
        pytest.raises(ValueError, match="does not go on with these results"),
        courier(line, Csv(table)),
    ):
        pass
    assert table.read_bytes() == text


class Broker:
    """As much of an MQTT 3.1.1 broker as a publisher meets."""

    def __init__(self, *, code=0, n_silent=0):
        self.got, self.connects, self.n_silent, self.code = [], [], n_silent, code
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://me:pw@127.0.0.1:{self._listener.getsockname()[1]}/line/1"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection):
        with connection, connection.makefile("rwb") as stream:
            while kind := stream.read(1):
                length = shift = 0
                while True:
                    (byte,) = stream.read(1)
                    length |= (byte & 127) << shift
                    shift += 7
                    if byte < 128:
                        break
                body = stream.read(length)
                if kind[0] >> 4 == 1:
                    self.connects.append(body)
                    stream.write(bytes([0x20, 2, 0, self.code]))
                elif kind[0] >> 4 == 3:
                    (size,) = struct.unpack(">H", body[:2])
                    if self.n_silent:
                        self.n_silent -= 1
                        continue
                    message = json.loads(body[4 + size :])
                    self.got.append((body[2 : 2 + size], message["number"]))
                    stream.write(bytes([0x40, 2]) + body[2 + size : 4 + size])
                elif kind[0] >> 4 == 14:
                    return
                stream.flush()


@pytest.fixture
def paho():
    pytest.importorskip("paho.mqtt.client")


@pytest.mark.usefixtures("paho")
def test_a_broker_gets_each_result(line):
    broker = Broker()
    with courier(line, Mqtt(broker.url)) as one:
        for number in range(3):
            save(line.inbox / f"{number}.png", number)
        line.run(couriers=[one])
    broker.close()
    assert broker.got == [(b"line/1", 1), (b"line/1", 2), (b"line/1", 3)]
    assert len(broker.connects) == 1
    assert broker.connects[0].endswith(b"\x00\x02me\x00\x02pw")


@pytest.mark.usefixtures("paho")
def test_a_broker_that_stays_silent_is_asked_again(line, monkeypatch):
    monkeypatch.setattr(_sinks, "TIMEOUT", 0.3)
    broker = Broker(n_silent=1)
    with courier(line, Mqtt(broker.url)) as one:
        save(line.inbox / "1.png", 1)
        line.run(couriers=[one])
    broker.close()
    assert {number for _, number in broker.got} == {1}
    assert any("did not take it within" in text for text in line.said)


@pytest.mark.usefixtures("paho")
def test_a_broker_that_refuses_is_an_error_that_says_so():
    broker = Broker(code=5)
    with pytest.raises(OSError, match="Not authorized"):
        Mqtt(broker.url).send(result())
    broker.close()


def test_whatever_a_sink_raises_is_tried_again(line):
    class Odd(Csv):
        n_calls = 0

        def send(self, result):
            self.n_calls += 1
            if self.n_calls < 4:
                raise [ZeroDivisionError, MemoryError, KeyError][self.n_calls - 1]("no")
            super().send(result)

    with courier(line, Odd(line.root / "a.csv")) as one:
        save(line.inbox / "1.png", 1)
        line.run(couriers=[one])
        wait_for(lambda: one.at == 1)
    assert len(rows_of(line.root / "a.csv")) == 1
