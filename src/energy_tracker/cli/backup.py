"""Backups of a data folder: copies of its databases that fit together, with a manifest, in one file or folder."""

import hashlib
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

import apsw
import msgspec

from energy_tracker import __version__
from energy_tracker.cli.instance import is_locked
from energy_tracker.kit.problems import Problem
from energy_tracker.storage.sqlite_files import open_for_reading, unreadable

# What is derived is copied before what it is derived from, so that it is never ahead of its source.
DATABASES: Final = ("relational.db", "readings.db", "log.db")
MANIFEST: Final = "manifest.json"
_FORMAT: Final = 1
_PAGES_PER_STEP: Final = 4_096


class BackupCannotBeMade(Problem):
    """There is nothing to copy, or no place for it."""

    status = 409
    title = "The backup cannot be made"


class BackupUnusable(Problem):
    """The backup is not one, or not whole: nothing was restored."""

    status = 422
    title = "The backup cannot be used"


class FolderIsNotEmpty(Problem):
    """The data folder holds data, or something works on it; nothing was restored."""

    status = 409
    title = "The data folder is not free"


class CopiedFile(msgspec.Struct, frozen=True):
    """A database in a backup. `version` is SQLite's user_version."""

    name: str
    size: int
    sha256: str
    version: int


class Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """What a backup holds, and what made it."""

    format: int
    release: str
    created_at: str
    files: tuple[CopiedFile, ...]


def back_up(home: Path, target: Path, *, now: datetime) -> tuple[Path, Manifest]:
    """Copy the databases of a data folder, in use or not; return where the copy is, and its manifest.

    `target` is the name of a new `.tar.gz` or folder, or a folder that exists, into which goes a file named after the
    time. It appears under its name only when it is whole. Raises `BackupCannotBeMade` and `DatabaseUnreadable`.
    """
    present = [name for name in DATABASES if (home / name).is_file()]
    if not present:
        message = f"{home} holds no data: there is none of {', '.join(DATABASES)}."
        raise BackupCannotBeMade(message)
    if target.is_dir():
        target /= f"energy-tracker-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}.tar.gz"
    if target.exists():
        message = f"{target} exists already; a backup never replaces one."
        raise BackupCannotBeMade(message)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=target.parent) as scratch:
        folder = Path(scratch) / "data"
        folder.mkdir()
        files = tuple(_copy(home / name, folder / name) for name in present)
        manifest = Manifest(_FORMAT, __version__, now.astimezone(UTC).isoformat(timespec="seconds"), files)
        _write_synced(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
        if target.name.endswith((".tar.gz", ".tgz")):
            packed = Path(scratch) / "packed"
            _pack(folder, packed)
            packed.replace(target)
        else:
            folder.replace(target)
    return target, manifest


def restore(source: Path, home: Path, *, replace: bool) -> Manifest:
    """Put a backup into a data folder that is empty (or, with `replace`, whose data is moved aside).

    The backup is checked first. Raises `BackupUnusable` and `FolderIsNotEmpty`; then nothing was changed.
    """
    if home.is_dir() and is_locked(home):
        message = f"Something works on {home}; stop it first."
        raise FolderIsNotEmpty(message)
    taken = [name for name in DATABASES if (home / name).exists()]
    if taken and not replace:
        message = f"{home} holds {', '.join(taken)}; --replace moves them aside."
        raise FolderIsNotEmpty(message)
    home.mkdir(parents=True, exist_ok=True)
    with _unpacked(source, home) as folder:
        manifest = _checked(folder)
        if taken:
            _move_aside(home)
        for file in manifest.files:
            shutil.copyfile(folder / file.name, home / f".{file.name}.part")
            _sync(home / f".{file.name}.part")
        for file in manifest.files:
            (home / f".{file.name}.part").replace(home / file.name)
    return manifest


def _copy(source: Path, target: Path) -> CopiedFile:
    """Copy a database as it is at one moment, while others may write to it."""
    # Each by the library that also writes it: two SQLite libraries never open one file.
    version = _copy_relational(source, target) if source.name == "relational.db" else _copy_wal(source, target)
    _sync(target)
    return CopiedFile(source.name, target.stat().st_size, _sha256(target), version)


def _copy_relational(source: Path, target: Path) -> int:
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as reader,
            closing(sqlite3.connect(target)) as writer,
        ):
            reader.backup(writer, pages=_PAGES_PER_STEP)
            _refuse_damage(source, writer.execute("PRAGMA quick_check(1)").fetchone()[0])
            return int(writer.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error as error:
        raise unreadable(source, error) from error


def _copy_wal(source: Path, target: Path) -> int:
    with closing(open_for_reading(source)) as reader, closing(apsw.Connection(str(target))) as writer:
        try:
            with writer.backup("main", reader, "main") as backup:
                while not backup.done:
                    backup.step(_PAGES_PER_STEP)
            writer.execute("PRAGMA journal_mode = DELETE").fetchall()
            _refuse_damage(source, writer.execute("PRAGMA quick_check(1)").fetchall()[0][0])
            return cast("int", writer.execute("PRAGMA user_version").fetchall()[0][0])
        except apsw.Error as error:
            raise unreadable(source, error) from error


def _refuse_damage(source: Path, verdict: Any) -> None:
    if verdict != "ok":
        message = f"{source} is damaged ({verdict}); a copy of it would be no backup."
        raise BackupCannotBeMade(message)


def _pack(folder: Path, target: Path) -> None:
    with tarfile.open(target, "w:gz", compresslevel=1) as archive:
        for path in (folder / MANIFEST, *sorted(folder.glob("*.db"))):
            archive.add(path, arcname=path.name)
    _sync(target)


@contextmanager
def _unpacked(source: Path, home: Path) -> Iterator[Path]:
    if source.is_dir():
        yield source
        return
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=home) as scratch:
        try:
            with tarfile.open(source, "r:gz") as archive:
                for name in (MANIFEST, *DATABASES):
                    if name in archive.getnames():
                        archive.extract(name, scratch, filter="data")
        except (tarfile.TarError, EOFError, OSError) as error:
            message = f"{source} cannot be unpacked: {error}."
            raise BackupUnusable(message) from None
        yield Path(scratch)


def _checked(folder: Path) -> Manifest:
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError, json.JSONDecodeError) as error:
        message = f"It has no readable {MANIFEST}: {error}."
        raise BackupUnusable(message) from None
    if manifest.format != _FORMAT:
        message = f"Its format is {manifest.format}; this release reads {_FORMAT}."
        raise BackupUnusable(message)
    for file in manifest.files:
        path = folder / file.name
        if file.name not in DATABASES or not path.is_file() or _sha256(path) != file.sha256:
            message = f"{file.name} is not what was backed up: it is missing, or its checksum differs."
            raise BackupUnusable(message)
    return manifest


def _move_aside(home: Path) -> None:
    aside = home / f"replaced-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    aside.mkdir()
    for name in DATABASES:
        for path in (home / name, home / f"{name}-wal", home / f"{name}-shm", home / f"{name}-journal"):
            if path.exists():
                path.replace(aside / path.name)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write_synced(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    _sync(path)


def _sync(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
