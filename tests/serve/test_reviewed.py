"""Lists, labels and histograms of a results database, beside slow, obvious twins."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from adlib.serve._results import Result, Results
from adlib.serve._reviewed import Filter, Reviewed

N = 120


@pytest.fixture(scope="module")
def rows():
    """Results of two products and models with ties, errors, and a clock set back."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(1, N + 1):
        score = float(np.round(rng.gamma(4.0), 1))
        minute = number % 60 if number < 90 else number % 60 - 20
        row = Result(
            number=None,
            product=str(rng.choice(["bolt", "nut"])),
            model=str(rng.choice(["a", "b"])),
            path=f"{number}.png",
            size=1,
            mtime_ns=number,
            sha256="0" * 64,
            judged_utc=f"2026-11-0{1 + number // 60}T10:{minute % 60:02d}:00.000+00:00",
            decision="FAIL" if score > 6 else "REVIEW" if score > 5 else "PASS",
            score=score,
            threshold=6.0,
            threshold_ratio=score / 6.0,
        )
        if number % 17 == 0:
            row = row._replace(decision="REVIEW", score=None, threshold_ratio=None)
            row = row._replace(error="broken")
        found.append(row)
    return found


@pytest.fixture(scope="module")
def labelled():
    """What was said last of each result."""
    rng = np.random.default_rng(1)
    said = [(int(n), bool(rng.integers(2))) for n in rng.integers(1, N + 1, 80)]
    return [*said, (said[0][0], None), (said[1][0], not said[1][1])]


@pytest.fixture(scope="module")
def results(rows, labelled, tmp_path_factory):
    path = tmp_path_factory.mktemp("results") / "results.db"
    with Reviewed(path, durable=False) as one:
        one.add(rows)
        for number, defect in labelled:
            one.say({number: defect}, f"of {number}", "me")
        yield one


def slow(rows, labelled, wanted):
    """Return the numbers of a list in order, by looking at every row."""
    last = dict(labelled)

    def fits(number, row):
        defect = last.get(number)
        kind = "ERROR" if row.error else row.decision
        label = "none" if defect is None else "defect" if defect else "good"
        return (
            wanted.product in ("", row.product)
            and wanted.decision in ("", kind)
            and wanted.label in ("", label)
            and wanted.since <= row.judged_utc < (wanted.until or "9")
        )

    found = [(n, row) for n, row in enumerate(rows, 1) if fits(n, row)]
    if wanted.order == "worst" and wanted.decision != "ERROR":
        found = [(n, row) for n, row in found if row.threshold_ratio is not None]
        found.sort(key=lambda one: (one[1].threshold_ratio, one[0]))
    return [number for number, _ in found[::-1]]


TIMES = [("", ""), ("2026-11-01T10:30", "2026-11-02T10:20"), ("2027", "")]
FILTERS = [
    Filter(product, decision, label, *times, order)
    for product, decision, label, times, order in itertools.product(
        ("", "bolt", "other"),
        ("", "PASS", "REVIEW", "FAIL", "ERROR"),
        ("", "none", "good", "defect"),
        TIMES,
        ("newest", "worst"),
    )
]


def test_every_filter_lists_what_looking_at_every_row_does(results, rows, labelled):
    for wanted in FILTERS:
        expected = slow(rows, labelled, wanted)
        found = [row.result.number for row in results.listed(wanted, 2 * N)]
        assert found == expected, wanted


def test_pages_follow_one_another_in_both_directions(results, rows, labelled):
    for wanted in FILTERS[::7]:
        expected, last = slow(rows, labelled, wanted), 0
        forwards = []
        while page := results.listed(wanted, 7, after=last):
            forwards += [row.result.number for row in page]
            last = forwards[-1]
        assert forwards == expected, wanted
        if not expected:
            continue
        backwards = [last]
        while page := results.listed(wanted, 7, before=backwards[0]):
            backwards = [row.result.number for row in page] + backwards
        assert backwards == expected, wanted


def test_the_neighbours_of_a_result_need_not_be_like_it(results, rows, labelled):
    wanted = Filter(label="none")
    expected = slow(rows, labelled, wanted)
    for number in (1, 50, N):
        below = [n for n in expected if n < number]
        found = results.listed(wanted, 1, after=number)
        assert [row.result.number for row in found] == below[:1]


def test_counts_are_those_of_the_rows(results, rows, labelled):
    for product in results.products():
        kinds = [
            "ERROR" if r.error else r.decision
            for r in rows
            if r.product == product.name
        ]
        assert product.counts == {kind: kinds.count(kind) for kind in set(kinds)}
    last = list(dict(labelled).values())
    found = results.label_counts()
    assert {k: found.get(k, 0) for k in (0, 1)} == {
        0: last.count(False),
        1: last.count(True),
    }


def test_a_row_has_its_last_label_and_all_that_was_said(results, labelled):
    number = labelled[0][0]
    said = [defect for n, defect in labelled if n == number]
    assert results.row(number).defect is None
    assert [one.defect for one in results.labels(number)] == [
        None if defect is None else int(defect) for defect in said[::-1]
    ]
    assert results.labels(number)[0].comment == f"of {number}"
    assert results.row(N + 1) is None


def test_what_is_said_of_no_result_is_not_written(results):
    before = results.label_counts()
    with pytest.raises(KeyError):
        results.say({1: True, N + 1: True})
    assert results.label_counts() == before


def test_the_histogram_counts_exactly_at_every_edge(results, rows, labelled):
    last = dict(labelled)
    for product in ("bolt", "nut"):
        found = results.scores(product)
        scored = [
            (n, r)
            for n, r in enumerate(rows, 1)
            if r.product == product and not r.error
        ]
        model = scored[-1][1].model
        own = [(n, r.score) for n, r in scored if r.model == model]
        assert found.model == model
        assert found.threshold in found.edges
        assert found.n_others == sum(
            r.product == product and r.model != model for r in rows
        )
        kinds = {
            "all": [s for _, s in own],
            "good": [s for n, s in own if last.get(n) is False],
            "defect": [s for n, s in own if last.get(n) is True],
        }
        for kind, scores in kinds.items():
            expected = [sum(s <= edge for s in scores) for edge in found.edges]
            assert found.up_to[kind].tolist() == expected
        assert found.up_to["all"][0] == 0
        assert found.up_to["all"][-1] == len(own)


def test_a_product_without_scores_has_no_histogram(tmp_path, rows):
    with Reviewed(tmp_path / "results.db", durable=False) as one:
        assert one.scores("bolt") is None
        one.add([row for row in rows if row.error])
        assert one.scores("bolt") is None


def test_one_score_alone_makes_a_histogram(tmp_path, rows):
    with Reviewed(tmp_path / "results.db", durable=False) as one:
        one.add([rows[0]._replace(score=6.0, threshold_ratio=1.0, decision="PASS")])
        found = one.scores(rows[0].product)
        assert found.up_to["all"][0] == 0
        assert found.up_to["all"][-1] == 1


def test_what_watch_writes_meanwhile_is_seen(tmp_path, rows):
    path = tmp_path / "results.db"
    with Reviewed(path, durable=False) as one, Results(path, durable=False) as other:
        before = one.state()
        other.add(rows[:3])
        assert one.state() != before
        assert len(one.listed(Filter(), 9)) == 3
