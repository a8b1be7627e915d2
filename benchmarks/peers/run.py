"""adlib beside other libraries, on the same work, in one run.

    python benchmarks/peers/run.py ROOT

ROOT holds the MVTec-layout classes ``screw`` and ``magnetic_tile``. The command makes a
virtual environment of its own (``--environment``, kept for the next run), installs
adlib from this checkout (with what both exports need), anomalib, faiss-cpu and
scikit-learn into it, runs all of them there in turn, and writes ``docs/peers.json``
and ``docs/peers.md``. Run nothing else meanwhile. It takes about half an hour on two
cores; ``--only`` runs some parts, and leaves what the JSON says of the others, and of
the machine that they were measured on.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PARTS = ["coresets", "searches", "banks", "detectors", "deployed", "gaussians"]
PARTS += ["metrics", "memory", "scaling", "growth"]
PEERS = ["anomalib", "faiss-cpu", "scikit-learn"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder with screw/ and magnetic_tile/")
    parser.add_argument("--environment", type=Path, default=HERE / ".venv")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--json", type=Path, default=ROOT / "docs" / "peers.json")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "peers.md")
    arguments = parser.parse_args()
    python = _environment(arguments.environment)
    known = {}
    if arguments.json.exists():
        known = json.loads(arguments.json.read_text())
    for part in arguments.only:
        print(f"== {part}", flush=True)
        command = [python, HERE / "measure.py", part, arguments.data.resolve()]
        quiet = os.environ | {"TQDM_DISABLE": "1"}
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=quiet)
        known[part] = json.loads(done.stdout)
        arguments.json.write_text(json.dumps(known, indent=1) + "\n")
    command = [python, HERE / "page.py", arguments.json, arguments.page]
    subprocess.run(command, check=True)
    print(arguments.page.read_text())


def _environment(folder: Path) -> Path:
    """Return the interpreter of a virtual environment that holds all libraries."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        packages = [f"{ROOT}[faiss,openvino,export]", *PEERS]
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    # The checkout may have changed since; its dependencies rarely do.
    editable = ["install", "-q", "--no-deps", "-e", str(ROOT)]
    subprocess.run([python, "-m", "pip", *editable], check=True)
    return python


if __name__ == "__main__":
    main()
