"""How well anomalies are found, on real days with injected events: `python -m bench.detection --data FOLDER`."""

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from statistics import mean, median
from typing import Any

from bench.detection.appliances import MINUTES, read_ausgrid, read_tracebase
from bench.detection.events import ACUTE, UNLISTED, changes_little, events, usual
from bench.detection.histories import (
    DAYS,
    FIRST_DAY,
    History,
    changed,
    made_coarse,
    of_appliance,
    of_season,
    of_several,
    of_shuffled_season,
)
from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE
from energy_tracker.services.usage.model.detection.detector import observe
from energy_tracker.services.usage.model.detection.findings import Finding
from energy_tracker.services.usage.model.detection.quarter_hours import QuarterHour
from energy_tracker.services.usage.model.detection.state import State, encode

GRACE_DAYS = 2


@dataclass(slots=True)
class Trial:
    """One event: the findings with and without it."""

    event: str
    kinds: frozenset[str]
    start_ms: int
    end_day: int
    findings: list[Finding]


@dataclass(slots=True)
class Run:
    """One history with its clean findings and its trials."""

    history: str
    held_out: bool
    clean: list[Finding] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Cost:
    """What the fold took."""

    seconds: float = 0.0
    quarters: int = 0
    largest: int = 0


def fold(
    state: State, quarters: Iterable[QuarterHour], limit: int, cost: Cost | None = None
) -> tuple[State, list[Finding]]:
    """Fold quarter-hours in."""
    found: list[Finding] = []
    began, count = time.process_time(), 0
    for quarter in quarters:
        state, findings = observe(state, quarter, zone=UTC, limit=limit)
        found += findings
        count += 1
    if cost is not None:
        cost.seconds += time.process_time() - began
        cost.quarters += count
    return state, found


def day_of(instant_ms: int) -> int:
    """Return the day of the history in which something was decided; at midnight that of the day that ended."""
    return (instant_ms - 1) // MS_PER_DAY - FIRST_DAY


def run(history: History, seed: int, limit: int, cost: Cost) -> Run:
    """Play a history through, and each event from where it begins."""
    done = Run(history.name, history.held_out)
    states: list[State] = []
    by_day: list[list[Finding]] = []
    state = State(is_home=history.is_home)
    for day in history.quarters:
        states.append(state)
        state, found = fold(state, day, limit, cost)
        by_day.append(found)
        cost.largest = max(cost.largest, len(encode(state)))
    done.clean = [finding for found in by_day for finding in found if finding.transition != "ended"]
    about = usual(history)
    for event in events(history, seed):
        if changes_little(history, event, about):
            done.skipped.append(event.name)
            continue
        days = changed(history, event.first_day, event.last_day, event.change)
        end = min(event.last_day + GRACE_DAYS, DAYS)
        rest = history.quarters[event.last_day + 1 : end]
        _, found = fold(states[event.first_day], [quarter for day in [*days, *rest] for quarter in day], limit)
        opened = [finding for finding in found if finding.transition != "ended"]
        start_ms = (FIRST_DAY * MINUTES + event.start) * MS_PER_MINUTE
        done.trials.append(Trial(event.name, frozenset(event.kinds), start_ms, end - 1, opened))
    return done


def alarms(findings: Iterable[Finding], limit: int) -> list[Finding]:
    """Return what an owner with this limit hears of: of each finding the first transition that reaches it."""
    first: dict[int, Finding] = {}
    for finding in findings:
        if finding.score >= limit:
            first.setdefault(finding.number, finding)
    return list(first.values())


def figures(runs: Sequence[Run], limit: int) -> dict[str, Any]:
    """Return what a limit of the score gives."""
    recalls: dict[str, list[bool]] = defaultdict(list)
    delays: dict[str, list[float]] = defaultdict(list)
    named: dict[str, list[bool]] = defaultdict(list)
    called: dict[str, list[str]] = defaultdict(list)
    alarm_days = 0
    for one in runs:
        clean = {day_of(finding.decided_ms) for finding in alarms(one.clean, limit)}
        alarm_days += len(clean)
        for trial in one.trials:
            hits = [
                finding
                for finding in alarms(trial.findings, limit)
                if finding.decided_ms > trial.start_ms
                and day_of(finding.decided_ms) <= trial.end_day
                and day_of(finding.decided_ms) not in clean
            ]
            recalls[trial.event].append(bool(hits))
            if hits:
                delays[trial.event].append((hits[0].decided_ms - trial.start_ms) / MS_PER_HOUR)
                named[trial.event].append(hits[0].kind in trial.kinds)
                if hits[0].kind not in trial.kinds:
                    called[trial.event].append(hits[0].kind)
    every = [right for name, rights in named.items() if name not in UNLISTED for right in rights]
    acute = [delay for name in ACUTE for delay in delays[name]]
    slow = [delay / 24 for name, values in delays.items() if name not in (*ACUTE, *UNLISTED) for delay in values]
    return {
        "limit": limit,
        "macro_recall": round(mean(mean(hits) for name, hits in recalls.items() if name not in UNLISTED), 3),
        "clean_alarm_days_a_month": round(alarm_days / len(runs) / DAYS * 30, 3),
        "named_right": round(mean(every), 3) if every else None,
        "acute_median_delay_h": round(median(acute), 2) if acute else None,
        "slow_median_delay_days": round(median(slow), 2) if slow else None,
        "by_event": {
            name: {
                "events": len(hits),
                "recall": round(mean(hits), 3),
                "named_right": round(mean(named[name]), 3) if named[name] else None,
                "median_delay_h": round(median(delays[name]), 2) if delays[name] else None,
                "wrong_names": {kind: called[name].count(kind) for kind in sorted(set(called[name]))},
            }
            for name, hits in recalls.items()
        },
    }


def report(runs: Sequence[Run], limit: int) -> dict[str, Any]:
    """Return the figures at the limit, and the curve of others."""
    clean = [finding for one in runs for finding in alarms(one.clean, limit)]
    left_out = [name for one in runs for name in one.skipped]
    kinds = sorted({(finding.kind, finding.comparison.measure) for finding in clean})
    return {
        "histories": len(runs),
        "left_out": {name: left_out.count(name) for name in sorted(set(left_out))},
        **figures(runs, limit),
        "clean_alarms_by_kind": {
            f"{kind} by {measure}": sum((each.kind, each.comparison.measure) == (kind, measure) for each in clean)
            for kind, measure in kinds
        },
        "curve": [
            [value, result["clean_alarm_days_a_month"], result["macro_recall"]]
            for value in (50, 60, 80, 100, 125, 150, 200, 250, 300, 400, 600)
            if value >= limit
            for result in [figures(runs, value)]
        ],
    }


def histories(options: argparse.Namespace) -> Iterable[tuple[History, int]]:
    """Make the histories one by one, with their seeds."""
    appliances = read_tracebase(options.data / "tracebase")
    if options.only != "homes":
        for appliance in appliances[:: options.every]:
            for seed in range(options.seed, options.seed + options.seeds):
                yield of_appliance(appliance, seed), seed
    if options.only != "plugs":
        season = read_ausgrid(next((options.data / "ausgrid").glob("*.csv")))
        for seed in range(options.seed, options.seed + options.homes):
            for held_out in (False, True):
                yield of_season(season, seed, held_out=held_out), seed
                yield of_shuffled_season(season, seed, held_out=held_out), seed
                yield of_several(appliances, seed, held_out=held_out), seed


def main() -> int:
    """Run all, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("ENERGY_TEST_DATA"), help="tracebase/, ausgrid/")
    parser.add_argument("--folder", type=Path, help="not used; every bench is given one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1, help="histories per appliance")
    parser.add_argument("--homes", type=int, default=8, help="homes of each sort and half")
    parser.add_argument("--every", type=int, default=1, help="only every n-th appliance")
    parser.add_argument("--only", choices=("plugs", "homes"))
    parser.add_argument("--coarse", action="store_true", help="only the energy of quarter-hours, no single powers")
    parser.add_argument("--limit", type=int, default=100, help="the score that counts as an alarm")
    options = parser.parse_args()
    if options.data is None:
        print(json.dumps({"skipped": "--data or ENERGY_TEST_DATA must name the folder of the data"}))
        return 0
    options.data = Path(options.data)
    cost, plugs, homes = Cost(), [], []
    for history, seed in histories(options):
        history = made_coarse(history) if options.coarse else history  # noqa: PLW2901 - the same in another form
        (homes if history.is_home else plugs).append(run(history, seed, options.limit, cost))
    results: dict[str, Any] = {}
    for name, runs in (("plugs", plugs), ("homes", homes)):
        for half, held_out in (("developed", False), ("held_out", True)):
            chosen = [one for one in runs if one.held_out == held_out]
            if chosen:
                results[f"{name}_{half}"] = report(chosen, options.limit)
    results["us_per_quarter_hour"] = round(cost.seconds / cost.quarters * 1e6, 1)
    results["largest_state_bytes"] = cost.largest
    print(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
