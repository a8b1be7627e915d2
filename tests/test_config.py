"""A file of options: what it may hold, and what goes before what."""

from __future__ import annotations

import re

import pytest

from adlib.cli import main

WATCH = """
[watch]
folder = "{folder}"
model = "from-the-file.adlib"
output = "results.db"
once = true
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A configuration file that sets all that `adlib watch` needs."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "adlib.toml"
    path.write_text(WATCH.format(folder=tmp_path.as_posix()))
    return path


def error(capsys, *words):
    """Run a command that must fail; return what it says."""
    assert main([str(word) for word in words]) != 0
    return " ".join(capsys.readouterr().err.split())


def test_a_file_sets_arguments_and_options(file, capsys):
    assert "'from-the-file.adlib'" in error(capsys, "--config", file, "watch")


def test_words_go_before_the_environment_and_that_before_the_file(
    file, capsys, monkeypatch
):
    monkeypatch.setenv("ADLIB_CONFIG", str(file))
    monkeypatch.setenv("ADLIB_WATCH_MODEL", "from-the-environment.adlib")
    assert "'from-the-environment.adlib'" in error(capsys, "watch")
    assert "'typed.adlib'" in error(capsys, "watch", "-m", "typed.adlib")


def test_a_value_is_checked_as_if_it_were_typed(file, capsys):
    file.write_text(file.read_text() + "settle = 9999\n")
    message = error(capsys, "--config", file, "watch")
    assert message == "error: --settle must be in [0, 3600) seconds; got 9999.0."
    file.write_text("[serve]\nport = 'x'\n")
    assert "Invalid value for '--port'" in error(capsys, "--config", file, "serve", ".")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[watch", r"must be TOML: "),
        ("[wotch]", r"must have tables, of .*\[watch\].*; got 'wotch'\.$"),
        ("watch = 1", r"must have tables, of .*; got 'watch'\.$"),
        ("[data]", r"must have tables, of .*; got 'data'\.$"),
        ("[watch]\nmove_to = '.'", r"\[watch\] may set .*move-to.*; got 'move_to'\.$"),
    ],
)
def test_what_it_cannot_set_is_refused(file, capsys, text, message):
    file.write_text(text)
    said = error(capsys, "--config", file, "watch")
    assert said.startswith(f"error: {str(file)!r}")
    assert re.search(message, said)
