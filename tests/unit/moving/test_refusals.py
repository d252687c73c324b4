"""What the command refuses before it has asked any server, and how a folder is put in its place."""

from pathlib import Path

import pytest
from tests.support.clock import VirtualClock
from tests.support.command_line import CommandLine

from energy_tracker.cli import exits
from energy_tracker.contracts.topics import ENERGY_USAGE
from energy_tracker.eventlog.port import Message
from energy_tracker.eventlog.sqlite import SqliteEventLog
from energy_tracker.eventlog.sqlite_schema import prepare_log
from energy_tracker.services.usage.model.ledger import Intake
from energy_tracker.storage.sqlite_readers import SqliteReaders
from energy_tracker.storage.sqlite_writer import SqliteWriter
from energy_tracker.wiring import moving
from energy_tracker.wiring.folder import exclusive_folder
from energy_tracker.wiring.moving_sides import folder_side

SERVERS = {
    "SPRING_DATASOURCE_URL": "jdbc:mysql://127.0.0.1:1/nowhere",
    "SPRING_DATASOURCE_USERNAME": "nobody",
    "SPRING_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "INFLUX_URL": "http://127.0.0.1:1",
    "INFLUX_TOKEN": "none",
    "INFLUX_ORG": "none",
}


@pytest.fixture
def on_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name servers that must not be asked."""
    for name, value in SERVERS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("direction", ["to-services", "to-folder"])
def test_all_servers_that_are_not_named_are_told(tmp_path: Path, direction: str) -> None:
    answer = CommandLine(tmp_path).ask("move", direction, code=exits.CONFIGURATION)
    assert [error["name"] for error in answer["errors"]] == [
        "SPRING_DATASOURCE_URL",
        "SPRING_KAFKA_BOOTSTRAP_SERVERS",
        "INFLUX_URL",
    ]


@pytest.mark.usefixtures("on_servers")
def test_an_empty_folder_has_nothing_to_move(tmp_path: Path) -> None:
    answer = CommandLine(tmp_path / "home").ask("move", "to-services", code=exits.FAILED)
    assert answer["title"] == "There is nothing to move"
    assert not (tmp_path / "home").exists()


@pytest.mark.usefixtures("on_servers")
@pytest.mark.parametrize("direction", ["to-services", "to-folder"])
def test_a_folder_in_use_is_left_alone(tmp_path: Path, direction: str) -> None:
    (tmp_path / "relational.db").touch()
    with exclusive_folder(tmp_path):
        answer = CommandLine(tmp_path).ask("move", direction, code=exits.FAILED)
    assert answer["title"] == "The data folder is in use"


@pytest.mark.usefixtures("on_servers")
def test_a_folder_with_data_takes_no_other(tmp_path: Path) -> None:
    (tmp_path / "readings.db").touch()
    answer = CommandLine(tmp_path).ask("move", "to-folder", code=exits.FAILED)
    assert answer["title"] == "The place is not empty"
    assert "readings.db" in answer["detail"]


async def test_readings_that_wait_in_the_log_are_told(tmp_path: Path) -> None:
    clock = VirtualClock()
    async with folder_side(tmp_path, clock) as side:
        assert not await side.waiting()
    writer = await SqliteWriter.open(tmp_path / "log.db", prepare=prepare_log)
    readers = SqliteReaders(tmp_path / "log.db")
    log = await SqliteEventLog.open(writer, readers, clock=clock)
    await log.append(ENERGY_USAGE, [Message(None, b"[]")])
    await readers.close()
    await writer.close()
    async with folder_side(tmp_path, clock) as side:
        assert await side.waiting() == ["readings wait in the log"]


async def test_the_ledger_of_a_folder_goes_on_from_totals(tmp_path: Path) -> None:
    totals = Intake(received=10, accepted=7, duplicate=2, rejected=1, queued=0)
    for _ in range(2):
        async with folder_side(tmp_path, VirtualClock()) as side:
            await side.open_intake(totals)
            assert await side.intake.intake(beyond=await side.store.holdings()) == totals


def test_a_folder_that_is_whole_is_put_in_place_also_after_a_half_way(tmp_path: Path) -> None:
    scratch = tmp_path / moving.SCRATCH
    scratch.mkdir()
    (tmp_path / "log.db").write_text("moved before")
    for name in ("readings.db", "relational.db", "whole"):
        (scratch / name).write_text(name)
    moving._put_in_place(scratch, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.db", "readings.db", "relational.db"]
    assert (tmp_path / "log.db").read_text() == "moved before"
