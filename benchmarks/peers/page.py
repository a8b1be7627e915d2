"""Write the docs page of a comparison from its JSON; see ``run.py``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

TIMED = {
    "coresets": "Coreset selection",
    "searches": "Nearest-neighbour search",
    "banks": "Search in a detector's memory bank",
    "detectors": "PatchCore",
    "deployed": "PatchCore: score and map",
    "gaussians": "PaDiM",
    "metrics": "Pixel metrics",
}
OTHERS = {"memory": "Peak memory of fit", "scaling": "Growth of the core"}
HEADINGS = {**TIMED, **OTHERS, "growth": "Growth of PatchCore"}
EXPLAINED = {
    "banks": """\
320 good screws at 320x320; the queries are the patches of one test image, another one
in each round. An image score needs the farthest patches alone: adlib's `score` searches
no others, while FAISS has to search all to find them.
""",
    "deployed": """\
The same weights, memory bank of 25,600 entries, image score (9 neighbours, weighted)
and decoded screws of 320x320. "anomalib, OpenVINO" is what its users deploy: the file
that `Patchcore.to_openvino` writes; "anomalib, ONNX Runtime" the one of
`Patchcore.to_onnx`. "adlib, exported file" is that of `PatchCore.export`, by
`adlib.runtime`; it is given bytes, and scales and resizes them itself. One image a call
is a latency, anomalib's OpenVINO by its `OpenVINOInferencer`, another image in each
round. For throughput anomalib's OpenVINO works on several images at once, torch is
given all in one call, and the others take one after the other.
""",
    "scaling": """\
The exponent is the slope of log time against log size. Searches are timed ten at a
time. What explains the exponents:

- The textbook coreset loop has exponent 1 in patches, picks and dimension, so 2 where
  patches and picks grow together.
- With more patches, a larger share stays below every limit and is never updated. With
  more picks, the later ones change few distances. Where both grow the exponent is just
  above 1, since the patches that must be updated are compared with more picks.
- Matrix products run over the principal components, whose number grows slower than the
  dimension. Centring, projection and the exact distances grow with the dimension.
- A search computes the sketch of each query and compares it with the clusters for any
  bank size. A larger bank has smaller clusters, and more of them are skipped.
""",
    "growth": """\
40 images of `screw` at 320x320, a coreset of 5 %, all cores, and one of these varied.
"Network", "embed" and "select" are the stages of `fit`, timed by themselves; `score`
takes 16 images. "Theory" is the textbook's exponent: products of all patches with all
kept ones, of all queries with all entries; memory for all embeddings. Exponents that
exceed theory by more than 0.1 are in bold. Why they may:

- Threads: `fit` is the sum of its stages. Building the network does not depend on the
  data, and its own row shows what threads do for it.
  `select` makes the picks inside a block, and their products, on one thread (0.10 of
  0.41 s for 57,600 patches), and every thread that embeds holds an image of its own.
- Image size and memory: files are decoded from 512x512 at any size, and memory that the
  process freed before is used again, so that small sizes seem to take less than they
  do. The peak of 20 images grew with exponent 3.1 from 320 to 448 pixels, and with 1.85
  when freed memory went back to the system (`MALLOC_MMAP_THRESHOLD_=65536`).
""",
}


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    target.write_text(page(json.loads(source.read_text())))


def page(found: dict) -> str:
    """Return the page as Markdown."""
    lines = [
        "# Compared with other libraries",
        "",
        "Written by `python benchmarks/peers/run.py ROOT`, which runs all libraries in",
        "turn on the same embeddings, images and weights, in one environment. Times",
        "are medians; what is marked (scaled) was timed for a few picks of a coreset.",
        *_machines(found),
    ]
    for part, heading in HEADINGS.items():
        if part in found:
            lines += ["", f"## {heading}", ""]
            if part in EXPLAINED:
                lines += [*EXPLAINED[part].splitlines(), ""]
            lines += WRITERS.get(part, _timed)(found[part]["results"])
    return "\n".join(lines) + "\n"


def _machines(found: dict) -> list[str]:
    """Return a paragraph for each machine and set of versions that was measured on."""
    measured: dict[str, list[str]] = {}
    for part, heading in HEADINGS.items():
        if part in found:
            machine = found[part]["machine"]
            versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
            said = f"{machine['cores']} cores of {machine['processor']}.\n"
            said += f"Python {machine['python']}, {versions}."
            measured.setdefault(said, []).append(heading)
    lines = []
    for said, headings in measured.items():
        of = f" of {', '.join(headings)}" if len(measured) > 1 else ""
        lines += ["", f"Machine{of}: {said}"]
    return lines


def _timed(results: list[dict]) -> list[str]:
    heads = ["task", "adlib", "other library", "its time", "adlib is faster by"]
    return [*_table(heads, map(_cells, results)), *_agreements(results)]


def _deployed(results: list[dict]) -> list[str]:
    lines = _timed([result for result in results if "task" in result])
    for result in results:
        if "scores" in result:
            lines += ["", f"Image scores of {result['n_images']} test images:", ""]
            most = "largest relative difference"
            rows = (
                [row["way"], row["to"], f"{row['Spearman']:.6g}", f"{row[most]:.2g}"]
                for row in result["scores"]
            )
            lines += _table(["scores of", "against", "Spearman", most], rows)
    absent = [result for result in results if "missing" in result]
    if absent:
        lines += ["", "Not measured here:", ""]
        lines += [f"- {result['missing']}: {result['reason']}" for result in absent]
    return lines


def _memory(results: list[dict]) -> list[str]:
    lines = [
        "Above the idle process, for 320 images of 320x320 from files; PatchCore",
        "with a coreset of 5 %.",
    ]
    for result in results:
        whole, method = result["embeddings MiB"], result["method"]
        lines += ["", f"{method}: embeddings of {whole:.0f} MiB in float32.", ""]
        rows = (
            [library, f"{peak:.0f}", f"{peak / whole:.2f}"]
            for library, peak in result["peak MiB"].items()
        )
        lines += _table(["library", "MiB", "MiB / embeddings"], rows)
    return lines


def _scaling(results: list[dict]) -> list[str]:
    rows = []
    for result in results:
        times = ", ".join(f"{int(n):,}: {t:.3g}" for n, t in result["seconds"].items())
        rows.append([result["what"], times, f"{result['exponent']:.2f}"])
    return _table(["varied", "seconds", "exponent"], rows)


def _growth(results: list[dict]) -> list[str]:
    rows = []
    for result in results:
        unit = "" if result["what"].endswith("MiB") else " (s)"
        values = ", ".join(f"{n}: {value:.3g}" for n, value in result["found"].items())
        steeper = "**" if result["exponent"] > result["theory"] + 0.1 else ""
        exponent = f"{steeper}{result['exponent']:.2f}{steeper}"
        what, theory = result["what"] + unit, str(result["theory"])
        rows.append([result["axis"], what, values, exponent, theory])
    return _table(["varied", "measured", "values", "exponent", "theory"], rows)


def _table(heads: list[str], rows: Iterable[list[str]]) -> list[str]:
    """Return the lines of a table in Markdown."""
    head, *body = (f"| {' | '.join(cells)} |" for cells in (heads, *rows))
    return [head, "|---" * len(heads) + "|", *body]


def _cells(result: dict) -> list[str]:
    scaled = result["peer"] == "textbook" or "coreset" in result["task"]
    scaled |= result["task"].startswith("fit")
    mark = " (scaled)" if scaled else ""
    ours, theirs = _time(result["adlib"]), _time(result["seconds"])
    ratio = result["ratio"]
    times = f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.1f}"
    return [result["task"], ours, result["peer"], theirs + mark, f"{times} times"]


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


WRITERS = {
    "deployed": _deployed,
    "memory": _memory,
    "scaling": _scaling,
    "growth": _growth,
}

if __name__ == "__main__":
    main()
