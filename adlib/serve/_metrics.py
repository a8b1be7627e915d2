"""What the service counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client import generate_latest as as_text

from adlib._inspection import Inspection
from adlib.serve._drift import Drift, reference_of
from adlib.serve._models import Model

MILLISECONDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000)
SECONDS = [edge / 1000 for edge in MILLISECONDS]


class Metrics:
    """The counters of one service.

    Labels are names of models, verdicts and status codes: nothing of a request, whose
    values have no end.
    """

    def __init__(self) -> None:
        self._registry = own = CollectorRegistry()
        self.requests = Counter(
            "adlib_requests", "Answered requests.", ["status"], registry=own
        )
        self.seconds = Histogram(
            "adlib_request_seconds",
            "From a request to judge images to its answer.",
            registry=own,
            buckets=SECONDS,
        )
        self.waiting = Gauge(
            "adlib_requests_waiting",
            "Requests that are received, wait or are judged.",
            registry=own,
        )
        self._images = Counter(
            "adlib_images", "Judged images.", ["model", "verdict"], registry=own
        )
        self._batch_images = Histogram(
            "adlib_batch_images",
            "Images that were judged at once.",
            ["model"],
            registry=own,
            buckets=[1, 2, 4, 8, 16, 32, 64],
        )
        self._batch_seconds = Histogram(
            "adlib_batch_seconds",
            "That a model took for one batch, decoding included.",
            ["model"],
            registry=own,
            buckets=SECONDS,
        )
        self._loads = Counter(
            "adlib_model_loads",
            "Model files that were tried: loaded, or failed.",
            ["model", "outcome"],
            registry=own,
        )
        self._current = Gauge(
            "adlib_model_current",
            "1: the file that lies in the folder is in service. 0: it is not.",
            ["model"],
            registry=own,
        )
        self._drifts: dict[str, tuple[str, Drift]] = {}  # with SHA-256 of the model
        self._statistic = Gauge(
            "adlib_drift_statistic",
            "Of the scores that pass, against those of the calibration or the first.",
            ["model"],
            registry=own,
        )
        self._alarm = Gauge(
            "adlib_drift_alarm", "1: scores have drifted.", ["model"], registry=own
        )
        self._quantile = Gauge(
            "adlib_passing_score",
            "Quantiles of the scores that pass: of the reference, the last parts.",
            ["model", "of", "quantile"],
            registry=own,
        )

    def note_load(self, name: str, loaded: bool) -> None:
        """Count a model file that was tried."""
        self._loads.labels(name, "loaded" if loaded else "failed").inc()
        self._current.labels(name).set(loaded)

    def note_batch(self, model: Model, n_images: int, seconds: float) -> None:
        """Count a batch."""
        self._batch_images.labels(model.name).observe(n_images)
        self._batch_seconds.labels(model.name).observe(seconds)

    def note_results(self, model: Model, results: Sequence[Inspection]) -> None:
        """Count the verdicts on images."""
        for result in results:
            verdict: str = result.decision or "none"
            verdict = "unusable" if result.error is not None else verdict
            self._images.labels(model.name, verdict).inc()
        passing = [one.score for one in results if one.decision == "PASS"]
        if passing:
            self._drift_of(model).update(passing)

    def _drift_of(self, model: Model) -> Drift:
        """Return the test of a model; another file of its name begins anew."""
        sha256, drift = self._drifts.get(model.name, ("", None))
        if drift is None or sha256 != model.sha256:
            drift = Drift(reference_of(model.inspector))
            self._drifts[model.name] = model.sha256, drift
        return drift

    def text(self) -> bytes:
        """Return all of them in Prometheus' text format."""
        self._quantile.clear()
        for name, (_, drift) in self._drifts.items():
            self._statistic.labels(name).set(drift.statistic)
            self._alarm.labels(name).set(drift.alarmed_at is not None)
            for one in drift.quantiles():
                for level, value in (("0.5", one.median), ("0.95", one.q95)):
                    self._quantile.labels(name, one.of, level).set(value)
        return as_text(self._registry)
