"""Write the docs page of a comparison from its JSON; see ``run.py``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

EXPLAINED = """\
What explains it (searches are timed ten at a time):

- The textbook coreset has exponent 1 in patches, in picks and in dimension, so 2 where
  patches and picks grow together.
- Of more patches, a larger share stays under every limit and is never brought up to
  date; of more picks, the later ones change few distances. Together they stay just
  above 1: the patches that must be refreshed are compared with ever more picks.
- Products run over the principal components, whose number grows slower than the
  dimension; what grows with it is the centring, the projection and the pairs that are
  measured.
- A search makes each query's sketch and compares it with clusters whatever the bank; a
  larger bank has smaller clusters, of which more are skipped.""".splitlines()


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    target.write_text(page(json.loads(source.read_text())))


def page(found: dict) -> str:
    """Return the page as Markdown."""
    versions = ", ".join(f"{name} {v}" for name, v in found["versions"].items())
    lines = [
        "# adlib beside its peers",
        "",
        "Written by `python benchmarks/peers/run.py ROOT`, which runs all libraries in",
        "turn on the same embeddings, images and weights, in one environment. Seconds",
        "are medians; what is marked (scaled) was timed for a few picks of a coreset.",
        "",
        f"Machine: {found['cores']} cores of {found['processor']}.",
        f"Python {found['python']}, {versions}.",
        "",
        "| task | adlib | peer | its time | adlib is faster by |",
        "|---|---|---|---|---|",
    ]
    for part in ("coresets", "searches", "detectors", "gaussians", "metrics"):
        lines += [_row(result) for result in found.get(part, [])]
    lines += ["", *_agreements(found)]
    if "memory" in found:
        lines += [
            "",
            "## Peak memory of fit above the idle process",
            "",
            "320 images of 320x320 from files; PatchCore with a coreset of 5 %.",
        ]
    for result in found.get("memory", []):
        peak = result["peak MiB"]
        whole = result["embeddings MiB"]
        method = result.get("method", "PatchCore")
        lines += [
            "",
            f"{method}: embeddings of {whole:.0f} MiB in float32.",
            "",
            "| library | MiB | times the embeddings |",
            "|---|---|---|",
            *(f"| {k} | {v:.0f} | {v / whole:.2f} |" for k, v in peak.items()),
        ]
    if "scaling" in found:
        lines += [
            "",
            "## How adlib's time grows",
            "",
            "An exponent is the slope of log time over log size.",
            "",
            "| with | seconds | exponent |",
            "|---|---|---|",
        ]
    for result in found.get("scaling", []):
        times = ", ".join(f"{int(n):,}: {t:.3g}" for n, t in result["seconds"].items())
        lines.append(f"| {result['what']} | {times} | {result['exponent']:.2f} |")
    if "scaling" in found:
        lines += ["", *EXPLAINED]
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


def _agreements(found: dict) -> list[str]:
    """Return a line for each kind of agreement, and for which tasks it was found."""
    tasks: dict[str, list[str]] = {}
    for part in ("searches", "detectors", "gaussians", "metrics"):
        for result in found.get(part, []):
            told = result.get("agreement", {})
            said = ", ".join(f"{name}: {value:.6g}" for name, value in told.items())
            known = tasks.setdefault(said, [])
            if said and result["task"] not in known:
                known.append(result["task"])
    return [f"- {'; '.join(names)}: {said}." for said, names in tasks.items() if said]


if __name__ == "__main__":
    main()
