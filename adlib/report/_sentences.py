"""Sentences of the report that judge: each of rows of the table, by ``_judgements``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adlib.report._cited import Cited
from adlib.report._judgements import (
    LEVEL,
    direction,
    gap,
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
    "pca": "fewer dimensions by PCA",
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
        if not details:
            return text
        each = self.cited.say(rows, "{class} {text}, {p_text}, {count} images")
        text = f"{text} AUROC of {first} less {second}: {each}."
        for row in self.cited.rows(setting="t-test", **keys).to_dict("records"):
            better = "ranks images better"
            said = verdict(row, f"{first} {better}", f"{second} {better}")
            test = self.cited.say([row], "paired t-test, {text}, {p_text}")
            text += f" Over the classes together {said} ({test})."
        return text

    def tally(self, condition: str, versus: str) -> str:
        """Return for how many models AUROC rises, falls, or shows no change."""
        return tally(self._changes(condition, versus, "auroc"), "AUROC")

    def means(self, condition: str, versus: str, *metrics: str) -> str:
        """Return the mean changes of some metrics, by method."""
        texts = []
        for method in self.methods:
            rows = [self._mean(condition, versus, method, metric) for metric in metrics]
            texts.append(f"{method} {self.cited.say(rows, '{what} {short}', ', ')}")
        return "; ".join(texts)

    def hidden(self) -> str:
        """Say for which methods F1 hides the false alarms of the shift."""
        found = []
        for method in self.methods:
            f1, specificity = (
                self._mean(names.SHIFTED, names.CLEAN, method, metric)["value"]
                for metric in ("f1", "specificity")
            )
            if specificity < min(0, 2 * f1):
                found.append(method)
        if not found:
            return ""
        return (
            f"For {listed(found)} mean specificity falls by more than twice what mean F1 "
            "does: F1 does not count true negatives, and hides false alarms where most "
            "images are anomalous."
        )

    def thresholds(self) -> str:
        """Say how much of the loss of F1 a new threshold wins back."""
        texts = []
        for method in self.methods:
            won = self._mean(names.NEW_THRESHOLD, names.SHIFTED, method, "f1")
            left = self._mean(names.CLEAN, names.NEW_THRESHOLD, method, "f1")
            by = self.cited.say([won, left], "{short}", " and ")
            texts.append(f"for {method} it {gap(won['value'], left['value'])} ({by})")
        return (
            "Mean changes of F1 by the new threshold, and what the clean mean then has "
            f"more, without intervals: {'; '.join(texts)}."
        )

    def ways(self) -> str:
        """Say which way without labelled anomalies has the highest F1."""
        labelled = self.cited.rows(setting="way *", metric="n_labelled")
        free = labelled[labelled["value"] == 0][[*PAIRS, "setting"]]
        f1 = self.cited.rows(setting="way *", metric="f1").merge(free)
        f1 = f1[~f1["setting"].str.contains("of the clean domain")]
        if f1.empty:
            return ""
        best = self.cited.say(_highest(f1), "{name} for {method} on {class} ({short})")
        return (
            f"Of the ways without labelled anomalies the highest F1 is that of {best}. "
            "These were picked on the images that they are measured on, so they are too "
            "good, and differences were not tested."
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

    def best(self, setting: str, metric: str, label: str) -> str:
        """Say which setting has the highest mean of a metric over the classes."""
        rows = self.cited.rows(setting=setting, metric=metric, **CLEAN)
        means = rows.groupby(["method", "setting"], sort=False)["value"].mean().round(3)
        texts = []
        for method in dict.fromkeys(rows["method"]):
            of = means[method]
            which = [str(name).partition(" ")[2] for name in of[of == of.max()].index]
            texts.append(f"{listed(which).replace('_', ' ')} for {method}")
        return (
            f"The highest mean {label} is that of {listed(texts)}; this was not tested."
        )

    def zones(self) -> str:
        """Say whether thresholds by zone find more defective pixels."""
        rows = self.cited.rows(setting="zones *", metric="pixel_f1", **CLEAN)
        rows = rows[rows["class"] != names.MEAN]
        means = rows.groupby(["method", "setting"], sort=False)["value"].mean()
        texts = []
        for method, of in means.groupby("method", sort=False):
            one, own = of.iloc[0], of.iloc[-1]
            word = "higher" if own > one else "lower" if own < one else "the same"
            texts.append(f"{word} for {method}")
        return (
            f"By zone, the mean F1 of pixels is {listed(texts)}; this was not tested."
        )

    def agreement(self) -> str:
        """Say where more images are wrong for both than if errors were independent."""
        kinds: dict[bool, list[str]] = {}
        for name in self.classes:
            where = {"class": name, "metric": "n_images", **CLEAN}
            both = self.cited.row(setting="both wrong", **where)
            chance = self.cited.row(setting="both wrong if independent", **where)
            counts = self.cited.text(both), self.cited.text(chance, form=".1f")
            text = "{} ({} against {})".format(name, *counts)
            kinds.setdefault(both["value"] > chance["value"], []).append(text)
        texts = [
            f"{'more' if more else 'no more'} images are wrong for both than if errors "
            f"were independent on {listed(found)}"
            for more, found in kinds.items()
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
            f"Wrong and right predictions were compared by {len(tested)} rank tests, not "
            "corrected for their number; if nothing differed, about one in twenty would "
            f"have p below {LEVEL}. {found}"
        )

    def choices(self) -> str:
        """Say how many single choices change AUROC, and which do most."""
        rows = self.cited.rows(versus=names.CONFIGURED, metric="val_auroc")
        shown = rows[[direction(row) != 0 for row in rows.to_dict("records")]]
        shown = shown.loc[shown["value"].abs().sort_values(ascending=False).index[:4]]
        n_shown = sum(direction(row) != 0 for row in rows.to_dict("records"))
        text = (
            f"Of {len(rows)} single changes a change of AUROC is shown for {n_shown}; if "
            "none had an effect, it would be for about one in twenty. "
        )
        if n_shown:
            each = self.cited.say(shown, "{setting} for {method} on {class} ({text})")
            text += f"The largest: {each}. "
        for group, what in CHOICES.items():
            of = rows[rows["setting"].str.startswith(f"{group} ")].to_dict("records")
            if of:
                text += f"With {what} {tally(of, 'AUROC', 'comparisons')}. "
        return text.rstrip()

    def parts(self) -> str:
        """Say which part of the shift each model suffers most from."""
        rows = self.cited.rows(setting="shift *", versus=names.NOT_SHIFTED, **CLEAN)
        single = rows[rows["setting"].str.contains(", moderate|illumination")]
        whole = single["setting"].str.contains("all parts|geometric|photometric")
        lowest = _highest(single[~whole], sign=-1)
        n_shown = sum(direction(row) < 0 for row in lowest.to_dict("records"))
        if lowest.empty:
            return ""
        each = self.cited.say(
            lowest, "{name} for {method} on {class} ({text}, {p_text})"
        )
        return (
            f"The lowest AUROC against images that were not shifted is had with {each}. A "
            f"loss is shown for {n_shown} of these {len(lowest)}; they were picked as the "
            "lowest, and p is not corrected for that."
        )

    def crossed(self) -> str:
        """Say whether models rank best on the shift that they were trained on."""
        rows = self.cited.rows(condition="trained on *", metric="auroc", versus="")
        means = rows.groupby(["method", "setting", "condition"], sort=False)[
            "value"
        ].mean()
        best = means.groupby(["method", "setting"], sort=False).idxmax()
        own = [
            trained.removeprefix("trained on ") == tested.removeprefix("shift ")
            for _, tested, trained in best
        ]
        return (
            "The mean AUROC on a shift is highest for the model trained on that shift in "
            f"{sum(own)} of {len(own)} cases; this was not tested."
        )

    def slowest(self) -> str:
        """Say which stage takes the most time."""
        rows = self.cited.rows(setting="stage *", metric="time_share")
        largest = _highest(rows[rows["setting"] != "stage all"])
        each = self.cited.say(largest, "{name} for {method} on {class} ({short})")
        return f"The largest share of the time goes to {each}." if each else ""

    def future(self) -> str:
        """Say what the results ask for next."""
        lost = self._changes(names.RETRAINED, names.CLEAN, "auroc")
        below = ["{method} on {class}".format_map(r) for r in lost if direction(r) < 0]
        text = ""
        if below:
            text = (
                "Retrained, AUROC on shifted images stays below the clean one for "
                f"{listed(below)}: aligned images, networks trained to ignore light and "
                "focus, and several shifted copies of each training image could be tried. "
            )
        if len(below) < len(lost):
            text += (
                f"For {len(lost) - len(below)} of {len(lost)} models no loss against the "
                "clean AUROC is shown; more test images would tell more."
            )
        return text.rstrip()

    def _changes(
        self, condition: str, versus: str, metric: str
    ) -> list[dict[str, Any]]:
        """Return the changes of a metric between conditions, by model."""
        where = {"condition": condition, "versus": versus, "metric": metric}
        found = self.cited.rows(setting="", **where)
        changes: list[dict[str, Any]] = found[found["class"] != names.MEAN].to_dict(
            "records"
        )
        return changes

    def _mean(
        self, condition: str, versus: str, method: str, metric: str
    ) -> dict[str, Any]:
        """Return the mean over classes of a change, or that of the only class."""
        of = names.MEAN if len(self.classes) > 1 else self.classes[0]
        where = {
            "condition": condition,
            "versus": versus,
            "method": method,
            "class": of,
        }
        return self.cited.row(metric=metric, **where)


def _highest(rows: DataFrame, sign: int = 1) -> DataFrame:
    """Return the row of the highest value, or of the lowest, of each model."""
    ranked = (sign * rows["value"]).groupby([rows[name] for name in PAIRS], sort=False)
    return rows.loc[ranked.idxmax()] if len(rows) else rows
