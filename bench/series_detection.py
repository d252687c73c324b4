"""How well `detect` finds what is strange: `python -m bench.series_detection [--nab FOLDER] [--seeds 2]`.

Without a folder the series of `bench/series_suite.py` are scored; with one, the files of the Numenta Anomaly
Benchmark, which has `data/` and `labels/combined_windows.json`. `nab_score` is the score of its standard profile, one
threshold for all files; `per_file` says what each file adds to it.
"""

import argparse
import csv
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.nab_scoring import Judged, Series, at_threshold, best, judge
from bench.series_suite import suite
from energy_tracker.services.usage.model.series_detection.detector import SeriesDetector


def nab_files(folder: Path) -> Iterator[Series]:
    """Read the benchmark's files."""
    labels: dict[str, list[list[str]]] = json.loads((folder / "labels" / "combined_windows.json").read_text())
    for name, windows in sorted(labels.items()):
        with (folder / "data" / name).open(newline="") as file:
            rows = [(_instant_s(row["timestamp"]), float(row["value"])) for row in csv.DictReader(file)]
        instants = [instant for instant, _ in rows]
        yield Series(
            name,
            instants,
            [value for _, value in rows],
            [(instants.index(_instant_s(first)), instants.index(_instant_s(last))) for first, last in windows],
        )


def _instant_s(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def scores_of(series: Series) -> list[float]:
    """Score a file's points."""
    detector = SeriesDetector()
    return [
        detector.score(instant, value).score for instant, value in zip(series.instants_s, series.values, strict=True)
    ]


def measured(every: list[Series]) -> dict[str, Any]:
    """Score files and judge them together."""
    began = time.perf_counter()
    scored = [scores_of(series) for series in every]
    seconds = time.perf_counter() - began
    judged: list[Judged] = [judge(series, scores) for series, scores in zip(every, scored, strict=True)]
    result = best(judged)
    points = sum(len(series.values) for series in every)
    return {
        "nab_score": round(result.score, 2),
        "threshold": round(result.threshold, 4),
        "windows": result.windows,
        "hits": result.hits,
        "false_alarms": result.false_alarms,
        "files": len(every),
        "points": points,
        "points_per_s": round(points / seconds),
        "per_file": {
            each.name: {"adds": round(adds, 2), "of": 2 * each.windows, "hits": hits, "false_alarms": false_alarms}
            for each in judged
            for adds, hits, false_alarms in [at_threshold(each, result.threshold)]
        },
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nab", type=Path, help="a folder of the benchmark")
    parser.add_argument("--seeds", type=int, default=2, help="of the series that are made")
    parser.add_argument("--folder", type=Path, help="not used: nothing is written")
    asked = parser.parse_args()
    if asked.nab is not None:
        print(json.dumps({"nab": measured(list(nab_files(asked.nab)))}, indent=1))
        return
    print(json.dumps({f"made_{seed}": measured(suite(seed)) for seed in range(asked.seeds)}, indent=1))


if __name__ == "__main__":
    main()
