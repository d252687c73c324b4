"""Backups: whole, checked before they are used, never in the way of what is there."""

import shutil
import sqlite3
import tarfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import apsw
import pytest

from energy_tracker.cli.backup import (
    BackupCannotBeMade,
    BackupUnusable,
    FolderIsNotEmpty,
    back_up,
    restore,
)
from energy_tracker.storage.sqlite_files import DatabaseUnreadable, open_for_writing
from energy_tracker.wiring.folder import exclusive_folder

NOW = datetime(2026, 9, 7, 12, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    for name in ("log.db", "readings.db"):
        with closing(open_for_writing(home / name)) as connection:
            connection.execute("CREATE TABLE t (a)")
            connection.execute("INSERT INTO t VALUES (1), (2), (3)")
    with closing(sqlite3.connect(home / "relational.db")) as relational:
        relational.execute("CREATE TABLE t (a)")
        relational.execute("INSERT INTO t VALUES (7)")
        relational.commit()
    return home


def rows(path: Path) -> list[int]:
    with closing(apsw.Connection(str(path))) as connection:
        return [int(row[0]) for row in connection.execute("SELECT a FROM t")]


@pytest.mark.parametrize("name", ["copy.tar.gz", "copy"])
def test_what_was_backed_up_comes_back(home, tmp_path, name):
    path, manifest = back_up(home, tmp_path / name, now=NOW)
    assert path == tmp_path / name
    assert [file.name for file in manifest.files] == ["relational.db", "readings.db", "log.db"]
    restore(path, tmp_path / "new", replace=False)
    assert rows(tmp_path / "new" / "log.db") == [1, 2, 3]
    assert rows(tmp_path / "new" / "relational.db") == [7]
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def test_a_folder_that_exists_gets_a_file_named_after_the_time(home, tmp_path):
    path, _ = back_up(home, tmp_path, now=NOW)
    assert path.name == "energy-tracker-20260907T120000Z.tar.gz"
    with pytest.raises(BackupCannotBeMade, match="exists already"):
        back_up(home, tmp_path, now=NOW)


def test_what_others_are_writing_is_copied_as_of_one_moment(home, tmp_path):
    with closing(open_for_writing(home / "log.db")) as writer:
        writer.execute("INSERT INTO t VALUES (4)")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO t VALUES (5)")
        back_up(home, tmp_path / "copy", now=NOW)
        writer.execute("COMMIT")
    assert rows(tmp_path / "copy" / "log.db") == [1, 2, 3, 4]


def test_a_damaged_database_makes_no_backup(home, tmp_path):
    (home / "readings.db").write_bytes(b"garbage" * 1_000)
    with pytest.raises(DatabaseUnreadable):
        back_up(home, tmp_path / "copy.tar.gz", now=NOW)
    assert not (tmp_path / "copy.tar.gz").exists()


def test_an_empty_folder_makes_no_backup(tmp_path):
    with pytest.raises(BackupCannotBeMade, match="no data"):
        back_up(tmp_path, tmp_path / "copy", now=NOW)


def test_a_backup_is_checked_before_anything_is_touched(home, tmp_path):
    path, _ = back_up(home, tmp_path / "copy", now=NOW)
    with (path / "log.db").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(BackupUnusable, match=r"log\.db"):
        restore(path, home, replace=True)
    assert rows(home / "log.db") == [1, 2, 3]
    shutil.rmtree(path)
    path.mkdir()
    with pytest.raises(BackupUnusable, match="manifest"):
        restore(path, tmp_path / "new", replace=False)
    (tmp_path / "cut.tar.gz").write_bytes(b"\x1f\x8b junk")
    with pytest.raises(BackupUnusable, match="unpacked"):
        restore(tmp_path / "cut.tar.gz", tmp_path / "new", replace=False)


def test_a_backup_cannot_reach_outside_its_folder(home, tmp_path):
    back_up(home, tmp_path / "copy", now=NOW)
    with tarfile.open(tmp_path / "evil.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "copy" / "manifest.json", arcname="manifest.json")
        archive.add(tmp_path / "copy" / "log.db", arcname="../escaped.db")
    with pytest.raises(BackupUnusable):
        restore(tmp_path / "evil.tar.gz", tmp_path / "new", replace=False)
    assert not (tmp_path / "escaped.db").exists()


def test_data_is_only_replaced_when_that_is_wanted_and_then_moved_aside(home, tmp_path):
    path, _ = back_up(home, tmp_path / "copy", now=NOW)
    with closing(open_for_writing(home / "log.db")) as writer:
        writer.execute("INSERT INTO t VALUES (99)")
    with pytest.raises(FolderIsNotEmpty, match="--replace"):
        restore(path, home, replace=False)
    restore(path, home, replace=True)
    assert rows(home / "log.db") == [1, 2, 3]
    (aside,) = home.glob("replaced-*")
    assert rows(aside / "log.db") == [1, 2, 3, 99]


def test_nothing_is_restored_under_something_that_runs(home, tmp_path):
    path, _ = back_up(home, tmp_path / "copy", now=NOW)
    with exclusive_folder(home), pytest.raises(FolderIsNotEmpty, match="works on"):
        restore(path, home, replace=True)
