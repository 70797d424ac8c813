"""What Prometheus is told about a server."""

from __future__ import annotations

from collections.abc import Iterator

import prometheus_client
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from serving.server.models import Models

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
_SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.008, 0.0125, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """Counters and histograms of one server, in a registry of its own.

    A `model` label is empty where the request named no served model, so callers cannot make up new series.
    """

    def __init__(self) -> None:
        self._registry = prometheus_client.CollectorRegistry()
        prometheus_client.ProcessCollector(registry=self._registry)
        self.requests = prometheus_client.Counter(
            "h2rec_requests", "Requests by outcome.", ("api", "method", "model", "code"), registry=self._registry
        )
        self.seconds = prometheus_client.Histogram(
            "h2rec_request_seconds",
            "Time from a request's arrival to its answer.",
            ("api", "method", "model"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.in_flight = prometheus_client.Gauge(
            "h2rec_requests_in_flight", "Requests being answered.", registry=self._registry
        )
        self.batch_requests = prometheus_client.Histogram(
            "h2rec_batch_requests",
            "Requests in one call of the model.",
            ("model", "signature"),
            buckets=_SIZES,
            registry=self._registry,
        )
        self.batch_rows = prometheus_client.Histogram(
            "h2rec_batch_rows",
            "Rows in one call of the model.",
            ("model", "signature"),
            buckets=_SIZES,
            registry=self._registry,
        )
        self.loads = prometheus_client.Counter(
            "h2rec_model_loads", "Attempts to load a version.", ("model", "outcome"), registry=self._registry
        )
        self.reloads = prometheus_client.Counter(
            "h2rec_config_reloads", "Changes of the served models.", ("outcome",), registry=self._registry
        )

    def follow(self, models: Models) -> None:
        """Reports the versions of `models` at each look."""
        self._registry.register(_Versions(models))

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        return prometheus_client.generate_latest(self._registry)


class _Versions(Collector):
    def __init__(self, models: Models) -> None:
        self._models = models

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "h2rec_model_version", "1 for the state that a version is in.", labels=("model", "version", "state")
        )
        for name, statuses in self._models.all_statuses().items():
            for version, status in statuses.items():
                state = "FAILED" if status.error else status.state.name
                family.add_metric((name, str(version), state), 1)
        yield family
