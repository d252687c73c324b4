"""The faults of `bench.distributed_faults`: how each begins, and how it ends."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from tests.support.kafka import members_of
from tests.support.processes import SERVICES, Stack
from tests.support.servers import OwnServers

KILLED_S = 2.0
"""So long a process that was killed is away."""
_PARTITIONS = 6
_SHARED_S = 120.0


@dataclass(frozen=True)
class Scene:
    """Where faults happen: the processes, the servers that may be killed, and a user whose advice is asked for."""

    stack: Stack
    servers: OwnServers | None
    user: int


Act = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """Begins, lasts, and ends; all else has to come right by itself."""

    name: str
    lasts_s: float
    begin: Act
    end: Act
    server: str | None = None
    """Which server is away meanwhile."""
    mail_may_repeat: bool = False
    """Whether a mail may arrive twice, as the same one, since nobody could know that it had arrived."""


def all_faults(*, away_s: float, outage_s: float) -> list[Fault]:
    """Return all faults: what is stopped is away for `away_s`, InfluxDB for `outage_s`."""
    return [
        *(
            Fault(f"{service} killed", KILLED_S, partial(_kill, service), partial(_spawn, service), None, repeats)
            for service, repeats in _mailing(SERVICES)
        ),
        *(
            Fault(
                f"{service} stopped",
                away_s,
                partial(_signal, service, signal.SIGSTOP),
                partial(_signal, service, signal.SIGCONT),
                None,
                repeats,
            )
            for service, repeats in _mailing(SERVICES)
        ),
        Fault("usage joined, killed, joined", KILLED_S, _join_and_kill, _join),
        _server("influxdb", "paused", outage_s),
        _server("influxdb", "killed", outage_s),
        _server("kafka", "paused", away_s),
        _server("kafka", "killed", away_s),
        _server("mysql", "killed", away_s, mail_may_repeat=True),
        _server("mailpit", "killed", away_s, mail_may_repeat=True),
        Fault("ollama killed", away_s, partial(_kill_server, "ollama"), _advised_without_model, "ollama"),
    ]


def _mailing(services: tuple[str, ...]) -> list[tuple[str, bool]]:
    return [(service, service == "alert") for service in services]


def _server(name: str, how: str, lasts_s: float, *, mail_may_repeat: bool = False) -> Fault:
    begin, end = (_pause_server, _resume_server) if how == "paused" else (_kill_server, _start_server)
    return Fault(f"{name} {how}", lasts_s, partial(begin, name), partial(end, name), name, mail_may_repeat)


async def _kill(service: str, scene: Scene) -> None:
    await scene.stack[service].kill()


async def _spawn(service: str, scene: Scene) -> None:
    await scene.stack[service].spawn()


async def _signal(service: str, number: signal.Signals, scene: Scene) -> None:
    scene.stack[service].signal(number)


async def _join_and_kill(scene: Scene) -> None:
    await scene.stack.start("usage-2")
    await _shared(scene, 2)
    await scene.stack["usage"].kill()


async def _join(scene: Scene) -> None:
    """Start the third, where the first one was: the others ask there."""
    await _shared(scene, 1)
    await scene.stack.start("usage")
    await _shared(scene, 2)


async def leave(scene: Scene) -> None:
    """Stop the second usage-service where it runs, and wait until the other has all."""
    second = scene.stack["usage-2"]
    if second.wanted:
        await second.stop()
        await _shared(scene, 1)


async def _shared(scene: Scene, members: int) -> None:
    async def so() -> bool:
        shares = await asyncio.to_thread(members_of, scene.stack.kafka, "usage-service")
        return sorted(shares.values()) == [_PARTITIONS // members] * members

    await scene.stack.until(so, f"{members} usage-services share the partitions", patience_s=_SHARED_S)


def _theirs(scene: Scene) -> OwnServers:
    if scene.servers is None:
        raise RuntimeError("there are no servers here that may be killed")
    return scene.servers


async def _kill_server(name: str, scene: Scene) -> None:
    await _theirs(scene).kill(name)


async def _start_server(name: str, scene: Scene) -> None:
    await _theirs(scene).up(name)


async def _pause_server(name: str, scene: Scene) -> None:
    await _theirs(scene).pause(name)


async def _resume_server(name: str, scene: Scene) -> None:
    await _theirs(scene).resume(name)


async def _advised_without_model(scene: Scene) -> None:
    """See that there is advice all the same, from the rules; then start the model again."""
    try:
        answer = await scene.stack.answered("GET", "insight", f"/api/v1/insight/saving-tips/{scene.user}")
        if answer.status_code != 200 or answer.json()["adviser"] != "rules":
            raise AssertionError(f"without a model the advice is {answer.status_code} {answer.text[:300]}")
    finally:
        await _theirs(scene).up("ollama")
