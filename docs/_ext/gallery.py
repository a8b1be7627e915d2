"""The gallery: sphinx-gallery runs the examples while the site is built.

They run in a copy, ``_build/study``, beside a smaller configuration: see ``SETTINGS``.
``-D plot_gallery=0`` builds the site without running them,
``-D sphinx_gallery_conf.filename_pattern=phase00`` with running those that it matches.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from PIL import Image
from sphinx.application import Sphinx

from adlib.features import use_feature_cache
from adlib.study._notebooks import new_pictures

DOCS = Path(__file__).parent.parent
EXAMPLES = DOCS.parent / "examples"
STUDY = DOCS / "_build" / "study"  # the scripts, their data/ and their outputs/
SETTINGS = """\
data: {classes: [brick, grass]} # two of the demo set's three classes
backbone: {image_size: 160} # instead of 320
ablation: {n_training: 6, n_judged: 8} # images a class; instead of 150 and 100
"""
WIDE = 1.5  # times as wide as high: such a figure gets the whole line
THUMBNAILS = "images/gallery"  # one for each script, shown whether or not it ran
HEADER = """\
Gallery
=======

The study phase by phase. Each page is a script of ``examples`` with its printed output
and its figures; the script and a notebook can be downloaded at the end of the page.
Each phase needs those before it: run them in order, in one folder.

{how} on adlib's demo set, real textures with synthetic defects, with these settings
instead of those of ``examples/config.yaml``, to be quick:

.. code-block:: yaml

"""
RAN = "The phases ran"
NOT_RUN = """\
Not all scripts were run for this build of the site; where one was not, output and
figures are missing, and its picture below is from an earlier build. A full build runs
the phases"""
NOTE = """
.. note:: This phase ran on a small demo set. The results are no benchmark: see
   :doc:`/measurements` for those.
"""
REPORT = """
The report of this run: `page <outputs/report/report.html>`__,
`PDF <outputs/report/report.pdf>`__.
"""
NOT_RUN_NOTE = """
.. note:: Not run for this build of the site: output and figures are missing.
"""
FIRST_CELL = """\
# A notebook has neither a command line nor a file beside a configuration. Arguments go
# into sys.argv, e.g. ["phase", "--data", "data/raw/mvtec_ad", "--work", "study"].
import sys

from adlib.study._run_study import phase_scripts

sys.argv = ["phase"]
__file__ = str(phase_scripts()[0])"""
_seen: dict[Path, int] = {}


def scrape(block: Any, block_vars: dict[str, Any], conf: dict[str, Any]) -> str:
    """Return a figure for every picture that a block of a script wrote."""
    lines = []
    for path in new_pictures(STUDY / "outputs", _seen):
        copy = Path(next(block_vars["image_path_iterator"]))
        shutil.copyfile(path, copy)
        with Image.open(path) as image:
            is_wide = image.width > WIDE * image.height
        lines += [
            f"   .. figure:: /{copy.relative_to(conf['src_dir']).as_posix()}",
            f"      :alt: {path.stem.replace('_', ' ')}",
            f"      :target: ../_images/{copy.name}",
            f"      :figclass: {'wide' if is_wide else 'narrow'}",
            "",
            f"      ``{path.relative_to(STUDY).as_posix()}``",
            "",
        ]
    return "\n".join([".. container:: written-pictures", "", *lines] if lines else [])


def reset(conf: dict[str, Any], name: str) -> None:
    """Do what the end of a script's process would, and pass over its data's images."""
    use_feature_cache(None)
    new_pictures(STUDY / "outputs", _seen)


def arguments(conf: dict[str, Any], script_vars: dict[str, Any]) -> list[str]:
    """Give a script no arguments, and the path of its file, which it reads."""
    script_vars["example_globals"]["__file__"] = str(script_vars["src_file"])
    return []


def _prepare(app: Sphinx, config: Any) -> None:
    """Copy the scripts, with a line under each title, as sphinx-gallery needs it."""
    any_run = str(config.plot_gallery).lower() not in ("0", "false")
    pattern = config.sphinx_gallery_conf["filename_pattern"]
    shutil.rmtree(STUDY, ignore_errors=True)
    STUDY.mkdir(parents=True)
    all_run = any_run
    for script in EXAMPLES.glob("phase*.py"):
        title, _, text = script.read_text(encoding="utf-8").partition(".\n")
        note = NOTE + (REPORT if script.stem == "phase10_report" else "")
        runs = any_run and re.search(pattern, script.name)
        note = note if runs else NOT_RUN_NOTE
        all_run = all_run and bool(runs)
        thumbnail = f"{THUMBNAILS}/{script.stem}.png"
        end = ""
        if (DOCS / thumbnail).is_file():  # else the first figure that the script wrote
            end = f"# sphinx_gallery_thumbnail_path = '{thumbnail}'\n"
        text = text.replace('"""', f'{note}"""', 1)
        text = f"{title}\n{'=' * len(title)}\n{text}{end}"
        (STUDY / script.name).write_text(text, encoding="utf-8")
    (STUDY / "config.yaml").write_text(SETTINGS, encoding="utf-8")
    indented = "".join(f"   {line}\n" for line in SETTINGS.splitlines())
    header = HEADER.format(how=RAN if all_run else NOT_RUN) + indented
    (STUDY / "GALLERY_HEADER.rst").write_text(header, encoding="utf-8")


def _copy_report(app: Sphinx, error: Exception | None) -> None:
    """Copy the report of the last phase, and its pictures, into the gallery."""
    if error is None and (STUDY / "outputs" / "report").is_dir():
        target = Path(app.outdir) / "gallery" / "outputs"
        for path in STUDY.glob("outputs/**/*"):
            if path.suffix in (".png", ".svg", ".html", ".pdf", ".csv"):
                copy = target / path.relative_to(STUDY / "outputs")
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)


def setup(app: Sphinx) -> dict[str, bool]:
    """Prepare before sphinx-gallery looks."""
    app.connect("config-inited", _prepare, priority=1)
    app.connect("build-finished", _copy_report)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
