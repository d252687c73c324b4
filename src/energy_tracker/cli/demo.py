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
THRESHOLD_KWH: Final = 5.0
_SAVE_EVERY_MS: Final = 60 * MS_PER_SECOND
_TICK_S: Final = 1.0


class FolderHoldsRealData(Problem):
    """The folder holds data that is not the demo's; simulated readings do not belong there."""

    status = 409
    title = "This is no demo folder"


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
            state = DemoState(await _user_id(clients), epoch_ms, epoch_ms, 0, {})
        mark = CounterMark(state.day_start_ms, state.counted_mj) if state.counted_mj else None
        simulation = Simulation(household=chosen, seed=SEED, epoch_ms=state.epoch_ms, mark=mark)
        ids = await ensure_devices(clients, chosen, state.user_id)
        return cls(clients, home, clock, state, simulation, ids)

    async def catch_up(self) -> int:
        """Send what lies between the last reading sent and now; return how many readings that was."""
        sent = 0
        while self.state.sent_until_ms < (now_ms := self.clock.now_ms()):
            until_ms = min(self.state.sent_until_ms + MS_PER_DAY, now_ms)
            sent += await self._send(self.simulation.readings(self.state.sent_until_ms, until_ms), until_ms)
            self._save()
            if until_ms == now_ms:
                break
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
        answer = await send_readings(self.clients, readings, self.ids)
        self.state = msgspec.structs.replace(self.state, sent_until_ms=until_ms)
        return answer.received

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


async def _user_id(clients: Clients) -> int:
    async for user in clients.users.iterate(text="demo@example.org"):
        return user.id
    body = UserBody.model_validate(
        {
            "name": "Demo home",
            "email": "demo@example.org",
            "alerting": True,
            "energyAlertingThreshold": THRESHOLD_KWH,
        }
    )
    return (await clients.users.create(body)).id
