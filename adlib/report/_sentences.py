"""Sentences of the report that judge: each of rows of the table, and no more than that.

A difference is said to be there where its interval leaves out 0 and its p-value lies
below 0.05, of these what there is. Otherwise no difference is shown, which does not say
that there is none.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pandas import DataFrame

from adlib.report._cited import Cited, Row
from adlib.study import _names as names

LEVEL = 0.05
CLEAN, PAIRS = {"condition": names.CLEAN}, ["method", "class"]
# Groups of choices that the text takes up, by the first word of their settings.
CHOICES = {
    "coreset": "another coreset ratio",
    "selection": "a random memory bank",
    "projection": "fewer dimensions by random projection",
}
MODEL = "{name} for {method} on {class}"


def direction(row: Row) -> int:
    """Return 1 or -1, the sign of a difference, where it is shown; else 0."""
    value, low, high, p = (float(row[key]) for key in ("value", "low", "high", "p"))
    if p >= LEVEL or (math.isnan(p) and math.isnan(low)):
        return 0
    if math.isnan(low):
        low = high = value
    return int(low > 0) - int(high < 0)


def verdict(row: Row, more: str, less: str, neither: str) -> str:
    """Return the phrase for a difference above 0, below it, or not shown."""
    return {1: more, -1: less, 0: neither}[direction(row)]


def tally(rows: Sequence[Row], metric: str, what: str = "models") -> str:
    """Return for how many a metric falls, rises, and no change of it is shown."""
    found, total = Counter(map(direction, rows)), len(rows)
    neither = f"no change of {metric} is shown"
    if found[0] == total > 1:
        return f"{neither} for any of the {total} {what}"
    texts = {-1: f"{metric} falls", 1: f"{metric} rises", 0: neither}
    counted = {texts[sign]: found[sign] for sign in texts if found[sign]}
    return ", ".join(f"{text} for {n} of {total} {what}" for text, n in counted.items())


def methods_verdict(rows: Sequence[Row], first: str, second: str, where: str) -> str:
    """Return on which classes the first or the second method ranks images better."""
    texts = []
    phrases = {1: f"{first} ranks images better", -1: f"{second} ranks images better"}
    phrases[0] = f"no difference between {first} and {second} is shown"
    for sign, phrase in phrases.items():
        named = [str(row["class"]) for row in rows if direction(row) == sign]
        if named:
            texts.append(f"{phrase} on {listed(named)}")
    return f"By AUROC, {where} {', '.join(texts)}."


def listed(texts: Iterable[str]) -> str:
    """Join as prose does: "a, b and c"."""
    *head, last = texts
    return f"{', '.join(head)} and {last}" if head else last


@dataclass
class Sentences:
    """What the templates say that depends on differences."""

    cited: Cited
    classes: list[str]
    methods: list[str]  # the first is compared with the last

    def compared(self, condition: str, where: str, *, details: bool = False) -> str:
        """Say on which classes which method ranks better, and over all of them."""
        first, second = self.methods[0], self.methods[-1]
        keys = {"condition": condition, "versus": second, "metric": "auroc"}
        rows = self.cited.rows(setting="", **keys).to_dict("records")
        holm = self.cited.rows(setting="Holm", **keys).set_index("class")
        for row in rows:  # its interval, and its p corrected for the number of classes
            row["p"] = holm["p"].get(row["class"], float("nan"))
            row["row_of_p"] = holm["row"].get(row["class"], row["row"])
        if not rows:
            return ""
        text = methods_verdict(rows, first, second, where)
        if details:
            each = self.cited.say(rows, "{class} {text}, {p_text}, {count} images")
            text = f"{text} AUROC of {first} less {second}: {each}."
        for row in self.cited.rows(setting="t-test", **keys).to_dict("records"):
            better = f"{first} ranks images better", f"{second} ranks images better"
            said = verdict(row, *better, "no difference is shown")
            test = self.cited.say([row], "paired t-test, {text}, {p_text}")
            text += f" Over the {len(rows)} classes together {said} ({test})."
        return text

    def tally(self, condition: str, versus: str, metric: str = "auroc") -> str:
        """Return for how many models a metric rises, falls, or shows no change."""
        where = {"condition": condition, "versus": versus, "class": self.classes}
        rows = self.cited.rows(setting="", metric=metric, **where)
        return tally(rows.to_dict("records"), metric.upper())

    def means(self, condition: str, versus: str, metrics: list[str]) -> str:
        """Return the mean changes of some metrics, by method."""
        of = names.MEAN if len(self.classes) > 1 else self.classes[0]
        where = {"condition": condition, "versus": versus, "class": of, "setting": ""}
        rows = self.cited.rows(metric=metrics, **where)
        texts = []
        for method in self.methods:
            own = rows[rows["method"] == method]
            texts.append(f"{method} {self.cited.say(own, '{what} {short}', ', ')}")
        return "; ".join(texts)

    def ways(self) -> str:
        """Say which way without labelled anomalies has the highest F1."""
        labelled = self.cited.rows(setting="way *", metric="n_labelled")
        free = labelled[labelled["value"] == 0][[*PAIRS, "setting"]]
        f1 = self.cited.rows(setting="way *", metric="f1").merge(free)
        f1 = f1[f1["setting"] != "way clean threshold"]  # that adapts nothing
        if f1.empty:
            return ""
        best = self.cited.say(_highest(f1), f"{MODEL} ({{short}})")
        return (
            f"Of the ways without labelled anomalies the highest F1 is that of {best}. "
            "These were picked on the images that they are measured on, so they are "
            "too good, and differences were not tested."
        )

    def shortcut(self) -> str:
        """Say whether other classes' entries change a class's AUROC."""
        rows = self.cited.rows(setting="shortcut", versus="own entries", metric="auroc")
        texts = []
        for row in rows.to_dict("records"):
            neither = "no change of AUROC by them is shown"
            said = verdict(row, "they raise AUROC", "they lower AUROC", neither)
            where = self.cited.say([row], "{class} ({text}, {p_text})")
            texts.append(f"{said} on {where}")
        return f"The entries of other classes: {'; '.join(texts)}." if texts else ""

    def agreement(self) -> str:
        """Say where more images are wrong for both than if errors were independent."""
        kinds: dict[str, list[str]] = {}
        for name in self.classes:
            where = {"class": name, "metric": "n_images", **CLEAN}
            both = self.cited.row(setting="both wrong", **where)
            chance = self.cited.row(setting="both wrong if independent", **where)
            counts = self.cited.say([both, chance], "{short}", " against ")
            # As printed: exact values could make "more" of 2 against 2.0.
            more = round(both["value"], 1) > round(chance["value"], 1)
            kinds.setdefault("" if more else "no ", []).append(f"{name} ({counts})")
        said = "more images are wrong for both than if errors were independent on"
        texts = "; ".join(f"{no}{said} {listed(on)}" for no, on in kinds.items())
        return f"On clean images {texts}; this was not tested."

    def patterns(self) -> str:
        """Say in what wrong and right predictions differ."""
        tested = self.cited.rows(setting="pattern *", **CLEAN).dropna(subset="p")
        if tested.empty:
            return "There are too few errors on clean images to compare with others."
        texts = []
        for row in tested[tested["p"] < LEVEL].to_dict("records"):
            keys = {key: row[key] for key in ("condition", "method", "class", "metric")}
            opposite = names.OPPOSITE[row["setting"].removeprefix("pattern ")]
            right = self.cited.row(setting=f"pattern {opposite}", **keys)
            wrong = "{class}, {method}, {name}: {what} {short} in {count} images"
            texts.append(
                f"{self.cited.say([row], wrong)} against "
                f"{self.cited.say([right], '{short} in {count} predicted rightly')} "
                f"{self.cited.say([row], '({p_text})')}"
            )
        found = f"Below that: {'; '.join(texts)}." if texts else "None is."
        return (
            f"Wrong and right predictions were compared by {len(tested)} rank tests, "
            "not corrected for their number; if nothing differed, about one in twenty "
            f"would have p below {LEVEL}. {found}"
        )

    def choices(self) -> str:
        """Say how many single choices change AUROC, and which do most."""
        rows = self.cited.rows(versus=names.CONFIGURED, metric="val_auroc")
        shown = [row for row in rows.to_dict("records") if direction(row)]
        text = (
            f"A change of AUROC is shown for {len(shown)} of {len(rows)} choices; "
            "if none had an effect, it would be for about one in twenty. "
        )
        if shown:
            most = sorted(shown, key=lambda row: -abs(row["value"]))[:4]
            each = self.cited.say(most, "{setting} for {method} on {class} ({text})")
            text += f"The largest: {each}. "
        for group, what in CHOICES.items():
            of = rows[rows["setting"].str.startswith(f"{group} ")].to_dict("records")
            if of:
                text += f"With {what} {tally(of, 'AUROC', 'comparisons')}. "
        return text.rstrip()

    def parts(self) -> str:
        """Say which part of the shift each model suffers most from."""
        rows = self.cited.rows(setting="shift *", versus=names.NOT_SHIFTED, **CLEAN)
        whole = rows["setting"].str.contains("all parts|geometric|photometric")
        lowest = _highest(rows[~whole & (rows["value"] < 0)], sign=-1)
        if lowest.empty:
            return "No part lowers AUROC."
        n_shown = sum(direction(row) < 0 for row in lowest.to_dict("records"))
        each = self.cited.say(lowest, f"{MODEL} ({{text}}, {{p_text}})")
        return (
            f"AUROC falls furthest, against images that were not shifted, with {each}. "
            f"A loss is shown for {n_shown} of these {len(lowest)}, which were picked "
            "as the largest; p is not corrected for that."
        )

    def slowest(self) -> str:
        """Say which stage takes the most time."""
        rows = self.cited.rows(setting="stage *", metric="time_share")
        each = self.cited.say(_highest(rows), f"{MODEL} ({{short}})")
        return f"The largest share of the time goes to {each}." if each else ""


def _highest(rows: DataFrame, sign: int = 1) -> DataFrame:
    """Return the row of the highest value, or of the lowest, of each model."""
    ranked = (sign * rows["value"]).groupby([rows[name] for name in PAIRS], sort=False)
    return rows.loc[ranked.idxmax()] if len(rows) else rows
