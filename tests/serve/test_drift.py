"""Drift of the parts that pass, and how often decisions were right."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from adlib.cli import main
from adlib.estimators import Calibration
from adlib.metrics import DriftMonitor
from adlib.serve import _drift, _watch
from adlib.serve._confirmed import shares
from adlib.serve._drift import Drift, DriftLines, ProductDrift, reference_of
from adlib.serve._results import Result, Results
from tests.serve.watching import Line, save

LIMIT = 1.6  # of scores that pass, one in twenty of a normal law's is above


def rows(scores, model="m", first=0, limit=LIMIT):
    """Return results of these scores, each of its own file."""
    plain = Result(None, "part", model, "", 1, 1, "", "2026-01-01", "PASS", 0.0, limit)
    return [
        plain._replace(
            path=f"{first + i}.png",
            sha256=f"{first + i}",
            judged_utc=f"2026-01-01T{first + i:08}",
            score=float(score),
            decision="PASS" if score <= limit else "FAIL",
        )
        for i, score in enumerate(scores)
    ]


@pytest.fixture
def results(tmp_path):
    with Results(tmp_path / "results.db", durable=False) as results:
        results.note_product("part", tmp_path / "in", tmp_path / "gone.adlib")
        yield results


def say(results, number, defect):
    with results.transaction() as db:
        text = "INSERT INTO labels (result, defect, labelled_utc) VALUES (?, ?, '')"
        db.execute(text, (number, defect))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_it_says_what_the_monitor_says_of_parts_that_pass(results, rng):
    scores = np.concatenate([rng.normal(0, 1, 400), rng.normal(1, 1, 300)])
    results.add(rows(scores))
    passed = scores[scores <= LIMIT]
    monitor = DriftMonitor(passed[:100])
    monitor.update(passed[100:])
    state = ProductDrift("part", between=10_000).look(results)
    assert state.statistic == monitor.statistic
    assert state.n_parts == len(passed) - 100
    number = 1 + np.flatnonzero(scores <= LIMIT)[100 + monitor.alarmed_at]
    assert tuple(state.alarm) == (number, f"2026-01-01T{number - 1:08}", "higher")
    assert 400 < number < 500
    assert state.line().startswith(f"drift: scores higher, seen at result {number} (2")
    first, last, *_ = state.quantiles
    assert (first.of, first.n) == ("first parts", 100)
    assert first.median == np.median(passed[:100])
    assert (last.of, last.q95) == ("last 100", np.quantile(passed[-100:], 0.95))
    n_above = int((scores[-100:] > LIMIT).sum())
    assert state.not_passing[0] == (100, n_above)


def test_looking_again_and_again_finds_the_same(results, rng):
    scores = np.concatenate([rng.normal(0, 1, 300), rng.normal(0.8, 1, 200)])
    looking, drift = [], ProductDrift("part")
    assert drift.look(results) is None
    for first in range(0, 500, 7):
        results.add(rows(scores[first : first + 7], first=first))
        looking.append(drift.look(results))
    assert looking[-1] == ProductDrift("part").look(results)
    assert looking[0].line() == "no drift known: too few parts that pass"
    assert looking[40].line().startswith("no drift in ")


def test_a_new_model_begins_anew_and_labelled_defects_do_not_count(results, rng):
    scores = np.concatenate([rng.normal(0, 1, 300), rng.normal(1, 1, 200)])
    results.add(rows(scores))
    drift = ProductDrift("part")
    assert drift.look(results).alarm is not None
    new = rng.normal(0, 1, 200)
    results.add(rows(new, model="n", first=500))
    state = drift.look(results)
    assert (state.model, state.alarm) == ("n", None)
    monitor = DriftMonitor(new[new <= LIMIT][:100])
    monitor.update(new[new <= LIMIT][100:])
    assert state.statistic == monitor.statistic
    passed = 500 + np.flatnonzero(new <= LIMIT)
    say(results, int(passed[3]) + 1, 1)
    say(results, int(passed[5]) + 1, 1)
    say(results, int(passed[5]) + 1, None)  # taken back
    kept = np.delete(new[new <= LIMIT], 3)
    monitor = DriftMonitor(kept[:100])
    monitor.update(kept[100:])
    assert ProductDrift("part").look(results).statistic == monitor.statistic


def test_results_before_a_past_drift_can_be_left_out(results, rng):
    scores = np.concatenate([rng.normal(0, 1, 300), rng.normal(1, 1, 400)])
    results.add(rows(scores))
    assert ProductDrift("part").look(results).alarm is not None
    assert ProductDrift("part", after=300).look(results).alarm is None


def test_memory_has_an_end_and_a_test_begins_anew(monkeypatch, rng):
    monkeypatch.setattr(_drift, "LONGEST", 50)
    drift, reference = Drift(rng.normal(0, 1, 20), 1000), None
    drift.update(rng.normal(0, 1, 70))
    reference = DriftMonitor(drift.reference)
    last = rng.normal(4, 1, 30)  # the second half of the second test
    drift.update(last)
    assert 70 <= drift.alarmed_at < 80
    assert drift.n_parts == 50
    drift.update(rng.normal(0, 1, 50))  # the third: the second is remembered
    assert drift.alarmed_at is not None
    fourth = rng.normal(0, 1, 10)
    drift.update(fourth)
    assert drift.alarmed_at is drift.direction is None
    reference.update(fourth)
    assert drift.statistic == reference.statistic
    assert drift.n_seen == 160


@pytest.mark.parametrize("n_first", [0, 100])
def test_of_a_long_run_two_tests_are_read(results, rng, monkeypatch, n_first):
    monkeypatch.setattr(_drift, "LONGEST", 60)
    given = tuple(rng.normal(0, 1, 0 if n_first else 20))
    scores = np.minimum(rng.normal(0, 1, 500), LIMIT)
    scores[450:] += 0.1
    whole = Drift(given)
    whole.update(scores[scores <= LIMIT].tolist())
    results.add(rows(scores))
    state = ProductDrift("part", lambda sha256: given).look(results)
    assert state.statistic == whole.statistic
    assert state.n_parts == whole.n_parts
    assert (state.alarm is None) == (whole.alarmed_at is None)


def calibrated(scores, **given):
    limits = {"threshold_": 9.0, "review_threshold_": None} | given
    kind = limits.pop("kind", "conformal")
    made = Calibration(9.0, 9.0, kind, 0.1, len(scores), scores=tuple(scores))
    return SimpleNamespace(calibration_=made, **limits)


def test_the_reference_is_what_of_the_calibration_would_pass():
    scores = [float(i) for i in range(12)]
    assert reference_of(calibrated(scores)) == tuple(scores[:9])
    assert reference_of(calibrated(scores, review_threshold_=7.0)) == tuple(scores[:7])
    assert reference_of(calibrated(scores, kind="leave-one-out")) == ()
    model = calibrated(scores)
    before = SimpleNamespace(calibration=model.calibration_)
    model.accepted_ = (SimpleNamespace(before=before),)
    assert reference_of(model) == ()  # of another bank
    model.accepted_ = (SimpleNamespace(before=None),)
    assert reference_of(model) == tuple(scores[:9])
    exported = SimpleNamespace(threshold_=9.0, review_threshold_=None)
    assert reference_of(exported) == ()


def test_false_alarms_are_as_rare_as_stated_with_what_fails_left_out():
    """The calibration's scores below its own threshold, then parts that pass it."""
    until = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        scores = np.sort(rng.normal(size=59))
        limit = scores[59 - 3]  # 5 % of 60
        monitor = DriftMonitor(
            scores[scores < limit], parts_between_false_alarms=100, random_state=seed
        )
        while monitor.alarmed_at is None and monitor.n_parts < 3000:
            new = rng.normal(size=100)
            monitor.update(new[new <= limit])
        until.append(
            monitor.n_parts if monitor.alarmed_at is None else monitor.alarmed_at + 1
        )
    mean, error = np.mean(until), np.std(until) / np.sqrt(len(until))
    assert mean - 3 * error > 100


def test_shares_of_defects_have_exact_intervals(results):
    results.add(rows([2.0] * 30 + [0.0] * 50 + [2.0] * 5))
    results.add(rows([2.0] * 3, model="other", first=90))
    for number in range(1, 21):
        say(results, number, 1 if number <= 16 else 0)
    say(results, 1, 0)
    say(results, 1, 1)  # the last one counts
    say(results, 2, None)  # taken back
    say(results, 40, 0)
    say(results, 86, 0)  # of another model
    passed, review, failed = shares(results, "part", "m")
    assert failed[:4] == ("FAIL", 35, 19, 15)
    low = stats.beta(15, 5).ppf(0.025)
    high = stats.beta(16, 4).ppf(0.975)
    assert failed[4:] == pytest.approx((low, high))
    assert failed.rate == 15 / 19
    assert passed[:4] == ("PASS", 50, 1, 0)
    assert passed[4:] == pytest.approx((0.0, 0.975))
    assert review == ("REVIEW", 0, 0, 0, 0.0, 1.0)
    assert review.rate is None


def test_the_command_prints_json_and_a_table_and_ends_with_3(results, rng, capsys):
    database = str(results.path)
    assert main(["monitor", database]) == 0
    assert "There are no results yet" in capsys.readouterr().err
    scores = rng.normal(0, 1, 300)
    results.add(rows(scores))
    say(results, int(np.flatnonzero(scores > LIMIT)[0]) + 1, 1)
    assert main(["monitor", database, "--product", "part"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("part: no drift in ")
    failed = f"FAIL {(scores > LIMIT).sum()} 1 1 100 % 2.5 to 100 %"
    assert failed in [" ".join(row.split()) for row in out.splitlines()]
    assert "if the confirmed results are a random sample" in err
    results.add(rows(rng.normal(1, 1, 200), first=300))
    assert main(["monitor", database, "--json"]) == 3
    (found,) = json.loads(capsys.readouterr().out)
    assert found["alarm"]["direction"] == "higher"
    assert found["decisions"][2]["rate"] == 1.0
    number = found["alarm"]["number"]
    assert main(["monitor", database, "--after", f"{number}"]) == 0
    assert main(["monitor", database, "--product", "other"]) == 1
    assert "must be one of the database ('part'); got" in capsys.readouterr().err
    assert main(["monitor", "no.db"]) == 1
    assert "There is no results database at 'no.db'" in capsys.readouterr().err


def test_the_service_counts_the_drift_of_each_model(rng):
    pytest.importorskip("prometheus_client")
    from adlib._inspection import Inspection
    from adlib.serve._metrics import Metrics
    from adlib.serve._models import Model

    def note(sha256, scores):
        inspector = calibrated(rng.normal(0, 1, 40), threshold_=LIMIT)
        model = Model("part", inspector, sha256, "", "")
        found = [
            Inspection("a", one, 1, None, decision="PASS" if one <= LIMIT else "FAIL")
            for one in scores
        ]
        metrics.note_results(model, found)
        return metrics.text().decode()

    metrics = Metrics()
    assert 'adlib_drift_alarm{model="part"} 0.0' in note("m", rng.normal(0, 1, 200))
    text = note("m", rng.uniform(1, LIMIT, 200))
    assert 'adlib_drift_alarm{model="part"} 1.0' in text
    assert 'adlib_passing_score{model="part",of="calibration",quantile="0.95"}' in text
    assert 'adlib_passing_score{model="part",of="last 100",quantile="0.5"}' in text
    text = note("n", rng.normal(0, 1, 50))  # another file begins anew
    assert 'adlib_drift_alarm{model="part"} 0.0' in text
    assert "last 100" not in text


def test_watch_says_a_drift_once(tmp_path, rng, monkeypatch):
    monkeypatch.setattr(_watch, "REPORT_EVERY", 0.0)
    line = Line(tmp_path, 250.0)
    values = [*rng.integers(50, 100, 110), *rng.integers(120, 200, 30)]
    for i, value in enumerate(values):
        save(line.inbox / f"{i}.png", int(value))
    line.run()
    told = [text for text in line.said if "drift" in text]
    assert len(told) == 1
    assert told[0].startswith("part: drift: scores higher, seen at result 1")
    line.run()
    assert len([text for text in line.said if "drift" in text]) == 2  # a new start


def test_the_lines_of_the_page_are_read_beside_it(results, rng, monkeypatch):
    monkeypatch.setattr(_drift, "LINES_EVERY", 0.0)
    results.add(rows(rng.normal(0, 1, 400)))
    lines = DriftLines(results.path)
    assert lines() == {}
    lines._reading.result()
    assert lines() == {"part": ProductDrift("part").look(results).line()}
    lines._reading.result()
    results.add(rows(np.full(200, LIMIT - 0.1), first=400))
    lines()
    lines._reading.result()
    assert lines()["part"].startswith("drift: scores higher")
