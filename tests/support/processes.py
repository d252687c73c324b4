"""The six services, each in a process of its own, on real servers: started, killed, paused, and spoken to over TCP."""

import asyncio
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import URL
from tests.support.kafka import delete_topics
from tests.support.ports import free_ports
from tests.support.servers import Servers

from energy_tracker.eventlog.kafka_client import KafkaOptions

SERVICES = ("user", "device", "ingestion", "usage", "alert", "insight")
PROGRAM = "from energy_tracker.cli.main import main; main()"
LOOK_AGAIN_S = 0.05
PATIENCE_S = 90.0
PASSING = frozenset({429, 502, 503, 504, 507})


@dataclass
class ServiceProcess:
    """One process of a service; `name` tells it from others of the same service."""

    service: str
    name: str
    port: int
    environment: dict[str, str]
    log: Path
    process: asyncio.subprocess.Process | None = None
    wanted: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def spawn(self) -> None:
        """Start the process; it needs a moment to answer."""
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, "serve", self.service),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            env=self.environment | {f"ENERGY_TRACKER_{self.service.upper()}_PORT": str(self.port)},
        )
        os.close(descriptor)
        self.wanted = True

    def signal(self, number: signal.Signals) -> None:
        """Pause it with SIGSTOP, let it go on with SIGCONT."""
        assert self.process is not None
        self.process.send_signal(number)

    async def kill(self) -> None:
        """End it without a warning."""
        assert self.process is not None
        self.wanted = False
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    async def stop(self) -> None:
        """End it as `docker stop` does, and see that it ended well."""
        assert self.process is not None
        self.wanted = False
        self.process.terminate()
        async with asyncio.timeout(PATIENCE_S):
            assert await self.process.wait() == 0, self.last_words

    @property
    def last_words(self) -> str:
        return f"{self.name}:\n{self.log.read_text()[-3000:]}"

    def check_alive(self) -> None:
        """Fail where the process ended by itself."""
        if self.wanted and self.process is not None and self.process.returncode is not None:
            self.wanted = False
            raise AssertionError(f"it ended with {self.process.returncode}: {self.last_words}")

    @property
    def peak_mib(self) -> float:
        """The most memory that the process has had so far."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024


@dataclass
class Stack:
    """Six processes (or more) and what they stand on."""

    servers: Servers
    http: httpx.AsyncClient
    folder: Path
    environment: dict[str, str]
    kafka: KafkaOptions
    bucket: str
    processes: dict[str, ServiceProcess] = field(default_factory=dict)
    users: list[int] = field(default_factory=list)

    def __getitem__(self, name: str) -> ServiceProcess:
        return self.processes[name]

    def add(self, service: str, name: str, port: int) -> ServiceProcess:
        """Add a process of a service, which does not run yet."""
        made = ServiceProcess(service, name, port, self.environment, self.folder / f"{name}.log")
        self.processes[name] = made
        return made

    async def start(self, *names: str) -> float:
        """Start these, or all; return after how many seconds they were UP."""
        began = time.monotonic()
        for name in names or tuple(self.processes):
            await self[name].spawn()
        await self.ready(*names)
        return time.monotonic() - began

    async def ready(self, *names: str) -> None:
        """Wait until these, or all that are to run, are UP."""
        for process in [self[name] for name in names] or [each for each in self.processes.values() if each.wanted]:
            said = ["nothing"]

            async def is_up(process: ServiceProcess = process, said: list[str] = said) -> bool:
                try:
                    answer = await self.http.get(f"{process.url}/actuator/health", timeout=5)
                except httpx.TransportError as error:
                    said[0] = repr(error)
                    return False
                said[0] = answer.text
                return answer.status_code == 200

            await self.until(is_up, lambda name=process.name, said=said: f"{name} is UP (it says {said[0]})")

    async def until(
        self, condition: Callable[[], Awaitable[bool]], what: str | Callable[[], str], *, patience_s: float = PATIENCE_S
    ) -> None:
        """Return once the condition holds; fails after a while, and where a process ends that is to run."""
        try:
            async with asyncio.timeout(patience_s):
                while not await condition():
                    self.check_alive()
                    await asyncio.sleep(LOOK_AGAIN_S)
        except TimeoutError:
            said = "\n\n".join(each.last_words for each in self.processes.values() if each.log.exists())
            waited_for = what if isinstance(what, str) else what()
            message = f"waited in vain until {waited_for}; what the services said last:\n{said}"
            raise AssertionError(message) from None

    def check_alive(self) -> None:
        """Fail where a process ended by itself."""
        for process in self.processes.values():
            process.check_alive()

    async def call(self, method: str, service: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """Ask once; `service` may be the name of a process."""
        if body is not None:
            more["json"] = body
        return await self.http.request(method, self[service].url + path, **more)

    async def answered(self, method: str, service: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """Ask until there is an answer that is no passing failure, however often that service is away meanwhile."""
        while True:
            try:
                response = await self.call(method, service, path, body, **more)
            except httpx.TransportError:
                await asyncio.sleep(LOOK_AGAIN_S)
                continue
            if response.status_code not in PASSING:
                return response
            await asyncio.sleep(LOOK_AGAIN_S)

    async def get(self, service: str, path: str, **query: Any) -> Any:
        """Return the body of a successful answer."""
        response = await self.call("GET", service, path, params=query)
        assert response.status_code == 200, response.text
        return response.json()

    async def add_user(self, **fields: Any) -> int:
        """Make a user who is not alerted, unless the fields say otherwise; return the id."""
        body = {
            "name": "Test",
            "surname": "Home",
            "email": f"home-{secrets.token_hex(6)}@example.org",
            "address": "",
            "alerting": True,
            "energyAlertingThreshold": 0.0,
        } | fields
        response = await self.answered("POST", "user", "/api/v1/user", body)
        if response.status_code == 409:  # it was made, and the answer was lost
            listed = await self.answered("GET", "user", "/api/v1/user", params={"q": body["email"]})
            self.users.append(listed.json()["items"][0]["id"])
            return self.users[-1]
        assert response.status_code == 201, response.text
        self.users.append(response.json()["id"])
        return self.users[-1]

    async def add_device(self, user_id: int, *, wait: bool = True, **fields: Any) -> int:
        """Make a device; return its id once usage-service knows it."""
        body = {"name": "Device", "type": "MISC", "location": "", "userId": user_id}
        response = await self.answered("POST", "device", "/api/v1/device", body | fields)
        assert response.status_code == 201, response.text
        device_id: int = response.json()["id"]
        if wait:
            await self.known(user_id, device_id)
        return device_id

    async def known(self, user_id: int, device_id: int, *, by: str = "usage") -> None:
        """Wait until usage-service has heard of a device."""

        async def is_known() -> bool:
            answer = await self.answered("GET", by, f"/api/v1/usage/{user_id}")
            return answer.is_success and device_id in {each["id"] for each in answer.json()["devices"]}

        await self.until(is_known, f"device {device_id} is known")

    async def send(self, *readings: dict[str, Any]) -> dict[str, Any]:
        """Send readings as a batch until they are answered; return the answer."""
        response = await self.answered("POST", "ingestion", "/api/v1/ingestion/batch", list(readings))
        assert response.status_code == 202, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def caught_up(self, *, by: str = "usage") -> dict[str, Any]:
        """Return the ledger once nothing is queued."""
        ledger: dict[str, Any] = {}

        async def nothing_queued() -> bool:
            ledger.update((await self.answered("GET", by, "/api/v1/ledger")).json())
            return bool(ledger["queued"] == 0)

        await self.until(nothing_queued, lambda: f"all that was accepted is stored (it is {ledger})")
        assert ledger["balanced"], ledger
        return ledger

    async def episodes(self, user_id: int, count: int, **query: Any) -> list[dict[str, Any]]:
        """Return the user's episodes once there are so many."""
        found: list[dict[str, Any]] = []

        async def enough() -> bool:
            answer = await self.answered("GET", "alert", f"/api/v1/alert/user/{user_id}", params=query)
            found[:] = answer.json()
            return len(found) >= count

        await self.until(enough, f"{count} episodes of user {user_id} are there")
        return found

    async def flux(self, query: str) -> list[list[str]]:
        """Return the lines of a Flux query's answer, split at the commas."""
        answer = await self.http.post(
            f"{self.servers.influx}/api/v2/query",
            params={"org": self.servers.influx_org},
            content=query,
            headers={
                "Authorization": f"Token {self.servers.influx_token}",
                "Content-Type": "application/vnd.flux",
                "Accept": "application/csv",
            },
        )
        assert answer.status_code == 200, answer.text
        return [line.split(",") for line in answer.text.replace("\r", "").split("\n") if line]


def ago(**units: float) -> str:
    """Return an instant before now, as it is on the wire."""
    moment = datetime.now(UTC) - timedelta(**units)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _environment(servers: Servers, database: URL, ports: dict[str, int], prefix: str, bucket: str) -> dict[str, str]:
    ours = ("ENERGY", "SPRING", "INFLUX", "OLLAMA", "_SERVICE_URL")
    kept = {name: value for name, value in os.environ.items() if not any(part in name for part in ours)}
    urls = {name: f"http://127.0.0.1:{ports[name]}/api/v1/{name}" for name in ("user", "device", "usage")}
    return {
        **kept,
        "PYTHONFAULTHANDLER": "1",
        "SPRING_DATASOURCE_URL": f"jdbc:mysql://{database.host}:{database.port}/{database.database}",
        "SPRING_DATASOURCE_USERNAME": str(database.username),
        "SPRING_DATASOURCE_PASSWORD": str(database.password),
        "SPRING_KAFKA_BOOTSTRAP_SERVERS": servers.kafka,
        "ENERGY_TRACKER_KAFKA_TOPIC_PREFIX": prefix,
        "INFLUX_URL": servers.influx,
        "INFLUX_TOKEN": servers.influx_token,
        "INFLUX_ORG": servers.influx_org,
        "INFLUX_BUCKET": bucket,
        **{f"{name.upper()}_SERVICE_URL": url for name, url in urls.items()},
    }


@asynccontextmanager
async def stack_on(servers: Servers, folder: Path, *, more_usage: int = 0, **variables: str) -> AsyncIterator[Stack]:
    """Give a new installation whose six services do not run yet; in the end all is taken away.

    `more_usage` adds further usage-services: `usage-2` and so on.
    """
    prefix = f"test-{secrets.token_hex(6)}-"
    bucket = f"{prefix}bucket"
    ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
    kafka = KafkaOptions(bootstrap_servers=servers.kafka, topic_prefix=prefix)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(servers.new_database())
        stack.push_async_callback(asyncio.to_thread, delete_topics, kafka)
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=16)
        http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=30, limits=limits))
        environment = _environment(servers, database, ports, prefix, bucket)
        made = Stack(servers, http, folder, environment | variables, kafka, bucket)
        stack.push_async_callback(_delete_bucket, made)
        for service, port in ports.items():
            made.add(service, service, port)
        for number, port in enumerate(free_ports(more_usage), start=2):
            made.add("usage", f"usage-{number}", port)
        try:
            yield made
        finally:
            for process in made.processes.values():
                if process.process is not None and process.process.returncode is None:
                    await process.kill()


async def _delete_bucket(stack: Stack) -> None:
    api = f"{stack.servers.influx}/api/v2/buckets"
    login = {"Authorization": f"Token {stack.servers.influx_token}"}
    listed = await stack.http.get(api, params={"name": stack.bucket, "org": stack.servers.influx_org}, headers=login)
    for bucket in listed.json().get("buckets", ()):
        await stack.http.delete(f"{api}/{bucket['id']}", headers=login)
