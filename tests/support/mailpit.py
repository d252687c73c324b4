"""A real Mailpit, named by `ENERGY_TEST_SMTP` and `ENERGY_TEST_MAILPIT`, that others may be using too."""

import asyncio
import fcntl
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

SERVERS = ("ENERGY_TEST_SMTP", "ENERGY_TEST_MAILPIT")
PATIENCE_S = 60.0


def unique_address() -> str:
    """Return an address that nobody else writes to."""
    return f"ada@{uuid4().hex}.example.org"


@dataclass(frozen=True)
class Mailpit:
    """Reads what was delivered, and has the server refuse."""

    http: httpx.AsyncClient
    host: str
    port: int

    async def mails_to(self, address: str, *, at_least: int = 1) -> list[EmailMessage]:
        """Wait until so many mails to an address are there, and return them all, oldest first."""
        async with asyncio.timeout(PATIENCE_S):
            while len(found := await self._find(address)) < at_least:
                pass
        return [await self._message(each["ID"]) for each in reversed(found)]

    async def _find(self, address: str) -> list[dict[str, Any]]:
        answer = await self.http.get("/api/v1/search", params={"query": f'to:"{address}"', "limit": 50})
        messages: list[dict[str, Any]] = answer.raise_for_status().json()["messages"]
        return messages

    async def _message(self, name: str) -> EmailMessage:
        raw = (await self.http.get(f"/api/v1/message/{name}/raw")).raise_for_status().content
        return message_from_bytes(raw, policy=policy.default)  # type: ignore[return-value]  # the policy makes EmailMessages

    @asynccontextmanager
    async def refusing(self, trigger: str, code: int) -> AsyncIterator[None]:
        """Refuse every `Sender` or `Recipient`, whoever's, with a code. Needs a server `for_oneself`."""
        await self._chaos({trigger: {"ErrorCode": code, "Probability": 100}})
        try:
            yield
        finally:
            await self._chaos({})

    async def _chaos(self, triggers: dict[str, object]) -> None:
        (await self.http.put("/api/v1/chaos", json=triggers)).raise_for_status()


@asynccontextmanager
async def mailpit(*, for_oneself: bool = False) -> AsyncIterator[Mailpit]:
    """Give the server: shared with other tests, also of other processes, or while none of them uses it."""
    smtp = urlsplit(os.environ["ENERGY_TEST_SMTP"])
    assert smtp.hostname is not None
    lock = Path(tempfile.gettempdir()) / f"energy-tracker-tests-mailpit-{smtp.port}.lock"
    with lock.open("w") as file:
        await asyncio.to_thread(fcntl.flock, file, fcntl.LOCK_EX if for_oneself else fcntl.LOCK_SH)
        async with httpx.AsyncClient(base_url=os.environ["ENERGY_TEST_MAILPIT"], trust_env=False) as http:
            yield Mailpit(http, smtp.hostname, smtp.port or 25)
