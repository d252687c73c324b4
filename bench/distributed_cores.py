"""Which processor cores a process may use, what processor time it takes, and which process listens on a port.

A server that runs elsewhere, or as somebody who may not be asked, is no process here: there are no figures of it then.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.system import System

_LISTENS = "0A"


def process_at(port: int) -> int | None:
    """Return the process that listens on a TCP port of this machine, None where it cannot be found."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    for folder in Path("/proc").glob("[0-9]*/fd"):
        with suppress(OSError):
            for descriptor in folder.iterdir():
                with suppress(OSError):
                    if str(descriptor.readlink()) in inodes:
                        return int(folder.parent.name)
    return None


def processor_s(processes: Mapping[str, int]) -> dict[str, float]:
    """Return the processor time that each of the processes has used so far, in seconds."""
    return {name: System(pid, {}, 0).cpu_s() for name, pid in processes.items()}


def used_us(before: Mapping[str, float], after: Mapping[str, float], readings: int) -> dict[str, float]:
    """Return the processor time of each between two looks, in microseconds a reading."""
    return {name: round((after[name] - before[name]) / readings * 1e6, 2) for name in before}


@contextmanager
def pinned(places: Mapping[int, Collection[int]]) -> Iterator[None]:
    """Let processes, with all their threads, use some cores only; afterwards each thread may use what it might before.

    A thread that a process starts meanwhile gets the cores that the process had before, too.
    """
    before = {pid: os.sched_getaffinity(pid) for pid in places}
    try:
        for pid, cores in places.items():
            _place(pid, cores)
        yield
    finally:
        for pid, cores in before.items():
            _place(pid, cores)


def _place(pid: int, cores: Collection[int]) -> None:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), cores)
