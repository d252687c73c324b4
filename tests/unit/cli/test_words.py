"""What commands take and print: periods, texts that steer nothing, instants on the wire, the help."""

import os
import subprocess
import sys
from datetime import UTC, datetime

import msgspec
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from tests.support.command_line import CommandLine

from energy_tracker.cli.instance import Instance, InstanceUnclear, is_locked, running_instance
from energy_tracker.cli.output import inert
from energy_tracker.cli.periods import period_ms
from energy_tracker.cli.sending import InstantTexts
from energy_tracker.kit.instants import to_iso, to_ms
from energy_tracker.services.ingestion.imports.exported import inert_cell, plain_cell
from energy_tracker.wiring.folder import exclusive_folder

NOW = datetime(2026, 3, 29, 12, tzinfo=UTC)


def instant(text: str) -> int:
    return to_ms(datetime.fromisoformat(text))


def test_days_are_those_of_the_zone_also_when_clocks_change():
    assert period_ms(None, None, days=1, zone="Europe/Berlin", now=NOW) == (
        instant("2026-03-29T00:00+01:00"),
        instant("2026-03-30T00:00+02:00"),
    )
    start, end = period_ms("2026-10-25", "2026-10-26", days=3, zone="Europe/Berlin", now=NOW)
    assert end - start == 25 * 3_600_000
    assert period_ms("2026-03-28T23:00:00Z", None, days=3, zone="UTC", now=NOW)[0] == instant("2026-03-28T23:00+00:00")


@pytest.mark.parametrize(("start", "end"), [("soon", None), ("2026-03-02", "2026-03-01")])
def test_periods_that_are_none_are_refused(start, end):
    with pytest.raises(typer.BadParameter):
        period_ms(start, end, days=3, zone="UTC", now=NOW)


@given(st.text())
def test_a_cell_is_inert_and_comes_back(text):
    cell = inert_cell(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert plain_cell(cell) == text


@given(st.text())
def test_what_is_printed_steers_no_terminal(text):
    assert not any(ord(each) < 32 and each not in "\n\t" for each in inert(text))
    assert "\x1b" not in inert(text)
    assert "\u202e" not in inert(text)


@given(st.integers(946_684_800_000, 4_102_444_800_000))
def test_instants_are_written_as_the_services_do(instant_ms):
    text = InstantTexts()(instant_ms * 1_000)
    assert to_ms(datetime.fromisoformat(text)) == instant_ms
    assert text.endswith("Z")
    if instant_ms % 1_000 == 0:
        assert text == to_iso(instant_ms)


def test_a_lock_without_addresses_is_no_instance_yet(tmp_path):
    assert running_instance(tmp_path) is None
    with exclusive_folder(tmp_path):
        assert is_locked(tmp_path)
        with pytest.raises(InstanceUnclear):
            running_instance(tmp_path)
        run = Instance(os.getpid(), {"user": "http://127.0.0.1:8080"})
        (tmp_path / "run.json").write_bytes(msgspec.json.encode(run))
        assert running_instance(tmp_path) == run
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        (tmp_path / "run.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(run, pid=ended.pid)))
        with pytest.raises(InstanceUnclear):
            running_instance(tmp_path)
    assert running_instance(tmp_path) is None


def test_the_help_loads_no_service():
    program = (
        "import sys; from energy_tracker.cli.main import build_app; build_app(); "
        "heavy = {'fastapi', 'sqlalchemy', 'apsw', 'pydantic', 'httpx', 'rich'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_version_and_a_wrong_command(tmp_path):
    line = CommandLine(tmp_path)
    assert line.ask("version")["version"] == line.run("version").stdout.strip()
    line.run("versoin", code=2)
    assert "import" in line.run("--help").stdout
