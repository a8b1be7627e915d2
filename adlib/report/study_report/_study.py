"""What the report's sections share: where results lie, and of what they are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from adlib.report.study_report._cited_numbers import CitedNumbers, Key

CONFIG = "phase00/config.json"
MACHINE = "phase00/environment.json"
CHECK = "phase00/data_check.json"
COUNTS = "phase01/counts.json"
CLEAN = "results/clean_results.json"
SHIFTED = "results/shifted_no_adaptation_results.json"
RETHRESHOLDED = "results/shift_threshold_only_results.json"
ADAPTED = "results/shift_with_adaptation_results.json"
WAYS = "results/adaptation_ways.json"
GLOBAL = "results/global_results.json"
GLOBAL_ANALYSIS = "results/global_analysis.json"
ERRORS = "results/errors.json"
ABLATIONS = "results/ablations.json"
SHIFT_ABLATIONS = "results/shift_ablations.json"
INTERPRETATION = "results/interpretation.json"
EFFICIENCY = "results/efficiency.json"

CONDITIONS = {
    "clean": CLEAN,
    "shifted": SHIFTED,
    "shifted, new threshold": RETHRESHOLDED,
    "shifted, learned anew": ADAPTED,
}
CHANCE = 0.05  # p-values below it count as a difference


class Bounds(NamedTuple):
    """A difference and its 95 percent interval, to word a sentence by."""

    difference: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Fact:
    """What fitting noted of one model.

    Attributes:
        cite: Reads it.
        file: Where it stands.
        number: Which entry of "fittings" it is.
    """

    cite: CitedNumbers
    file: str
    number: int

    def at(self, *keys: Key) -> Any:
        """Return what was noted, to look at."""
        return self.cite.at(self.file, "fittings", self.number, "facts", *keys)

    def get(self, *keys: Key, form: str = ",d") -> str:
        """Return a number as it is printed, and note it."""
        place = ("fittings", self.number, "facts", *keys)
        return self.cite.get(self.file, *place, form=form)


@dataclass(frozen=True)
class Study:
    """A study's saved results.

    Attributes:
        outputs: Their folder.
        cite: Reads them.
        pictures: Folder of the report's own pictures.
    """

    outputs: Path
    cite: CitedNumbers
    pictures: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """The configuration that it was run with."""
        found: dict[str, Any] = self.cite.at(CONFIG)
        return found

    @cached_property
    def methods(self) -> list[str]:
        """The methods, in the order of the results."""
        return list(self.cite.at(CLEAN, "methods"))

    @cached_property
    def classes(self) -> list[str]:
        """The classes, in the order of the results."""
        return list(self.cite.at(CLEAN, "methods", self.methods[0], "classes"))

    @cached_property
    def facts(self) -> dict[str, dict[str, Fact]]:
        """What each judged clean model is, by method and class, as fitting noted it.

        A method or class is left out where that was not noted, or of another model:
        the fitted model is the one with the threshold of the results.
        """
        found: dict[str, dict[str, Fact]] = {}
        for method in self.methods:
            file = fitting_file(method)
            if not self.cite.has(file):
                continue
            for number, one in enumerate(self.cite.at(file, "fittings")):
                place = ("methods", method, "classes", one["class_name"])
                judged = one["class_name"] in self.classes and (
                    self.cite.at(CLEAN, *place).get("threshold") == one["threshold"]
                )
                if judged and one.get("facts"):
                    fact = Fact(self.cite, file, number)
                    found.setdefault(method, {})[one["class_name"]] = fact
        return found

    def mean_changes(self, figure: str) -> str:
        """Return "Mean changes ... over classes"; of one class its changes."""
        several = len(self.classes) > 1
        return f"Mean changes{figure} over classes" if several else f"Changes{figure}"

    def interval_kind(self, file: str) -> str:
        """Return " by ..." for the intervals of a file's figures; "" if not noted."""
        kinds = self.cite.at(file).get("intervals")
        return f" by a {kinds['figure']}" if kinds else ""

    def changed(self, file: str, effect: str) -> list[tuple[int, str, str]]:
        """Return position, method and class of each entry of a list of changes."""
        return [
            (number, one["method"], one["class_name"])
            for number, one in enumerate(self.cite.at(file, effect))
        ]

    def bounds(self, file: str, *keys: Key) -> Bounds:
        """Return a change's bounds."""
        found = self.cite.at(file, *keys)
        return Bounds(found["difference"], found["low"], found["high"])


def fitting_file(method: str) -> str:
    """Return the file that says how a method's clean models were fitted."""
    return f"results/{method.lower()}_clean_fitting.json"


def listed(names: list[str]) -> str:
    """Return "a", "a and b", "a, b and c"."""
    if len(names) <= 1:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def counted(number: int, total: int, what: str) -> str:
    """Return "all 4 models", "3 of 4 models", "no model"."""
    if number == total:
        return f"all {total} {what}" if total > 1 else f"the one {what.rstrip('s')}"
    return f"{number} of {total} {what}" if number else f"no {what.rstrip('s')}"
