"""usage-service beside a plain loader: `python -m bench.distributed_usage [--readings 300000] [--rounds 3]`.

How fast usage-service takes readings from Kafka, finds repeats, derives quarter-hours and stores all of it in InfluxDB,
against how fast InfluxDB takes lines that were made beforehand. `ratio` is the one over the other: each time the mean
of a run of the loader before and one after, with as many points of the same devices; the median of all rounds. What
disturbs the machine for longer than a run disturbs both. `ratio_by_cpu` is the same as the processor times alone would
have it; it is there where the servers run on this machine, and holds on a busy one, too.

`sharing`: everything has all cores. `apart`: InfluxDB has the last core to itself, all else the others, Kafka too; only
where both servers run on this machine. The readings wait in Kafka before the clock starts, written as
ingestion-service does: `singles` one to a message, `packed` so many readings of a home in each.
"""

import argparse
import asyncio
import json
import os
import re
import secrets
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from confluent_kafka import Producer
from tests.support.kafka import delete_topics

from bench import distributed_loader as loader
from bench import distributed_worker as worker
from bench.distributed_cores import pinned, process_at, processor_s, used_us
from energy_tracker.contracts.readings import ReadingMessage
from energy_tracker.contracts.topics import ENERGY_USAGE
from energy_tracker.eventlog.kafka_client import KafkaOptions, ensure_topics
from energy_tracker.eventlog.kafka_producer import READINGS_HEADER
from energy_tracker.kit.ids import derived_event_key, event_id_text
from energy_tracker.kit.instants import to_iso


@dataclass(frozen=True, slots=True)
class Shape:
    """Which readings come how: `pack` of a home to a message."""

    name: str
    devices: int
    pack: int
    watched: bool = False


SHAPES = tuple(
    Shape(f"{devices} devices, {'singles' if pack == 1 else f'packed {pack}'}", devices, pack)
    for devices in (15, 2000)
    for pack in (1, 100, 1_000)
)
Messages = list[tuple[str, bytes, int]]
"""Key, value, and how many readings are in it."""


def messages(shape: Shape, readings: int) -> Messages:
    """Return readings as they lie in Kafka, in order of time, the devices in turn."""
    encode = msgspec.json.Encoder().encode
    made: Messages = []
    waiting: defaultdict[int, list[ReadingMessage]] = defaultdict(list)
    for index in range(readings):
        device_id = index % shape.devices + 1
        reading = _reading(device_id, index // shape.devices, index, alone=shape.pack == 1)
        home = worker.home_of(device_id)
        if shape.pack == 1:
            made.append((str(home), encode(reading), 1))
            continue
        waiting[home].append(reading)
        if len(waiting[home]) == shape.pack:
            made.append((str(home), encode(waiting.pop(home)), shape.pack))
    return made + [(str(home), encode(rest), len(rest)) for home, rest in waiting.items()]


def _reading(device_id: int, tick: int, index: int, *, alone: bool) -> ReadingMessage:
    time_ms = (loader.BEGIN_S + tick * loader.INTERVAL_S) * 1_000
    amount = index % 97 * 0.001
    reading = ReadingMessage(device_id=device_id, timestamp=time_ms, energy_consumed=amount, received_at=time_ms)
    if not alone:
        return reading
    key = derived_event_key(device_id, time_ms * 1_000, "interval", "import", amount, None, None)
    return msgspec.structs.replace(reading, timestamp=to_iso(time_ms), event_id=event_id_text(key))


def produce(kafka: KafkaOptions, wanted: Messages) -> None:
    """Append messages with the settings of ingestion-service."""
    producer = Producer(
        kafka.client_config()
        | {
            "acks": "all",
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "linger.ms": 20,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 2_000_000,
            "queue.buffering.max.kbytes": 1_000_000,
        }
    )
    topic = kafka.topic(ENERGY_USAGE)
    for key, value, readings in wanted:
        headers: list[tuple[str, str | bytes | None]] = [(READINGS_HEADER, str(readings))] if readings > 1 else []
        producer.produce(topic, value, key, headers=headers)
    if left := producer.flush(120):
        raise RuntimeError(f"{left} messages did not get into Kafka")


@contextmanager
def own_topics() -> Iterator[KafkaOptions]:
    """Give topics that nobody has, and remove them in the end."""
    kafka = KafkaOptions(
        bootstrap_servers=os.environ["ENERGY_TEST_KAFKA"], topic_prefix=f"bench-{secrets.token_hex(6)}-"
    )
    try:
        asyncio.run(ensure_topics(kafka))
        yield kafka
    finally:
        delete_topics(kafka)


def servers() -> dict[str, int]:
    """Return the processes of the servers that run here."""
    addresses = {
        "kafka": int(os.environ["ENERGY_TEST_KAFKA"].split(",")[0].rpartition(":")[2]),
        "influxdb": urlsplit(os.environ["ENERGY_TEST_INFLUX"]).port or 80,
    }
    found = {name: process_at(port) for name, port in addresses.items()}
    return {name: pid for name, pid in found.items() if pid is not None}


class Comparison:
    """Runs of the loader and of usage-service in turn."""

    def __init__(self, readings: int, *, profile: bool) -> None:
        self.readings = readings
        self.profile = profile
        self._cores = len(os.sched_getaffinity(0))
        self._lines: dict[int, list[bytes]] = {}
        self._messages: dict[str, Messages] = {}

    def round(self, shapes: Sequence[Shape], *, apart: bool) -> dict[str, dict[str, Any]]:
        """Return what came out for each shape, with its ratio."""
        figures: dict[str, dict[str, Any]] = {}
        for devices in dict.fromkeys(shape.devices for shape in shapes):
            before = self.raw(devices)
            for shape in (each for each in shapes if each.devices == devices):
                done = self.usage(shape)
                after = self.raw(devices)
                beside = {name: statistics.mean((before[name], after[name])) for name in before}
                ratio = {"ratio": done["readings_per_s"] / beside["per_s"]}
                if len(servers()) == 2:
                    possible = self._possible(_cost(done), done["influxdb_cpu_us"], apart=apart)
                    ratio["ratio_by_cpu"] = possible / self._possible(
                        beside["cpu_us"], beside["influxdb_cpu_us"], apart=apart
                    )
                figures[shape.name] = {**ratio, **done, **{f"loader_{name}": value for name, value in beside.items()}}
                before = after
                shown = {name: _rounded(value) for name, value in figures[shape.name].items()}
                print(f"  {shape.name}: {shown}", file=sys.stderr, flush=True)
        return figures

    def raw(self, devices: int) -> dict[str, float]:
        """Return how fast the loader gets points in, twice as many as there are readings, and what a point takes."""
        points = 2 * self.readings
        if devices not in self._lines:
            self._lines[devices] = loader.bodies(points, devices)
        influx = loader.options()
        with loader.bucket(influx):
            before, own_s = processor_s(servers()), time.process_time()
            rate = loader.load(influx, self._lines[devices], points)
            used = used_us(before, processor_s(servers()), points)
        own_us = (time.process_time() - own_s) / points * 1e6
        return {"per_s": rate, "cpu_us": own_us, "influxdb_cpu_us": used.get("influxdb", 0.0)}

    def usage(self, shape: Shape) -> dict[str, Any]:
        """Return what storing the readings took; what the servers took is that of the whole run."""
        if shape.name not in self._messages:
            self._messages[shape.name] = messages(shape, self.readings)
        influx = loader.options()
        with loader.bucket(influx), own_topics() as kafka:
            produce(kafka, self._messages[shape.name])
            before = processor_s(servers())
            done = worker.run(
                worker.Task(kafka, influx, self.readings, shape.devices, watched=shape.watched, profile=self.profile)
            )
            used = used_us(before, processor_s(servers()), self.readings)
        return {**asdict(done), **{f"{name}_cpu_us": value for name, value in used.items()}}

    def _possible(self, client_us: float, influxdb_us: float, *, apart: bool) -> float:
        """Return how many readings a second the cores could do, if none was ever idle or busy with something else."""
        if apart:
            return 1e6 / max(client_us / (self._cores - 1), influxdb_us)
        return 1e6 * self._cores / (client_us + influxdb_us)


def _cost(done: dict[str, Any]) -> float:
    return float(done["cpu_us"] + done["kafka_cpu_us"])


def layouts() -> dict[str, dict[int, set[int]]]:
    """Return how the cores may be dealt out: process → cores."""
    cores, running = sorted(os.sched_getaffinity(0)), servers()
    if len(cores) < 2 or len(running) < 2:
        return {"sharing": {}}
    *others, last = cores
    apart = {running["influxdb"]: {last}, running["kafka"]: set(others), os.getpid(): set(others)}
    return {"sharing": {}, "apart": apart}


def measure(shapes: Sequence[Shape], names: Sequence[str], rounds: int, comparison: Comparison) -> dict[str, Any]:
    """Run all rounds, the layouts in turn, and return the medians."""
    found: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for number in range(rounds):
        for name, places in layouts().items():
            if names and name not in names:
                continue
            began = time.perf_counter()
            with ExitStack() as stack:
                stack.enter_context(pinned(places) if places else nullcontext())
                for shape, figures in comparison.round(shapes, apart=bool(places)).items():
                    found[name, shape].append(figures)
            print(f"round {number + 1}, {name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    figures = defaultdict[str, dict[str, Any]](dict)
    for (layout, shape), each in found.items():
        figures[layout][shape] = {key: _rounded(statistics.median(one[key] for one in each)) for key in each[0]}
        figures[layout][shape]["ratios"] = [_rounded(one["ratio"]) for one in each]
    return dict(figures)


def _rounded(value: float) -> float:
    return round(value) if value >= 1_000 else round(value, 3)


def main() -> None:
    """Measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readings", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="the shapes whose name has this regular expression")
    parser.add_argument("--layout", action="append", default=[], help="sharing or apart; both without")
    parser.add_argument("--watched", action="store_true", help="the homes want to be warned of high usage")
    parser.add_argument("--profile", action="store_true", help="write to stderr where usage-service spends its time")
    parser.add_argument("--folder", type=Path, default=None, help="not used: the servers have their own")
    given = parser.parse_args()
    shapes = [
        Shape(each.name, each.devices, each.pack, given.watched) for each in SHAPES if re.search(given.only, each.name)
    ]
    comparison = Comparison(given.readings, profile=given.profile)
    print(json.dumps(measure(shapes, given.layout, given.rounds, comparison), indent=2))


if __name__ == "__main__":
    main()
