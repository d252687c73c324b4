"""One fault after the other on an installation under load, for `bench.distributed_faults`."""

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from tests.support.mailpit import unique_address
from tests.support.processes import ServiceProcess, Stack, ago
from tests.support.servers import OwnServers
from tests.support.truth import DAY_MS

from bench.distributed_faults_judge import Judge, Thrifty
from bench.distributed_faults_kinds import Fault, Scene, leave
from bench.distributed_faults_load import Counts, Door, Gateway, Source, SteadyLoad
from bench.ingest import request

HOMES, GATEWAYS, DEVICES = 4, 2, 2
"""Homes, gateways in each, devices of each gateway."""
LONGEST_MS = 300 * DAY_MS
"""So long ago the first reading was; no run is long enough for them to reach today."""
CALM_S = 3.0
"""The load runs for so long at least before a fault."""
LEVEL_S = 2.0
"""All is caught up when nothing waits that was due longer ago."""
_LOOK_EVERY_S = 0.5


@dataclass
class Play:
    """An installation under load, on which one fault after the other happens."""

    judge: Judge
    load: SteadyLoad
    door: Door
    servers: OwnServers | None
    options: argparse.Namespace

    async def meet(self, fault: Fault) -> dict[str, Any]:
        """Have a fault happen; return what came of it."""
        home = await self._thrifty_home(fault)
        scene = Scene(self.judge.stack, self.servers, home.user)
        counts, peaks, began = self.load.counts, dict[str, float](), time.monotonic()
        before, counts.most_behind_s = asdict(counts), 0.0
        watching = asyncio.create_task(self._watch(peaks))
        try:
            times = await self._under_load(fault, scene, home.device)
            wrong = await self.judge.look()
            await leave(scene)
        finally:
            watching.cancel()
        return {
            **{name: value - before[name] for name, value in asdict(counts).items() if name != "most_behind_s"},
            "client_most_behind_s": round(counts.most_behind_s, 1),
            **{name: None if value is None else round(value, 1) for name, value in times.items()},
            "mails_repeated_so_far": self.judge.mails_repeated,
            "seconds": round(time.monotonic() - began),
            "peak_rss_mib": {name: round(peak) for name, peak in peaks.items()},
            "wrong": wrong,
        }

    async def _under_load(self, fault: Fault, scene: Scene, device: int) -> dict[str, float | None]:
        """Have a fault happen under load, until all is caught up and mailed; return the seconds of each."""
        async with self.load.running(self.options.rate):
            await asyncio.sleep(CALM_S)
            level_before = await self._level()
            exceeding = await self._happen(fault, scene, device)
            ended = time.monotonic()
            mailing = asyncio.create_task(self._mailed_after(ended))
            try:
                level = await self._level()
                caught_up_s = time.monotonic() - ended
                await exceeding
            except BaseException:
                mailing.cancel()
                exceeding.cancel()
                raise
        return {
            "caught_up_s": caught_up_s if level and level_before else None,
            "mailed_s": await mailing,
        }

    async def _thrifty_home(self, fault: Fault) -> Thrifty:
        address = unique_address()
        user = await self.judge.stack.add_user(energyAlertingThreshold=0.4, email=address)
        device = await self.judge.stack.add_device(user)
        home = Thrifty(user, device, address, fault.mail_may_repeat)
        self.judge.thrifty.append(home)
        return home

    async def _happen(self, fault: Fault, scene: Scene, device: int) -> "asyncio.Task[None]":
        """Let a fault begin, last and end; return how a home uses too much meanwhile."""
        await fault.begin(scene)
        exceeding = asyncio.create_task(self._use_too_much(device))
        try:
            try:
                await asyncio.sleep(fault.lasts_s)
            finally:
                await fault.end(scene)
        except BaseException:
            exceeding.cancel()
            raise
        return exceeding

    async def _use_too_much(self, device: int) -> None:
        for minutes, wh in ((30, 100), (20, 900)):
            moment = ago(minutes=minutes)
            body = [{"deviceId": device, "timestamp": moment, "energyConsumed": wh / 1000}]
            await self.door.send(request("/api/v1/ingestion/batch", json.dumps(body).encode()), 1)
            self.judge.truth.took(device, round(datetime.fromisoformat(moment).timestamp() * 1000), wh)

    async def _level(self) -> bool:
        """Wait until the load is kept up with and all processes are UP; False where that takes too long."""
        stack, until = self.judge.stack, time.monotonic() + self.options.patience
        while (began := time.monotonic()) < until:
            self.load.check()
            stack.check_alive()
            if await self._waiting() <= LEVEL_S * self.options.rate:
                await stack.ready()
                return True
            await asyncio.sleep(max(_LOOK_EVERY_S, time.monotonic() - began))
        return False

    async def _waiting(self) -> float:
        """Return how many readings are due and not both answered and stored; without end while nobody can say it."""
        with suppress(httpx.TransportError):
            answer = await self.judge.stack.call("GET", "usage", "/api/v1/ledger", timeout=30)
            if answer.status_code == 200:
                stored = answer.json()["stored"] - self.judge.truth.readings
                return float(self.load.due - min(stored, self.load.counts.unique))
        return float("inf")

    async def _mailed_after(self, began: float) -> float | None:
        try:
            await self.judge.until_mailed()
        except AssertionError as error:  # the judge will find that there is none
            print(error, file=sys.stderr, flush=True)
            return None
        return time.monotonic() - began

    async def _watch(self, peaks: dict[str, float]) -> None:
        """Note the most memory that each process has from now on."""
        for _, pid in self._running():
            _forget_peak(pid)
        while True:
            for process, _ in self._running():
                with suppress(OSError, IndexError):  # it has just ended
                    peaks[process.name] = max(peaks.get(process.name, 0), process.peak_mib)
            await asyncio.sleep(_LOOK_EVERY_S)

    def _running(self) -> Iterator[tuple[ServiceProcess, int]]:
        for each in self.judge.stack.processes.values():
            if each.process is not None and each.process.returncode is None:
                yield each, each.process.pid


def _forget_peak(pid: int) -> None:
    with suppress(OSError):  # where this is not allowed, peaks are those since the start
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


async def prepare(
    stack: Stack, mails: httpx.AsyncClient, servers: OwnServers | None, options: argparse.Namespace
) -> Play:
    """Make homes whose devices send all the time, on services that run."""
    begin_ms = (int(time.time() * 1000) - LONGEST_MS) // DAY_MS * DAY_MS
    counts, chance = Counts(), random.Random(options.seed)
    homes: dict[int, list[Source]] = {}
    gateways: list[Gateway] = []

    def port() -> int:
        return stack["ingestion"].port

    for _ in range(HOMES):
        user = await stack.add_user(timeZone="UTC")
        sources = [Source(await stack.add_device(user, wait=False), begin_ms) for _ in range(GATEWAYS * DEVICES)]
        await stack.known(user, sources[-1].device_id)
        homes[user] = sources
        gateways += [
            Gateway(Door(port, counts), sources[number::GATEWAYS], random.Random(chance.random()))
            for number in range(GATEWAYS)
        ]
    judge = Judge(stack, mails, counts, homes)
    return Play(judge, SteadyLoad(gateways, counts), Door(port, counts), servers, options)
