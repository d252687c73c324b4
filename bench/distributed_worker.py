"""usage-service's flow alone, in a process of its own: it stores what waits in the log, and says how fast.

It is what `energy-tracker serve usage` runs, with the homes in memory: user-service and device-service, which it asks
for them, are not needed so.
"""

import asyncio
import cProfile
import multiprocessing
import os
import pstats
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

import uvloop

from bench.system import System
from energy_tracker.contracts.directory import Assignment, DirectoryDevice, DirectoryUser
from energy_tracker.eventlog.kafka_client import KafkaOptions
from energy_tracker.kit.clock import SystemClock
from energy_tracker.services.usage.adapters.memory import MemoryDirectory
from energy_tracker.services.usage.ports import Recorded
from energy_tracker.services.usage.service import UsageService
from energy_tracker.services.usage.watch import HomeWatch
from energy_tracker.services.usage.worker import UsageWorker
from energy_tracker.storage.influx import InfluxOptions
from energy_tracker.wiring.usage_stream import kafka_and_influx

HOME = 15
"""Devices of a home."""
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be stored, and from where to where."""

    kafka: KafkaOptions
    influx: InfluxOptions
    readings: int
    devices: int
    watched: bool = False
    """Whether the homes want to be warned of high usage."""
    profile: bool = False
    """Write to stderr where the time goes; it takes much more of it then."""


@dataclass(frozen=True, slots=True)
class Done:
    """What storing them took, a reading, from the end of the first turn to that of the last one."""

    readings_per_s: float
    cpu_us: float
    event_loop_us: float
    """The part of the processor time that the event loop's thread took; the rest is that of the Kafka client."""
    readings_per_turn: int
    peak_rss_mib: float


class Homes(MemoryDirectory):
    """So many devices, fifteen to a home."""

    def __init__(self, devices: int, *, watched: bool) -> None:
        homes = range(1, home_of(devices) + 1)
        users = [
            DirectoryUser(id=home, version=1, name="Home", alerting=watched, energy_alerting_threshold=1e5)
            for home in homes
        ]
        super().__init__(users, [_device(device) for device in range(1, devices + 1)])

    def deleted_users(self) -> Collection[int]:
        """Return nobody."""
        return ()

    def device_is_erased(self, device_id: int) -> bool:
        """Return False for all."""
        del device_id
        return False

    def user_is_deleted(self, user_id: int) -> bool:
        """Return False for all."""
        del user_id
        return False


def home_of(device_id: int) -> int:
    """Return the user whose device it is."""
    return (device_id - 1) // HOME + 1


def _device(device_id: int) -> DirectoryDevice:
    home = home_of(device_id)
    return DirectoryDevice(id=device_id, version=1, user_id=home, assignments=(Assignment(user_id=home),))


def run(task: Task) -> Done:
    """Do the task in a new process; it has the cores that this one has."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(task, theirs))
    process.start()
    theirs.close()
    try:
        done: Done = ours.recv()
    except EOFError:
        raise RuntimeError("the worker has ended without a word") from None
    finally:
        process.join()
    return done


def _work(task: Task, answer: Connection) -> None:
    answer.send(uvloop.run(_store(task)))


async def _store(task: Task) -> Done:
    clock, directory = SystemClock(), Homes(task.devices, watched=task.watched)
    partitions = task.kafka.partitions
    async with kafka_and_influx(kafka=task.kafka, influx=task.influx, partitions=partitions, clock=clock) as backends:
        watch = HomeWatch(backends.store, directory, backends.homes)
        service = UsageService(backends.store, directory, watch, clock, homes=backends.homes)
        worker = UsageWorker(backends.log, backends.stream, backends.store, service, clock)
        looks = Looks(task.readings)
        service.recorder.on_stored = looks.note
        work = asyncio.create_task(worker.consume())
        with profiled() if task.profile else nullcontext():
            await looks.everything.wait()
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
        return looks.done()


class Looks:
    """What was stored when, and with how much processor time, after each turn."""

    def __init__(self, wanted: int) -> None:
        self.everything = asyncio.Event()
        self._wanted = wanted
        self._stored = 0
        self._looks: list[tuple[int, float, float, float]] = []

    def note(self, turn: Recorded) -> None:
        """Look after a turn."""
        self._stored += len(turn.readings)
        if self._stored:
            self._looks.append((self._stored, time.perf_counter(), time.process_time(), time.thread_time()))
        if self._stored >= self._wanted:
            self.everything.set()

    def done(self) -> Done:
        """Return what it took."""
        first, last = self._looks[0], self._looks[-1]
        if first is last:
            raise RuntimeError("all of it was stored in one turn: more readings are needed to tell how fast")
        count, seconds, cpu_s, loop_s = (end - begin for begin, end in zip(first, last, strict=True))
        return Done(
            readings_per_s=round(count / seconds),
            cpu_us=round(cpu_s / count * 1e6, 2),
            event_loop_us=round(loop_s / count * 1e6, 2),
            readings_per_turn=round(self._stored / len(self._looks)),
            peak_rss_mib=round(System(os.getpid(), {}, 0).peak_rss_mib(), 1),
        )


@contextmanager
def profiled() -> Iterator[None]:
    """Write to stderr in the end where the time of this thread went."""
    profile = cProfile.Profile()
    profile.enable()
    yield
    profile.disable()
    pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(_SHOWN)
