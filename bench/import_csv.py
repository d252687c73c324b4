"""From a CSV file to the rollup: `python -m bench.import_csv [--rows 500000]`.

A file as a household's plugs write it (15 devices by name, a power value of each at the same instants) is imported into
a folder on which nothing runs, then the same file into one on which the system runs. `rows_per_s` counts the whole
command, from its start to its exit, when every reading is derived; `again` is the same file a second time, which adds
nothing.
"""

import argparse
import contextlib
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.system import PROGRAM, environment, register_homes, running

DEVICES = 15
INTERVAL_S = 60
_FIRST_S = 1_700_006_400


def write_csv(path: Path, rows: int) -> None:
    """Write the file."""
    with path.open("w", encoding="utf-8") as file:
        file.write("timestamp,device,type,location,power_w\n")
        for tick in range(rows // DEVICES + 1):
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(_FIRST_S + tick * INTERVAL_S))
            file.writelines(
                f"{stamp},Plug {device},MISC,Room {device % 4},{(tick * 7 + device * 13) % 1500 / 10}\n"
                for device in range(min(DEVICES, rows - tick * DEVICES))
            )


def import_file(path: Path, home: Path) -> dict[str, Any]:
    """Import the file by the command and return what it says, and the seconds that it took."""
    began = time.perf_counter()
    done = subprocess.run(
        [*PROGRAM, "import", str(path), "--user", "1", "--max-hold", "PT1M", "--yes", "--json"],
        env=environment(home),
        capture_output=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result | {"command_s": time.perf_counter() - began}


def figures_of(result: dict[str, Any]) -> dict[str, Any]:
    """Return what a result comes to."""
    return {
        "rows_per_s": round(result["rows"] / result["command_s"]),
        "seconds": round(result["command_s"], 2),
        "accepted": result["accepted"],
        "duplicate": result["duplicate"],
    }


def main() -> None:
    """Measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        write_csv(folder / "plugs.csv", options.rows)
        for mode in ("nothing running", "system running"):
            home = folder / mode.partition(" ")[0]
            with contextlib.ExitStack() as stack:
                with running(home) as system:
                    register_homes(system, 1, 0)
                if mode == "system running":
                    stack.enter_context(running(home))
                figures[mode] = figures_of(import_file(folder / "plugs.csv", home))
                figures[f"{mode}, again"] = figures_of(import_file(folder / "plugs.csv", home))
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
