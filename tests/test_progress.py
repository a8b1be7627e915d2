"""The progress bar appears when work lasts, on a terminal, and then leaves."""

from __future__ import annotations

import io
import sys
import threading
import time
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import rich.console

from adlib import _notebook_bar, _progress
from adlib._progress import ProgressBar, duration, note

SHOW_CURSOR = "\x1b[?25h"
ERASE_LINE = "\x1b[2K"


class Screen(io.StringIO):
    """What is drawn on a terminal of 100 columns."""

    def wait_for(self, text):
        """Wait until a text is drawn, or fail."""
        last = time.monotonic() + 10
        while text not in self.getvalue():
            assert time.monotonic() < last, f"{text!r} is not in {self.getvalue()!r}"
            time.sleep(0.01)


@pytest.fixture
def screen(monkeypatch):
    """A terminal that stands for standard error."""
    screen = Screen()
    real = rich.console.Console

    def console(*, stderr):
        assert stderr
        return real(file=screen, force_terminal=True, width=100, _environ={})

    monkeypatch.setattr(rich.console, "Console", console)
    return screen


@pytest.fixture
def late(monkeypatch):
    """Let the two seconds be over at once."""
    monkeypatch.setattr(_progress, "DELAY", 0.0)


def test_nothing_is_drawn_before_two_seconds(screen):
    with ProgressBar("Reading", 10) as bar:
        bar.advance()
        time.sleep(0.2)
    assert screen.getvalue() == ""


def test_a_bar_counts_what_came_before_it_and_after(screen, monkeypatch):
    monkeypatch.setattr(_progress, "DELAY", 0.2)
    with ProgressBar("Reading", 10) as bar:
        bar.advance(3, "early")
        screen.wait_for("3/10")
        bar.advance(5, "radius 1.5")
        screen.wait_for("8/10")
    last = screen.getvalue().rpartition("Reading")[2]
    assert "radius 1.5" in last
    assert "early" not in last


def test_a_bar_appears_where_no_step_was_done(screen, late):
    with ProgressBar("Reading", 10):
        screen.wait_for("0/10")


def test_a_bar_without_a_total_counts(screen, late):
    with ProgressBar("Reading", None) as bar:
        bar.advance(5)
        screen.wait_for("5/?")


def test_a_bar_of_bytes_shows_megabytes(screen, late):
    with ProgressBar("Downloading", 10_000_000, unit="bytes") as bar:
        bar.advance(2_500_000)
        screen.wait_for("2.5/10.0 MB")


@pytest.mark.parametrize("error", [None, KeyError])
def test_a_bar_leaves_the_screen_and_no_thread(screen, late, error):
    threads = set(threading.enumerate())
    ending = nullcontext() if error is None else pytest.raises(error)
    with ending, ProgressBar("Reading", 10):
        screen.wait_for("0/10")
        if error is not None:
            raise error
    assert SHOW_CURSOR in screen.getvalue()
    assert screen.getvalue().endswith(ERASE_LINE)
    for thread in set(threading.enumerate()) - threads:
        thread.join(timeout=5)
        assert not thread.is_alive()


class Cell(list):
    """What one output of a notebook's cell showed, the latest last."""

    def display(self, data, *, raw, display_id):
        assert raw
        assert display_id is True
        assert not self, "a second output"
        self.update(data, raw=True)
        return self

    def update(self, data, *, raw):
        assert raw
        self.append(data)

    def wait_for(self, text):
        """Wait until the output shows a text, or fail."""
        last = time.monotonic() + 10
        while not any(text in data["text/plain"] for data in self):
            assert time.monotonic() < last, f"{text!r} is not in {self}"
            time.sleep(0.01)


@pytest.fixture
def cell(monkeypatch, late):
    """A notebook's cell; see tests/test_notebooks.py for one of a kernel."""
    cell = Cell()
    real = rich.console.Console
    monkeypatch.setattr(
        rich.console,
        "Console",
        lambda *, stderr: real(stderr=stderr, force_jupyter=True),
    )
    ipython = SimpleNamespace(display=cell.display)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython)
    monkeypatch.setattr(_notebook_bar, "PAUSE", 0.02)
    return cell


@pytest.mark.parametrize("error", [None, KeyError])
def test_in_a_notebook_one_output_is_redrawn_and_then_empty(cell, capfd, error):
    threads = set(threading.enumerate())
    ending = nullcontext() if error is None else pytest.raises(error)
    with ending, ProgressBar("<Reading>", 10) as bar:
        cell.wait_for("0/10")
        bar.advance(3, "radius <1.5>")
        cell.wait_for("3/10")
        if error is not None:
            raise error
    shown = cell[-2]["text/html"]
    assert '<progress value="3" max="10"></progress>' in shown
    assert "&lt;Reading&gt;" in shown
    assert "radius &lt;1.5&gt;" in shown
    assert cell[-1] == {"text/plain": "", "text/html": ""}
    assert set(threading.enumerate()) == threads
    n_drawn = len(cell)
    time.sleep(0.1)
    assert len(cell) == n_drawn
    assert capfd.readouterr() == ("", "")


def test_in_a_notebook_a_bar_without_a_total_moves(cell):
    with ProgressBar("Reading", None) as bar:
        bar.advance(5)
        cell.wait_for("5/?")
    assert "<progress></progress>" in cell[-2]["text/html"]


def test_in_a_notebook_nothing_is_shown_that_is_not_wanted(cell, capfd):
    with ProgressBar("Reading", 10, enabled=False) as bar:
        bar.advance()
        note("on", enabled=False)
        time.sleep(0.1)
    assert (cell, capfd.readouterr()) == ([], ("", ""))
    note("It goes on.")
    assert capfd.readouterr().err == "It goes on.\n"


def test_a_bar_that_is_not_wanted_is_not_drawn(screen, late):
    with ProgressBar("Reading", 10, enabled=False) as bar:
        bar.advance()
        time.sleep(0.2)
    assert screen.getvalue() == ""


def test_nothing_is_drawn_where_standard_error_is_no_terminal(late, capfd, monkeypatch):
    for variable in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(variable, raising=False)
    with ProgressBar("Reading", 10) as bar:
        bar.advance()
        time.sleep(0.2)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.234, "0.23 seconds"),
        (113.4, "110 seconds"),
        (121.0, "2 minutes"),
        (7_000.0, "120 minutes"),
        (200_000.0, "2.3 days"),
    ],
)
def test_a_time_has_two_digits_and_no_exponent(seconds, words):
    assert duration(seconds) == words
