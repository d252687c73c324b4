"""The demo home: made once with two weeks of history, then living on, also over the time it was switched off."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from energy_tracker.cli.access import Clients
from energy_tracker.cli.household import ensure_devices, send_readings
from energy_tracker.contracts.user import UserBody
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_SECOND
from energy_tracker.kit.problems import Problem
from energy_tracker.services.ingestion.simulation.generation import CounterMark, Simulation
from energy_tracker.services.ingestion.simulation.households import household
from energy_tracker.services.ingestion.simulation.readings import SimulatedReading

MARK_FILE: Final = "demo.json"
HISTORY_DAYS: Final = 14
SEED: Final = 1
PROFILE: Final = "home"
THRESHOLD_KWH: Final = 10.0
"""The car charging is not enough for an alert; charging while the house is busy is."""
SILENT_DEVICE: Final = "Lamps"
SILENT_AFTER: Final = "PT3M"
_SAVE_EVERY_MS: Final = 60 * MS_PER_SECOND
_TICK_S: Final = 1.0


class FolderHoldsRealData(Problem):
    """The folder holds data that is not the demo's; simulated readings do not belong there."""

    status = 409
    title = "This is no demo folder"


@dataclass(slots=True)
class Progress:
    """How far the history is that is being made: from, until and to in ms since 1970; all 0 when nothing is."""

    from_ms: int = 0
    until_ms: int = 0
    to_ms: int = 0

    def sentence(self) -> str:
        """Return what to tell who waits; empty when there is nothing to wait for."""
        if self.until_ms >= self.to_ms:
            return ""
        share = (self.until_ms - self.from_ms) / (self.to_ms - self.from_ms)
        return f"Making the home's history … {share:.0%}"


class DemoState(msgspec.Struct, frozen=True):
    """How far the demo is: whose readings, since when, sent until when; and what its registers had counted."""

    user_id: int
    epoch_ms: int
    sent_until_ms: int
    day_start_ms: int
    counted_mj: dict[str, int]


def begin_folder(home: Path) -> None:
    """Mark a folder as the demo's before anything is stored in it.

    Raises `FolderHoldsRealData` where it is in use for something else.
    """
    if (home / "log.db").exists() and not (home / MARK_FILE).exists():
        message = f"{home} holds data that is not the demo's; name another folder with --home."
        raise FolderHoldsRealData(message)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    (home / MARK_FILE).touch()


@dataclass(slots=True)
class Demo:
    """The demo home on running services."""

    clients: Clients
    home: Path
    clock: Clock
    state: DemoState
    simulation: Simulation
    ids: dict[str, int]

    @classmethod
    async def open(cls, clients: Clients, home: Path, clock: Clock) -> "Demo":
        """Return the demo as it was left, or make its user and its devices."""
        chosen = household(PROFILE)
        state = _read_state(home)
        if state is None:
            epoch_ms = clock.now_ms() - HISTORY_DAYS * MS_PER_DAY
            epoch_ms -= epoch_ms % MS_PER_SECOND
            state = DemoState(await _user_id(clients, chosen.place.zone), epoch_ms, epoch_ms, 0, {})
        mark = CounterMark(state.day_start_ms, state.counted_mj) if state.counted_mj else None
        simulation = Simulation(household=chosen, seed=SEED, epoch_ms=state.epoch_ms, mark=mark)
        ids = await ensure_devices(clients, chosen, state.user_id, extra={SILENT_DEVICE: {"silentAfter": SILENT_AFTER}})
        demo = cls(clients, home, clock, state, simulation, ids)
        demo._save()  # before anything is sent: whatever comes, the next start is of the same home
        return demo

    async def catch_up(self, progress: Progress) -> int:
        """Send what lies between the last reading sent and now; return how many readings that was."""
        sent = 0
        progress.from_ms = progress.until_ms = self.state.sent_until_ms
        progress.to_ms = self.clock.now_ms()
        while self.state.sent_until_ms < (now_ms := self.clock.now_ms()):
            until_ms = min(self.state.sent_until_ms + MS_PER_DAY, now_ms)
            sent += await self._send(self.simulation.readings(self.state.sent_until_ms, until_ms), until_ms)
            self._save()
            progress.until_ms = until_ms
            if until_ms == now_ms:
                break
        progress.until_ms = progress.to_ms
        return sent

    async def live(self) -> None:
        """Send the readings of each second, until cancelled; what was sent is written down at the end, too."""
        saved_ms = self.state.sent_until_ms
        try:
            while True:
                await self.clock.sleep(_TICK_S)
                until_ms = self.clock.now_ms()
                if until_ms <= self.state.sent_until_ms:
                    continue
                await self._send(self.simulation.readings(self.state.sent_until_ms, until_ms), until_ms)
                if until_ms - saved_ms >= _SAVE_EVERY_MS:
                    self._save()
                    saved_ms = until_ms
        finally:
            self._save()

    async def _send(self, readings: Iterator[SimulatedReading], until_ms: int) -> int:
        heard = (reading for reading in readings if not self._is_lost(reading))
        answer = await send_readings(self.clients, heard, self.ids)
        self.state = msgspec.structs.replace(self.state, sent_until_ms=until_ms)
        return answer.received

    def _is_lost(self, reading: SimulatedReading) -> bool:
        """Return whether a reading is of the plug that loses contact when the history ends: an alert opens soon."""
        return reading.device == SILENT_DEVICE and reading.at_ms >= self.state.epoch_ms + HISTORY_DAYS * MS_PER_DAY

    def _save(self) -> None:
        """Write down how far the demo is; a crash before that sends the same readings again, which changes nothing."""
        mark = self.simulation.mark(self.state.sent_until_ms)
        self.state = msgspec.structs.replace(
            self.state, day_start_ms=mark.day_start_ms, counted_mj=dict(mark.counted_mj)
        )
        temporary = self.home / f".{MARK_FILE}"
        temporary.write_bytes(msgspec.json.encode(self.state))
        temporary.replace(self.home / MARK_FILE)


def _read_state(home: Path) -> DemoState | None:
    content = (home / MARK_FILE).read_bytes()
    return msgspec.json.decode(content, type=DemoState) if content else None


async def _user_id(clients: Clients, zone: str) -> int:
    async for user in clients.users.iterate(text="demo@example.org"):
        return user.id
    body = UserBody.model_validate(
        {
            "name": "Demo home",
            "email": "demo@example.org",
            "alerting": True,
            "energyAlertingThreshold": THRESHOLD_KWH,
            "timeZone": zone,
        }
    )
    return (await clients.users.create(body)).id
