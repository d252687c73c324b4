"""The whole system as a process of its own, for the other scripts: start it, register homes, watch what it takes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

SERVICES = ("user", "device", "ingestion", "usage", "alert", "insight")
START_PATIENCE_S = 30.0
STOP_PATIENCE_S = 15.0
PROGRAM = (str(Path(sys.executable).with_name("energy-tracker")),)
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class System:
    """A running `energy-tracker up`: where it answers, and how long it took until every service was ready."""

    pid: int
    urls: dict[str, str]
    ready_s: float

    def port(self, service: str) -> int:
        """Return the port of a service."""
        return urlsplit(self.urls[service]).port or 0

    def rss_mib(self) -> float:
        """Return the memory that the process has in RAM now."""
        return _status_kib(self.pid, "VmRSS") / 1024

    def peak_rss_mib(self) -> float:
        """Return the most that it ever had."""
        return _status_kib(self.pid, "VmHWM") / 1024

    def cpu_s(self) -> float:
        """Return the processor time that it has used, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _status_kib(pid: int, name: str) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().partition(f"{name}:")[2].split()[0])


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a system on a folder of its own, on free ports, with no other setting."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ENERGY_TRACKER_")}
    ports = {f"ENERGY_TRACKER_{service.upper()}_PORT": "0" for service in (*SERVICES, "console")}
    return own | ports | {"ENERGY_TRACKER_HOME": str(home)}


@contextlib.contextmanager
def running(home: Path) -> Iterator[System]:
    """Run the system until the block is left."""
    began = time.perf_counter()
    with (home.parent / f"{home.name}.out").open("ab") as output:
        process = subprocess.Popen(
            [*PROGRAM, "up"],
            env=environment(home),
            stdout=output,
            stderr=output,
        )
    try:
        urls = _wait_until_ready(home, process, began + START_PATIENCE_S)
        yield System(process.pid, urls, time.perf_counter() - began)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(STOP_PATIENCE_S)


def _wait_until_ready(home: Path, process: "subprocess.Popen[bytes]", until: float) -> dict[str, str]:
    run_file = home / "run.json"
    while time.perf_counter() < until:
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError, httpx.TransportError):
            document = json.loads(run_file.read_text())
            urls: dict[str, str] = document["urls"]
            if document["pid"] == process.pid and all(
                httpx.get(f"{urls[service]}/actuator/health/readiness").status_code == 200 for service in SERVICES
            ):
                return urls
        if process.poll() is not None:
            break
        time.sleep(0.005)
    raise RuntimeError(f"the system did not start: {(home.parent / f'{home.name}.out').read_text()[-2000:]}")


KINDS = ("power", "interval", "register")


def register_homes(
    system: System, homes: int, devices: int, *, alerting: bool = False, kinds: Sequence[str] = KINDS
) -> list[list[int]]:
    """Register homes of so many devices, their kinds in turn; return the ids of the devices, home by home."""
    registered = []
    with httpx.Client() as http:
        for number in range(homes):
            user = _create(
                http,
                f"{system.urls['user']}/api/v1/user/create",
                name=f"Home {number}",
                surname="Bench",
                email=f"home{number}@example.org",
                address="",
                alerting=alerting,
                energyAlertingThreshold=1_000.0 if alerting else 0,
            )
            registered.append(
                [
                    _create(
                        http,
                        f"{system.urls['device']}/api/v1/device/create",
                        name=f"Device {device}",
                        type="MISC",
                        location="",
                        userId=user,
                        kind=kinds[device % len(kinds)],
                    )
                    for device in range(devices)
                ]
            )
    return registered


def _create(http: httpx.Client, url: str, **body: Any) -> int:
    answer = http.post(url, json=body).raise_for_status().json()
    return int(answer["id"])


def ledger(http: httpx.Client, system: System) -> dict[str, int]:
    """Return the ledger."""
    answer: dict[str, int] = http.get(f"{system.urls['usage']}/api/v1/ledger", timeout=30).raise_for_status().json()
    return answer


def percentile(values: Sequence[float], share: float) -> float:
    """Return a value that this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
