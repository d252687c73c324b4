"""The whole system on its real files, spoken to over HTTP, ended at random writes and calls, and started again.

`ENERGY_TEST_HTTP_SCHEDULES` is how many seeds are tried (6), `ENERGY_TEST_SEED` the first of them.
"""

import logging
import os
import random
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.clock import START, VirtualClock
from tests.support.crashing import ProcessEnded
from tests.support.faults import Fate, misfortunes
from tests.support.relational import migrated_database
from tests.support.system import WholeSystem, system_on
from tests.support.usage import dump

from energy_tracker.kit.instants import to_iso
from energy_tracker.storage.sqlite_writer import SqliteWriter

SCHEDULES = int(os.environ.get("ENERGY_TEST_HTTP_SCHEDULES", "6"))
FIRST_SEED = int(os.environ.get("ENERGY_TEST_SEED", "0"))
LIVES = 4
KINDS = ("interval", "register", "power")

Work = Callable[[WholeSystem], Awaitable[dict[str, int]]]


@dataclass
class Doom:
    """Ends the process at a write or at a call of one service to another, as the fate of this life says."""

    fate: Fate = field(default_factory=Fate)
    writers: list[SqliteWriter] = field(default_factory=list)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        submit, call = SqliteWriter.submit, httpx.ASGITransport.handle_async_request

        def submitted(writer: SqliteWriter, *arguments: Any, **named: Any) -> Any:
            if writer not in self.writers:
                self.writers.append(writer)
            event = self.fate.next_event("write")
            if event == "end before":
                self.fate.end()
            future = submit(writer, *arguments, **named)
            if event == "end after":
                self.fate.end()
            return future

        async def called(transport: httpx.ASGITransport, request: httpx.Request) -> httpx.Response:
            event = self.fate.next_event("call") if request.url.host.endswith(".internal") else "pass"
            if event == "end before":
                self.fate.end()
            answer = await call(transport, request)
            if event == "end after":
                self.fate.end()
            self.fate.alive()
            return answer

        patch.setattr(SqliteWriter, "submit", submitted)
        patch.setattr(httpx.ASGITransport, "handle_async_request", called)

    async def live(self, folder: Path, clock: VirtualClock, fate: Fate, work: Work) -> dict[str, int] | None:
        """Run the system and the work; None if the process ended, and with it what is written lazily."""
        self.fate, self.writers = fate, []
        try:
            async with system_on(folder, clock) as system:
                try:
                    return await work(system)
                finally:
                    if fate.ended:
                        for writer in self.writers:
                            writer._lazy.clear()
        except BaseException as error:
            if not fate.ended:
                raise
            if not _is_an_end(error):
                raise
            return None


def _is_an_end(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_is_an_end(each) for each in error.exceptions)
    return isinstance(error, ProcessEnded | httpx.HTTPError)


def batches(seed: int, devices: list[int], start_ms: int) -> list[list[dict[str, Any]]]:
    """Return what the client sends: all kinds, in any order, some twice."""
    chance = random.Random(seed)
    values = {"interval": "energyConsumed", "register": "registerKwh", "power": "powerW"}
    pool = [
        {
            "deviceId": devices[number % 3],
            "timestamp": to_iso(start_ms - chance.randint(0, 7_000_000)),
            values[KINDS[number % 3]]: chance.choice((0.0, 0.5, 7.25, 7.5)),
        }
        for number in range(24)
    ]
    pool += chance.choices(pool, k=5)
    chance.shuffle(pool)
    sizes = [chance.choice((1, 3, 6)) for _ in pool]
    found = []
    for size in sizes:
        if pool:
            found.append(pool[:size])
            del pool[:size]
    return found


async def make_home(folder: Path) -> None:
    """Make a home with a device of each kind."""
    folder.mkdir()  # noqa: ASYNC240 - nobody waits
    (folder / "relational.db").write_bytes(migrated_database())
    async with system_on(folder, VirtualClock(START)) as system:
        user = await system.add_user()
        assert [await system.add_device(user, kind=kind) for kind in KINDS] == [1, 2, 3]


async def live(home: Path, folder: Path, seed: int, fates: list[Fate], doom: Doom) -> dict[str, int]:
    """Send everything, beginning with a copy of a home, over as many lives as it takes; return the ledger."""
    shutil.copytree(home, folder)
    clock = VirtualClock(START + timedelta(hours=1))
    waiting = batches(seed, [1, 2, 3], clock.now_ms())

    async def work(system: WholeSystem) -> dict[str, int]:
        while waiting:
            await system.send(*waiting[0])
            waiting.pop(0)
            await clock.advance(0.3)
        await system.caught_up()
        ledger: dict[str, int] = await system.get("usage", "/api/v1/ledger")
        return ledger

    for _ in range(LIVES + 1):
        ledger = await doom.live(folder, clock, fates.pop(0) if fates else Fate(), work)
        if ledger is not None:
            return ledger
    message = "an undisturbed life ended"
    raise AssertionError(message)


async def test_ended_at_writes_and_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    await make_home(home := tmp_path / "home")
    doom = Doom()
    doom.install(monkeypatch)
    for seed in range(FIRST_SEED, FIRST_SEED + SCHEDULES):
        fates = [Fate(misfortunes(seed * LIVES + life, ends=0.12, fails=0, slow=0)) for life in range(LIVES)]
        expected = await live(home, tmp_path / f"{seed}-whole", seed, [], doom)
        found = await live(home, tmp_path / f"{seed}-ended", seed, fates, doom)
        again = f"Again: ENERGY_TEST_SEED={seed} ENERGY_TEST_HTTP_SCHEDULES=1"
        assert dump(tmp_path / f"{seed}-ended") == dump(tmp_path / f"{seed}-whole"), again
        assert found["balanced"], again
        assert {name: found[name] for name in ("accepted", "stored", "queued", "deadLettered")} == {
            name: expected[name] for name in ("accepted", "stored", "queued", "deadLettered")
        }, again
