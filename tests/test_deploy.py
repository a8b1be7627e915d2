"""What deploy/ holds says only what adlib, systemd and Docker's builder can do."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from adlib.cli._config import options_of
from adlib.cli._main import app

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
COMMANDS = vars(typer.main.get_command(app))["commands"]
UNITS = ("adlib-serve.service", "adlib-watch.service")

pytestmark = pytest.mark.skipif(
    not DEPLOY.is_dir(), reason="a source distribution holds no deploy folder"
)


def accepts(words):
    """Let a command read its words, without doing what they say."""
    COMMANDS[words[0]].make_context(words[0], list(words[1:]))


def docker():
    """Return the Dockerfile with lines joined as Docker does."""
    return (DEPLOY / "Dockerfile").read_text().replace("\\\n", "")


def test_the_configuration_sets_what_there_is():
    options = options_of(DEPLOY / "adlib.toml", COMMANDS)
    assert set(options) == {"serve", "watch"}
    for name, given in options.items():
        COMMANDS[name].make_context(name, [], default_map=given)


@pytest.mark.parametrize("name", UNITS)
def test_units_start_a_command_with_its_configuration(name):
    (line,) = re.findall(r"^ExecStart=(.*)$", (DEPLOY / name).read_text(), re.M)
    program, option, file, command = line.split()
    assert (Path(program).name, option) == ("adlib", "--config")
    assert Path(file).name == "adlib.toml"
    assert name == f"adlib-{command}.service"
    assert command in options_of(DEPLOY / Path(file).name, COMMANDS)


@pytest.mark.parametrize("name", UNITS)
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_knows_every_line_of_the_units(name, tmp_path):
    text = (DEPLOY / name).read_text().replace("/opt/adlib/bin/adlib", sys.executable)
    unit = tmp_path / name
    unit.write_text(text)
    words = ["systemd-analyze", "verify", str(unit)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_docker_copies_what_the_build_needs_and_nothing_else():
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", docker(), re.M)
    names = {name for line in copied for name in line.split()}
    kept = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert names == {line[1:] for line in kept if line.startswith("!")}
    assert all((ROOT / name).exists() for name in names)


def test_docker_starts_commands_that_there_are():
    text = docker()
    (command,) = re.findall(r"^CMD (.*)$", text, re.M)
    accepts(json.loads(command))
    shown = re.sub(r" *\\\n#", "", (DEPLOY / "Dockerfile").read_text())
    starts = re.findall(r"^# +docker run .* adlib +((?:serve|watch) .*)$", shown, re.M)
    assert [words.split()[0] for words in starts] == ["serve", "watch"]
    for words in starts:
        accepts(shlex.split(words))
    (check,) = re.findall(r"^HEALTHCHECK .*CMD (.*)$", text, re.M)
    compile(json.loads(check)[2], "HEALTHCHECK", "exec")
