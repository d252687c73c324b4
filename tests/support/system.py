"""The whole system in one process, on real files and virtual time, spoken to as a client would."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tests.support.clock import VirtualClock

from energy_tracker.kit.instants import to_iso
from energy_tracker.settings import load_settings
from energy_tracker.wiring.standalone import SERVICES, standalone

PATIENCE_S = 120.0
LOOK_AGAIN_S = 0.5
STEP_S = 10.0


@dataclass
class WholeSystem:
    """A running system; `get`, `post` and so on take a service's short name and a path."""

    http: httpx.AsyncClient
    clock: VirtualClock
    folder: Path
    users: list[int] = field(default_factory=list)

    async def call(self, method: str, service: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        if body is not None:
            more["json"] = body
        return await self.http.request(method, f"http://{service}.test{path}", **more)

    async def get(self, service: str, path: str, **query: Any) -> Any:
        """Return the body of a successful answer."""
        response = await self.call("GET", service, path, params=query)
        assert response.status_code == 200, response.text
        return response.json()

    async def add_user(self, **fields: Any) -> int:
        number = len(self.users) + 1
        body = {
            "name": "Test",
            "surname": "Home",
            "email": f"home{number}@example.org",
            "address": "",
            "alerting": True,
            "energyAlertingThreshold": 0.0,
        }
        response = await self.call("POST", "user", "/api/v1/user", body | fields)
        assert response.status_code == 201, response.text
        self.users.append(response.json()["id"])
        await self.look_around()
        return self.users[-1]

    async def add_device(self, user_id: int, **fields: Any) -> int:
        body = {"name": "Device", "type": "MISC", "location": "", "userId": user_id}
        response = await self.call("POST", "device", "/api/v1/device", body | fields)
        assert response.status_code == 201, response.text
        device_id: int = response.json()["id"]
        await self.look_around()

        async def known() -> bool:
            answer = await self.call("GET", "usage", f"/api/v1/usage/{user_id}")
            return answer.is_success and device_id in {each["id"] for each in answer.json()["devices"]}

        # The files know no virtual time: on a busy machine they may be behind it, and mostly only need a moment.
        async with asyncio.timeout(PATIENCE_S):
            looks = 0
            while not await known():
                looks += 1
                await (self.clock.settle() if looks % 20 else self.clock.advance(LOOK_AGAIN_S))
        return device_id

    async def look_around(self) -> None:
        """Let every service notice what has changed in the registry."""
        await self.pass_time(2.1)

    async def send(self, *readings: dict[str, Any]) -> dict[str, Any]:
        """Send readings as a batch; return the answer."""
        response = await self.call("POST", "ingestion", "/api/v1/ingestion/batch", list(readings))
        assert response.status_code == 202, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def ago(self, **units: float) -> str:
        """Return an instant before now, as it is on the wire; `minutes=10`."""
        from datetime import timedelta

        return to_iso(self.clock.now_ms() - round(timedelta(**units).total_seconds() * 1000))

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Return once the condition holds; between two looks, virtual time passes."""
        async with asyncio.timeout(PATIENCE_S):
            while not await condition():
                await self.clock.advance(LOOK_AGAIN_S)

    async def pass_time(self, seconds: float) -> None:
        """Let virtual time pass in steps in which the files, which know no virtual time, can follow."""
        until_ms = self.clock.now_ms() + seconds * 1000
        while self.clock.now_ms() < until_ms:
            await self.clock.advance(min(STEP_S, (until_ms - self.clock.now_ms()) / 1000))
            await self.get("usage", "/api/v1/ledger")
            await self.get("device", "/api/v1/device")

    async def caught_up(self) -> None:
        """Return once usage-service has stored what was accepted."""

        async def nothing_queued() -> bool:
            return bool((await self.get("usage", "/api/v1/ledger"))["queued"] == 0)

        await self.until(nothing_queued)

    async def episodes(self, user_id: int, count: int, **query: Any) -> list[dict[str, Any]]:
        """Return the user's episodes once there are so many."""
        found: list[dict[str, Any]] = []

        async def enough() -> bool:
            nonlocal found
            found = await self.get("alert", f"/api/v1/alert/user/{user_id}", **query)
            return len(found) >= count

        await self.until(enough)
        return found


@asynccontextmanager
async def system_on(folder: Path, clock: VirtualClock, **environ: str) -> AsyncIterator[WholeSystem]:
    """Run the system on a folder; leaving and entering again is a restart."""
    settings = load_settings({"ENERGY_TRACKER_HOME": str(folder), **environ})
    async with AsyncExitStack() as stack:
        system = await stack.enter_async_context(standalone(settings=settings, clock=clock))
        mounts = {
            f"http://{service}.test": httpx.ASGITransport(system.apps[service], raise_app_exceptions=False)
            for service in SERVICES
        }
        http = await stack.enter_async_context(httpx.AsyncClient(mounts=mounts, trust_env=False))
        yield WholeSystem(http, clock, folder)
