"""The constraints files say what pyproject.toml says, and nothing of any machine."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
EXTRAS = "mlflow,notebooks,test"  # that .ci/minimum installs
TRANSITIVE = "# Not asked for by adlib"


def project():
    """What pyproject.toml says of the project."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def lower_bounds(extra):
    """Each dependency of adlib with an extra, by name, with its lower bound."""
    named, own = project()["optional-dependencies"], project()["name"]
    waiting, bounds = [*project()["dependencies"], f"{own}[{extra}]"], {}
    while waiting:
        requirement = Requirement(waiting.pop())
        if requirement.name == own:
            for other in requirement.extras:
                waiting += named[other]
        else:
            (specifier,) = requirement.specifier
            assert specifier.operator == ">=", f"{requirement} has no plain lower bound"
            bounds[canonicalize_name(requirement.name)] = Version(specifier.version)
    return bounds


def pinned(text):
    """Each line's name and version; every line must pin one, exactly."""
    pins = {}
    for line in text.splitlines():
        plain = line.partition("#")[0].strip()
        if plain:
            match = re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][A-Za-z0-9.]*)", plain)
            assert match, f"not a name and a version: {line!r}"
            name = canonicalize_name(match[1])
            assert name not in pins, f"{name} is pinned twice"
            pins[name] = Version(match[2])
    return pins


def constraints(name):
    """The text of one constraints file."""
    return (ROOT / "constraints" / name).read_text()


def test_minimum_pins_every_lower_bound_and_no_other():
    direct, found, _ = constraints("minimum.txt").partition(TRANSITIVE)
    assert found
    assert pinned(direct) == lower_bounds(EXTRAS)


def test_what_else_minimum_pins_is_no_dependency_of_adlib_and_has_its_reason():
    _, _, rest = constraints("minimum.txt").partition(TRANSITIVE)
    lines = rest.splitlines()[1:]  # the first ends the heading
    assert not pinned("\n".join(lines)).keys() & lower_bounds(EXTRAS).keys()
    for line in lines:
        assert not line.strip() or "#" in line, f"no reason: {line}"


def test_reproduce_pins_every_dependency_within_its_bound():
    pins, bounds = pinned(constraints("reproduce.txt")), lower_bounds("test")
    assert bounds.keys() <= pins.keys()
    assert {name for name in bounds if pins[name] < bounds[name]} == set()


@pytest.mark.parametrize(
    "line", ["numpy>=1", "numpy", "a @ file:///a.whl", "torch==2.4+cpu", "a==1\na==1"]
)
def test_what_is_not_one_name_and_version_is_found(line):
    with pytest.raises(AssertionError, match=r"not a name and a version|pinned twice"):
        pinned(line)


def test_the_tests_of_the_lowest_versions_are_there():
    listed = re.search(
        r"^tests=\((.*?)^\)", (ROOT / ".ci/minimum").read_text(), re.M | re.S
    )
    names = re.findall(r"tests/[^\s\"]+", re.sub(" # .*", "", listed[1]))
    assert len(names) > 20
    for name in names:
        path, *function = name.split("::")
        text = (ROOT / path).read_text()
        assert not function or f"def {function[0].partition('[')[0]}(" in text, name
