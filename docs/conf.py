"""Sphinx's configuration: ``sphinx-build -W --keep-going -n -b html docs OUT``.

Nothing is fetched, neither while the site is built nor while it is read.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.util.inspect import TypeAliasForwardRef

import adlib._typing

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

import gallery  # noqa: E402 - of that folder

ARRAYS = [name for name in vars(adlib._typing) if name.endswith("Array")]

project = "adlib"
author = "the authors of adlib"
copyright = author
version = release = adlib.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    # Of docs/_ext:
    "architecture",
    "gallery",
    "mathml",
    "reference",
]
exclude_patterns = ["_build", "_generated", "_ext", "tools"]
templates_path = ["_templates"]
default_role = "code"  # a docstring's `name` is code, as in Markdown
nitpicky = True
highlight_language = "none"  # blocks without a language are commands

# Other packages' objects. Their inventories would have to be fetched, so their names
# are shown without a link. Everything of adlib has to resolve.
nitpick_ignore_regex = [
    # Python's own, as type hints and docstrings name them.
    (r"py:.*", r"(collections|datetime|os|pathlib|typing|types|enum|abc|io)(\..*)?"),
    (r"py:.*", r"(ArgumentParser|SystemExit)"),
    (
        r"py:(class|obj|exc|data)",
        r"(bool|bytes|dict|float|int|list|object|set|str|tuple|type|None|Any|Self)",
    ),
    (r"py:(class|exc)", r"[A-Z]\w*(Error|Warning)|Exception|BaseException|SystemExit"),
    # Names that are imported only for type checking, aliases among them.
    (r"py:class", r"[A-Z]\w*(\.Image)?"),
    (r"py:class", r"adlib\..*\._\w+\..*"),  # private types in signatures
    (r"py:class", r"\w+=.*"),  # limits of the configuration's values
    # Packages that adlib stands on.
    (
        r"py:.*",
        r"(numpy|np|pandas|torch|torchvision|timm|PIL|sklearn|scipy|matplotlib|pydantic"
        r"|pydantic_core|faiss|typer|rich)(\..*)?",
    ),
]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_typehints_format = "short"
# Types that would be spelled out otherwise. In a union Sphinx shows their repr.
autodoc_type_aliases = {name: name for name in (*ARRAYS, "ArrayLike")}
TypeAliasForwardRef.__repr__ = lambda self: self.name
autosummary_ignore_module_all = False  # document what __all__ lists
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
strip_signature_backslash = True  # or attributes lose the underscore at their end
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 4
# Only the shape of links that other Markdown readers understand.
myst_url_schemes = ("http", "https", "mailto")
html_math_renderer = "mathml"

sphinx_gallery_conf = {
    "examples_dirs": [str(gallery.STUDY)],
    "gallery_dirs": ["gallery"],
    "filename_pattern": ".",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("gallery.scrape",),
    "reset_modules": ("gallery.reset",),
    "reset_argv": "gallery.arguments",
    "first_notebook_cell": gallery.FIRST_CELL,
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_signature": False,
    "min_reported_time": 1e9,  # seconds of a busy machine tell nothing
    "write_computation_times": False,
    "capture_repr": (),
    "nested_sections": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "adlib"
html_static_path = ["_static"]
html_css_files = ["adlib.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": []}
