"""The live view of a running system: addresses, rates, lag, alerts and totals, from the services' own calls."""

import asyncio
import math
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from energy_tracker.cli.access import SERVICES, Clients
from energy_tracker.cli.output import NOTHING, inert, kwh
from energy_tracker.cli.periods import period_ms
from energy_tracker.contracts.alerts import AlertState
from energy_tracker.contracts.usage import LedgerAnswer
from energy_tracker.contracts.user import UserAnswer
from energy_tracker.kit.problems import Problem

if TYPE_CHECKING:
    from rich.console import RenderableType

INTERVAL_S: Final = 2.0
SLOW_INTERVAL_S: Final = 10.0
PLAIN_INTERVAL_S: Final = 10.0
_SHOWN_USERS: Final = 5
_OPEN: Final[tuple[AlertState]] = ("open",)


@dataclass(frozen=True, slots=True)
class HomeToday:
    """A user and the kWh imported since midnight in its zone; None where nothing was measured."""

    id: int
    name: str
    import_kwh: float | None


@dataclass(frozen=True, slots=True)
class _Homes:
    """What changes slowly."""

    open_alerts: int = 0
    users: int = 0
    devices: int = 0
    today: tuple[HomeToday, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How the system is at one moment. `rate_per_s` counts accepted readings since the snapshot before."""

    urls: Mapping[str, str]
    health: Mapping[str, str]
    ledger: LedgerAnswer
    rate_per_s: float
    homes: _Homes

    def line(self) -> str:
        """Return the snapshot as one plain line."""
        down = [service for service, state in self.health.items() if state != "UP"]
        homes = ", ".join(f"{home.name} {kwh(home.import_kwh) or NOTHING} kWh today" for home in self.homes.today)
        return inert(
            f"{len(self.health) - len(down)} of {len(self.health)} services up"
            + (f" (not {', '.join(down)})" if down else "")
            + f"; {self.rate_per_s:,.1f} readings/s, {self.ledger.accepted:,} accepted, lag {self.ledger.queued:,}; "
            f"{self.homes.open_alerts} open alerts; {self.homes.devices} devices" + (f"; {homes}" if homes else "")
        )


async def snapshots(clients: Clients, urls: Mapping[str, str], *, interval_s: float) -> AsyncIterator[Snapshot]:
    """Yield how the system is, every `interval_s`; what does not answer is shown as such.

    What changes slowly is asked for every ten seconds only, so that looking costs next to nothing.
    """
    loop = asyncio.get_running_loop()
    homes, asked_s = _Homes(), -math.inf
    counted, counted_s = 0, -math.inf
    while True:
        now_s = loop.time()
        if now_s - asked_s >= SLOW_INTERVAL_S:
            homes, asked_s = await _homes(clients), now_s
        ledger = LedgerAnswer(
            received=0, accepted=0, duplicate=0, rejected=0, stored=0, queued=0, dead_lettered=0, balanced=True
        )
        with suppress(Problem):
            ledger = await clients.usage.ledger()
        yield Snapshot(
            urls,
            {service: await _health(clients, service) for service in SERVICES},
            ledger,
            max(0.0, (ledger.accepted - counted) / (now_s - counted_s)),
            homes,
        )
        counted, counted_s = ledger.accepted, now_s
        await clients.clock.sleep(interval_s)


async def _homes(clients: Clients) -> _Homes:
    users = devices = open_alerts = 0
    homes: list[HomeToday] = []
    with suppress(Problem):
        open_alerts = len((await clients.alerts.page(states=_OPEN, limit=1000)).items)
    with suppress(Problem):
        devices = len([device async for device in clients.devices.iterate()])
    with suppress(Problem):
        found = [user async for user in clients.users.iterate()]
        users = len(found)
        homes += [HomeToday(user.id, user.name, await _import_today(clients, user)) for user in found[:_SHOWN_USERS]]
    return _Homes(open_alerts, users, devices, tuple(homes))


async def _import_today(clients: Clients, user: UserAnswer) -> float | None:
    start_ms, end_ms = period_ms(None, None, days=1, zone=user.time_zone, now=clients.clock.now())
    answer = await clients.usage.series(user.id, start_ms=start_ms, end_ms=end_ms, resolution="day")
    known = [bucket.import_kwh for bucket in answer.total if bucket.import_kwh is not None]
    return sum(known) if known else None


async def _health(clients: Clients, service: str) -> str:
    try:
        await clients.bases[service].call("GET", "/actuator/health", attempts=1)
    except Problem:
        return "DOWN"
    return "UP"


async def show_live(clients: Clients, urls: Mapping[str, str], *, title: str) -> None:
    """Show the system until cancelled: a view that renews itself on a terminal, plain lines elsewhere."""
    if not sys.stdout.isatty():
        await _show_plain(clients, urls, title)
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(highlight=False), refresh_per_second=4, screen=False) as live:
        async for snapshot in snapshots(clients, urls, interval_s=INTERVAL_S):
            live.update(_rendered(snapshot, title))


async def _show_plain(clients: Clients, urls: Mapping[str, str], title: str) -> None:
    sys.stdout.write(f"{title}\n" + "".join(f"  {service}-service  {url}\n" for service, url in urls.items()))
    sys.stdout.write("Ctrl-C stops it.\n")
    sys.stdout.flush()
    async for snapshot in snapshots(clients, urls, interval_s=PLAIN_INTERVAL_S):
        sys.stdout.write(snapshot.line() + "\n")
        sys.stdout.flush()


def _rendered(snapshot: Snapshot, title: str) -> "RenderableType":
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    services = Table(box=None, padding=(0, 2), show_header=False)
    for service, url in snapshot.urls.items():
        state = snapshot.health[service]
        style = "green" if state == "UP" else "red"
        services.add_row(Text(f"{service}-service"), Text(url, style="cyan"), Text(state, style=style), f"{url}/docs")
    figures = Table(box=None, padding=(0, 2), show_header=False)
    figures.add_row("readings", f"{snapshot.rate_per_s:,.1f} /s", f"{snapshot.ledger.accepted:,} accepted")
    figures.add_row("", f"{snapshot.ledger.duplicate:,} repeated", f"{snapshot.ledger.rejected:,} rejected")
    figures.add_row("lag", f"{snapshot.ledger.queued:,}", f"{snapshot.ledger.dead_lettered:,} dead-lettered")
    figures.add_row(
        "alerts",
        f"{snapshot.homes.open_alerts} open",
        f"{snapshot.homes.users} users, {snapshot.homes.devices} devices",
    )
    homes = Table(box=None, padding=(0, 2), show_header=False)
    for home in snapshot.homes.today:
        homes.add_row(
            Text(inert(f"user {home.id}")), Text(inert(home.name)), f"{kwh(home.import_kwh) or NOTHING} kWh today"
        )
    return Group(Text(title, style="bold"), services, "", figures, "", homes, Text("Ctrl-C stops it.", style="dim"))
