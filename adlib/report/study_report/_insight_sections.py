"""What scores are made of, and what they cost in time."""

from __future__ import annotations

from adlib.report.document import Block, Illustration, Paragraph, Table
from adlib.report.study_report._comparisons import first_picture
from adlib.report.study_report._figures import efficiency_picture
from adlib.report.study_report._judgements import share_phrase
from adlib.report.study_report._study import EFFICIENCY, INTERPRETATION, Study, listed


def insight_blocks(study: Study) -> list[Block]:
    """What scores are made of, and what they cost in time."""
    blocks: list[Block] = []
    if study.cite.has(INTERPRETATION):
        blocks.append(
            Paragraph(_share_text(study), heading="What carries a score"),
        )
        found = first_picture(study, "nearest", study.classes)
        if found is not None:
            name, path = found
            blocks.append(
                Illustration(
                    "nearest",
                    f"{name}: the highest patch of some anomalies, and the good patch "
                    "that its score is the distance to.",
                    path,
                    [f"phase09/{path.name}"],
                    width=0.6,
                )
            )
    if study.cite.has(EFFICIENCY):
        blocks += [
            Paragraph(_time_text(study), heading="Time"),
            _stage_table(study),
            Illustration(
                "efficiency",
                "PatchCore: validation AUROC against the median time for one image, "
                "by the share of patches that is remembered, with 95 % intervals"
                f"{study.interval_kind(EFFICIENCY)}; learned from as many images as "
                "the ablations.",
                efficiency_picture(study),
                [EFFICIENCY],
                width=0.62,
            ),
        ]
    return blocks


def _share_text(study: Study) -> str:
    texts = []
    for number, one in enumerate(study.cite.at(INTERPRETATION, "shares")):
        if one["kind"] != "anomalous":
            continue
        stage = max(one["stages"], key=one["stages"].get)
        share = study.cite.get(
            INTERPRETATION, "shares", number, "stages", stage, form=".0%"
        )
        effective = study.cite.get(
            INTERPRETATION, "shares", number, "effective_number", form=".0f"
        )
        total, n_images = (
            study.cite.get(INTERPRETATION, "shares", number, key, form="d")
            for key in ("n_features", "n_images")
        )
        texts.append(
            f"on {n_images} anomalous images of {one['class_name']}, {stage} carries "
            f"{share_phrase(one['stages'][stage])}, {share}, and the distance is "
            f"spread as evenly as over {effective} of {total} features"
        )
    return (
        "The squared distance of an image's highest patch in PatchCore is a sum over "
        f"features, so it can be shared out exactly: {'; '.join(texts)}."
    )


def _time_text(study: Study) -> str:
    slowest = []
    for number, row in enumerate(study.cite.at(EFFICIENCY, "stages")):
        rivals = [
            one
            for one in study.cite.at(EFFICIENCY, "stages")
            if (one["method"], one["class_name"]) == (row["method"], row["class_name"])
            and one["stage"] != "all"
        ]
        if row is max(rivals, key=lambda one: one["share"]):
            share = study.cite.get(EFFICIENCY, "stages", number, "share", form=".0%")
            slowest.append(
                f"{row['stage']} takes {share_phrase(row['share'])} for "
                f"{row['method']} on {row['class_name']} ({share})"
            )
    return (
        "[table:stages] shows what one image takes, from its file to score and map, "
        "one image at a time, and how many images a second there are where reading "
        f"and embedding go on ahead. Of the mean time, {listed(slowest)}. "
        "[figure:efficiency] shows what a smaller memory bank would cost."
    )


def _stage_table(study: Study) -> Table:
    """Time by stage; one row for each saved model."""
    cite = study.cite
    places = {
        (row["method"], row["class_name"], row["stage"]): number
        for number, row in enumerate(cite.at(EFFICIENCY, "stages"))
    }
    stages = list(dict.fromkeys(stage for _, _, stage in places))
    rows = []
    for number, row in enumerate(cite.at(EFFICIENCY, "saved")):
        model = row["method"], row["class_name"]
        cells = [
            cite.get(
                EFFICIENCY,
                "stages",
                places[*model, stage],
                "p50_milliseconds",
                form=".1f",
            )
            for stage in stages
        ]
        cells += [
            cite.get(EFFICIENCY, "saved", number, key, form=".1f")
            for key in ("p95_milliseconds", "p99_milliseconds", "images_a_second")
        ]
        cells.append(cite.get(EFFICIENCY, "saved", number, "megabytes", form=".0f"))
        n_timed = cite.get(EFFICIENCY, "saved", number, "n_timed", form="d")
        rows.append([*model, n_timed, *cells])
    return Table(
        "stages",
        "Images timed; median milliseconds for one of them, stage by stage and in all; "
        "95th and 99th percentile of all; images a second through inspect; size of the "
        "model file. Percentiles of few images are rough.",
        ["method", "class", "images", *stages, "95 %", "99 %", "images/s", "MB"],
        rows,
        2,
        [EFFICIENCY],
    )
