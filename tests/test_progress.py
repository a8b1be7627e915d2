"""The progress bar shows itself when work lasts, on a terminal, and then leaves."""

from __future__ import annotations

import io
import threading
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import rich.console
import rich.progress

from adlib import _progress
from adlib._progress import ProgressBar

SHOW_CURSOR = "\x1b[?25h"
ERASE_LINE = "\x1b[2K"


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until its ``now`` is moved."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(_progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def screen(monkeypatch):
    """What is drawn on a terminal of 100 columns that stands for standard error."""
    screen = io.StringIO()
    real = rich.console.Console

    def console(*, stderr):
        assert stderr
        return real(file=screen, force_terminal=True, width=100, _environ={})

    monkeypatch.setattr(rich.console, "Console", console)
    return screen


def test_nothing_is_drawn_before_two_seconds(clock, screen):
    with ProgressBar("Reading", 10) as bar:
        bar.advance()
        clock.now += 1.9
        bar.advance()
    assert screen.getvalue() == ""


def test_a_bar_appears_after_two_seconds_and_counts_what_came_before(clock, screen):
    with ProgressBar("Reading", 10) as bar:
        bar.advance(3)
        clock.now += 2.0
        bar.advance(4, "radius 1.5")
    assert "Reading" in screen.getvalue()
    assert "7/10" in screen.getvalue()
    assert "radius 1.5" in screen.getvalue()


def test_a_bar_advances_and_changes_its_note(clock, screen):
    with ProgressBar("Reading", 10) as bar:
        clock.now += 3.0
        bar.advance(2, "early")
        bar.advance(6, "late")
    last = screen.getvalue().rpartition("Reading")[2]
    assert "8/10" in last
    assert "late" in last
    assert "early" not in last


def test_a_bar_without_a_total_counts(clock, screen):
    with ProgressBar("Reading", None) as bar:
        clock.now += 3.0
        bar.advance(5)
    assert "5/?" in screen.getvalue()


def test_a_bar_of_bytes_shows_megabytes(clock, screen):
    with ProgressBar("Downloading", 10_000_000, unit="bytes") as bar:
        clock.now += 3.0
        bar.advance(2_500_000)
    assert "2.5/10.0 MB" in screen.getvalue()


@pytest.mark.parametrize("error", [None, KeyError])
def test_a_bar_leaves_the_screen_and_no_thread(clock, screen, error):
    threads = set(threading.enumerate())
    ending = nullcontext() if error is None else pytest.raises(error)
    with ending, ProgressBar("Reading", 10) as bar:
        clock.now += 3.0
        bar.advance()
        if error is not None:
            raise error
    assert SHOW_CURSOR in screen.getvalue()
    assert screen.getvalue().endswith(ERASE_LINE)
    for thread in set(threading.enumerate()) - threads:
        thread.join(timeout=5)
        assert not thread.is_alive()


def test_a_bar_that_is_not_wanted_is_not_drawn(clock, screen):
    with ProgressBar("Reading", 10, enabled=False) as bar:
        clock.now += 3.0
        bar.advance()
    assert screen.getvalue() == ""


def test_nothing_is_drawn_where_standard_error_is_no_terminal(
    clock, capfd, monkeypatch
):
    for variable in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(variable, raising=False)
    with ProgressBar("Reading", 10) as bar:
        clock.now += 3.0
        bar.advance()
        bar.advance()
    assert capfd.readouterr() == ("", "")
