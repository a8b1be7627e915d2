"""The review page in a real browser: keys, script, sizes, colours, and no script."""

from __future__ import annotations

import os
import shutil

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import sync_playwright

from adlib import load
from adlib.serve._cache import Cache
from adlib.serve._examine import Examiner
from adlib.serve._results import Results
from adlib.serve._review_files import write_review
from adlib.serve._reviewed import Reviewed
from tests.serve.reviewing import labels

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
CONTRAST = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const low = [];
  for (const one of document.querySelectorAll("body *")) {
    const own = [...one.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !one.checkVisibility()) continue;
    let under = one;
    while (under && parse(getComputedStyle(under).backgroundColor)[3] === 0)
      under = under.parentElement;
    const back = light(parse(getComputedStyle(under || document.body).backgroundColor));
    const style = getComputedStyle(one);
    const front = light(parse(style.color));
    const ratio = (Math.max(back, front) + 0.05) / (Math.min(back, front) + 0.05);
    if (ratio < 4.5) low.push([one.outerHTML.slice(0, 80), ratio]);
  }
  return low;
}"""


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as started:
        options = {"executable_path": CHROMIUM, "args": ["--no-sandbox"]}
        browser = started.chromium.launch(**options)
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium, request):
    """A tab whose complaints, and requests to other machines, fail the test."""
    context = chromium.new_context(**getattr(request, "param", {}))
    one, said = context.new_page(), []
    one.on("console", lambda message: said.append(message.text))
    one.on("pageerror", lambda error: said.append(str(error)))
    one.on("dialog", lambda dialog: said.append(f"dialog {dialog.message}"))
    local = "http://127.0.0.1:"
    one.on("request", lambda r: None if r.url.startswith(local) else said.append(r.url))
    one.set_default_timeout(30_000)
    yield one
    context.close()
    # of results whose image is gone
    assert [text for text in said if "404 (Not Found)" not in text] == []


def url(server, path="/"):
    return f"http://127.0.0.1:{server.port}{path}"


def test_a_shift_by_keys_alone(tab, writing, own):
    tab.goto(url(writing, "/?order=worst"))
    cards = [card.get_attribute("href") for card in tab.locator(".card").all()]
    tab.keyboard.press("j")
    tab.keyboard.press("j")
    tab.keyboard.press("k")
    tab.keyboard.press("Enter")
    tab.wait_for_url(url(writing, cards[0]))
    with tab.expect_navigation():
        tab.keyboard.press("j")
    assert tab.url == url(writing, cards[1])
    with tab.expect_navigation():
        tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("c")
    tab.keyboard.type("good <b>defect</b>")  # whose letters are no keys now
    tab.keyboard.press("Escape")
    with tab.expect_navigation():
        tab.keyboard.press("d")
    numbers = [int(card.rpartition("/")[2].partition("?")[0]) for card in cards]
    assert f"/results/{numbers[1]}?" in tab.url
    with tab.expect_navigation():
        tab.keyboard.press("g")
    with tab.expect_navigation():
        tab.keyboard.press("u")
    assert f"/results/{numbers[1]}?" in tab.url
    assert "Not confirmed yet" in tab.locator(".now").inner_text()
    assert [row[:3] for row in labels(own)] == [
        (numbers[0], 1, "good <b>defect</b>"),
        (numbers[1], 0, ""),
        (numbers[1], None, ""),
    ]
    tab.keyboard.press("?")
    assert tab.locator("#help").is_visible()
    tab.keyboard.press("g")  # no key while the help is open
    tab.keyboard.press("Escape")
    assert not tab.locator("#help").is_visible()
    with tab.expect_navigation():
        tab.keyboard.press("l")
    assert tab.locator(".said.defect").count() == 1
    assert len(labels(own)) == 3


def test_the_map_fades_and_this_is_remembered(tab, page):
    tab.goto(url(page, "/results/4"))
    opacity = tab.locator("#opacity")
    opacity.focus()
    opacity.press("Home")
    assert tab.locator("#map").evaluate("one => one.style.opacity") == "0"
    tab.goto(url(page, "/results/5"))
    assert tab.locator("#map").evaluate("one => one.style.opacity") == "0"
    tab.locator("#opacity").fill("55")
    assert tab.locator("#map").evaluate("one => one.style.opacity") == "0.55"
    tab.locator("body").press("o")
    assert tab.locator("#map").evaluate("one => one.style.opacity") == "0"
    tab.locator("#lines-on").click()
    assert not tab.locator("#lines").is_visible()


def test_what_it_was_compared_with_comes_by_itself(tab, page):
    tab.goto(url(page, "/results/4"))
    tab.locator("#compared figure img").first.wait_for()
    assert "Distance between" in tab.locator("#compared").inner_text()
    width = tab.locator("#compared img").first.evaluate("one => one.naturalWidth")
    assert width == 320


def test_the_threshold_is_dragged_and_moved_by_keys(tab, writing, own):
    for number, said in ((1, "good"), (2, "good"), (4, "defect"), (5, "defect")):
        writing.say(number, said)
    with Results(own) as results:
        rows = {one.number: one for one in results.after("part", 0)}
    scores = [one.score for one in rows.values() if one.score is not None]
    tab.goto(url(writing, "/scores?product=part"))

    def shown():
        return {
            name: tab.locator(f"#count-{name}").inner_text()
            for name in ("all", "good", "defect")
        }

    def expected(threshold):
        failed = sum(score > threshold for score in scores)
        good = sum(rows[n].score > threshold for n in (1, 2))
        missed = sum(rows[n].score <= threshold for n in (4, 5))
        counts = {
            "all": (failed, len(scores)),
            "good": (good, 2),
            "defect": (missed, 2),
        }
        return {name: f"{n} of {total}" for name, (n, total) in counts.items()}

    edges = tab.evaluate("JSON.parse(histogram.dataset.scores).edges")
    first = int(tab.locator("#histogram").get_attribute("data-at"))
    assert edges[first] == rows[1].threshold
    assert shown() == expected(edges[first])
    slider = tab.locator("#threshold")
    slider.press("ArrowRight")
    assert int(slider.input_value()) == first + 1
    assert shown() == expected(edges[first + 1])
    for key, at in (("Home", 0), ("End", len(edges) - 1)):
        slider.press(key)
        assert shown() == expected(edges[at])
    box = tab.locator("#histogram svg.all").bounding_box()
    tab.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 20)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 20, steps=5)
    tab.mouse.up()
    at = int(slider.input_value())
    assert at == pytest.approx(0.25 * (len(edges) - 1), abs=1)
    assert shown() == expected(edges[at])
    tab.locator("#reset").click()
    assert shown() == expected(edges[first])


@pytest.mark.parametrize(
    "tab",
    [
        {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
        for width in (1280, 390)
        for scheme in ("light", "dark")
    ],
    indirect=True,
)
def test_pages_fit_and_can_be_read_and_touched(tab, writing):
    writing.say(1, "good", "a comment")
    writing.say(4, "defect")
    for path in (
        "/",
        "/results/1",
        "/results/4?last=4",
        "/results/7",
        "/scores",
        "/no",
    ):
        tab.goto(url(writing, path), wait_until="networkidle")
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert tab.evaluate(CONTRAST) == [], path
        if tab.viewport_size["width"] < 400:
            touched = "button, select, main a:not(p a), header a, summary"
            for one in tab.locator(touched).all():
                if one.is_visible():
                    box = one.bounding_box()
                    assert box["height"] >= 44, (path, one.evaluate("x => x.outerHTML"))
        names = "e => (e.labels?.length || e.ariaLabel || e.innerText || '').toString()"
        for one in tab.locator(
            "button, select, input:not([type=hidden]), textarea"
        ).all():
            assert one.evaluate(names).strip("0"), one.evaluate("x => x.outerHTML")
    tab.goto(url(writing, "/results/1"))
    tab.keyboard.press("Tab")
    focused = "getComputedStyle(document.activeElement).outlineWidth"
    assert tab.evaluate(focused) == "3px"


@pytest.mark.parametrize("tab", [{"java_script_enabled": False}], indirect=True)
def test_all_but_dragging_works_without_script(tab, writing, own):
    tab.goto(url(writing, "/"))
    tab.locator("select[name=order]").select_option("worst")
    tab.get_by_role("button", name="Show").click()
    assert "order=worst" in tab.url
    tab.locator(".card").first.click()
    tab.locator("#comment").fill("seen")
    tab.get_by_role("button", name="Defect").click()
    assert [row[1:3] for row in labels(own)] == [(1, "seen")]
    tab.locator("#undo button").click()
    assert "Not confirmed yet" in tab.locator(".now").inner_text()
    tab.locator("#compared a").click()
    assert "Distance between" in tab.locator("body").inner_text()
    tab.goto(url(writing, "/scores"))
    assert " of 6" in tab.locator("#count-all").inner_text()


def test_pages_in_a_folder_work_without_a_server(chromium, line, tmp_path):
    examiner = Examiner(load, Cache(tmp_path / "cache"))
    with Reviewed(line / "results.db") as results:
        first = write_review(results, examiner, tmp_path / "pages", 9)
    context = chromium.new_context()
    tab, said = context.new_page(), []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    missing = "net::ERR_FILE_NOT_FOUND"
    tab.on("requestfailed", lambda r: r.failure == missing and said.append(r.url))
    tab.goto(first.as_uri())
    tab.keyboard.press("j")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/result-*.html")
    tab.keyboard.press("o")
    assert tab.locator("#map").evaluate("one => one.style.opacity") == "0"
    with tab.expect_navigation():
        tab.keyboard.press("j")
    assert tab.locator("form:not([method=dialog])").count() == 0
    tab.get_by_role("link", name="Scores").click()
    tab.locator("#threshold").press("ArrowRight")
    assert tab.locator("#reset").is_visible()
    context.close()
    # There is none of the image that is gone.
    assert {text for text in said if "pictures/6-thumbnail" not in text} <= {
        f"Failed to load resource: {missing}"
    }
