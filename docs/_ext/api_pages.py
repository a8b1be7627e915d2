"""The reference: one page a public package, written from ``__all__`` and docstrings.

A name has one target, in the package that defines it; where another package hands it
on, that page links there. Names are grouped by the module that defines them, whose
docstring's first line is the group's heading; the module itself is private and not
named.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from typing import Any

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.napoleon import Config, GoogleDocstring
from sphinx.util.logging import getLogger

import adlib
from adlib.cli import app as command_line

logger = getLogger(__name__)
PACKAGES = (
    "adlib",
    "adlib.estimators",
    "adlib.anomalib",
    "adlib.images",
    "adlib.datasets",
    "adlib.features",
    "adlib.neighbors",
    "adlib.metrics",
    "adlib.study",
    "adlib.report",
    "adlib.exceptions",
)
# What readers look for first; else the order is that of ``__all__``.
FIRST = {"adlib.estimators": ("PatchCore", "PaDiM", "AnomalyDetector", "load")}
KINDS = ("class", "func", "exc", "type", "data")  # in this order
FUNCTIONS_FIRST = {"adlib.metrics", "adlib.study", "adlib.report"}
COLUMNS = 80  # of the commands' help
# Private, but named by signatures: they have entries without a module on a page of
# their own.
TYPES = {
    "adlib._typing": (
        "Float32Array",
        "Float64Array",
        "Int32Array",
        "Int64Array",
        "UInt8Array",
        "BoolArray",
        "AnyArray",
    ),
    "adlib.estimators._patchcore": ("Selection",),
    "adlib.images._sources": ("Item",),
    "adlib.images._pixels": ("UsedRange",),
    "adlib.estimators._calibration": ("CalibrationKind",),
    "adlib.neighbors._points": ("Points",),
    "adlib.estimators._aggregation": ("Aggregation",),
    "adlib.estimators._padim": ("GaussianAggregation", "Channels"),
    "adlib.estimators._gaussian": ("Gaussian",),
    "adlib.metrics._pixel_counts": ("PixelCounts",),
    "adlib.datasets._torch_dataset": ("Phase",),
    "adlib.datasets._transforms": ("Transform", "IndexedTransform", "CleanTransform"),
    "adlib.study._config": (
        "DataConfig",
        "SplitConfig",
        "PathsConfig",
        "BackboneConfig",
        "PatchCoreConfig",
        "PaDiMConfig",
        "AblationConfig",
        "CacheConfig",
    ),
}
NAPOLEON = Config(napoleon_use_ivar=True)
ARRAYS = """\
Signatures name arrays by what they hold. Shapes stand in the text, in named sizes;
height comes before width, always.
"""


@dataclass(frozen=True)
class Name:
    """A public name: where it is asked for, and where it is defined.

    Attributes:
        package: That lists it.
        name: As listed.
        module: That defines it.
    """

    package: str
    name: str
    module: str

    @property
    def path(self) -> str:
        """Where users import it from."""
        return f"{self.package}.{self.name}"

    @property
    def home(self) -> str:
        """The package whose page has its entry."""
        parts = self.module.split(".")
        public = [part for part in parts if not part.startswith("_")]
        while len(public) > 1 and ".".join(public) not in PACKAGES:
            public.pop()
        return ".".join(public)

    @property
    def target(self) -> str:
        """Its one target."""
        return f"{self.home}.{self.name}"

    @property
    def value(self) -> Any:
        """The object."""
        return getattr(import_module(self.package), self.name)


def public_names(package: str) -> list[Name]:
    """Return what a package lists in ``__all__``, or defines, with its home."""
    module = import_module(package)
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    origins = {
        alias.asname or alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    listed = getattr(module, "__all__", None) or [
        node.name for node in tree.body if isinstance(node, ast.ClassDef)
    ]
    return [
        _followed(Name(package, name, origins.get(name, package))) for name in listed
    ]


def _followed(name: Name) -> Name:
    """Return a name with the module that defines it, not one that hands it on."""
    if name.module != name.package and name.module in PACKAGES:
        for other in public_names(name.module):
            if other.name == name.name:
                return Name(name.package, name.name, other.module)
    return name


def _is_alias(value: object) -> bool:
    """Tell a type alias from a constant."""
    return not isinstance(value, (str, int, float, tuple, dict, frozenset, list))


def _comment(name: Name) -> str:
    """Return what the source says beside or above a constant, without its noqa."""
    lines = Path(str(import_module(name.module).__file__)).read_text("utf-8")
    found = lines.splitlines()
    for i, line in enumerate(found):
        if re.match(rf"(type )?{name.name}\b.*=", line) or (
            re.match(r"\w[\w, ]* = ", line)
            and name.name in re.split(r", ", line.partition(" = ")[0])
        ):
            if " # " in line:
                return line.partition(" # ")[2].partition("noqa")[0].strip()
            above = list(
                takewhile(lambda one: one.startswith("# "), found[i - 1 :: -1])
            )
            return " ".join(one[2:] for one in reversed(above))
    return ""


def _entry(name: Name) -> Iterator[str]:
    """Yield the directive that makes the entry of a name."""
    value = name.value
    if inspect.isclass(value):
        is_error = issubclass(value, BaseException)
        yield f".. {'autoexception' if is_error else 'autoclass'}:: {name.target}"
        if not is_error:
            yield "   :members:"
            if name.name in ("PatchCore", "PaDiM"):  # all that users call, in one place
                yield "   :inherited-members: BaseEstimator"
            if any(base.__module__.startswith("adlib") for base in value.__bases__):
                yield "   :show-inheritance:"
    elif inspect.isroutine(value):
        yield f".. autofunction:: {name.target}"
    elif _is_alias(value):
        yield f".. py:type:: {name.name}"
        yield f"   :canonical: {_written(name.module, name.name)}"
        yield ""
        yield f"   {_sentence(_comment(name))}"
    else:
        yield f".. py:data:: {name.name}"
        text = _repr(value)
        if len(text) < 300:  # noqa: PLR2004 - some lines
            yield f"   :value: {text}"
        yield ""
        yield f"   {_sentence(_comment(name))}"
    yield ""


def _sentence(comment: str) -> str:
    """Return a comment as a sentence of the reference."""
    if not comment:
        return ""
    text = re.sub(r"`([^`]+)`", r"``\1``", comment)
    return text[0].upper() + text[1:].rstrip(".") + "."


def _written(module: str, name: str) -> str:
    """Return what a module's source assigns to a name."""
    source = Path(str(import_module(module).__file__)).read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        if any(isinstance(one, ast.Name) and one.id == name for one in targets):
            assert isinstance(node, (ast.Assign, ast.AnnAssign))
            assert node.value is not None
            text = ast.unparse(node.value)
            # Quoted are names that only type checkers import, and literals.
            return text if text.startswith("Literal") else text.replace("'", "")
    raise LookupError(f"{module} does not define {name}.")


def _repr(value: object) -> str:
    """Return a constant as code; sets in order."""
    if isinstance(value, frozenset):
        return f"{{{', '.join(sorted(map(repr, value)))}}}"
    return repr(value)


def _kind(value: object) -> str:
    if inspect.isclass(value):
        return "exc" if issubclass(value, BaseException) else "class"
    if inspect.isroutine(value):
        return "func"
    return "type" if _is_alias(value) else "data"


def _first_line(name: Name) -> str:
    """Return what the table says of a name."""
    value = name.value
    if inspect.isclass(value) or inspect.isroutine(value):
        text = (inspect.getdoc(value) or "").partition("\n\n")[0].replace("\n", " ")
        return re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", text)
    is_alias = _is_alias(value)
    shown = _written(name.module, name.name) if is_alias else _repr(value)
    brief = f"``{shown}``" if len(shown) < 90 else ""  # noqa: PLR2004 - a line
    return _sentence(_comment(name)) or brief


def _table(names: list[Name]) -> Iterator[str]:
    yield ".. list-table::"
    yield "   :widths: 30 70"
    yield "   :class: api-names"
    yield ""
    for name in names:
        kind = _kind(name.value)
        yield f"   * - :py:{kind}:`~{name.target}`"
        yield f"     - {_first_line(name)}"
    yield ""


def _headed(text: str, sign: str) -> Iterator[str]:
    yield from (text, sign * len(text), "")


def _summary(module: str) -> str:
    """Return a module's docstring's first line as a heading."""
    text = inspect.getdoc(import_module(module)) or module
    return text.partition("\n")[0].rstrip(".").replace("`", "")


def package_page(package: str) -> str:
    """Return the page of a package as reStructuredText."""
    module = import_module(package)
    lines = [f".. py:module:: {package}", ""]
    lines += _headed(package, "=")
    lines += [inspect.getdoc(module) or "", ""]
    first = FIRST.get(package, ())
    kinds = ("func", *KINDS) if package in FUNCTIONS_FIRST else KINDS
    names = sorted(  # stable
        public_names(package),
        key=lambda name: (
            first.index(name.name) if name.name in first else len(first),
            kinds.index(_kind(name.value)),
        ),
    )
    own = [
        name for name in names if name.home == package and name.name != "__version__"
    ]
    others = [name for name in names if name.home != package]
    if package == "adlib":
        others, own = [name for name in names if name.name != "__version__"], []
        lines += _headed("At the top level", "-")
        lines += ["Everything else is in the packages. These come from", ""]
        lines[-2] = (
            "The names that most programs need; their entries are in the packages."
        )
        lines += _table(others)
        lines += [
            ".. py:data:: __version__",
            f"   :value: {adlib.__version__!r}",
            "",
            "   The version of what is installed.",
            "",
        ]
        lines += _headed("Packages", "-")
        lines += [".. list-table::", "   :widths: 30 70", "   :class: api-names", ""]
        for other in PACKAGES[1:]:
            lines += [f"   * - :py:mod:`{other}`", f"     - {_summary(other)}."]
        return "\n".join(lines) + "\n"
    groups: dict[str, list[Name]] = {}
    for name in own:
        groups.setdefault(name.module, []).append(name)
    lines += _headed("Names", "-")
    lines += _table(own)
    if others:
        lines += ["From other packages:", "", *_table(others)]
    for origin, members in groups.items():
        heading = "Each in full" if origin == package else _summary(origin)
        lines += _headed(heading, "-")
        for name in members:
            lines += _entry(name)
    return "\n".join(lines) + "\n"


def types_page() -> str:
    """Return the page of what signatures name and no package exports."""
    lines = [*_headed("Types that signatures name", "=")]
    lines += ["None of these has to be imported: pass what they describe.", ""]
    for module, names in TYPES.items():
        is_arrays = module == "adlib._typing"
        if is_arrays or module == "adlib.estimators._patchcore":
            heading = "Arrays" if is_arrays else "Options and parts"
            lines += _headed(heading, "-")
        if is_arrays:
            lines += [ARRAYS]
        if module == "adlib.study._config":
            lines += _headed("Sections of the study's configuration", "-")
        for name in names:
            value = getattr(import_module(module), name)
            if inspect.isclass(value):
                lines += [f".. py:class:: {name}", ""]
                doc = str(GoogleDocstring(inspect.getdoc(value) or "", NAPOLEON))
                lines += [f"   {line}".rstrip() for line in doc.splitlines()]
                lines += _defaults(value)
            else:
                text = f"``{_written(module, name)}``"
                if is_arrays:
                    text = f"An array of {_dtype(value)}."
                lines += [f".. py:type:: {name}", "", f"   {text}"]
            lines += [""]
    return "\n".join(lines) + "\n"


def _dtype(value: Any) -> str:
    """Return what an alias of ``numpy.typing.NDArray`` holds."""
    kind = value.__args__[1].__args__[0]
    return "any kind" if kind is Any else f"``{kind.__name__.rstrip('_')}``"


def _defaults(value: Any) -> list[str]:
    """Return the keys of a section of the configuration with their defaults."""
    fields = getattr(value, "model_fields", {})
    if not fields:
        return []
    keys = [f"``{name}: {_yaml(field.default)}``" for name, field in fields.items()]
    return ["", f"   Defaults: {', '.join(keys)}."]


def _yaml(value: object) -> str:
    return "null" if value is None else str(value)


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield a command and those below it; typer may bring a click of its own."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, f"{path} {name}")


def command_page() -> str:
    """Return the page of the command line: what each ``--help`` prints."""
    lines = [*_headed("The command line", "=")]
    lines += ["What ``--help`` prints, of each command.", ""]
    for path, command in _commands(typer.main.get_command(command_line), "adlib"):
        context = command.context_class(
            command, info_name=path, terminal_width=COLUMNS, max_content_width=COLUMNS
        )
        lines += [f".. _command-{path.replace(' ', '-')}:", ""]
        lines += _headed(path, "-")
        lines += [".. code-block:: text", ""]
        lines += [
            f"   {line}".rstrip() for line in command.get_help(context).splitlines()
        ]
        lines += [""]
    return "\n".join(lines)


def _write(app: Sphinx) -> None:
    """Write the pages; one that has not changed keeps its time."""
    folder = Path(app.srcdir) / "api"
    pages = {package.replace(".", "_"): package_page(package) for package in PACKAGES}
    pages["types"] = types_page()
    pages["command_line"] = command_page()
    for name, text in pages.items():
        path = folder / f"{name}.rst"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _targets() -> dict[str, str]:
    """Return the target of every way to name a public object."""
    found: dict[str, str] = {}
    short: dict[str, set[str]] = {}
    for package in PACKAGES:
        for name in public_names(package):
            found[name.path] = name.target
            found[f"{name.module}.{name.name}"] = name.target
            short.setdefault(name.name, set()).add(name.target)
    for module, names in TYPES.items():
        found.update({f"{module}.{name}": name for name in names})
    for name, targets in short.items():
        if len(targets) == 1:
            found[name] = min(targets)
    return found


def _resolve(
    app: Sphinx, env: BuildEnvironment, node: nodes.Element, content: nodes.Element
) -> nodes.Node | None:
    """Resolve a private path, a handed-on name or a short one to the one target."""
    if node.get("refdomain") != "py":
        return None
    targets = env.temp_data.get("adlib_targets") or _targets()
    env.temp_data["adlib_targets"] = targets
    asked = str(node["reftarget"])
    owner, _, member = asked.rpartition(".")
    domain = env.domains["py"]
    candidates = [targets.get(asked), asked]
    if owner in targets:
        candidates.append(f"{targets[owner]}.{member}")
    inside = node.get("py:class")
    if inside:
        candidates.append(f"{node.get('py:module')}.{inside}.{asked}")
    for candidate in candidates:
        if candidate and candidate in domain.objects:
            found = domain.objects[candidate]
            return domain_link(app, node, found, candidate, content)
        if candidate in PACKAGES:
            return domain_link(app, node, domain.modules[candidate], candidate, content)
    return None


def domain_link(
    app: Sphinx, node: nodes.Element, found: Any, title: str, content: nodes.Element
) -> nodes.Node:
    """Return the link to an object of the Python domain."""
    from sphinx.util.nodes import make_refnode  # noqa: PLC0415 - beside its one use

    return make_refnode(
        app.builder, node["refdoc"], found.docname, found.node_id, content, title
    )


def _skip(
    app: Sphinx, what: str, name: str, value: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out fields of named tuples, which their signature shows, and routing."""
    doc = getattr(value, "__doc__", None) or ""
    if doc.startswith("Alias for field number"):
        return True
    if name == "get_metadata_routing":  # scikit-learn's, of no use here
        return True
    return None


def _public_bases(
    app: Sphinx, name: str, value: type, options: Any, bases: list[type]
) -> None:
    """Show the nearest public base in place of a private one."""
    known = _targets()

    def is_shown(one: type) -> bool:
        own = one.__module__.startswith("adlib")
        return not own or f"{one.__module__}.{one.__qualname__}" in known

    bases[:] = [  # an alias such as Generic[T] has no bases of its own
        next(filter(is_shown, inspect.getmro(base))) if isinstance(base, type) else base
        for base in bases
    ]


def _returns(
    app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """Keep napoleon from taking a sentence with a colon for a type.

    Types come from the annotations. An empty type before a colon of its own says so.
    """
    if what in ("attribute", "data", "property") and lines:
        lines[0] = f": {lines[0]}"
    for i, line in enumerate(lines[:-1]):
        if line.strip() in ("Returns:", "Yields:"):
            text = lines[i + 1].lstrip()
            indent = lines[i + 1][: len(lines[i + 1]) - len(text)]
            lines[i + 1] = f"{indent}: {text}"


def _complete(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of public names without an entry; Sphinx warns of those that have two."""
    objects = env.domains["py"].objects
    for package in PACKAGES:
        for name in public_names(package):
            if name.target not in objects:
                logger.warning("the reference has no entry for %s", name.path)


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages before Sphinx looks for them, and resolve what they name."""
    os.environ["NO_COLOR"] = "1"
    app.connect("builder-inited", _write, priority=100)
    app.connect("missing-reference", _resolve)
    app.connect("env-check-consistency", _complete)
    app.connect("autodoc-skip-member", _skip)
    app.connect("autodoc-process-bases", _public_bases)
    app.connect("autodoc-process-docstring", _returns, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
