"""Metrics of a service, in a registry of its own, so that six services can live in one process."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Telemetry:
    """Makes and exposes the metrics of one service; every name gets the prefix `energy_tracker_`."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.registry = CollectorRegistry()

    def counter(self, name: str, documentation: str, *labels: str) -> Counter:
        """Return a new counter; `_total` is added to its name on the page."""
        return Counter(f"energy_tracker_{name}", documentation, labels, registry=self.registry)

    def gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        """Return a new gauge."""
        return Gauge(f"energy_tracker_{name}", documentation, labels, registry=self.registry)

    def histogram(self, name: str, documentation: str, *labels: str) -> Histogram:
        """Return a new histogram; times are in seconds."""
        return Histogram(f"energy_tracker_{name}", documentation, labels, registry=self.registry)

    def exposition(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return generate_latest(self.registry)
