"""Thresholds that cannot be true, and options that are found wrong too late."""

from __future__ import annotations

import numpy as np
import pytest

import adlib
from adlib import PaDiM, PatchCore
from tests.conftest import scratched, texture
from tests.situations.situation import RefusedError, check, refused, warned, works

OTHERS = np.stack([texture(seed) for seed in range(20, 40)])
DEFECTS = np.stack([scratched(seed) for seed in range(40, 44)])
BOTH = np.concatenate([OTHERS, DEFECTS])
SIZE = ("--image-size", "64", "--coreset", "0.2")


def labels(good, defective):
    """Return one label for each of the images of ``BOTH``."""
    return [good] * len(OTHERS) + [defective] * len(DEFECTS)


def write(place, name, images):
    """Write images as PNG into a folder."""
    for number, image in enumerate(images):
        place.write(f"{name}/{number:02}.png", image)
    return place.folder / name


def fit(place, *words):
    """Run ``adlib fit`` on small images; return what it printed, on one line."""
    model = place.folder / "part.adlib"
    output = place.run("fit", *SIZE, *words, "-o", model)
    return " ".join(output.err.split())


def info(place):
    """Return what ``adlib info`` says of the model, on one line."""
    return " ".join(place.run("info", place.folder / "part.adlib").out.split())


def quick(**parameters):
    return PatchCore(
        **{"image_size": 64, "coreset": 0.2, "progress": False} | parameters
    )


def by_hand(place, threshold):
    """Save and load the model with a threshold set by hand."""
    place.model.threshold_ = threshold
    place.model.save(place.folder / "part.adlib")
    return adlib.load(place.folder / "part.adlib")


def before_learning(place, *words):
    """Run ``adlib fit``; its error must come before anything is learned."""
    with pytest.raises(RefusedError) as caught:
        fit(place, *words)
    assert "Learning" not in str(caught.value)
    assert not (place.folder / "part.adlib").exists()
    raise caught.value


def with_defects(place):
    """Return the words that name good images, others, and defects."""
    others, bad = write(place, "other", OTHERS), write(place, "bad", DEFECTS)
    return place.write_good(), "--good", others, "--defects", bad


def of_an_earlier_version(place, X):
    """Calibrate a model that knows names alone on these images."""
    model = quick().fit(X)
    model.training_digests_ = [""] * len(X)
    return model.calibrate(X, false_positive_rate=0.2)


LEARNED = r"good images that fit did not learn from; got 6 of 6 .*: 'image 0', .*3 more"


def otherwise_aggregated(place):
    """A calibrated model whose image scores are made in another way since."""
    others = np.stack([np.roll(place.good[i % 6], i + 1, axis=0) for i in range(20)])
    model = place.model.calibrate(others, false_positive_rate=0.2)
    return model.set_params(aggregation="max")


SITUATIONS = {
    "another aggregation after calibrate": refused(
        lambda place: otherwise_aggregated(place).predict(place.good),
        "aggregation of PatchCore must be 'top_mean', with which the threshold was set",
    ),
    "a model saved with another aggregation": refused(
        lambda place: otherwise_aggregated(place).save(place.folder / "m.adlib"),
        "Call calibrate again, or set it back",
    ),
    "another aggregation, set back": works(
        lambda place: (
            len(
                otherwise_aggregated(place)
                .set_params(aggregation="top_mean")
                .predict(place.good)
            )
            == 6
        )
    ),
    "another aggregation and a threshold of one's own": works(
        lambda place: (
            setattr(model := otherwise_aggregated(place), "threshold_", 1e9),
            (model.predict(place.good) == 1).all(),
        )[1]
    ),
    "a threshold from the images that were learned": refused(
        lambda place: place.model.calibrate(place.good, false_positive_rate=0.2),
        LEARNED,
    ),
    "the same from files of them": refused(
        lambda place: place.model.calibrate(
            place.write_good(), false_positive_rate=0.2
        ),
        "got 6 of 6 that it learned from: .*0.png",
    ),
    "the same after save and load": refused(
        lambda place: by_hand(place, None).calibrate(
            place.good, false_positive_rate=0.2
        ),
        LEARNED,
    ),
    "the same in another order, as floats": refused(
        lambda place: place.model.calibrate(
            place.good[::-1] / 255, false_positive_rate=0.2
        ),
        "got 6 of 6 that it learned from",
    ),
    "the same by PaDiM": refused(
        lambda place: (
            PaDiM(image_size=64, progress=False)
            .fit(place.good)
            .calibrate(place.good, false_positive_rate=0.2)
        ),
        "got 6 of 6 that it learned from",
    ),
    "the same by files of a model that knows names alone": refused(
        lambda place: of_an_earlier_version(
            place, sorted(place.write_good().iterdir())
        ),
        "got 6 of 6 that it learned from",
    ),
    "other arrays than those of a model that knows names alone": works(
        lambda place: of_an_earlier_version(place, OTHERS)
    ),
    "images that partial_fit learned": refused(
        lambda place: place.model.partial_fit(OTHERS[:3]).calibrate(
            OTHERS[:6], false_positive_rate=0.2
        ),
        "got 3 of 6 that it learned from",
    ),
    "learned images labelled good beside defects": refused(
        lambda place: place.model.calibrate(
            np.concatenate([place.good, DEFECTS]), [1] * 6 + [-1] * 4
        ),
        LEARNED,
    ),
    "learned images labelled anomalous": refused(
        lambda place: place.model.calibrate(
            np.concatenate([OTHERS, place.good]), [1] * 20 + [-1] * 6
        ),
        "anomalous images that fit did not learn from; got 6 of 6.*Fit without them",
    ),
    "a few learned images among others": warned(
        lambda place: (
            place.model.calibrate(np.concatenate([OTHERS, place.good[:2]])).threshold_
            == place.model.score(OTHERS).max()
        ),
        "2 of 22 images given to PatchCore.calibrate were learned from and are left "
        "out: 'image 20', 'image 21'. Pass",
    ),
    "copies among the images that calibrate": warned(
        lambda place: (
            place.model.calibrate(
                np.concatenate([OTHERS, OTHERS])
            ).calibration_.n_normal
            == 20
        ),
        "20 of 40 images given to PatchCore.calibrate are copies of others and count "
        "once",
    ),
    "one image labelled normal and anomalous": refused(
        lambda place: place.model.calibrate(
            np.concatenate([BOTH, OTHERS[:1]]), [*labels(1, -1), -1]
        ),
        "one label for each image; got copies labelled normal and anomalous: 'image 24",
    ),
    "labels the wrong way round": refused(
        lambda place: place.model.calibrate(BOTH, labels(1, 0)),
        r"y of PatchCore.calibrate must be such that .* got 4 normal images that score "
        r"above 20 anomalous ones \(AUROC 0\)\. .* 1 - y",
    ),
    "the same as -1 for good": refused(
        lambda place: place.model.calibrate(BOTH, labels(-1, 1)), "pass -y"
    ),
    "the same as bool, True for good": refused(
        lambda place: place.model.calibrate(BOTH, labels(True, False)),
        "wrong way round",
    ),
    "labels the right way round": works(
        lambda place: (
            place.model.calibrate(BOTH, labels(0, 1)).predict(BOTH).tolist()
            == labels(1, -1)
        )
    ),
    "labels that the scores cannot tell apart": warned(
        lambda place: place.model.calibrate(
            BOTH[12:], [1, 1, 1, -1, -1, -1, -1, -1, 1, -1, -1, -1]
        ),
        "predicts every image anomalous: the scores hardly tell",
    ),
    "fit with labels in which 1 is good": warned(
        lambda place: quick().fit(BOTH, labels(1, 0)),
        "labels 20 of 24 images as anomalous, which are not learned from.* 1 - y",
    ),
    "copies when each image is left out": warned(
        lambda place: (
            quick(false_positive_rate=0.2)
            .fit(np.concatenate([OTHERS, OTHERS[:2]]))
            .calibration_.n_normal
            == 18
        ),
        "4 of 22 images given to PatchCore.fit are copies of one another.*other 18",
    ),
    "only copies when each image is left out": refused(
        lambda place: quick(false_positive_rate=0.2).fit(
            np.concatenate([place.good, place.good])
        ),
        "images that differ, .* got 12 images, 12 of them copies",
    ),
    "too few that differ when each image is left out": refused(
        lambda place: quick(false_positive_rate=0.1).fit(
            np.concatenate([OTHERS[:5], OTHERS[:4], OTHERS[10:12]])
        ),
        "at least 0.25 for 3 images without a copy; got 0.1 and 8 copies of one",
    ),
    "images that change each time they are read, left out": refused(
        lambda place: quick(false_positive_rate=0.3).fit(Changing()),
        "'image 0' as number 0, other pixels",
    ),
    "a model tells how its threshold came about": works(
        lambda place: (
            "at most 5 % of good parts predicted anomalous, from 20 good images"
            in place.model.calibrate(OTHERS).describe()["threshold"]
            and "highest F1 on 20 good and 4 anomalous"
            in place.model.calibrate(BOTH, labels(1, -1)).describe()["threshold"]
        )
    ),
    "a threshold as NumPy gives it": works(
        lambda place: (
            by_hand(place, place.model.score(OTHERS).max()).threshold_
            == place.model.score(OTHERS).max()
        )
    ),
    "a threshold by hand is shown as one": works(
        lambda place: (
            place.model.calibrate(OTHERS)
            and by_hand(place, 12).describe()["threshold"]
            == "threshold 12: set by hand"
        )
    ),
    "a threshold that is an array": refused(
        lambda place: by_hand(place, place.model.score(OTHERS)),
        "threshold_ of PatchCore must be a finite number; got ndarray of shape",
    ),
    "a threshold that is text": refused(
        lambda place: by_hand(place, "12.5"), "threshold_ .* got '12.5'"
    ),
    "a threshold that is NaN": refused(
        lambda place: by_hand(place, np.float32("nan")), "threshold_ .* finite number"
    ),
    "a threshold that is NaN, in predict": refused(
        lambda place: (
            setattr(place.model, "threshold_", float("nan")),
            place.model.predict(OTHERS),
        ),
        "threshold_ of PatchCore must be a finite number; got nan",
    ),
    "a pixel threshold that is an array": refused(
        lambda place: (
            setattr(place.model, "pixel_threshold_", OTHERS[0]),
            by_hand(place, 1.0),
        ),
        "pixel_threshold_ of PatchCore must be a finite number",
    ),
    "--good is the folder that is learned": refused(
        lambda place: before_learning(
            place, place.write_good(), "--good", place.folder / "good"
        ),
        "--good must hold other images than IMAGES; got 6 that both hold",
    ),
    "--good is a copy of the folder that is learned": refused(
        lambda place: fit(
            place,
            place.write_good(),
            "--good",
            place.write_good("copy"),
            "--false-positive-rate",
            "0.2",
        ),
        "error: The images that set the threshold must be good images that fit did not",
    ),
    "--defects lie below the folder that is learned": refused(
        lambda place: before_learning(
            place,
            place.write_good("parts").parent / "parts",
            "--good",
            write(place, "other", OTHERS),
            "--defects",
            write(place, "parts/tuesday", DEFECTS),
        ),
        "--defects must hold other images than IMAGES; got 4",
    ),
    "--good and --defects swapped": refused(
        lambda place: fit(
            place,
            place.write_good(),
            "--defects",
            write(place, "other", OTHERS),
            "--good",
            write(place, "bad", DEFECTS),
        ),
        "--good and --defects must be such that anomalous images score above",
    ),
    "fit on twelve images": works(
        lambda place: (
            "Learning 12 images; leave-one-out scores set the threshold: about 7.69 % "
            "of good parts predicted anomalous, without a guarantee"
            in fit(place, write(place, "good", OTHERS[:12]))
            and "leave-one-out, about 7.69 % of good parts predicted anomalous, "
            "without a guarantee, from 12 training images"
            in info(place)
            and set(adlib.load(place.folder / "part.adlib").predict(DEFECTS).tolist())
            == {-1}
        )
    ),
    "fit on two images": warned(
        lambda place: "no threshold" in fit(place, write(place, "good", OTHERS[:2])),
        "2 images are too few to set a threshold from. Pass 3 or more",
    ),
    "few images held out because it was asked": warned(
        lambda place: (
            "at most 50 %" in fit(place, place.write_good(), "--holdout", "0.2")
        ),
        "1 good images set aside can promise no rate below 50 %.*leave-one-out",
    ),
    "none held out because it was asked": works(
        lambda place: "no threshold" in fit(place, place.write_good(), "--holdout", "0")
    ),
    "--leave-one-out at a rate": works(
        lambda place: (
            "about 20 %"
            in fit(
                place,
                place.write_good(),
                "--leave-one-out",
                "--false-positive-rate",
                "0.2",
            )
        )
    ),
    "--leave-one-out at a rate that cannot be": refused(
        lambda place: before_learning(
            place,
            place.write_good(),
            "--leave-one-out",
            "--false-positive-rate",
            "0.05",
        ),
        "--false-positive-rate must be at least 0.143, the lowest that 6 good images "
        "can promise; got 0.05",
    ),
    "--leave-one-out and --holdout": refused(
        lambda place: before_learning(
            place, place.write_good(), "--leave-one-out", "--holdout", "0.2"
        ),
        "--leave-one-out learns all IMAGES",
    ),
    "--good and --holdout": refused(
        lambda place: before_learning(
            place,
            place.write_good(),
            "--good",
            write(place, "other", OTHERS),
            "--holdout",
            "0.2",
        ),
        "--good sets the threshold in place of --holdout",
    ),
    "a rate that 6 images cannot promise": refused(
        lambda place: before_learning(
            place, place.write_good(), "--false-positive-rate", "0.05"
        ),
        "--false-positive-rate must be at least 0.5, the lowest that 1 good images can "
        "promise; got 0.05.*--leave-one-out\\), which guarantees nothing",
    ),
    "--review-rate below the rate": refused(
        lambda place: before_learning(
            place, place.write_good(), "--review-rate", "0.1"
        ),
        "--review-rate must be above 14.3 %, the share predicted anomalous; got 0.1",
    ),
    "--review-rate with --defects": refused(
        lambda place: before_learning(
            place, *with_defects(place), "--review-rate", "0.1"
        ),
        "--review-rate goes with good images that set the threshold",
    ),
    "--threshold-rule with --defects": refused(
        lambda place: before_learning(
            place, *with_defects(place), "--threshold-rule", "log-normal"
        ),
        "--threshold-rule must be 'quantile' with anomalous images",
    ),
    "a law for three images": warned(
        lambda place: (
            "no threshold"
            in fit(
                place,
                write(place, "good", OTHERS[:3]),
                "--threshold-rule",
                "log-normal",
            )
        ),
        "3 images are too few to set a threshold from. Pass 4 or more",
    ),
    "a law for three held-out images": refused(
        lambda place: place.model.set_params(threshold_rule="log-normal").calibrate(
            OTHERS[:3]
        ),
        "scores_normal of calibrate must be at least 4 scores for a log-normal law",
    ),
    "one odd image among those that are learned": warned(
        lambda place: (
            quick(false_positive_rate=0.05)
            .fit(np.concatenate([255 - DEFECTS[:1], OTHERS]))
            .threshold_
            > 0
        ),
        "the score of a training image that is unlike the others: 'image 0'",
    ),
    "zones, a threshold by hand, and a model file": works(
        lambda place: (
            setattr(model := quick(zones=(1, 2)).fit(OTHERS), "pixel_threshold_", 0.0),
            model.save(place.folder / "part.adlib"),
            {
                region.zone
                for found in adlib.load(place.folder / "part.adlib").regions(DEFECTS)
                for region in found
            }
            <= {(0, 0), (0, 1)},
        )[-1]
    ),
    "zones as one number": refused(
        lambda place: quick(zones=3).fit(OTHERS),
        "zones of PatchCore must be None or a pair, rows and columns of zones; got 3",
    ),
    "zones of images that are read once": refused(
        lambda place: quick(zones=(2, 2)).fit(iter(OTHERS)),
        "X of PatchCore.fit must be images in a fixed order that can be read twice",
    ),
    "zones changed after fit": refused(
        lambda place: (
            quick(zones=(2, 2)).fit(OTHERS).set_params(zones=(3, 3)).calibrate(OTHERS)
        ),
        r"zones of PatchCore must be .*2.*, with which it was fitted",
    ),
    "an exported file of zones": refused(
        lambda place: (
            quick(zones=(2, 2)).fit(OTHERS[:4]).export(place.folder / "part.onnx")
        ),
        "zones of the detector of PatchCore.export must be None: an exported file has "
        "one pixel threshold",
    ),
    "--zones without an x": refused(
        lambda place: before_learning(place, place.write_good(), "--zones", "3"),
        "no grid of zones: pass rows x columns, as 3x4",
    ),
    "more zones than pixels": refused(
        lambda place: before_learning(place, place.write_good(), "--zones", "3x65"),
        "--zones must be at most as many as image_size has rows and columns",
    ),
    "--fail-on-anomaly where images are to be reviewed": works(
        lambda place: (
            fit(
                place,
                place.write_good(),
                "--good",
                write(place, "other", OTHERS),
                "--review-rate",
                "0.9",
            ),
            "REVIEW"
            in place.run(
                "score",
                place.folder / "part.adlib",
                write(place, "few", OTHERS[:10]),
                "--fail-on-anomaly",
            ).out,
        )[-1]
    ),
    "info tells rate, count and kind": works(
        lambda place: (
            fit(place, place.write_good(), "--good", write(place, "other", OTHERS))
            and "conformal, at most 5 % of good parts predicted anomalous, from 20 "
            "good images (that is the mean; 9 of 10 such thresholds lie from 0.3 to "
            "13.9 %)"
            in info(place)
        )
    ),
    "several folders' files as IMAGES": works(
        lambda place: (
            "Learning 6 images"
            in fit(place, *sorted(place.write_good().iterdir()), "--holdout", "0")
        )
    ),
    "an unquoted glob behind --defects": works(
        lambda place: (
            "highest F1 on 20 good and 4 anomalous"
            in fit(
                place,
                place.write_good(),
                "--good",
                write(place, "other", OTHERS),
                "--defects",
                *sorted(write(place, "bad", DEFECTS).iterdir()),
            )
        )
    ),
    "image_size as text": refused(
        lambda place: quick(image_size="160x640").fit(place.good),
        r"image_size .* got '160x640'. Pass image_size=\(160, 640\)",
    ),
    "image_size as text of one number": refused(
        lambda place: quick(image_size="320").fit(place.good), "Pass image_size=320"
    ),
    "--image-size 48x64": works(
        lambda place: (
            fit(place, place.write_good(), "--image-size", "48x64")
            and adlib.load(place.folder / "part.adlib").image_size == (48, 64)
        )
    ),
    "--image-size 64,48": refused(
        lambda place: before_learning(
            place, place.write_good(), "--image-size", "64,48"
        ),
        "'64,48' is no size: pass one side in pixels, as 320, or height x width",
    ),
    "--image-size 8": refused(
        lambda place: before_learning(place, place.write_good(), "--image-size", "8"),
        "error: --image-size must be an integer of at least 16; got 8",
    ),
    "--seed -1": refused(
        lambda place: before_learning(place, place.write_good(), "--seed", "-1"),
        "Invalid value for '--seed'",
    ),
    "--holdout nan": refused(
        lambda place: before_learning(place, place.write_good(), "--holdout", "nan"),
        "--holdout",
    ),
    "--false-positive-rate nan": refused(
        lambda place: before_learning(
            place, place.write_good(), "--false-positive-rate", "nan"
        ),
        "--false-positive-rate",
    ),
    "--coreset 0": refused(
        lambda place: before_learning(place, place.write_good(), "--coreset", "0"),
        "error: --coreset must be a ratio",
    ),
    "--device gpu": refused(
        lambda place: before_learning(place, place.write_good(), "--device", "gpu"),
        "error: --device must be",
    ),
    "--defects that are not there": refused(
        lambda place: before_learning(
            place, place.write_good(), "--holdout", "0.5", "--defects", "none"
        ),
        "error: --defects must be a folder, .* got 'none', where there is nothing",
    ),
    "--good that is not there": refused(
        lambda place: before_learning(place, place.write_good(), "--good", "none"),
        "error: --good must be a folder, .* got 'none', where there is nothing",
    ),
    "IMAGES that are not there": refused(
        lambda place: before_learning(place, place.folder / "none"),
        "error: IMAGES must be a folder, .* where there is nothing",
    ),
    "an output that is a folder": refused(
        lambda place: place.run("fit", place.write_good(), "-o", place.folder, *SIZE),
        "must be a file",
    ),
    "an output in a folder that is not there": refused(
        lambda place: place.run(
            "fit", place.write_good(), "-o", place.folder / "no/m", *SIZE
        ),
        "no' does not exist",
    ),
}


class Changing:
    """Six images that are others each time they are read."""

    def __init__(self):
        self.seed = 100

    def __len__(self):
        return 6

    def __getitem__(self, number):
        if number >= len(self):
            raise IndexError
        self.seed += 1
        return texture(self.seed)


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_comes_of(name, place):
    check(SITUATIONS[name], place)
