"""Write the docs page of a comparison from its JSON; see ``run.py``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

PARTS = {
    "coresets": "Coreset selection",
    "searches": "Nearest-neighbour search",
    "detectors": "PatchCore",
    "gaussians": "PaDiM",
    "metrics": "Pixel metrics",
}
EXPLAINED = """\
Searches are timed ten at a time. What explains the exponents:

- The textbook coreset loop has exponent 1 in patches, picks and dimension, so 2 where
  patches and picks grow together.
- With more patches, a larger share stays below every limit and is never updated. With
  more picks, the later ones change few distances. Where both grow the exponent is just
  above 1, since the patches that must be updated are compared with more picks.
- Matrix products run over the principal components, whose number grows slower than the
  dimension. Centring, projection and the exact distances grow with the dimension.
- A search computes the sketch of each query and compares it with the clusters for any
  bank size. A larger bank has smaller clusters, and more of them are skipped.
"""


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    target.write_text(page(json.loads(source.read_text())))


def page(found: dict) -> str:
    """Return the page as Markdown."""
    versions = ", ".join(f"{name} {v}" for name, v in found["versions"].items())
    lines = [
        "# Compared with other libraries",
        "",
        "Written by `python benchmarks/peers/run.py ROOT`, which runs all libraries in",
        "turn on the same embeddings, images and weights, in one environment. Times",
        "are medians; what is marked (scaled) was timed for a few picks of a coreset.",
        "",
        f"Machine: {found['cores']} cores of {found['processor']}.",
        f"Python {found['python']}, {versions}.",
    ]
    for part, heading in PARTS.items():
        if part in found:
            lines += ["", f"## {heading}", ""]
            lines += [
                "| task | adlib | other library | its time | adlib is faster by |"
            ]
            lines += ["|---|---|---|---|---|"]
            lines += [_row(result) for result in found[part]]
            lines += _agreements(found[part])
    if "memory" in found:
        lines += [
            "",
            "## Peak memory of fit",
            "",
            "Above the idle process, for 320 images of 320x320 from files; PatchCore",
            "with a coreset of 5 %.",
        ]
    for result in found.get("memory", []):
        peak = result["peak MiB"]
        whole = result["embeddings MiB"]
        method = result.get("method", "PatchCore")
        lines += [
            "",
            f"{method}: embeddings of {whole:.0f} MiB in float32.",
            "",
            "| library | MiB | MiB / embeddings |",
            "|---|---|---|",
            *(f"| {k} | {v:.0f} | {v / whole:.2f} |" for k, v in peak.items()),
        ]
    if "scaling" in found:
        lines += [
            "",
            "## How adlib's time grows",
            "",
            "The exponent is the slope of log time against log size.",
            "",
            "| varied | seconds | exponent |",
            "|---|---|---|",
        ]
    for result in found.get("scaling", []):
        times = ", ".join(f"{int(n):,}: {t:.3g}" for n, t in result["seconds"].items())
        lines.append(f"| {result['what']} | {times} | {result['exponent']:.2f} |")
    if "scaling" in found:
        lines += ["", *EXPLAINED.splitlines()]
    return "\n".join(lines) + "\n"


def _row(result: dict) -> str:
    scaled = result["peer"] == "textbook" or "coreset" in result["task"]
    scaled |= result["task"].startswith("fit")
    mark = " (scaled)" if scaled else ""
    ours, theirs = _time(result["adlib"]), _time(result["seconds"])
    cells = [result["task"], ours, result["peer"], theirs + mark]
    ratio = result["ratio"]
    times = f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.1f}"
    return f"| {' | '.join(cells)} | {times} times |"


def _time(seconds: float) -> str:
    if seconds < 1.0:
        return f"{1000 * seconds:.3g} ms"
    return f"{seconds:,.1f} s" if seconds < 100 else f"{seconds:,.0f} s"


def _agreements(results: list[dict]) -> list[str]:
    """Return how far results agree, a line for each set of tasks."""
    tasks: dict[str, list[str]] = {}
    for result in results:
        told = result.get("agreement", {})
        said = "; ".join(f"{name}: {value:.6g}" for name, value in told.items())
        known = tasks.setdefault(said, [])
        if said and result["task"] not in known:
            known.append(result["task"])
    lines = [
        f"- **{'; '.join(names)}**: {said}." for said, names in tasks.items() if said
    ]
    return ["", "Agreement of the results:", "", *lines] if lines else []


if __name__ == "__main__":
    main()
