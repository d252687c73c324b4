"""The generator of readings behind ingestion-service's simulation calls, put together."""

import httpx

from energy_tracker.clients.directory import Directory
from energy_tracker.kit.clock import Clock
from energy_tracker.services.ingestion.adapters.own_endpoint import OwnEndpoint
from energy_tracker.services.ingestion.adapters.registry import RegisteredFleet
from energy_tracker.services.ingestion.simulation.control import SimulationOptions, SimulationRunner
from energy_tracker.settings import Settings


def simulated_meters(
    settings: Settings, clock: Clock, http: httpx.AsyncClient, directory: Directory, own_url: str
) -> SimulationRunner:
    """Return the generator, stopped; it posts to ingestion-service's own address. The caller closes it."""
    return SimulationRunner(
        fleet=RegisteredFleet(directory),
        post=OwnEndpoint(http, own_url),
        clock=clock,
        options=SimulationOptions(**settings.simulation.model_dump()),
    )
