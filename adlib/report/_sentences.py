"""Sentences of the report that judge: each made of rows, by ``_judgements``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adlib.report._cited import MINUS, Cited
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

Row = dict[str, Any]
SHIFT = {  # parts of the shift, how their numbers are written, and their words
    "rotation": ("{:g}", "rotation by {} to {} degrees"),
    "crop": ("{:.0%}", "crops of {} to {} of the area"),
    "translation": ("{:.0%}", "translation by {} to {} of the side"),
    "colour": ("{:g}", "brightness, contrast and saturation times {} to {}"),
    "illumination": ("{:.0%}", "uneven light that takes {} to {} at its dark end"),
    "blur": ("{:g}", "Gaussian blur with kernels of {} to {} pixels"),
    "noise": ("{:.0%}", "Gaussian noise of {} to {} of the range"),
}
WHOLES = ("not shifted", "all parts", "geometric", "photometric")


def percent(ratio: float) -> str:
    """Return a ratio of the configuration in percent."""
    return f"{100 * ratio:g} %".replace("-", MINUS)


@dataclass
class Sentences:
    """What the templates say beside their own words.

    Attributes:
        cited: The table of figures.
        config: The configuration, as JSON has it.
        intervals_: How intervals were made, as the provenance has it.
        classes: In order.
        methods: In order.
    """

    cited: Cited
    config: dict[str, Any]
    intervals_: dict[str, str]
    classes: list[str]
    methods: list[str]

    def test_images(self) -> str:
        """Return how many test images each class has."""
        texts = []
        for name in self.classes:
            where = {"condition": names.CLEAN, "class": name, "method": self.methods[0]}
            normal, anomalous = (
                self.cited.value(metric=f"n_{kind}", **where)
                for kind in ("normal", "anomalous")
            )
            texts.append(f"{name} {normal} normal and {anomalous} anomalous")
        return "; ".join(texts)

    def shift(self) -> str:
        """Say what the shift consists of, as far as it is switched on."""
        parts = []
        for name, (form, text) in SHIFT.items():
            if self.config["shift"].get(name) is not None:
                ends = (form.format(of) for of in self.config["shift"][name])
                parts.append(text.format(*ends).replace("-", MINUS).replace("%", " %"))
        if not parts:
            return "Every part of the shift is switched off."
        return f"Each shifted image was drawn once, with its own seed: {listed(parts)}."

    def intervals(self) -> str:
        """Return how intervals were made, where that was recorded."""
        texts = [f"{kind}: {how}" for kind, how in self.intervals_.items()]
        return f" ({'; '.join(texts)})" if texts else ""

    def coresets(self) -> str:
        """Say what shares of patches in the memory bank are worth."""
        found = self.cited.rows(setting="coreset *", metric="val_auroc", phase="phase03*")
        texts = [
            f"{name} " + listed(
                f"{self.cited.text(row)} with {row['setting'].removeprefix('coreset ')}"
                for row in part.to_dict("records")
            )
            for name, part in found.groupby("class", sort=False)
        ]  # fmt: skip
        if not texts:
            return ""
        return (
            "The coreset ratio is that of the configuration; AUROC on validation images "
            f"by that ratio, without intervals: {'; '.join(texts)}."
        )

    def methods_rows(self, condition: str) -> list[Row]:
        """Return the methods' differences on each class, with p corrected by Holm."""
        where = {"condition": condition, "method": self.methods[0], "metric": "auroc"}
        found = self.cited.rows(versus=self.methods[-1], setting="", **where)
        holm = self.cited.rows(versus=self.methods[-1], setting="Holm", **where)
        p = dict(zip(holm["class"], zip(holm["p"], holm["row"], strict=True), strict=True))
        return [
            row | dict(zip(("p", "row_of_p"), p[row["class"]], strict=True))
            for row in found.to_dict("records")
            if row["class"] in p
        ]

    def compared(self, condition: str, where: str, *, details: bool = False) -> str:
        """Say on which classes which method ranks better, and over all of them."""
        rows = self.methods_rows(condition)
        if not rows:
            return ""
        first, second = self.methods[0], self.methods[-1]
        text = methods_verdict(rows, first, second, where)
        if not details:
            return text
        shown = [
            f"{row['class']} {self.cited.text(row)}, "
            f"{self.cited.p(row | {'row': row['row_of_p']})}, {self.cited.count(row)} images"
            for row in rows
        ]
        text += f" AUROC of {first} less {second}: {'; '.join(shown)}."
        test = self.cited.rows(
            condition=condition, setting="t-test", metric="auroc", versus=second
        )
        for row in test.to_dict("records"):
            said = verdict(
                row, f"{first} ranks images better", f"{second} ranks images better"
            )
            text += (
                f" Over the {self.cited.count(row)} classes {said} (paired t-test, "
                f"{self.cited.text(row)}, {self.cited.p(row)})."
            )
        return text

    def changes(self, condition: str, versus: str, metric: str = "auroc") -> DataFrame:
        """Return the changes of a metric between conditions, by model."""
        where = {"condition": condition, "versus": versus, "metric": metric}
        found = self.cited.rows(setting="", **where)
        return found[found["class"] != names.MEAN]

    def tally(self, condition: str, versus: str) -> str:
        """Return for how many models AUROC rises, falls, or shows no change."""
        return tally(self.changes(condition, versus).to_dict("records"), "AUROC")

    def mean(self, condition: str, versus: str, method: str, metric: str) -> Row:
        """Return a mean over classes of a change; where there is none, of one class."""
        where = {"condition": condition, "versus": versus, "method": method}
        means = self.cited.rows(setting="", metric=metric, **where)
        means = means.iloc[[-1]] if len(self.classes) == 1 else means
        of_mean = means[means["class"] == names.MEAN]
        row: Row = (of_mean if len(of_mean) else means).iloc[0].to_dict()
        return row

    def means(self, condition: str, versus: str, metrics: list[str]) -> str:
        """Return the mean changes of some metrics, by method."""
        words = {"auroc": "AUROC", "f1": "F1"}
        texts = []
        for method in self.methods:
            rows = [self.mean(condition, versus, method, metric) for metric in metrics]
            parts = [
                f"{words.get(row['metric'], row['metric'])} "
                f"{self.cited.text(row, interval=False)}"
                for row in rows
            ]
            texts.append(f"{method} {', '.join(parts)}")
        return "; ".join(texts)

    def hidden(self) -> str:
        """Say for which methods F1 hides the false alarms of the shift."""
        found = []
        for method in self.methods:
            f1, specificity = (
                self.mean(names.SHIFTED, names.CLEAN, method, metric)["value"]
                for metric in ("f1", "specificity")
            )
            if specificity < 2 * f1 < 0 or specificity < 0 <= f1:
                found.append(method)
        if not found:
            return ""
        return (
            f"For {listed(found)} mean F1 falls by less than half of what mean "
            "specificity does: F1 does not count true negatives, and hides false alarms "
            "where most images are anomalous."
        )

    def thresholds(self) -> str:
        """Say how much of the loss of F1 a new threshold wins back."""
        texts = []
        for method in self.methods:
            won = self.mean(names.NEW_THRESHOLD, names.SHIFTED, method, "f1")
            left = self.mean(names.CLEAN, names.NEW_THRESHOLD, method, "f1")
            by, still = (self.cited.text(row, interval=False) for row in (won, left))
            said = gap(won["value"], left["value"])
            texts.append(
                f"for {method} the new threshold {said} (mean F1 {by}; clean less "
                f"shifted with the new threshold {still})"
            )
        return f"Without an interval, {'; '.join(texts)}."

    def ways(self) -> str:
        """Say which way without labelled anomalies has the highest F1."""
        labelled = self.cited.rows(setting="way *", metric="n_labelled")
        free = labelled[labelled["value"] == 0]
        keys = ["method", "class", "setting"]
        f1 = self.cited.rows(setting="way *", metric="f1").merge(free[keys], on=keys)
        f1 = f1[~f1["setting"].str.contains("of the clean domain")]
        if f1.empty:
            return ""
        best = f1.loc[f1.groupby(["method", "class"], sort=False)["value"].idxmax()]
        texts = [
            f"for {row['method']} on {row['class']} {row['setting'].removeprefix('way ')}"
            f" ({self.cited.text(row)})"
            for row in best.to_dict("records")
        ]
        return (
            "Of the ways without labelled anomalies the highest F1 is had "
            f"{'; '.join(texts)}. These were picked on the images that they are measured "
            "on, so they are too good, and differences were not tested."
        )

    def shortcut(self) -> str:
        """Say whether other classes' entries change a class's AUROC."""
        shares = self.cited.rows(setting="patches worst", metric="neighbour_share")
        own = shares[shares["class"] == shares["versus"]].to_dict("records")
        texts = [f"{self.cited.text(r)} of {self.cited.count(r)} on {r['class']}" for r in own]
        text = (
            "The highest patch of an anomalous image has its nearest entry in PatchCore's "
            f"memory bank in its own class for {listed(texts)}. "
            if texts
            else ""
        )
        found = self.cited.rows(setting="shortcut", versus="own entries", metric="auroc")
        parts = [
            f"on {row['class']} "
            + verdict(
                row, "they raise AUROC", "they lower AUROC", "no change of AUROC is shown"
            )
            + f" ({self.cited.text(row)}, {self.cited.p(row)})"
            for row in found.to_dict("records")
        ]
        if not parts:
            return text
        return (
            f"{text}You et al. (2022) describe an identical shortcut, by which a model of "
            "many classes explains anomalies too. Here that would be anomalies near the "
            f"entries of other classes: {'; '.join(parts)}."
        )

    def best(self, setting: str, metric: str, label: str) -> str:
        """Say which setting has the highest mean of a metric over the classes."""
        rows = self.cited.rows(condition=names.CLEAN, setting=setting, metric=metric)
        means = rows.groupby(["method", "setting"], sort=False)["value"].mean()
        texts = []
        for method in dict.fromkeys(rows["method"]):
            highest = means[method][means[method].round(3) == means[method].round(3).max()]
            which = [str(name).split(" ", 1)[1].replace("_", " ") for name in highest.index]
            texts.append(f"for {method} {listed(which)}")
        return f"The highest mean {label} is that of {'; '.join(texts)}; this was not tested."

    def zones(self) -> str:
        """Say whether thresholds by zone find more defective pixels."""
        texts = []
        for method in self.methods:
            where = {"method": method, "class": names.MEAN, "condition": names.CLEAN}
            found = self.cited.rows(setting="zones *", metric="pixel_f1", **where)
            if found.empty:
                found = self.cited.rows(
                    setting="zones *", metric="pixel_f1", method=method, condition=names.CLEAN
                )
            one, own = (
                found[found["setting"] == f"zones {grid}"]["value"].mean()
                for grid in ("1x1", "4x4")
            )
            word = {1: "higher", -1: "lower", 0: "equal"}[int(own > one) - int(own < one)]
            texts.append(f"{word} for {method}")
        return (
            f"With thresholds by zone the mean F1 of pixels is {listed(texts)}; this was "
            "not tested."
        )

    def reliability(self) -> str:
        """Say how far the probabilities are from the observed frequencies."""
        rows = self.cited.rows(
            condition=names.CLEAN, metric="expected_calibration_error"
        ).to_dict("records")
        texts = [f"{r['method']} on {r['class']} {self.cited.text(r)}" for r in rows]
        return f"Their expected calibration error is, for {'; '.join(texts)}." if texts else ""

    def agreement(self) -> str:
        """Say where more images are wrong for both than if errors were independent."""
        kinds: dict[bool, list[str]] = {True: [], False: []}
        for name in self.classes:
            where = {"condition": names.CLEAN, "class": name, "metric": "n_images"}
            both = self.cited.row(setting="both wrong", **where)
            chance = self.cited.row(setting="both wrong if independent", **where)
            expected = self.cited.text(chance, form=".1f")
            text = f"{name} ({self.cited.text(both)} against {expected})"
            kinds[both["value"] > chance["value"]].append(text)
        texts = [
            f"{word} images are wrong for both than if errors were independent on "
            f"{listed(kinds[more])}"
            for more, word in ((True, "more"), (False, "no more"))
            if kinds[more]
        ]
        return f"On clean images {'; '.join(texts)}; this was not tested."

    def patterns(self) -> str:
        """Say in what wrong and right predictions differ."""
        tested = self.cited.rows(condition=names.CLEAN, setting="pattern *")
        tested = tested[tested["p"].notna()]
        if tested.empty:
            return "There are too few errors on clean images to compare with the others."
        texts = []
        pairs = {"pattern missed": "pattern found", "pattern false alarm": "pattern accepted"}
        for row in tested[tested["p"] < LEVEL].to_dict("records"):
            keys = {key: row[key] for key in ("condition", "method", "class", "metric")}
            right = self.cited.row(setting=pairs[row["setting"]], **keys)
            group = "misses" if row["setting"] == "pattern missed" else "false alarms"
            texts.append(
                f"{row['class']}, {row['method']}, {group}: {row['metric'].replace('_', ' ')} "
                f"{self.cited.text(row)} in {self.cited.count(row)} images against "
                f"{self.cited.text(right)} in {self.cited.count(right)} predicted rightly "
                f"({self.cited.p(row)})"
            )
        found = f"Below that: {'; '.join(texts)}." if texts else "None is."
        return (
            "Wrong and right predictions on clean images were compared by "
            f"{len(tested)} rank tests, not corrected for their number; if nothing "
            f"differed, about one in twenty would have p below {LEVEL}. {found}"
        )

    def choices(self) -> str:
        """Say how many single choices change AUROC, and which do most."""
        rows = self.cited.rows(versus=names.CONFIGURED, metric="val_auroc")
        shown = [row for row in rows.to_dict("records") if direction(row)]
        text = (
            f"Of {len(rows)} single changes, a change of AUROC is shown for {len(shown)}; "
            "if none had an effect, it would be for about one in twenty. "
        )
        shown.sort(key=lambda row: -abs(row["value"]))
        if shown:
            texts = [
                f"{row['setting']} for {row['method']} on {row['class']} "
                f"({self.cited.text(row)})"
                for row in shown[:5]
            ]
            text += f"The largest: {'; '.join(texts)}. "
        for group, what in (
            ("coreset *", "another coreset ratio"),
            ("selection *", "a random selection of the memory bank"),
            ("projection *", "fewer dimensions by random projection"),
            ("pca *", "fewer dimensions by PCA"),
            ("channels *", "other channels"),
        ):
            found = rows[rows["setting"].str.startswith(group[:-1])].to_dict("records")
            if found:
                text += f"With {what} {tally(found, 'AUROC', 'comparisons')}. "
        return text.rstrip()

    def parts(self) -> str:
        """Say which part of the shift each model suffers most from."""
        rows = self.cited.rows(
            condition=names.CLEAN, setting="shift *", versus=names.NOT_SHIFTED
        )
        part = rows["setting"].str.removeprefix("shift ")
        single = rows[part.str.endswith(", moderate") & ~part.str.startswith(WHOLES)]
        if single.empty:
            return ""
        lowest = single.loc[
            single.groupby(["method", "class"], sort=False)["value"].idxmin()
        ].to_dict("records")
        texts = [
            f"{row['setting'].removeprefix('shift ').removesuffix(', moderate')} for "
            f"{row['method']} on {row['class']} ({self.cited.text(row)}, "
            f"{self.cited.p(row)})"
            for row in lowest
        ]
        n_shown = sum(direction(row) < 0 for row in lowest)
        return (
            f"AUROC changes least favourably with {'; '.join(texts)}. Of these a loss is "
            f"shown for {n_shown} of {len(lowest)}; they were picked as the lowest, and p "
            "is not corrected for that."
        )

    def crossed(self) -> str:
        """Say whether models do best on the shift that they were trained on."""
        rows = self.cited.rows(condition="trained on *", metric="auroc", versus="")
        rows = rows.assign(
            trained=rows["condition"].str.removeprefix("trained on "),
            tested=rows["setting"].str.removeprefix("shift "),
        )
        means = rows.groupby(["method", "tested", "trained"], sort=False)["value"].mean()
        n_own, n = 0, 0
        for (method, tested), of in means.groupby(["method", "tested"], sort=False):
            n += 1
            n_own += bool(of[method, tested].idxmax() == tested)
        return (
            f"The mean over classes is highest for the model trained on the tested shift "
            f"in {n_own} of {n} cases; this was not tested."
        )

    def slowest(self) -> str:
        """Say which stage takes the most time."""
        rows = self.cited.rows(setting="stage *", metric="time_share")
        rows = rows[rows["setting"] != "stage all"]
        largest = rows.loc[rows.groupby(["method", "class"], sort=False)["value"].idxmax()]
        texts = [
            f"{row['setting'].removeprefix('stage ')} for {row['method']} on "
            f"{row['class']} ({self.cited.text(row)})"
            for row in largest.to_dict("records")
        ]
        return f"The largest share of the time goes to {listed(texts)}." if texts else ""

    def layers(self) -> str:
        """Return what each layer adds to the distances, by class; "" if not known."""
        rows = self.cited.rows(setting="layer *", metric="distance_share_anomalous")
        texts = []
        for name, part in rows.groupby("class", sort=False):
            shares = [
                f"{row['setting'].removeprefix('layer ')} {self.cited.text(row)}"
                for row in part.to_dict("records")
            ]
            texts.append(f"{name}, anomalous images, {listed(shares)}")
        return "; ".join(texts)

    def smallest(self) -> str:
        """Say how few normal test images a class has."""
        where = {"condition": names.CLEAN, "method": self.methods[0]}
        counts = self.cited.rows(metric="n_normal", setting="", **where)
        row = counts.loc[counts["value"].idxmin()].to_dict()
        auroc = self.cited.row(metric="auroc", **where, **{"class": row["class"]})
        return (
            f"No class has fewer normal test images than {row['class']}, "
            f"{self.cited.text(row)}: {self.methods[0]}'s AUROC there is "
            f"{self.cited.text(auroc)}."
        )

    def future(self) -> str:
        """Say what the results ask for next."""
        lost = self.changes(names.RETRAINED, names.CLEAN).to_dict("records")
        below = [f"{r['method']} on {r['class']}" for r in lost if direction(r) < 0]
        text = ""
        if below:
            text += (
                f"Retrained, AUROC on shifted images stays below the clean one for "
                f"{listed(below)}: aligned images, networks trained to ignore light and "
                "focus, and several shifted copies of each training image could be tried. "
            )
        if len(below) < len(lost):
            text += (
                f"For {len(lost) - len(below)} of {len(lost)} models no loss against the "
                "clean AUROC is shown; more test images would tell more."
            )
        return text.rstrip()
