"""The demo on a terminal: it shows itself, stops at once with a goodbye, and goes on where it was."""

import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tests.support.command_line import CommandLine

SERVICES = ("USER", "DEVICE", "INGESTION", "USAGE", "ALERT", "INSIGHT")
PATIENCE_S = 60.0
PROGRAM = "from energy_tracker.cli.main import main; main()"


class OnTerminal:
    """A command in a terminal of its own."""

    def __init__(self, home: Path, *arguments: str, ports: dict[str, str]) -> None:
        self._handle, its = pty.openpty()
        self.shown = ""
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "--home", str(home), *arguments],
            stdin=its,
            stdout=its,
            stderr=its,
            start_new_session=True,
            env={**os.environ, **ports, "TERM": "xterm", "COLUMNS": "80", "LINES": "40"},
        )
        os.close(its)

    def wait_for(self, words: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while words not in self.shown:
            assert time.monotonic() < deadline, self.shown[-2000:]
            assert self._read(), f"it ended without {words!r}: {self.shown[-2000:]}"

    def wait_until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, self.shown[-2000:]
            assert self._read(), f"it ended: {self.shown[-2000:]}"

    def interrupt(self) -> float:
        """Press Ctrl-C, and return after how many seconds it had ended."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        while self._read():
            assert time.monotonic() - began < PATIENCE_S
        self.process.wait(PATIENCE_S)
        os.close(self._handle)
        return time.monotonic() - began

    def _read(self) -> bool:
        """Take what is shown next; return False once the terminal is left."""
        if not select.select([self._handle], [], [], 0.1)[0]:
            return True
        try:
            part = os.read(self._handle, 65_536)
        except OSError:  # EIO: the other end is closed
            return False
        self.shown += part.decode("utf-8", "replace")
        return bool(part)


def sent_until(home: Path) -> int:
    """Return how far the demo has come, 0 before it has begun; the file is replaced as a whole."""
    file = home / "demo.json"
    content = file.read_bytes() if file.exists() else b""
    return int(json.loads(content)["sent_until_ms"]) if content else 0


def test_a_demo_is_stopped_and_goes_on(tmp_path: Path) -> None:
    home, ports = tmp_path / "home", {f"ENERGY_TRACKER_{name}_PORT": "0" for name in SERVICES}
    first = OnTerminal(home, "demo", ports=ports)
    first.wait_until(lambda: sent_until(home) > 0)
    first.wait_for("Making the home's history")
    assert first.interrupt() < 5.0
    assert first.process.returncode == 0
    assert "The next start goes on from here." in first.shown
    assert "Traceback" not in first.shown
    assert not (home / "run.json").exists()
    left = json.loads((home / "demo.json").read_bytes())
    second = OnTerminal(home, "demo", ports=ports)
    second.wait_until(lambda: sent_until(home) > left["sent_until_ms"])
    second.interrupt()
    went_on = json.loads((home / "demo.json").read_bytes())
    assert went_on["epoch_ms"] == left["epoch_ms"]
    assert went_on["user_id"] == left["user_id"]


def test_a_port_that_is_taken_names_its_owner_and_the_way_out(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        ports = {f"ENERGY_TRACKER_{name}_PORT": "0" for name in SERVICES} | {"ENERGY_TRACKER_USAGE_PORT": str(port)}
        refused = subprocess.run(
            [sys.executable, "-c", PROGRAM, "--home", str(tmp_path / "home"), "up"],
            env={**os.environ, **ports},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert refused.returncode == 1
    first, second = refused.stderr.splitlines()
    assert first.startswith("A port is in use: Stop the program that has it")
    assert second.startswith(f"  ENERGY_TRACKER_USAGE_PORT: port {port} of usage-service is in use")
    assert sys.platform != "linux" or f"by process {os.getpid()} (" in second


def test_a_command_that_is_not_told_whose_asks_or_takes_the_only_one(tmp_path: Path) -> None:
    line = CommandLine(tmp_path / "home")
    assert "There is no user yet" in line.run("usage", code=1).stderr
    line.run("users", "create", "--name", "Ada", "--email", "ada@example.org")
    assert line.ask("usage")["userId"] == 1
    line.run("users", "create", "--name", "Bob", "--email", "bob@example.org")
    assert "Name one with --user: 1 Ada, 2 Bob." in line.run("usage", code=1).stderr
