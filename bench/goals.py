"""What the figures should be, and where each is found in the results."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal


class Verdict(Enum):
    """How a figure compares with its goal."""

    MET = "met"
    NEARLY = "nearly"
    """Missed by a third at most."""
    MISSED = "missed"


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure of one script, and the least or the most that it should be."""

    what: str
    bench: str
    path: tuple[str, ...]
    bound: Literal["at least", "at most"]
    limit: float
    unit: str

    def measured(self, figures: Mapping[str, Any] | None) -> float | None:
        """Return the figure, None where it is not there."""
        found: Any = figures
        for step in self.path:
            if not isinstance(found, Mapping):
                return None
            found = found.get(step)
        return found if isinstance(found, int | float) else None

    def judge(self, measured: float | None) -> Verdict:
        """Return how a figure compares with the goal."""
        if measured is None:
            return Verdict.MISSED
        share = measured / self.limit if self.bound == "at least" else self.limit / max(measured, 1e-9)
        if share >= 1:
            return Verdict.MET
        return Verdict.NEARLY if share >= 2 / 3 else Verdict.MISSED

    def limit_text(self) -> str:
        """Return the goal as a reader sees it."""
        return f"{'≥' if self.bound == 'at least' else '≤'} {self.limit:,} {self.unit}"


_RATE = "readings/s"


def _detection(recall: float) -> tuple[tuple[str, str, Literal["at least", "at most"], float, str], ...]:
    return (
        ("found", "macro_recall", "at least", recall, "of events"),
        ("false alarms", "clean_alarm_days_a_month", "at most", 1, "days a month"),
        ("named right", "named_right", "at least", 0.85, "of hits"),
        ("delay of acute kinds", "acute_median_delay_h", "at most", 1, "h"),
        ("delay of slow kinds", "slow_median_delay_days", "at most", 4, "days"),
    )


SERVICES = ("user", "device", "ingestion", "usage", "alert", "insight")
WITH_SQL = ("user", "device", "alert")
GOALS = (
    Goal("acknowledged, batches of 100", "ingest", ("batches of 100", "readings_per_s"), "at least", 100_000, _RATE),
    Goal("acknowledged, one by one", "ingest", ("single", "readings_per_s"), "at least", 8_000, _RATE),
    Goal("p99 at half load, batches of 100", "ingest", ("batches of 100", "half_load_p99_ms"), "at most", 50, "ms"),
    Goal("p99 at half load, one by one", "ingest", ("single", "half_load_p99_ms"), "at most", 50, "ms"),
    *(
        Goal(f"whole way, {name}", "pipeline", (name, "whole_way_per_s"), "at least", 50_000, _RATE)
        for name in (
            "15 devices, batches of 100",
            "15 devices, batches of 1000",
            "15 devices, watched",
            "2000 devices, batches of 100",
            "2000 devices, batches of 1000",
        )
    ),
    *(
        goal
        for size in ("2 million rows", "20 million rows")
        for goal in (
            Goal(
                f"30 days of hours, {size}",
                "queries",
                (size, "http", "30 days of hours", "median_ms"),
                "at most",
                50,
                "ms",
            ),
            Goal(f"totals of 7 days, {size}", "queries", (size, "http", "7 days", "median_ms"), "at most", 10, "ms"),
        )
    ),
    Goal("first start", "footprint", ("first_start_s",), "at most", 2, "s"),
    Goal("second start", "footprint", ("second_start_s",), "at most", 2, "s"),
    Goal("memory at rest", "footprint", ("at_rest", "rss_mib"), "at most", 110, "MiB"),
    Goal("idle", "footprint", ("at_rest", "idle_cpu_percent"), "at most", 1, "% of a core"),
    Goal(
        "memory under load, 15 devices",
        "footprint",
        ("15 devices, batches of 100", "peak_rss_mib"),
        "at most",
        250,
        "MiB",
    ),
    Goal(
        "memory under load, 2 000 devices",
        "footprint",
        ("2000 devices, batches of 100", "peak_rss_mib"),
        "at most",
        250,
        "MiB",
    ),
    Goal("import, nothing running", "import_csv", ("nothing running", "rows_per_s"), "at least", 50_000, "rows/s"),
    Goal("import, system running", "import_csv", ("system running", "rows_per_s"), "at least", 50_000, "rows/s"),
    *(
        Goal(f"rate kept with the detector, {way}, until {until}", "detector_rate", (way, figure), "at least", 0.9, "")
        for way, figure, until in (
            ("behind", "flow_ratio", "stored"),
            ("live", "flow_ratio", "stored"),
            ("behind", "ratio", "judged"),
            ("live", "ratio", "judged"),
        )
    ),
    Goal(
        "a day ahead, error over the same hour a week before",
        "forecast",
        ("all", "error_over_naive"),
        "at most",
        0.74,
        "",
    ),
    Goal(
        "a day ahead, the home where the band holds least",
        "forecast",
        ("all", "band_coverage_least"),
        "at least",
        0.76,
        "",
    ),
    Goal(
        "a day ahead, the home where the band holds most",
        "forecast",
        ("all", "band_coverage_most"),
        "at most",
        0.84,
        "",
    ),
    *(
        Goal(f"month's end after {days} days, error", "forecast", ("all", "month_end_error", days), "at most", most, "")
        for days, most in (("5", 0.12), ("10", 0.09), ("15", 0.065), ("20", 0.045))
    ),
    *(
        Goal(f"usage-service over a loader, {where}, {name}", "distributed_usage", (where, name, "ratio"), *least)
        for where, least in (("sharing", ("at least", 0.5, "")), ("apart", ("at least", 0.9, "")))
        for name in (
            "15 devices, singles",
            "15 devices, packed 100",
            "15 devices, packed 1000",
            "2000 devices, packed 100",
            "2000 devices, packed 1000",
        )
    ),
    Goal(
        "usage-service, single messages",
        "distributed_usage",
        ("sharing", "15 devices, singles", "readings_per_s"),
        "at least",
        100_000,
        _RATE,
    ),
    Goal(
        "ingestion-service, batches of 100",
        "distributed_ingest",
        ("batches of 100", "per_core_s"),
        "at least",
        100_000,
        "readings/s of a core",
    ),
    Goal("ingestion-service, one by one", "distributed_ingest", ("single", "readings_per_s"), "at least", 8_000, _RATE),
    *(
        Goal(f"six processes, {name}", "distributed_pipeline", (name, "whole_way_per_s"), "at least", 50_000, _RATE)
        for name in (
            "15 devices, batches of 100",
            "15 devices, batches of 1000",
            "2000 devices, batches of 100",
            "2000 devices, batches of 1000",
        )
    ),
    Goal(
        "a reading can be seen, p99",
        "distributed_latency",
        ("10000 readings/s", "visible_ms", "p99"),
        "at most",
        150,
        "ms",
    ),
    *(
        Goal(f"start of {service}", "distributed_footprint", ("second_start_s", service), "at most", 1, "s")
        for service in SERVICES
    ),
    *(
        Goal(
            f"memory at rest of {service}",
            "distributed_footprint",
            ("at_rest", "rss_mib", service),
            "at most",
            mib,
            "MiB",
        )
        for service, mib in {**dict.fromkeys(SERVICES, 65), **dict.fromkeys(WITH_SQL, 90), "six": 450}.items()
    ),
    *(
        Goal(
            f"memory under load, {name}",
            "distributed_footprint",
            (name, "peak_rss_mib", "largest"),
            "at most",
            150,
            "MiB",
        )
        for name in ("15 devices, batches of 100", "2000 devices, batches of 100")
    ),
    *(
        Goal(
            f"idle {service}",
            "distributed_footprint",
            ("at_rest", "idle_cpu_percent", service),
            "at most",
            0.5,
            "% of a core",
        )
        for service in SERVICES
    ),
    Goal(
        "30 days of hours, InfluxDB",
        "distributed_queries",
        ("http", "30 days of hours", "median_ms"),
        "at most",
        150,
        "ms",
    ),
    *(
        Goal(f"unusual use, {name} held out, {what}", "detection", (f"{name}_held_out", figure), bound, limit, unit)
        for name, recall in (("plugs", 0.95), ("homes", 0.82))
        for what, figure, bound, limit, unit in _detection(recall)
    ),
    Goal("totals of 7 days, InfluxDB", "distributed_queries", ("http", "7 days", "median_ms"), "at most", 50, "ms"),
)
