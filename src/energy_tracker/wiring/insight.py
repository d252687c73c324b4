"""How insight-service is put together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI

from energy_tracker.kit.clock import Clock
from energy_tracker.kit.health import Health, PartHealth
from energy_tracker.kit.telemetry import Telemetry
from energy_tracker.kit.web import create_app
from energy_tracker.services.insight.adapters.ollama import OllamaAdviser
from energy_tracker.services.insight.adapters.rules import RuleAdviser
from energy_tracker.services.insight.api import InsightApi
from energy_tracker.services.insight.ports import Directory, Usage
from energy_tracker.services.insight.service.counsel import AdviceDesk, AdviceLimits
from energy_tracker.services.insight.service.insights import InsightService
from energy_tracker.wiring.outgoing import http_client


@dataclass(frozen=True, slots=True)
class AdviserOptions:
    """Who words the advice: the rules, or a model where `ollama_base_url` names a server; `deadline_s` in seconds."""

    ollama_base_url: str | None = None
    ollama_model: str = "deepseek-r1"
    deadline_s: float = 60.0


@asynccontextmanager
async def insight_service(
    *, usage: Usage, directory: Directory, clock: Clock, adviser: AdviserOptions
) -> AsyncIterator[FastAPI]:
    """Give insight-service's application; it is UP without a model, since the rules need none."""
    async with AsyncExitStack() as stack:
        model = None
        if adviser.ollama_base_url is not None:
            http = await stack.enter_async_context(http_client(adviser.ollama_base_url))
            model = OllamaAdviser(http, adviser.ollama_base_url, adviser.ollama_model)
        limits = AdviceLimits(deadline_s=adviser.deadline_s)
        desk = AdviceDesk(rules=RuleAdviser(), model=model, clock=clock, limits=limits)
        stack.push_async_callback(desk.aclose)

        async def advising() -> PartHealth:
            return PartHealth("UP", desk.details())

        app = create_app(
            "insight",
            description="Where the energy of a home goes and what could be done; each figure is computed by code.",
            health=Health({"adviser": advising}),
            telemetry=Telemetry("insight"),
        )
        service = InsightService(usage=usage, directory=directory, desk=desk, clock=clock)
        app.include_router(InsightApi(service).router())
        yield app
