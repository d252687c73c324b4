"""Commands beside a running system: they find it, use it, and it stops when it is told to."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.command_line import CommandLine

PORTS = {f"ENERGY_TRACKER_{name}_PORT": "0" for name in ("USER", "DEVICE", "INGESTION", "USAGE", "ALERT", "INSIGHT")}
PATIENCE_S = 120.0


def started(home: Path, command: str) -> subprocess.Popen[str]:
    program = "from energy_tracker.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "--home", str(home), command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **PORTS},
    )
    deadline = time.monotonic() + PATIENCE_S
    while not (home / "run.json").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)  # another process: there is no event of it to wait for
    return process


@pytest.fixture
def running(tmp_path: Path) -> Iterator[CommandLine]:
    process = started(tmp_path / "home", "up")
    try:
        yield CommandLine(tmp_path / "home")
    finally:
        before = time.monotonic()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, err
        assert time.monotonic() - before < 5
        assert "6 of 6 services up" in out
        assert not (tmp_path / "home" / "run.json").exists()


def test_commands_go_through_the_running_services(running: CommandLine, tmp_path: Path):
    user = running.ask("users", "create", "--name", "Me", "--email", "me@example.org")["id"]
    rows = "".join(f"2026-09-07T00:{minute:02}:00Z,{minute}\n" for minute in range(60))
    imported = running.ask("import", "-", "--user", user, given=f"time,power_w\n{rows}")
    assert (imported["accepted"], imported["derived"]) == (60, True)
    backup = tmp_path / "backup.tar.gz"
    assert {file["name"] for file in running.ask("backup", backup)["files"]} == {
        "relational.db",
        "readings.db",
        "log.db",
    }
    assert "Something works on" in running.run("restore", backup, "--replace", code=1).stderr
    doctor = running.ask("doctor")
    assert any(
        finding["part"] == "running" and "6 services are UP" in finding["detail"] for finding in doctor["findings"]
    )
    elsewhere = CommandLine(tmp_path / "elsewhere")
    elsewhere.run("restore", backup)
    window = ("--from", "2026-09-07", "--to", "2026-09-08")
    assert elsewhere.ask("usage", "--user", user, *window) == running.ask("usage", "--user", user, *window)
    assert "holds log.db" in elsewhere.run("restore", backup, code=1).stderr.replace("relational.db, readings.db, ", "")
    again = elsewhere.ask("import", "-", "--user", user, given=f"time,power_w\n{rows}")
    assert again["duplicate"] == 60


def test_a_month_that_will_pass_its_limit_becomes_an_alert_and_a_mail(running: CommandLine):
    running.ask("users", "create", "--name", "Me", "--email", "me@example.org", "--threshold", 1000)
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    hours = [now - timedelta(hours=hour) for hour in reversed(range(20 * 24))]
    rows = "".join(f"{each:%Y-%m-%dT%H:%M:%SZ},{200 + each.hour}\n" for each in hours)
    running.ask("import", "-", "--max-hold", "PT1H", given=f"time,power_w\n{rows}")
    running.ask("alerts", "watch", "--month-limit", 20)
    deadline = time.monotonic() + PATIENCE_S
    while not (found := [each for each in running.ask("alerts", "list") if each["rule"] == "month-limit"]):
        assert time.monotonic() < deadline
        time.sleep(0.2)  # another process: there is no event of it to wait for
    assert "more than your limit of 20 kWh" in found[0]["message"]
    mails = [mail for mail in running.ask("alerts", "outbox")["items"] if mail["alertId"] == found[0]["id"]]
    assert [mail["kind"] for mail in mails] == ["opened"]
