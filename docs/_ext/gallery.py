"""The gallery: the study's scripts, run in order while the site is built.

They run unchanged, in a folder of their own below ``_build``, beside a configuration
that is smaller than that of ``examples``: see ``SETTINGS``. What sphinx-gallery needs
(a title with a line under it) is added to copies; what readers download is the script
as it is in ``examples``, and a notebook.
"""

from __future__ import annotations

import ast
import hashlib
import re
import shutil
from pathlib import Path
from typing import Any

from PIL import Image
from sphinx.application import Sphinx

from adlib.features import use_feature_cache
from adlib.study._provenance import code_version

DOCS = Path(__file__).parent.parent
EXAMPLES = DOCS.parent / "examples"
STUDY = DOCS / "_build" / "study"  # the scripts, their data/ and their outputs/
PAGES = DOCS / "gallery"
SETTINGS = """\
data: {classes: [brick, grass]} # two of the demo set's three classes
backbone: {image_size: 160} # instead of 320
ablation: {n_training: 6, n_judged: 8} # images a class; instead of 150 and 100
"""
THUMBNAILS = "images/gallery"  # one for each script, shown whether or not it ran
WIDE = 1.5  # times as wide as high: such a picture gets the whole line
FIRST_CELL = """\
# A notebook has neither a command line nor a file beside a configuration. Arguments go
# into sys.argv, e.g. ["phase", "--data", "data/raw/mvtec_ad", "--work", "study"].
import sys

from adlib.study import phase_scripts

sys.argv = ["phase"]
__file__ = str(phase_scripts()[0])"""
HEADER = """\
Gallery
=======

The first steps, and the study phase by phase. Each page is a script of ``examples``
with its printed output and its figures; the script and a notebook can be downloaded at
the end of the page. Each phase needs those before it: run them in order, in one folder.

{how}
.. code-block:: yaml

{settings}
Results on so few small images show what a phase does; they are no benchmark. See
:doc:`/measurements` for those.

"""
RAN = """\
The phases ran on adlib's demo set, real textures with synthetic defects, while this
site was built, with these settings instead of those of ``examples/config.yaml``:
"""
NOT_RUN = """\
The scripts were not run for this build of the site: output and figures may be missing;
the pictures below are from an earlier build. A full build runs the phases on adlib's
demo set, real textures with synthetic defects, with these settings instead of those of
``examples/config.yaml``:
"""
NOTE = """
.. note::

   {how}
"""
SMALL = """\
Run while this site was built, on two classes of the demo set at 160 pixels (see
   :doc:`the settings </gallery/index>`). The results are no benchmark.
"""
REPORT = """\

   The report of this run: `HTML <outputs/report/report.html>`__ and
   `PDF <outputs/report/report.pdf>`__.
"""

_seen: dict[Path, int] = {}


def settings(options: dict[str, Any]) -> dict[str, Any]:
    """Return sphinx-gallery's configuration, with changes."""
    return {
        "examples_dirs": [str(STUDY)],
        "gallery_dirs": [str(PAGES)],
        "filename_pattern": r"(phase|first_steps)",
        "ignore_pattern": r"run_all",
        "within_subsection_order": "FileNameSortKey",
        "image_scrapers": ("gallery.written_pictures",),
        "reset_modules": ("gallery.forget_features",),
        "reset_argv": "gallery.no_arguments",
        "first_notebook_cell": FIRST_CELL,
        "remove_config_comments": True,
        "download_all_examples": False,
        "show_signature": False,
        "min_reported_time": 1e9,  # seconds of a busy machine tell nothing
        "write_computation_times": False,
        "capture_repr": (),
        "nested_sections": False,
        **options,
    }


def no_arguments(
    gallery_conf: dict[str, Any], script_vars: dict[str, Any]
) -> list[str]:
    """Give a script no arguments, and the path of its file, which it reads."""
    script_vars["example_globals"]["__file__"] = str(script_vars["src_file"])
    return []


def forget_features(gallery_conf: dict[str, Any], name: str) -> None:
    """Switch the feature cache off: a script's process would end here."""
    use_feature_cache(None)
    _note_new_pictures()


def _note_new_pictures() -> list[Path]:
    """Return the pictures written since the last call, in the order of writing."""
    found = []
    for path in STUDY.glob("outputs/**/*.png"):
        moment = path.stat().st_mtime_ns
        if _seen.get(path) != moment:
            _seen[path] = moment
            found.append(path)
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))


def written_pictures(
    block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]
) -> str:
    """Return a figure for every picture that a block of a script wrote."""
    pictures = _note_new_pictures()
    lines = [".. container:: written-pictures", ""] if pictures else []
    for path in pictures:
        copy = Path(next(block_vars["image_path_iterator"]))
        shutil.copyfile(path, copy)
        with Image.open(path) as image:
            is_wide = image.width > WIDE * image.height
        lines += [
            f"   .. figure:: /{copy.relative_to(gallery_conf['src_dir']).as_posix()}",
            f"      :alt: {path.stem.replace('_', ' ')}",
            f"      :target: ../_images/{copy.name}",
            f"      :figclass: {'wide' if is_wide else 'narrow'}",
            "",
            f"      ``{path.relative_to(STUDY).as_posix()}``",
            "",
        ]
    return "\n".join(lines)


def _prepared(script: Path) -> str:
    """Return a script with a title that has a line under it, the usage last."""
    text = script.read_text(encoding="utf-8")
    node = ast.parse(text).body[0]
    assert isinstance(node, ast.Expr)
    assert isinstance(node.value, ast.Constant)
    title, *paragraphs = str(node.value.value).strip().split("\n\n")
    usage = [one for one in paragraphs if one.startswith("    ")]
    prose = [one for one in paragraphs if not one.startswith("    ")]
    title = title.rstrip(".")
    parts = [f"{title}\n{'=' * len(title)}", *prose]
    parts += [f".. code-block:: console\n\n{one}" for one in usage]
    rest = text.splitlines()[node.end_lineno :]
    chosen = f"{THUMBNAILS}/{script.stem}.png"
    comment = []
    if (DOCS / chosen).is_file():  # else the first figure that the script wrote
        comment = [f"# sphinx_gallery_thumbnail_path = '{chosen}'"]
    docstring = '"""' + "\n\n".join(parts) + '\n"""'
    return "\n".join([docstring, *rest, *comment]) + "\n"


def _prepare(app: Sphinx, config: Any) -> None:
    """Copy the scripts; where anything they depend on has changed, begin anew."""
    scripts = sorted([*EXAMPLES.glob("phase*.py"), EXAMPLES / "first_steps.py"])
    indented = "".join(f"   {line}\n" for line in SETTINGS.splitlines())
    files = {script.name: _prepared(script) for script in scripts}
    files["config.yaml"] = SETTINGS
    known = hashlib.sha256(repr((code_version(), files)).encode()).hexdigest()
    how = RAN if _runs(config) else NOT_RUN
    files["GALLERY_HEADER.rst"] = HEADER.format(how=how, settings=indented)
    state = STUDY / "state.txt"
    if not state.is_file() or state.read_text(encoding="utf-8") != known:
        shutil.rmtree(STUDY, ignore_errors=True)
        shutil.rmtree(PAGES, ignore_errors=True)
    STUDY.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (STUDY / name).write_text(text, encoding="utf-8")
    state.write_text(known, encoding="utf-8")
    _note_new_pictures()


def _runs(config: Any) -> bool:
    """Tell whether the scripts run: not with ``-D plot_gallery=0``."""
    return str(config.plot_gallery).lower() not in ("0", "false")


def _hand_out_originals(app: Sphinx) -> None:
    """Put the scripts as they are where readers download them."""
    for path in PAGES.glob("*.py"):
        shutil.copyfile(EXAMPLES / path.name, path)


def _say_how_it_ran(app: Sphinx, docname: str, source: list[str]) -> None:
    """Note on each page whether and how it ran; remove the builder's home folder."""
    folder, _, name = docname.partition("/")
    if folder != "gallery" or name == "index":
        return
    text = source[0].replace(str(Path.home()), "~")
    if not _runs(app.config) and "sphx-glr-script-out" not in text:
        how = "Not run for this build of the site: output and figures are missing.\n"
    else:
        how = SMALL if name.startswith("phase") else "Run while this site was built.\n"
    if name == "phase10_report" and (STUDY / "outputs" / "report").is_dir():
        how += REPORT
    title, line, rest = text.partition("\n===")
    line_end, _, body = rest.partition("\n")
    source[0] = f"{title}{line}{line_end}\n{NOTE.format(how=how)}\n{body}"


def _hand_out_report(app: Sphinx, error: Exception | None) -> None:
    """Put the report that the last phase wrote where its page links to."""
    report = STUDY / "outputs" / "report"
    if error is None and report.is_dir() and app.builder.format == "html":
        target = Path(app.outdir) / "gallery" / "outputs" / "report"
        shutil.copytree(report, target, dirs_exist_ok=True)
        page = (report / "report.html").read_text(encoding="utf-8")
        for picture in re.findall(r'src="(\.\./[^"]+)"', page):  # the phases' own
            (target / picture).parent.mkdir(exist_ok=True)
            shutil.copyfile(report / picture, target / picture)


def setup(app: Sphinx) -> dict[str, bool]:
    """Prepare before sphinx-gallery looks, and mend after it wrote."""
    app.connect("config-inited", _prepare, priority=1)
    app.connect("builder-inited", _hand_out_originals, priority=900)
    app.connect("build-finished", _hand_out_report)
    app.connect("source-read", _say_how_it_ran)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
