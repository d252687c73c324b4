"""Files that a newer release has written are left alone."""

from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from energy_tracker.eventlog.sqlite_schema import prepare_log
from energy_tracker.services.usage.adapters.sqlite_schema import prepare as prepare_readings
from energy_tracker.storage.releases import SchemaIsNewer
from energy_tracker.storage.sqlite_writer import SqliteWriter


@pytest.mark.parametrize("prepare", [prepare_log, prepare_readings])
async def test_a_file_of_a_newer_release_is_left_alone(
    tmp_path: Path, prepare: Callable[[apsw.Connection], None]
) -> None:
    writer = await SqliteWriter.open(tmp_path / "x.db", prepare=prepare)
    await writer.close()
    connection = apsw.Connection(str(tmp_path / "x.db"))
    connection.pragma("user_version", 99)
    connection.close()
    before = (tmp_path / "x.db").read_bytes()
    with pytest.raises(SchemaIsNewer, match="99"):
        await SqliteWriter.open(tmp_path / "x.db", prepare=prepare)
    assert (tmp_path / "x.db").read_bytes() == before
