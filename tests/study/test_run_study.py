"""Phases run in order, are kept while nothing changes, and fail with what they said."""

from __future__ import annotations

import json
import subprocess
import sys

import pandas as pd
import pytest
import yaml
from PIL import Image

from adlib.cli import main
from adlib.study import Config, PhaseError, run_study
from adlib.study._run_study import phase_scripts, summary

FIRST = """
import sys, yaml
from pathlib import Path
config = yaml.safe_load(Path(sys.argv[2]).read_text())
outputs = Path(config["paths"]["outputs"])
with (outputs.parent / "calls.txt").open("a") as file:
    file.write(Path(__file__).stem + "\\n")
(outputs / "results").mkdir(exist_ok=True)
(outputs / "results" / (Path(__file__).stem + ".json")).write_text("[]")
print("done by", Path(__file__).stem)
"""


@pytest.fixture
def study(tmp_path):
    root = tmp_path / "mvtec"
    for place in ("train/good", "test/good", "test/hole"):
        folder = root / "tile" / place
        folder.mkdir(parents=True)
        Image.new("L", (8, 8)).save(folder / "0.png")
    scripts = [tmp_path / f"phase0{n}_step.py" for n in range(3)]
    for script in scripts:
        script.write_text(FIRST)
    paths = {
        "processed": tmp_path / "processed",
        "shifted": tmp_path / "shifted",
        "outputs": tmp_path / "outputs",
    }
    config = Config.from_dict({"data": {"root": root}, "paths": paths})

    def run(say=None, **changes):
        said = []
        changed = config.model_copy(update=changes)
        runs = run_study(changed, scripts=scripts, say=say or said.append)
        assert len(runs) == 3
        assert say or len(said) == 3
        return "".join(state[0] for state in runs["state"])

    return run, scripts, root, tmp_path


def test_a_phase_runs_once_while_nothing_changes(study):
    run, scripts, _root, folder = study
    assert run() == "rrr"
    assert run() == "kkk"
    assert (folder / "calls.txt").read_text().split() == [s.stem for s in scripts]
    assert (
        "done by phase01_step" in (folder / "outputs/logs/phase01_step.txt").read_text()
    )


@pytest.mark.slow
def test_what_a_change_touches_is_run_again(study):
    run, scripts, root, folder = study
    assert run() == "rrr"
    scripts[1].write_text(FIRST + "\n# changed\n")
    assert run() == "krr"
    (folder / "outputs/results/phase02_step.json").unlink()
    assert run() == "kkr"
    assert run(seed=7) == "rrr"
    Image.new("L", (9, 9)).save(root / "tile/train/good/1.png")
    assert run(seed=7) == "rrr"
    assert run(seed=7) == "kkk"


def test_a_damaged_record_counts_as_none(study):
    run, _scripts, _root, folder = study
    run()
    (folder / "outputs/state/phase01_step.json").write_text("{")
    assert run() == "krr"


def test_what_a_killed_run_left_half_written_goes(study):
    run, _scripts, _root, folder = study
    run()
    left = folder / "outputs/state/.adlib-0123abcd.tmp"
    left.touch()
    assert run() == "kkk"
    assert not left.exists()


def test_a_failed_phase_says_how_and_those_before_it_are_kept(study):
    run, scripts, _root, folder = study
    scripts[1].write_text("print('so far'); raise SystemExit('no models')")
    with pytest.raises(PhaseError, match=r"(?s)phase01_step failed.*code 1.*so far"):
        run()
    scripts[1].write_text(FIRST)
    assert run() == "krr"
    lines = (folder / "outputs/study.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert [e["event"] for e in events].count("phase failed") == 1
    assert events[-1]["event"] == "study finished"
    assert all(e["time"].endswith("+00:00") for e in events)


def test_the_scripts_of_the_study_are_found_in_order():
    names = [script.stem[:7] for script in phase_scripts()]
    assert names == sorted(names)
    assert names[0] == "phase00"
    assert len(set(names)) >= 10


def test_the_summary_adds_the_seconds_up(tmp_path):
    config = Config.from_dict({"paths": {"outputs": tmp_path}})
    rows = [("phase00", "run", 1.0), ("phase01", "kept", 2.0)]
    runs = pd.DataFrame(rows, columns=["phase", "state", "seconds"])
    text = summary(runs, config)
    assert text.splitlines()[-2].split() == ["all", "3.0"]


def test_the_command_line_runs_the_phases_and_says_how(study, monkeypatch, capsys):
    _, scripts, root, folder = study
    monkeypatch.setattr("adlib.study._run_study.phase_scripts", lambda: scripts)
    (folder / "study.yaml").write_text("seed: 7\n")
    given = ["study", str(folder / "study.yaml"), "--data", str(root)]
    given += ["--classes", "tile", "--work", str(folder / "w")]
    assert main(given) == 0
    said = capsys.readouterr().out
    assert "phase02_step" in said
    stated = yaml.safe_load((folder / "w/outputs/state/config.yaml").read_text())
    assert (stated["seed"], stated["data"]["classes"]) == (7, ["tile"])
    assert main(given) == 0
    assert "kept" in capsys.readouterr().out
    assert main([*given, "--anew"]) == 0
    assert len((folder / "w/calls.txt").read_text().split()) == 6


def test_the_command_line_names_the_phase_that_failed(study, monkeypatch, capsys):
    _, scripts, root, folder = study
    scripts[1].write_text("raise SystemExit('no models')")
    monkeypatch.setattr("adlib.study._run_study.phase_scripts", lambda: scripts)
    assert main(["study", "--data", str(root), "--work", str(folder)]) != 0
    assert "phase01_step failed" in capsys.readouterr().err


HOLD = r"""
import sys
from pathlib import Path
if sys.argv[1] == "adlib":
    from adlib.study._run_study import locked
else:
    from filelock import FileLock
    locked = lambda folder, name, _: FileLock(folder / "state" / f"{name}.lock")
while wanted := sys.stdin.readline():
    folder, name = wanted.rstrip("\n").split("\t")
    (Path(folder) / "state").mkdir(parents=True)
    with locked(Path(folder), name, print):
        print("held", flush=True)
        sys.stdin.readline()
"""


@pytest.fixture(
    scope="module",
    params=["filelock", pytest.param("adlib", marks=pytest.mark.slow)],
)
def other(request):
    """Another process, which holds the lock that a line names until the next line.

    By adlib, whose import takes long, or by the library that adlib uses.
    """
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", HOLD, request.param]
    with subprocess.Popen(command, **pipes) as process:
        yield process


@pytest.mark.parametrize("lock", ["study", "phase"])
def test_a_run_waits_for_another_and_says_so(study, lock, other):
    run, _scripts, _root, folder = study

    def send(line):
        other.stdin.write(f"{line}\n")
        other.stdin.flush()

    send(f"{folder / 'outputs'}\t{lock}")
    assert other.stdout.readline() == "held\n"
    said = []

    def tell(line):
        if "waiting" in line:
            send("")  # only now it lets go
        said.append(line)

    run(say=tell)
    assert "another process works in" in said[0]


def test_only_the_version_of_adlib_counts_not_a_line_of_its_code(study, monkeypatch):
    run, *_ = study
    assert run() == "rrr"
    monkeypatch.setattr("adlib.__version__", "9.9")
    assert run() == "rrr"
    assert run() == "kkk"
