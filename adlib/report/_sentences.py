"""Sentences of the report that judge: each of rows of the table, by ``_judgements``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adlib.report._cited import Cited
from adlib.report._judgements import (
    LEVEL,
    Row,
    direction,
    listed,
    methods_verdict,
    tally,
    verdict,
)
from adlib.study import _names as names

if TYPE_CHECKING:
    from pandas import DataFrame

CLEAN, PAIRS = {"condition": names.CLEAN}, ["method", "class"]
# Groups of choices that the text takes up, by the first word of their settings.
CHOICES = {
    "coreset": "another coreset ratio",
    "selection": "a random memory bank",
    "projection": "fewer dimensions by random projection",
}
RIGHT = {"pattern missed": "pattern found", "pattern false alarm": "pattern accepted"}


@dataclass
class Sentences:
    """What the templates say that depends on differences.

    Attributes:
        cited: The table of figures.
        classes: In order.
        methods: In order; the first is compared with the last.
    """

    cited: Cited
    classes: list[str]
    methods: list[str]

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
            better = "{} ranks images better".format
            neither = "no difference is shown"
            said = verdict(row, better(first), better(second), neither)
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
        where = {
            "condition": condition,
            "versus": versus,
            "class": of,
            "metric": metrics,
        }
        rows = self.cited.rows(setting="", **where)
        texts = []
        for method in self.methods:
            of_method = rows[rows["method"] == method]
            texts.append(
                f"{method} {self.cited.say(of_method, '{what} {short}', ', ')}"
            )
        return "; ".join(texts)

    def ways(self) -> str:
        """Say which way without labelled anomalies has the highest F1."""
        labelled = self.cited.rows(setting="way *", metric="n_labelled")
        free = labelled[labelled["value"] == 0][[*PAIRS, "setting"]]
        f1 = self.cited.rows(setting="way *", metric="f1").merge(free)
        f1 = f1[f1["setting"] != "way clean threshold"]  # that adapts nothing
        if f1.empty:
            return ""
        pattern = "{name} for {method} on {class} ({short})"
        best = self.cited.say(_highest(f1), pattern)
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
            texts.append(
                f"{said} on " + self.cited.say([row], "{class} ({text}, {p_text})")
            )
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
            word = "more" if more else "no more"
            kinds.setdefault(word, []).append(f"{name} ({counts})")
        texts = [
            f"{word} images are wrong for both than if errors were independent on "
            f"{listed(found)}"
            for word, found in kinds.items()
        ]
        return f"On clean images {'; '.join(texts)}; this was not tested."

    def patterns(self) -> str:
        """Say in what wrong and right predictions differ."""
        tested = self.cited.rows(setting="pattern *", **CLEAN).dropna(subset="p")
        if tested.empty:
            return (
                "There are too few errors on clean images to compare with the others."
            )
        texts = []
        for row in tested[tested["p"] < LEVEL].to_dict("records"):
            keys = {key: row[key] for key in ("condition", "method", "class", "metric")}
            right = self.cited.row(setting=RIGHT[row["setting"]], **keys)
            wrong = "{class}, {method}, {name}: {what} {short} in {count} images"
            text = self.cited.say([row], wrong)
            text += self.cited.say(
                [right], " against {short} in {count} predicted rightly"
            )
            texts.append(text + self.cited.say([row], " ({p_text})"))
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
        each = self.cited.say(
            lowest, "{name} for {method} on {class} ({text}, {p_text})"
        )
        return (
            f"AUROC falls furthest, against images that were not shifted, with {each}. "
            f"A loss is shown for {n_shown} of these {len(lowest)}, which were picked "
            "as the largest; p is not corrected for that."
        )

    def slowest(self) -> str:
        """Say which stage takes the most time."""
        rows = self.cited.rows(setting="stage *", metric="time_share")
        each = self.cited.say(
            _highest(rows), "{name} for {method} on {class} ({short})"
        )
        return f"The largest share of the time goes to {each}." if each else ""

    def future(self) -> str:
        """Say for which models retraining does not win back the clean AUROC."""
        where = {"versus": names.CLEAN, "metric": "auroc", "class": self.classes}
        rows = self.cited.rows(condition=names.RETRAINED, setting="", **where)
        lost: list[Row] = [row for row in rows.to_dict("records") if direction(row) < 0]
        models = listed(
            ["{method} on {class}".format_map(row) for row in lost] or ["none"]
        )
        return f"Retrained, a loss of AUROC against clean images is shown for {models}."


def _highest(rows: DataFrame, sign: int = 1) -> DataFrame:
    """Return the row of the highest value, or of the lowest, of each model."""
    ranked = (sign * rows["value"]).groupby([rows[name] for name in PAIRS], sort=False)
    return rows.loc[ranked.idxmax()] if len(rows) else rows
