"""The live view of a running system: how it is, from the services' own calls, on a terminal or as plain lines."""

import asyncio
import math
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from energy_tracker.cli.access import SERVICES, Clients
from energy_tracker.cli.output import NOTHING, inert
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
_RATE_WINDOW_S: Final = 60.0
_BUSY_PER_S: Final = 10.0
_SHOWN_USERS: Final = 5
_SHOWN_ALERTS: Final = 3
_OPEN: Final[tuple[AlertState]] = ("open",)


@dataclass(frozen=True, slots=True)
class Heading:
    """What stands around the figures; `news` is asked each time for a sentence about now, empty for none."""

    title: str
    folder: str
    example: str
    news: Callable[[], str] = str


@dataclass(frozen=True, slots=True)
class HomeToday:
    """A user, its devices, and the kWh since midnight in its zone; None where nothing was measured."""

    id: int
    name: str
    devices: int
    import_kwh: float | None
    export_kwh: float | None

    def sentence(self) -> str:
        """Return the figures in words."""
        used = f"{NOTHING if self.import_kwh is None else f'{self.import_kwh:,.2f}'} kWh today"
        sent = "" if self.export_kwh is None else f", {self.export_kwh:,.2f} kWh sent out"
        return f"{self.devices} device{'' if self.devices == 1 else 's'}, {used}{sent}"


@dataclass(frozen=True, slots=True)
class Homes:
    """What changes slowly. `alerts` holds the messages of the newest ones that are open."""

    open_alerts: int = 0
    alerts: tuple[str, ...] = ()
    users: int = 0
    today: tuple[HomeToday, ...] = ()


@dataclass(slots=True)
class Rate:
    """How many readings come in: over the last minute, or since the moment before where it is many."""

    seen: deque[tuple[float, int]] = field(default_factory=deque)

    def sentence(self, now_s: float, accepted: int) -> str:
        """Return the rate in words, having taken note of how many there are now."""
        last_s, last = self.seen[-1] if self.seen else (now_s, accepted)
        self.seen.append((now_s, accepted))
        while len(self.seen) > 1 and now_s - self.seen[1][0] >= _RATE_WINDOW_S:
            self.seen.popleft()
        per_s = (accepted - last) / (now_s - last_s) if now_s > last_s else 0.0
        if per_s >= _BUSY_PER_S:
            return f"{per_s:,.0f} a second"
        first_s, first = self.seen[0]
        length = "in the last minute" if now_s - first_s > _RATE_WINDOW_S - 2 * INTERVAL_S else "since this start"
        return f"{max(0, accepted - first):,} {length}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How the system is at one moment; without a ledger, usage-service did not answer."""

    urls: Mapping[str, str]
    health: Mapping[str, str]
    ledger: LedgerAnswer | None
    rate: str
    homes: Homes

    def line(self) -> str:
        """Return the snapshot as one plain line."""
        down = [service for service, state in self.health.items() if state != "UP"]
        up = f"{len(self.health) - len(down)} of {len(self.health)} services up"
        parts = [up + (f" (not {', '.join(down)})" if down else "")]
        if self.ledger is not None:
            parts.append(f"{self.ledger.accepted:,} readings, {self.rate}; lag {self.ledger.queued:,}")
        parts.append(f"{self.homes.open_alerts} open alerts")
        parts += [f"{home.name}: {home.sentence()}" for home in self.homes.today]
        return inert("; ".join(parts))


async def snapshots(clients: Clients, urls: Mapping[str, str], *, interval_s: float) -> AsyncIterator[Snapshot]:
    """Yield how the system is, every `interval_s`; what does not answer is shown as such.

    What changes slowly is asked for every ten seconds only, so that looking costs next to nothing.
    """
    loop = asyncio.get_running_loop()
    homes, asked_s, rate = Homes(), -math.inf, Rate()
    while True:
        if loop.time() - asked_s >= SLOW_INTERVAL_S:
            homes, asked_s = await _homes(clients), loop.time()
        ledger = None
        with suppress(Problem):
            ledger = await clients.usage.ledger()
        sentence = rate.sentence(loop.time(), ledger.accepted) if ledger else ""
        if ledger is not None and ledger.queued:
            asked_s = -math.inf  # the figures change now: ask again at once
        yield Snapshot(
            urls, {service: await _health(clients, service) for service in SERVICES}, ledger, sentence, homes
        )
        await clients.clock.sleep(interval_s)


async def _homes(clients: Clients) -> Homes:
    users = open_alerts = 0
    alerts: tuple[str, ...] = ()
    homes: list[HomeToday] = []
    with suppress(Problem):
        episodes = (await clients.alerts.page(states=_OPEN, limit=1000)).items
        open_alerts = len(episodes)
        alerts = tuple(episode.message for episode in episodes[:_SHOWN_ALERTS])
    with suppress(Problem):
        found = [user async for user in clients.users.iterate()]
        users = len(found)
        homes += [await _today(clients, user) for user in found[:_SHOWN_USERS]]
    return Homes(open_alerts, alerts, users, tuple(homes))


async def _today(clients: Clients, user: UserAnswer) -> HomeToday:
    start_ms, end_ms = period_ms(None, None, days=1, zone=user.time_zone, now=clients.clock.now())
    answer = await clients.usage.series(user.id, start_ms=start_ms, end_ms=end_ms, resolution="day")
    drawn = [bucket.import_kwh for bucket in answer.total if bucket.import_kwh is not None]
    sent = [bucket.export_kwh for bucket in answer.total if bucket.export_kwh is not None]
    return HomeToday(
        user.id, user.name, len(answer.devices), sum(drawn) if drawn else None, sum(sent) if sent else None
    )


async def _health(clients: Clients, service: str) -> str:
    try:
        await clients.bases[service].call("GET", "/actuator/health", attempts=1)
    except Problem:
        return "DOWN"
    return "UP"


async def show_live(clients: Clients, urls: Mapping[str, str], heading: Heading) -> None:
    """Show the system until cancelled: a view that renews itself on a terminal, plain lines elsewhere."""
    if not sys.stdout.isatty():
        await _show_plain(clients, urls, heading)
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(highlight=False), auto_refresh=False) as live:
        async for snapshot in snapshots(clients, urls, interval_s=INTERVAL_S):
            live.update(rendered(snapshot, heading), refresh=True)


async def _show_plain(clients: Clients, urls: Mapping[str, str], heading: Heading) -> None:
    sys.stdout.write(f"{heading.title}, in {heading.folder}\n")
    sys.stdout.write("".join(f"  {service:<9}  {url}\n" for service, url in urls.items()))
    sys.stdout.write("Each shows its calls at /docs. Ctrl-C stops it.\n")
    sys.stdout.flush()
    async for snapshot in snapshots(clients, urls, interval_s=PLAIN_INTERVAL_S):
        news = heading.news()
        sys.stdout.write((f"{news}; " if news else "") + snapshot.line() + "\n")
        sys.stdout.flush()


def rendered(snapshot: Snapshot, heading: Heading) -> "RenderableType":
    """Return the view for a terminal; it is readable from 60 columns on."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    services = Table.grid(padding=(0, 2))
    for service, url in snapshot.urls.items():
        state = snapshot.health[service]
        services.add_row("", service, Text(url, style="cyan"), Text(state, "green" if state == "UP" else "bold red"))
    figures = Table.grid(padding=(0, 2))
    for name, text, style in _figures(snapshot):
        figures.add_row("", Text(name, style="dim"), Text(inert(text), style=style))
    news = heading.news()
    return Group(
        Text(heading.title, style="bold"),
        Text(inert(heading.folder), style="dim", overflow="fold"),
        "",
        services,
        Text("  Each shows its calls at /docs.", style="dim"),
        "",
        figures,
        "",
        *([Text(news, style="yellow")] if news else []),
        Text(f"Ask in another terminal: {heading.example}", style="dim"),
        Text("Ctrl-C stops it.", style="dim"),
    )


def _figures(snapshot: Snapshot) -> list[tuple[str, str, str]]:
    """Return the name, the text and the style of each line of figures."""
    ledger, homes = snapshot.ledger, snapshot.homes
    if ledger is None:
        lines = [("readings", "usage-service does not say", "bold red")]
    else:
        aside = f", {ledger.dead_lettered:,} set aside" if ledger.dead_lettered else ""
        balance = "the books balance" if ledger.balanced else "the books do NOT balance"
        lines = [
            ("readings", snapshot.rate, ""),
            (
                "in all",
                f"{ledger.accepted:,} accepted, {ledger.duplicate:,} repeated, {ledger.rejected:,} rejected",
                "",
            ),
            ("lag", f"{ledger.queued:,} waiting{aside}; {balance}", "" if ledger.balanced else "bold red"),
        ]
    style = "yellow" if homes.open_alerts else ""
    lines.append(("alerts", f"{homes.open_alerts} open", style))
    lines += [("", message, style) for message in homes.alerts]
    lines += [(f"user {home.id}", f"{home.name}: {home.sentence()}", "") for home in homes.today]
    if homes.users > len(homes.today):
        lines.append(("", f"and {homes.users - len(homes.today):,} more users", "dim"))
    return lines
