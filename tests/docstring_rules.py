"""The rules that every public docstring keeps beyond ruff's, and what breaks them.

Neither ruff nor pydoclint knows of shapes, dtypes, examples, fields of records and
checks that raise; Sphinx finds what is wrong in the markup.

A breach is a line "object: rule", so that a list of them can be compared and shrink.
Sections are read as Google style has them: a header, then indented text; the entries
of Args, Attributes and Raises stand one level in, their continuations two.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from sklearn.base import BaseEstimator

LONGEST_SUMMARY = 80
HEADERS = (
    "Args",
    "Attributes",
    "Example",
    "Note",
    "Raises",
    "References",
    "Returns",
    "Yields",
)
# An annotation that means an array, and one that leaves its dtype open.
ARRAY = re.compile(r"ArrayLike|NDArray|\bTensor\b|[a-z0-9]Array\b")
OPEN_DTYPE = re.compile(r"ArrayLike|AnyArray|\bTensor\b|NDArray\[Any\]")
# Such as (n,) or (1 or 3, height, width); (0, 1) is a range.
SHAPE = re.compile(r"\((?=[^)]*[a-z])[\w /+*-]+,|as ``|like ``|shape|scalar")
DTYPE = re.compile(
    r"float|int(eger)?s?\b|u?int\d|bool|number|labels?\b|real\b|as ``|like ``|dtype",
    re.IGNORECASE,
)
# One name or several, perhaps with a type, and a colon.
ENTRY = re.compile(r"((?:\*{0,2}[\w.]+)(?:, \*{0,2}[\w.]+)*)(?: \([^)]*\))?:")
NOTHING = {"None", "NoReturn", "Iterator[None]", "Generator[None]", ""}


def sections(text: str) -> dict[str, str]:
    """Return the text of each section, and of what stands before them under ""."""
    found: dict[str, list[str]] = {"": []}
    name = ""
    for line in text.splitlines():
        header = line.removesuffix(":")
        if line.endswith(":") and header in HEADERS:
            name = header
            found[name] = []
        else:
            found[name].append(line)
    return {name: "\n".join(lines) for name, lines in found.items()}


def entries(section: str) -> dict[str, str]:
    """Return the text of each entry of Args, Attributes or Raises."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in textwrap.dedent(section).splitlines():
        head = ENTRY.match(line)
        if head:
            names = [name.lstrip("*") for name in head[1].split(", ")]
            text = line[head.end() :].strip()
        else:
            text = line.strip()
        for name in names:
            found[name] = f"{found.get(name, '')} {text}".strip()
    return found


def shape_breaches(annotation: object, text: str, what: str) -> Iterator[str]:
    """Yield what is not said of an array: its shape, or a dtype left open."""
    kind = _spelled(annotation)
    if not ARRAY.search(kind):
        return
    if not SHAPE.search(text):
        yield f"{what} is an array and states no shape"
    if OPEN_DTYPE.search(kind) and not DTYPE.search(text):
        yield f"{what} is an array and states no dtype"


def summary_breaches(doc: str) -> Iterator[str]:
    """Yield what is wrong with the first line beyond what ruff finds."""
    first = doc.partition("\n")[0]
    if len(first) > LONGEST_SUMMARY:
        yield f"first line is longer than {LONGEST_SUMMARY}"
    if re.search(r"(?<!e\.g)(?<!i\.e)[.?!] +[A-Z]", first):
        yield "first line is not one sentence"


def args_breaches(
    documented: dict[str, str], parameters: dict[str, object], section: str
) -> Iterator[str]:
    """Yield parameters or fields without an entry, and entries of none of them."""
    for name, annotation in parameters.items():
        if name not in documented:
            yield f"{name} is missing in {section}"
        else:
            yield from shape_breaches(annotation, documented[name], name)
    for name in documented:
        if name not in parameters:
            yield f"{name} of {section} does not exist"


def function_breaches(function: Callable[..., Any], *, example: bool) -> Iterator[str]:
    """Yield the rules that the docstring of a function or method breaks."""
    doc = inspect.getdoc(function)
    if not doc:
        yield "no docstring"
        return
    yield from summary_breaches(doc)
    told = sections(doc)
    yield from args_breaches(
        entries(told.get("Args", "")), parameters_of(function), "Args"
    )
    result = _spelled(inspect.signature(function).return_annotation)
    returned = told.get("Returns", told.get("Yields", ""))
    if result in NOTHING and returned:
        yield "Returns where nothing is returned"
    if result not in NOTHING and not returned.strip():
        # Of what is asked of nothing, the first line may say it all.
        said = not parameters_of(function) and doc.startswith(("Return ", "Yield "))
        if not said:
            yield "no Returns"
        else:
            yield from shape_breaches(result, doc, "what is returned")
    elif result not in NOTHING:
        yield from shape_breaches(result, returned, "Returns")
    if refuses(function) and "Raises" not in told:
        yield "no Raises"
    if example and ">>>" not in told.get("Example", ""):
        yield "no Example"


def class_breaches(kind: type, *, example: bool) -> Iterator[str]:
    """Yield the rules that the docstring of a class breaks, its constructor's too."""
    doc = own_doc(kind)
    if not doc:
        yield "no docstring"
        return
    yield from summary_breaches(doc)
    told = sections(doc)
    if re.search(r"^ *\w+, [\w, ]+:", told.get("Attributes", ""), re.MULTILINE):
        yield "an entry of Attributes names several, which Sphinx takes as one"
    fields = fields_of(kind)
    if fields is not None:
        # An estimator's fields are the parameters of its constructor.
        section = "Args" if issubclass(kind, BaseEstimator) else "Attributes"
        yield from args_breaches(entries(told.get(section, "")), fields, section)
        maker = vars(kind).get("__post_init__")
    else:
        maker = own_maker(kind)
        parameters = parameters_of(maker) if maker else {}
        yield from args_breaches(entries(told.get("Args", "")), parameters, "Args")
    if maker and refuses(maker) and "Raises" not in told:
        yield "no Raises"
    if example and ">>>" not in told.get("Example", ""):
        yield "no Example"


def property_breaches(member: Any) -> Iterator[str]:
    """Yield the rules that the docstring of a property breaks."""
    doc = inspect.getdoc(member)
    getter = getattr(member, "fget", None) or getattr(member, "func", None)
    if not doc or getter is None:
        yield "no docstring"
        return
    yield from summary_breaches(doc)
    if refuses(getter) and "Raises" not in sections(doc):
        yield "no Raises"
    yield from shape_breaches(
        inspect.signature(getter).return_annotation, doc, "the value"
    )


def needs_example(thing: Any) -> bool:
    """Say whether an example is due of a name.

    It is not of exceptions, of what is abstract, and of records that only hold: those
    without a method that takes arguments.
    """
    if not inspect.isclass(thing):
        return inspect.isfunction(thing)
    if issubclass(thing, BaseException) or inspect.isabstract(thing):
        return False
    if getattr(thing, "_is_protocol", False):
        return False
    if fields_of(thing) is None:
        return True
    methods = [getattr(found, "__func__", found) for _, _, found in members_of(thing)]
    return any(parameters_of(method) for method in methods if callable(method))


def members_of(kind: type) -> Iterator[tuple[type, str, Any]]:
    """Yield the public methods and properties of a class and of its package's bases."""
    seen: set[str] = set()
    for base in kind.__mro__:
        if not _same_package(base, kind):
            continue
        for name, member in vars(base).items():
            if (name.startswith("_") and name != "__call__") or name in seen:
                continue
            inner = getattr(member, "__func__", member)
            if inspect.isfunction(inner) or _is_property(member):
                seen.add(name)
                yield base, name, member


def member_breaches(member: Any) -> Iterator[str]:
    """Yield the rules that the docstring of a method or property breaks."""
    if _is_property(member):
        yield from property_breaches(member)
    else:
        yield from function_breaches(getattr(member, "__func__", member), example=False)


def parameters_of(function: Callable[..., Any]) -> dict[str, object]:
    """Return annotations by parameter, without the one that stands for the object."""
    parameters = inspect.signature(function).parameters
    return {
        name: parameter.annotation
        for name, parameter in parameters.items()
        if name not in {"self", "cls"} and not name.startswith("_")
    }


def fields_of(kind: type) -> dict[str, object] | None:
    """Return annotations by field of a record; None where a class is no record."""
    if dataclasses.is_dataclass(kind):
        return {
            field.name: field.type
            for field in dataclasses.fields(kind)
            if field.init and not field.name.startswith("_")
        }
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return {name: kind.__annotations__[name] for name in kind._fields}
    if hasattr(kind, "model_fields"):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    if hasattr(kind, "__total__"):
        return dict(kind.__annotations__)
    return None


def own_doc(kind: type) -> str:
    """Return a class's docstring, not one that Python or a base made for it."""
    doc = inspect.cleandoc(vars(kind).get("__doc__") or "")
    return "" if doc.startswith(f"{kind.__name__}(") else doc


def own_maker(kind: type) -> Callable[..., Any] | None:
    """Return the constructor that a class's own package wrote, if it wrote one."""
    for base in kind.__mro__:
        maker = vars(base).get("__init__")
        if inspect.isfunction(maker) and _same_package(base, kind):
            return None if getattr(base, "_is_protocol", False) else maker
    return None


def refuses(function: Callable[..., Any]) -> bool:
    """Say whether a function raises by itself, or through a check of adlib it calls."""
    if _raises(function):
        return True
    for node in ast.walk(_tree(function)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name.lstrip("_").startswith(("check_", "refusal")):
            return True
        if isinstance(node.func, ast.Name):
            called = getattr(function, "__globals__", {}).get(name)
            inside = str(getattr(called, "__module__", "")).startswith("adlib")
            if inside and inspect.isfunction(called) and _raises(called):
                return True
    return False


def _raises(function: Callable[..., Any]) -> bool:
    """Say whether there is a ``raise`` of something new in a function's own code."""
    if getattr(function, "__isabstractmethod__", False):
        return False
    return any(
        isinstance(node, ast.Raise) and node.exc is not None
        for node in ast.walk(_tree(function))
    )


def _tree(function: Callable[..., Any]) -> ast.AST:
    source = inspect.getsource(inspect.unwrap(function))
    return ast.parse(textwrap.dedent(source))


def _is_property(member: Any) -> bool:
    return isinstance(member, property) or type(member).__name__ == "cached_property"


def _same_package(base: type, kind: type) -> bool:
    top, _, _ = kind.__module__.partition(".")
    return base.__module__.partition(".")[0] == top


def _spelled(annotation: object) -> str:
    if annotation is inspect.Signature.empty or annotation is type(None):
        return ""
    return annotation if isinstance(annotation, str) else str(annotation)
