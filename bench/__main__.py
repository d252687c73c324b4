"""All figures in one run: `python -m bench [NAME …]`; writes `bench/results/latest.md` and `latest.json`.

The names are ingest, pipeline, queries, footprint, import_csv and detector_rate for the system in one process;
forecast and detection for how good those are, on the data that ENERGY_TEST_DATA names; distributed_usage,
distributed_ingest, distributed_pipeline, distributed_latency, distributed_footprint and distributed_queries for
the services on real servers, which the other ENERGY_TEST_* variables name. Without them those are skipped.
`bench/README.md` says how to read what comes out.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.goals import GOALS, Goal, Verdict

_INFLUX = ("ENERGY_TEST_INFLUX", "ENERGY_TEST_INFLUX_TOKEN", "ENERGY_TEST_INFLUX_ORG")
_SERVERS = ("ENERGY_TEST_KAFKA", "ENERGY_TEST_MYSQL", *_INFLUX)
BENCHES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("ingest", "pipeline", "queries", "footprint", "import_csv", "detector_rate"), ()),
    "forecast": ("ENERGY_TEST_DATA",),
    "detection": ("ENERGY_TEST_DATA",),
    "distributed_usage": ("ENERGY_TEST_KAFKA", *_INFLUX),
    **dict.fromkeys(
        (
            "distributed_ingest",
            "distributed_pipeline",
            "distributed_latency",
            "distributed_footprint",
            "distributed_queries",
        ),
        _SERVERS,
    ),
}
"""The scripts, and the variables that each needs."""
RESULTS = Path(__file__).parent / "results"


def run(name: str, folder: Path) -> dict[str, Any]:
    """Run one script on the disk of a folder; return its figures, with the load of the machine before and after."""
    print(f"{name} …", flush=True)
    load_before, began = os.getloadavg()[0], time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", f"bench.{name}", "--folder", str(folder)],
        cwd=RESULTS.parent.parent,
        stdout=subprocess.PIPE,
        check=False,
    )
    return {
        "figures": json.loads(done.stdout) if done.returncode == 0 else None,
        "load_before": round(load_before, 2),
        "load_after": round(os.getloadavg()[0], 2),
        "seconds": round(time.perf_counter() - began),
    }


def skipped(name: str) -> str | None:
    """Return why a script cannot run here, None where it can."""
    missing = [variable for variable in BENCHES[name] if not os.environ.get(variable)]
    return f"skipped: {', '.join(missing)} must name what to measure on." if missing else None


def machine() -> dict[str, Any]:
    """Return what the figures were taken on."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "processor": _processor(),
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def page(results: dict[str, Any]) -> str:
    """Write the results as Markdown."""
    about = results["machine"]
    lines = [
        "# Figures",
        "",
        f"{about['at']}, {about['cores']} cores ({about['processor']}), Python {about['python']}.",
        "",
        "| what | goal | measured | |",
        "|---|---|---|---|",
    ]
    lines += [_row(goal, results["benches"]) for goal in GOALS if goal.bench in results["benches"]]
    lines += ["", *(f"{name} was {reason}" for name, reason in results["skipped"].items())]
    for name, result in results["benches"].items():
        lines += ["", f"## {name}", ""]
        lines += [
            f"{result['seconds']} s; load average {result['load_before']} before, {result['load_after']} after.",
            "",
        ]
        lines += ["```json", json.dumps(result["figures"], indent=2), "```"]
    return "\n".join(lines) + "\n"


def _row(goal: Goal, benches: dict[str, Any]) -> str:
    measured = goal.measured(benches[goal.bench]["figures"])
    verdict = goal.judge(measured)
    shown = "" if measured is None else f"{measured:,}"
    word = {Verdict.MET: "met", Verdict.NEARLY: "missed by less than a third", Verdict.MISSED: "**missed**"}[verdict]
    return f"| {goal.what} | {goal.limit_text()} | {shown} {goal.unit} | {word} |"


def main() -> int:
    """Run the scripts, write the results; 1 where a script failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}; all without any")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="the disk to measure on")
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHES):
        parser.error(f"no such script: {', '.join(sorted(unknown))}")
    names = options.names or BENCHES
    reasons = {name: reason for name in names if (reason := skipped(name)) is not None}
    results: dict[str, Any] = {
        "machine": machine(),
        "skipped": reasons,
        "benches": {name: run(name, options.folder) for name in names if name not in reasons},
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "latest.json").write_text(json.dumps(results, indent=2) + "\n")
    (RESULTS / "latest.md").write_text(page(results))
    print(page(results))
    return int(any(result["figures"] is None for result in results["benches"].values()))


if __name__ == "__main__":
    sys.exit(main())
