"""The services that a command speaks to: those elsewhere, those on the data folder, or all inside this process."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from energy_tracker.cli.instance import running_instance
from energy_tracker.clients import alert, device, insight, usage, user
from energy_tracker.clients.http import ServiceCalls
from energy_tracker.kit.clock import Clock, SystemClock
from energy_tracker.kit.problems import Problem
from energy_tracker.settings import Settings

SERVICES = ("user", "device", "ingestion", "usage", "alert", "insight")
INGESTION_PATH = "/api/v1/ingestion"


@dataclass(frozen=True, slots=True)
class Clients:
    """Typed clients of all services. `bases` reach what lies beside the API (`/actuator/…`); `clock` is theirs."""

    users: user.UserClient
    devices: device.DeviceClient
    usage: usage.UsageClient
    alerts: alert.AlertClient
    insight: insight.InsightClient
    ingestion: ServiceCalls
    bases: Mapping[str, ServiceCalls]
    clock: Clock
    in_process: bool


def clients_over(http: httpx.AsyncClient, urls: Mapping[str, str], clock: Clock, *, in_process: bool) -> Clients:
    """Return the clients of services at these base URLs."""

    def calls(service: str, path: str = "") -> ServiceCalls:
        return ServiceCalls(
            service=f"{service}-service", url=f"{urls[service].rstrip('/')}{path}", http=http, clock=clock
        )

    return Clients(
        users=user.UserClient(calls("user", user.PATH)),
        devices=device.DeviceClient(calls("device", device.PATH)),
        usage=usage.UsageClient(calls("usage", usage.PATH)),
        alerts=alert.AlertClient(calls("alert", alert.PATH)),
        insight=insight.InsightClient(calls("insight", insight.PATH)),
        ingestion=calls("ingestion", INGESTION_PATH),
        bases={service: calls(service) for service in SERVICES},
        clock=clock,
        in_process=in_process,
    )


class OnlyOnTheDataFolder(Problem):
    """The command works on the files of a data folder, and services elsewhere were named."""

    status = 409
    title = "This is done on a data folder"


def on_a_folder(settings: Settings) -> Path:
    """Return the data folder. Raises `OnlyOnTheDataFolder` where services that run elsewhere are meant."""
    if settings.services_at is not None:
        message = (
            "Services in processes of their own keep their data in databases; back those up, or leave out --at and "
            "ENERGY_TRACKER_SERVICES_AT to work on the data folder."
        )
        raise OnlyOnTheDataFolder(message)
    return settings.home


def running_urls(settings: Settings) -> Mapping[str, str] | None:
    """Return where services run, by name: elsewhere or on the data folder; None where none do."""
    if settings.services_at is None:
        instance = running_instance(settings.home)
        return None if instance is None else instance.urls
    ports = settings.ports.model_dump()
    return {service: f"{settings.services_at.replace('{service}', service)}:{ports[service]}" for service in SERVICES}


@asynccontextmanager
async def services(settings: Settings) -> AsyncIterator[Clients]:
    """Give the clients of the services at `services_at`, else of the system that runs on the data folder.

    Where neither is, a system is run in here meanwhile. Raises the problems of the data folder (`DatabaseUnreadable`,
    the lock that another process took first), and `InvalidConfiguration` where settings name backends that only
    services in processes of their own use.
    """
    clock = SystemClock()
    urls = running_urls(settings)
    async with AsyncExitStack() as stack:
        if urls is not None:
            http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
            yield clients_over(http, urls, clock, in_process=False)
            return
        from energy_tracker.wiring.standalone import standalone

        system = await stack.enter_async_context(standalone(settings=settings, clock=clock))
        urls = {service: f"http://{service}.internal" for service in SERVICES}
        mounts = {f"all://{service}.internal": httpx.ASGITransport(app=system.apps[service]) for service in SERVICES}
        http = await stack.enter_async_context(httpx.AsyncClient(mounts=mounts, trust_env=False))
        yield clients_over(http, urls, clock, in_process=True)
