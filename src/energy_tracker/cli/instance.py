"""Which process runs on a data folder, if any: the lock it holds and the addresses it wrote down."""

import errno
import fcntl
import os
from pathlib import Path
from typing import Final

import msgspec

from energy_tracker.kit.problems import TemporarilyUnavailable

LOCK_FILE: Final = "lock"
RUN_FILE: Final = "run.json"


class InstanceUnclear(TemporarilyUnavailable):
    """The data folder is in use, but by whom and at which addresses is not written down (yet)."""

    title = "The data folder is in use"


class Instance(msgspec.Struct, frozen=True):
    """A running system: its process and the base URL of each service, such as `{"user": "http://127.0.0.1:8080"}`."""

    pid: int
    urls: dict[str, str]


def is_locked(home: Path) -> bool:
    """Return whether some process works on the folder."""
    try:
        handle = os.open(home / LOCK_FILE, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            return True
        raise
    finally:
        os.close(handle)
    return False


def running_instance(home: Path) -> Instance | None:
    """Return the system that runs on the folder, None where none does. Raises `InstanceUnclear`."""
    if not is_locked(home):
        return None
    try:
        instance = msgspec.json.decode((home / RUN_FILE).read_bytes(), type=Instance)
    except (FileNotFoundError, msgspec.MsgspecError):
        instance = None
    if instance is None or not _is_alive(instance.pid):  # one that was killed leaves its addresses behind
        message = (
            f"Another process works on {home}, and serves nothing (an import, or one that is just starting or ending). "
            "Try again in a moment."
        )
        raise InstanceUnclear(message)
    return instance


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True
