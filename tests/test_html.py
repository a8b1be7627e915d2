"""What notebooks show of results and models: true, escaped, bounded, and no error."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from sklearn.pipeline import make_pipeline

import adlib
from adlib import PaDiM, PatchCore, runtime
from adlib._html import SIDE
from adlib._inspection import Inspection
from adlib.anomalib import AnomalibPatchcore
from tests.conftest import scratched
from tests.models.make import HERE

HOSTILE = "<img src=x onerror=alert(1)>\"'&.png"


class Card(HTMLParser):
    """The elements, rows, pictures and title of a card; it must be well formed."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.rows, self.pictures, self.texts = [], [], {}, [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag == "img":
            self.pictures.append(dict(attrs))
        else:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if self.open[-1] == "th":
            self.name = data
        elif self.open[-1] == "td":
            self.rows[self.name] = data


def images(card):
    """The pictures of a card, decoded."""
    found = []
    for one in card.pictures:
        kind, data = one["src"].split(",")
        assert kind == "data:image/jpeg;base64"
        image = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
        image.load()
        assert (one["width"], one["height"]) == tuple(map(str, image.size))
        found.append(image)
    return found


@pytest.fixture(scope="module")
def model(good, others):
    return (
        PatchCore(image_size=64, coreset=0.2, progress=False)
        .fit(good)
        .calibrate(others, false_positive_rate=0.2, review_rate=0.5)
    )


@pytest.fixture
def part(tmp_path):
    """A scratched part of 300 x 900 pixels, under a name that is no friend's."""
    path = tmp_path / HOSTILE
    Image.fromarray(scratched(5)).resize((900, 300)).save(path)
    return path


def test_a_result_shows_its_numbers_and_two_pictures(model, part):
    (result,) = model.inspect([part])
    card = Card(result._repr_html_())
    assert card.texts[:2] == [result.path, result.decision]
    assert card.rows["score"] == f"{result.score:.6g}"
    limit, times = re.fullmatch(
        r"(\S+) \(the score is (\S+) times that\)", card.rows["threshold"]
    ).groups()
    assert limit == f"{model.threshold_:.6g}"
    assert times == f"{result.threshold_ratio:.3g}"
    assert card.rows["verdict"] == "-1, anomalous"
    assert card.rows["p-value"] == f"{result.p_value:.4g}"
    assert card.rows["regions"] == f"{len(result.regions)} above the pixel threshold"
    assert f"above {model.pixel_threshold_:.4g}," in card.rows["map"]
    image, drawn = images(card)
    assert image.size == drawn.size == (SIDE, 85)
    # Orange is red without blue; the image is grey.
    tint = np.asarray(drawn, float)[:, :, 0] - np.asarray(drawn, float)[:, :, 2]
    assert np.ptp(np.asarray(image, float), axis=2).max() < 3
    inside = np.asarray(Image.fromarray(result.full_map()).resize(drawn.size))
    assert tint[inside > 1.05 * model.pixel_threshold_].mean() > 40
    assert abs(tint[inside < 0.95 * model.pixel_threshold_]).mean() < 5


def test_names_are_text_and_never_markup(model, part):
    (result,) = model.inspect([part])
    html = result._repr_html_()
    assert "<img src=x" not in html
    card = Card(html)  # which finds no handler of events
    assert card.texts[0] == str(part)
    assert [one["alt"].count(HOSTILE) for one in card.pictures] == [1, 1]
    assert set(card.tags) == {"div", "strong", "span", "img", "table", "tr", "th", "td"}
    skipped = Inspection(
        HOSTILE, float("nan"), -1, None, error="<script>", decision="FAIL"
    )
    assert "<script>" not in skipped._repr_html_()
    assert Card(skipped._repr_html_()).rows["skipped"] == "<script>"


def test_a_good_image_is_not_coloured(model, others):
    result = min(model.inspect(others), key=lambda one: one.score)
    assert result.regions == ()
    card = Card(result._repr_html_())
    assert card.texts[1] == result.decision == "PASS"
    (drawn,) = images(card)  # of an array there is no file
    assert np.ptp(np.asarray(drawn)) < 3
    assert card.rows["map"] == f"up to {result.map.max():.4g}, nothing to colour"


@pytest.mark.parametrize("became", ["gone", "text", "another size", "a folder", "nul"])
def test_a_file_that_is_no_more_gives_the_map_alone(model, part, became):
    (result,) = model.inspect([part])
    assert len(Card(result._repr_html_()).pictures) == 2
    part.unlink()
    if became == "text":
        part.write_text("no image")
    elif became == "another size":
        Image.new("L", (64, 64)).save(part)
    elif became == "a folder":
        part.mkdir()
    elif became == "nul":
        result = replace(result, path="a\0b.png")
    card = Card(result._repr_html_())
    assert len(images(card)) == 1
    assert card.rows["score"] == f"{result.score:.6g}"


def test_pictures_are_small_whatever_the_image(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1100, 3), dtype=np.uint8)
    path = tmp_path / "noise.png"
    Image.fromarray(noise).save(path)
    noisy = np.random.default_rng(1).random((1500, 1100), dtype=np.float32)
    html = Inspection(str(path), 1.0, None, noisy, size=(1500, 1100))._repr_html_()
    for image in images(Card(html)):
        assert max(image.size) <= SIDE
    assert len(html) < 150_000
    path = tmp_path / "line.png"
    Image.new("L", (3000, 1)).save(path)
    line = Inspection(str(path), 1.0, None, noisy[:8, :8], size=(1, 3000))
    assert [image.size for image in images(Card(line._repr_html_()))] == [(SIDE, 1)] * 2


def test_an_image_of_sixteen_bits_is_not_black(tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(16 * scratched(3).astype(np.uint16)).save(path)
    html = Inspection(str(path), 1.0, None, np.ones((8, 8), np.float32), size=(64, 64))
    assert np.asarray(images(Card(html._repr_html_()))[0]).max() > 250


def test_without_a_threshold_the_whole_range_is_coloured(fitted, mixed):
    result = list(fitted.inspect(mixed))[-1]
    card = Card(result._repr_html_())
    assert card.rows.keys() == {"score", "map"}
    low, high = result.map.min(), result.map.max()
    expected = f"from {low:.4g}, not coloured, to {high:.4g}; no threshold"
    assert card.rows["map"] == expected


def test_with_zones_the_limit_is_that_of_relative_values(good, others):
    zoned = PatchCore(image_size=64, coreset=0.2, zones=(2, 2), progress=False).fit(
        good
    )
    zoned.calibrate(others, false_positive_rate=0.2)
    (result,) = zoned.inspect(scratched(5)[None])
    assert result.regions
    said = Card(result._repr_html_()).rows["map"]
    assert said.startswith(f"coloured above {zoned.pixel_threshold_:.4g},")
    assert said.endswith("each zone over its scale")


def test_a_skipped_image_says_why(good, tmp_path):
    skipping = PatchCore(
        image_size=64, coreset=0.2, progress=False, on_error="skip"
    ).fit(good)
    (tmp_path / "broken.png").write_bytes(b"x")
    (result,) = skipping.inspect([tmp_path / "broken.png"])
    card = Card(result._repr_html_())
    assert (card.rows, card.pictures) == ({"skipped": result.error}, [])


@pytest.mark.parametrize("kind", [PatchCore, PaDiM])
def test_a_detector_shows_what_it_learned(kind, good, others):
    detector = kind(image_size=64, progress=False)
    card = Card(detector._repr_html_())
    assert card.texts[0] == kind.__name__
    expected = {"learned from": "nothing yet", "parameters": repr(detector)}
    assert card.rows == expected
    detector.fit(good).calibrate(others, false_positive_rate=0.2)
    rows = Card(detector._repr_html_()).rows
    assert rows["learned from"] == "6 images"
    assert rows["image size"] == "64 x 64"
    assert rows["backbone"].startswith("tf_efficientnet_lite0 (40 channels at stride 8")
    assert rows["threshold"].startswith(
        f"{detector.threshold_:.6g}: conformal, at most"
    )
    learned = dict(list(detector._describe().items())[:1])
    for name, text in learned.items():
        assert rows[name] == text
    assert rows["parameters"] == repr(detector)


def test_where_there_is_no_better_text_repr_is_shown(good):
    detector = PatchCore(image_size=64, coreset=0.2, progress=False).fit(good)
    detector.threshold_ = "high"
    assert detector._repr_html_() is None
    assert Inspection("a.png", None, 1, np.ones(3, np.float32))._repr_html_() is None


def test_scikit_learn_shows_a_pipeline_with_a_detector(good):
    pipeline = make_pipeline(PatchCore(coreset=0.2))
    assert "PatchCore" in pipeline._repr_html_()


def test_ipython_takes_the_card_of_a_detector():
    formatters = pytest.importorskip(
        "IPython.core.formatters", reason="IPython is not installed"
    )
    detector = PatchCore()
    shown, _ = formatters.DisplayFormatter().format(detector)
    assert shown["text/html"] == detector._repr_html_()
    assert shown["text/plain"] == "PatchCore()"


def test_an_exported_model_shows_what_its_file_says(part):
    model = runtime.load(max(HERE.glob("patchcore-*.onnx")))
    rows = Card(model._repr_html_()).rows
    header = model.header
    assert rows["learned from"] == f"{header['n_training_images']} images"
    assert rows["threshold"] == header["promise"].removeprefix("threshold ")
    assert rows["backbone"] == header["parameters"]["backbone"]
    (result,) = model.inspect([part])
    card = Card(result._repr_html_())
    assert len(images(card)) == 2
    assert f"above {model.threshold_:.4g}," in card.rows["map"]
    assert "regions" not in card.rows


def test_a_loaded_model_and_an_adapter_show_the_same_card(model, tmp_path):
    model.save(tmp_path / "part.adlib")
    loaded = adlib.load(tmp_path / "part.adlib")
    assert Card(loaded._repr_html_()).rows == Card(model._repr_html_()).rows
    assert Card(AnomalibPatchcore()._repr_html_()).texts[0] == "AnomalibPatchcore"


def test_a_threshold_is_not_denied_where_the_score_or_the_threshold_is_zero():
    nothing = np.zeros((8, 8), np.float32)
    known = Inspection("a", 0.0, 1, nothing, decision="PASS", threshold_ratio=0.0)
    assert Card(known._repr_html_()).rows["map"] == "up to 0, nothing to colour"
    judged = Inspection("a", 1.0, -1, nothing + 1, decision="FAIL")  # above 0
    assert Card(judged._repr_html_()).rows["map"].endswith("; no threshold above 0")
    unknown = replace(judged, verdict=None, decision=None)
    assert Card(unknown._repr_html_()).rows["map"].endswith("; no threshold")
