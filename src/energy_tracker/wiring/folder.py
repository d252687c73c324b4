"""The data folder: one process at a time works on it."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from energy_tracker.kit.problems import Problem, StorageFull


class FolderInUse(Problem):
    """Another process works on the data folder."""

    status = 409
    title = "The data folder is in use"


class FolderUnusable(Problem):
    """The data folder cannot be made or written to."""

    status = 500
    title = "The data folder cannot be used"


@contextmanager
def exclusive_folder(home: Path) -> Iterator[Path]:
    """Make the folder where it is missing, and hold it for this process. Raises `FolderInUse`, `FolderUnusable`."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StorageFull(f"There is no room in {home}.") from error
        raise FolderUnusable(f"{home} cannot be used: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            message = f"Another process works on {home}; stop it first, or name another folder (ENERGY_TRACKER_HOME)."
            raise FolderInUse(message) from error
        yield home
    finally:
        os.close(handle)
