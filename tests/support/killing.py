"""The real system in a process of its own, killed under load from clients who send again until they are answered."""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import httpx
from tests.support.smtp import MailServer

SERVICES = ("user", "device", "ingestion", "usage", "alert", "insight")
PROGRAM = "from energy_tracker.cli.main import main; main()"
LOOK_AGAIN_S = 0.01
PATIENCE_S = 60.0
LEASE_S = 130.0
"""After so long a mail is tried again whose attempt was never settled because the process had ended."""


@dataclass
class Victim:
    """The system on a data folder; `ready` is set while it answers, `ready_after_s` says how long each start took."""

    home: Path
    mail: MailServer
    http: httpx.AsyncClient
    urls: dict[str, str] = field(default_factory=dict)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    ready_after_s: list[float] = field(default_factory=list)
    process: asyncio.subprocess.Process | None = None
    kills: int = 0

    async def spawn(self) -> None:
        """Start the process."""
        self.urls.clear()
        errors = os.open(self.home.parent / "stderr.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        environment = {
            **os.environ,
            **{f"ENERGY_TRACKER_{name.upper()}_PORT": "0" for name in SERVICES},
            "SPRING_MAIL_HOST": "127.0.0.1",
            "SPRING_MAIL_PORT": str(self.mail.port),
        }
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, "--home", str(self.home), "up"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=errors,
            env=environment,
        )
        os.close(errors)

    async def start(self) -> None:
        """Start the process, and wait until all its services say that they are UP."""
        began = time.monotonic()
        await self.spawn()
        async with asyncio.timeout(PATIENCE_S):
            while not await self._is_ready():  # noqa: ASYNC110 - another process: no event tells
                await asyncio.sleep(LOOK_AGAIN_S)
        self.ready_after_s.append(time.monotonic() - began)
        self.ready.set()

    async def kill(self) -> None:
        """End the process without a warning."""
        assert self.process is not None
        self.ready.clear()
        self.kills += 1
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    async def stop(self) -> None:
        """End the process as Ctrl-C does."""
        assert self.process is not None
        self.ready.clear()
        self.process.terminate()
        async with asyncio.timeout(PATIENCE_S):
            assert await self.process.wait() == 0, (self.home.parent / "stderr.txt").read_text()[-3000:]

    async def get(self, service: str, path: str, **query: Any) -> Any:
        """Return the body of an answer 200."""
        response = await self.http.get(self.urls[service] + path, params=query)
        assert response.status_code == 200, response.text
        return response.json()

    async def until_answered(self, method: str, service: str, path: str, body: Any = None) -> httpx.Response:
        """Send until there is an answer that is no failure of the server; over as many lives of it as that takes."""
        while True:
            await self.ready.wait()
            try:
                response = await self.http.request(method, self.urls[service] + path, json=body)
            except (httpx.TransportError, KeyError):
                await asyncio.sleep(LOOK_AGAIN_S)
                continue
            if response.status_code in {429, 503, 507}:
                await asyncio.sleep(LOOK_AGAIN_S)
                continue
            return response

    async def _is_ready(self) -> bool:
        process = self.process
        assert process is not None
        assert process.returncode is None, (self.home.parent / "stderr.txt").read_text()[-3000:]
        try:
            run = json.loads((self.home / "run.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return False
        if run["pid"] != process.pid:
            return False
        self.urls = run["urls"]
        for url in self.urls.values():
            try:
                response = await self.http.get(f"{url}/actuator/health/readiness")
            except httpx.TransportError:
                return False
            if response.status_code != 200:
                return False
        return True


@dataclass
class Meter:
    """A register that a client sends, in order, and each value until it is acknowledged: the truth about one device."""

    device_id: int
    chance: random.Random
    time: datetime
    wh: int = 100_000
    acknowledged: list[tuple[int, int]] = field(default_factory=list)
    requests: int = 0

    def next_readings(self, count: int) -> list[dict[str, Any]]:
        readings = []
        for _ in range(count):
            self.time += timedelta(milliseconds=self.chance.randint(1, 4_000))
            self.wh += self.chance.randint(0, 3)
            timestamp = self.time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            readings.append({"deviceId": self.device_id, "timestamp": timestamp, "registerKwh": self.wh / 1000})
        return readings

    async def send(self, victim: Victim, stopping: asyncio.Event) -> None:
        """Send single readings and batches, some of them twice, until told to stop and answered."""
        while not stopping.is_set():
            readings = self.next_readings(self.chance.choice((1, 1, 3, 40)))
            path, body, expected = "/batch", readings, 202
            if len(readings) == 1:
                path, body, expected = "", readings[0], 201  # type: ignore[assignment]  # one object
            for _ in range(self.chance.choice((1, 1, 1, 2))):
                answer = await victim.until_answered("POST", "ingestion", f"/api/v1/ingestion{path}", body)
                assert answer.status_code == expected, answer.text
                self.requests += 1
            self.acknowledged += [
                (round(datetime.fromisoformat(each["timestamp"]).timestamp() * 1000), round(each["registerKwh"] * 1000))
                for each in readings
            ]


@dataclass(frozen=True)
class Findings:
    """What was on the disk when all was over, and how it went."""

    readings: int
    ledger: dict[str, Any]
    mails: int
    mail_ids: int
    kills: int
    ready_after_s: tuple[float, ...]


@dataclass
class Household:
    """Users who are warned once each, and meters that never stop."""

    victim: Victim
    chance: random.Random
    meters: list[Meter] = field(default_factory=list)
    extra: int = 0
    warned: list[int] = field(default_factory=list)
    waiting: int = 0

    async def add_meters(self, count: int) -> None:
        user = await self._add_user("meters@example.org", threshold=0.0)
        for _ in range(count):
            device = await self._add_device(user, "register")
            start = datetime.now(UTC) - timedelta(days=2)
            self.meters.append(Meter(device, random.Random(self.chance.random()), start))

    async def use_much(self, number: int) -> None:
        """Have a home of its own use more than it wanted to: one episode, one mail."""
        user = await self._add_user(f"home{number}@example.org", threshold=0.4)
        device = await self._add_device(user, "interval")
        for minutes, energy in ((30, 0.1), (20, 0.9)):
            moment = datetime.now(UTC) - timedelta(minutes=minutes)
            body = {"deviceId": device, "timestamp": moment.isoformat(), "energyConsumed": energy}
            answer = await self.victim.until_answered("POST", "ingestion", "/api/v1/ingestion", body)
            assert answer.status_code == 201, answer.text
            self.extra += 1
        self.warned.append(user)

    async def _add_user(self, email: str, *, threshold: float) -> int:
        body = {
            "name": "Home",
            "surname": "",
            "email": email,
            "address": "",
            "alerting": True,
            "energyAlertingThreshold": threshold,
        }
        answer = await self.victim.until_answered("POST", "user", "/api/v1/user", body)
        if answer.status_code == 409:  # it was made, and the answer was lost
            answer = await self.victim.until_answered("GET", "user", f"/api/v1/user?q={email}")
            return int(answer.json()["items"][0]["id"])
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    async def _add_device(self, user: int, kind: str) -> int:
        body = {"name": "Device", "type": "MISC", "location": "", "userId": user, "kind": kind}
        answer = await self.victim.until_answered("POST", "device", "/api/v1/device", body)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    async def settle(self, *, to_the_last_mail: bool) -> None:
        """Wait until all that was acknowledged is stored, and everyone who is to be warned was.

        Without `to_the_last_mail`, mails whose attempt a kill cut off are left waiting for their next one.
        """
        async with asyncio.timeout(PATIENCE_S):
            while (await self.victim.get("usage", "/api/v1/ledger"))["queued"]:  # noqa: ASYNC110 - as above
                await asyncio.sleep(LOOK_AGAIN_S)
        async with asyncio.timeout(PATIENCE_S + LEASE_S):
            while not await self._all_told(to_the_last_mail):  # noqa: ASYNC110 - as above
                await asyncio.sleep(LOOK_AGAIN_S)

    async def _all_told(self, to_the_last_mail: bool) -> bool:
        page = await self.victim.get("alert", "/api/v1/alert/outbox", limit=500)
        states = [(mail["state"], mail["attempts"]) for mail in page["items"]]
        if len(states) < len(self.warned):
            return False
        self.waiting = sum(1 for state, attempts in states if state == "queued" and attempts and not to_the_last_mail)
        return [state for state, _ in states].count("sent") + self.waiting == len(self.warned)

    async def check(self) -> Findings:
        """Compare what is stored with what was acknowledged."""
        ledger = await self.victim.get("usage", "/api/v1/ledger")
        for user in self.warned:
            episodes = await self.victim.get("alert", f"/api/v1/alert/user/{user}")
            assert [each["rule"] for each in episodes] == ["high-usage"]
        await self.victim.stop()
        stored = self._check_files()
        sent = sum(len(meter.acknowledged) for meter in self.meters) + self.extra
        assert ledger["balanced"], ledger
        assert (ledger["stored"], ledger["accepted"], ledger["deadLettered"], ledger["rejected"]) == (sent, sent, 0, 0)
        assert stored == sent
        self._check_mails()
        mail = self.victim.mail
        return Findings(
            readings=stored,
            ledger=ledger,
            mails=len(mail.taken),
            mail_ids=len(set(mail.message_ids)),
            kills=self.victim.kills,
            ready_after_s=tuple(self.victim.ready_after_s),
        )

    def _check_files(self) -> int:
        connection = apsw.Connection(str(self.victim.home / "readings.db"), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            for meter in self.meters:
                rows: list[Any] = connection.execute(
                    "SELECT time_ms, CAST(round(amount * 1000) AS INTEGER) FROM reading WHERE device_id = ?"
                    " ORDER BY time_ms",
                    (meter.device_id,),
                ).fetchall()
                assert rows == sorted(meter.acknowledged), f"device {meter.device_id}"
                energy_mj = connection.execute(
                    "SELECT coalesce(sum(energy_mj), 0) FROM quarter_hour WHERE device_id = ?", (meter.device_id,)
                ).get
                assert energy_mj == (rows[-1][1] - rows[0][1]) * 3_600_000 if rows else energy_mj == 0
            return int(connection.execute("SELECT count(*) FROM reading").get)
        finally:
            connection.close()

    def _check_mails(self) -> None:
        first: dict[str, str] = {}
        for message in self.victim.mail.messages:
            before = first.setdefault(str(message["Message-ID"]), message.as_string())
            assert before == message.as_string(), "a repeat is the same mail"
        assert len(self.warned) - self.waiting <= len(first) <= len(self.warned)
        assert len(first) == len(set(self.victim.mail.recipients))


async def kill_again_and_again(household: Household, *, rounds: int, chance: random.Random) -> None:
    """Put load on the system and kill it so many times, at random moments, also while it starts; in the end it runs."""
    victim, stopping = household.victim, asyncio.Event()
    work = [asyncio.create_task(meter.send(victim, stopping)) for meter in household.meters]
    try:
        for number in range(rounds):
            if chance.random() < 0.2:  # in the middle of a start
                await victim.spawn()
                await asyncio.sleep(chance.uniform(0, 0.7))
            else:
                await victim.start()
                work.append(asyncio.create_task(household.use_much(number)))
                if chance.random() < 0.3:
                    work.append(asyncio.create_task(_rebuild(victim)))
                await asyncio.sleep(chance.uniform(0.02, 1.2))
            await victim.kill()
        await victim.start()
        stopping.set()
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*work)
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)


async def _rebuild(victim: Victim) -> None:
    """Have all figures derived again, once; the process may end in the middle."""
    with suppress(httpx.TransportError, KeyError):
        await victim.http.post(victim.urls["usage"] + "/actuator/rebuild")


@asynccontextmanager
async def victim_on(home: Path, mail: MailServer) -> AsyncIterator[Victim]:
    """Give a system that does not run yet; whatever runs in the end is killed."""
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=16)
    async with httpx.AsyncClient(trust_env=False, timeout=30, limits=limits) as http:
        victim = Victim(home, mail, http)
        try:
            yield victim
        finally:
            if victim.process is not None and victim.process.returncode is None:
                await victim.kill()


async def ordeal(
    home: Path, mail: MailServer, *, rounds: int, meters: int, seed: int, to_the_last_mail: bool
) -> Findings:
    """Kill a new system so many times under the load of so many meters; return what is left, all checked."""
    chance = random.Random(seed)
    async with victim_on(home, mail) as victim:
        await victim.spawn()  # killed while it makes its tables
        await asyncio.sleep(chance.uniform(0.2, 1.5))
        await victim.kill()
        household = Household(victim, chance)
        await victim.start()
        await household.add_meters(meters)
        await victim.kill()
        await kill_again_and_again(household, rounds=rounds, chance=chance)
        await household.settle(to_the_last_mail=to_the_last_mail)
        return await household.check()
