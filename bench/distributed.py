"""The distributed mode for the other scripts: the servers that variables name, the processes of the services on them.

The servers are those of the tests (`ENERGY_TEST_KAFKA`, `ENERGY_TEST_MYSQL`, `ENERGY_TEST_INFLUX` and what goes with
it). Each run makes a database, topics and a bucket of its own, and removes them in the end.
"""

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from tests.support.processes import Stack, stack_on
from tests.support.servers import Servers

from bench.system import KINDS, SERVICES, System, register_homes

DIRECTORY_S = 4.0
"""After so long every service has asked for what is new in the directory, which it does every two seconds."""
START_PATIENCE_S = 60.0
_STORED = re.compile(r'usage_readings_total\{outcome="stored"\} (\S+)')
_DEAD = re.compile(r'usage_readings_total\{outcome="dead-lettered"\} (\S+)')


@dataclass
class Services:
    """Processes of services on servers of their own; `ready_s` is how long each took to be ready."""

    stack: Stack
    ready_s: dict[str, float] = field(default_factory=dict)

    @property
    def urls(self) -> dict[str, str]:
        """Where they answer."""
        return {name: process.url for name, process in self.stack.processes.items()}

    def system(self, service: str) -> System:
        """Return one process, to be asked and watched."""
        process = self.stack[service].process
        if process is None:
            raise RuntimeError(f"{service} does not run")
        return System(process.pid, self.urls, self.ready_s[service])

    async def start(self, service: str) -> None:
        """Start a process and wait until it is ready."""
        process = self.stack[service]
        began = time.perf_counter()
        await process.spawn()
        while time.perf_counter() < began + START_PATIENCE_S:
            process.check_alive()
            with suppress(httpx.TransportError):
                answer = await self.stack.http.get(f"{process.url}/actuator/health/readiness", timeout=5)
                if answer.status_code == 200:
                    self.ready_s[service] = time.perf_counter() - began
                    return
            await asyncio.sleep(0.005)
        raise RuntimeError(f"{service} did not become ready: {process.last_words}")

    async def stop(self) -> None:
        """Stop all that run, as a container is stopped."""
        for service in self.ready_s:
            await self.stack[service].stop()
        self.ready_s.clear()

    async def register(
        self, homes: int, devices: int, *, alerting: bool = False, kinds: Sequence[str] = KINDS
    ) -> list[list[int]]:
        """Register homes of so many devices; return their devices once all services know them."""
        registered = register_homes(self.system("user"), homes, devices, alerting=alerting, kinds=kinds)
        await asyncio.sleep(DIRECTORY_S)
        return registered

    async def stored(self) -> int:
        """Return how many readings usage-service has stored; raises where any became a dead letter."""
        page = (await self.stack.http.get(f"{self.urls['usage']}/actuator/prometheus")).raise_for_status().text
        dead = _DEAD.search(page)
        if dead is not None and float(dead[1]):
            raise RuntimeError(f"{dead[1]} dead letters")
        found = _STORED.search(page)
        return 0 if found is None else int(float(found[1]))

    async def until_stored(self, wanted: int) -> None:
        """Return once usage-service has stored so many readings."""
        while await self.stored() < wanted:
            self.stack.check_alive()
            await asyncio.sleep(0.02)

    async def check_ledger(self, stored: int) -> None:
        """Fail where the ledger does not show just these readings as stored, and nothing else."""
        ledger = await self.stack.caught_up()
        if (ledger["stored"], ledger["deadLettered"]) != (stored, 0):
            raise RuntimeError(f"{stored} readings were sent, and the ledger has {ledger}")


@asynccontextmanager
async def services_on(folder: Path, names: Sequence[str] = SERVICES) -> AsyncIterator[Services]:
    """Start processes of these services, one after the other; in the end they are stopped and all is removed."""
    try:
        servers = Servers.named_by(os.environ)
    except KeyError as missing:
        raise SystemExit(f"{missing.args[0]} must name the server to measure on; see bench/README.md") from None
    async with stack_on(servers, folder) as stack:
        services = Services(stack)
        for name in names:
            await services.start(name)
        yield services
        await services.stop()
