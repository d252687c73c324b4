"""The live view of a running system: addresses, rates, lag, alerts and totals, from the services' own calls."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from energy_tracker.cli.access import SERVICES, Clients
from energy_tracker.cli.output import NOTHING, inert, kwh
from energy_tracker.contracts.alerts import AlertState
from energy_tracker.kit.problems import Problem

if TYPE_CHECKING:
    from rich.console import RenderableType

INTERVAL_S: Final = 1.0
PLAIN_INTERVAL_S: Final = 10.0
_SHOWN_USERS: Final = 5
_OPEN: Final[tuple[AlertState]] = ("open",)


@dataclass(frozen=True, slots=True)
class HomeToday:
    """A user and the kWh imported in the last day; None where nothing was measured."""

    id: int
    name: str
    import_kwh: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How the system is at one moment. `rate_per_s` counts accepted readings since the snapshot before."""

    urls: Mapping[str, str]
    health: Mapping[str, str]
    accepted: int
    duplicate: int
    rejected: int
    dead_lettered: int
    lag: int
    rate_per_s: float
    open_alerts: int
    users: int
    devices: int
    homes: tuple[HomeToday, ...]

    def line(self) -> str:
        """Return the snapshot as one plain line."""
        down = [service for service, state in self.health.items() if state != "UP"]
        homes = ", ".join(f"{home.name} {kwh(home.import_kwh) or NOTHING} kWh today" for home in self.homes)
        return inert(
            f"{len(self.health) - len(down)} of {len(self.health)} services up"
            + (f" (not {', '.join(down)})" if down else "")
            + f"; {self.rate_per_s:,.0f} readings/s, {self.accepted:,} accepted, lag {self.lag:,}; "
            f"{self.open_alerts} open alerts; {self.devices} devices" + (f"; {homes}" if homes else "")
        )


async def snapshots(clients: Clients, urls: Mapping[str, str], *, interval_s: float) -> AsyncIterator[Snapshot]:
    """Yield how the system is, every `interval_s`; what does not answer is shown as such."""
    before: tuple[float, int] | None = None
    loop = asyncio.get_running_loop()
    while True:
        now_s = loop.time()
        snapshot = await _take(clients, urls, before, now_s)
        before = (now_s, snapshot.accepted)
        yield snapshot
        await clients.clock.sleep(interval_s)


async def _take(clients: Clients, urls: Mapping[str, str], before: tuple[float, int] | None, now_s: float) -> Snapshot:
    health = {service: await _health(clients, service) for service in SERVICES}
    accepted = duplicate = rejected = dead = lag = open_alerts = users = devices = 0
    homes: list[HomeToday] = []
    with suppress(Problem):
        ledger = await clients.usage.ledger()
        accepted, duplicate, rejected = ledger.accepted, ledger.duplicate, ledger.rejected
        dead, lag = ledger.dead_lettered, ledger.queued
    with suppress(Problem):
        page = await clients.alerts.page(states=_OPEN, limit=1000)
        open_alerts = len(page.items)
    with suppress(Problem):
        found = [user async for user in clients.users.iterate()]
        users = len(found)
        devices = len([device async for device in clients.devices.iterate()])
        for user in found[:_SHOWN_USERS]:
            usage = await clients.usage.usage(user.id, days=1)
            known = [each.energy_consumed for each in usage.devices if each.energy_consumed is not None]
            homes.append(HomeToday(user.id, user.name, max(known) if known else None))
    elapsed_s = 0.0 if before is None else now_s - before[0]
    rate = (accepted - before[1]) / elapsed_s if before is not None and elapsed_s > 0 else 0.0
    return Snapshot(
        urls, health, accepted, duplicate, rejected, dead, lag, rate, open_alerts, users, devices, tuple(homes)
    )


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
    figures.add_row("readings", f"{snapshot.rate_per_s:,.0f} /s", f"{snapshot.accepted:,} accepted")
    figures.add_row("", f"{snapshot.duplicate:,} repeated", f"{snapshot.rejected:,} rejected")
    figures.add_row("lag", f"{snapshot.lag:,}", f"{snapshot.dead_lettered:,} dead-lettered")
    figures.add_row("alerts", f"{snapshot.open_alerts} open", f"{snapshot.users} users, {snapshot.devices} devices")
    homes = Table(box=None, padding=(0, 2), show_header=False)
    for home in snapshot.homes:
        homes.add_row(Text(inert(f"user {home.id}")), Text(inert(home.name)), f"{kwh(home.import_kwh) or NOTHING} kWh")
    return Group(Text(title, style="bold"), services, "", figures, "", homes, Text("Ctrl-C stops it.", style="dim"))
