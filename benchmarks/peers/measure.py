"""Run one part of the comparison and print what it found as JSON; see ``run.py``."""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ["torch", "numpy", "numba", "openvino", "onnxruntime"]
LIBRARIES += ["anomalib", "faiss-cpu", "scikit-learn"]


def main() -> None:
    part, data = sys.argv[1], Path(sys.argv[2])
    answer = sys.stdout
    sys.stdout = sys.stderr  # what libraries print is no answer
    results = importlib.import_module(part).measure(data)
    machine = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in LIBRARIES},
    }
    json.dump({"machine": machine, "results": results}, answer)


def _processor() -> str:
    """Return the processor's name and the units that matter here."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    lines = dict(line.split("\t", 1) for line in text.splitlines() if "\t" in line)
    name = lines["model name"].strip("\t: ")
    flags = lines["flags"].split()
    units = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16")
    has = [unit for unit in units if unit in flags]
    lacks = [unit for unit in units if unit not in flags]
    return f"{name} (has {', '.join(has)}; lacks {', '.join(lacks) or 'none'})"


if __name__ == "__main__":
    main()
