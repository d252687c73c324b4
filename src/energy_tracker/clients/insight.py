"""insight-service's calls, typed."""

from dataclasses import dataclass

from energy_tracker.clients.http import ServiceCalls
from energy_tracker.contracts.insight import InsightAnswer

PATH = "/api/v1/insight"


@dataclass(frozen=True, slots=True)
class InsightClient:
    """Advice with the facts that it cites. Every call raises `RemoteProblem` and `ServiceUnavailable`."""

    calls: ServiceCalls

    async def overview(self, user_id: int, *, days: int | None = None) -> InsightAnswer:
        """Return where the energy of a home goes; `days` None leaves the window to the service."""
        return await self._ask("overview", user_id, days)

    async def saving_tips(self, user_id: int, *, days: int | None = None) -> InsightAnswer:
        """Return what the home could do; `days` None leaves the window to the service."""
        return await self._ask("saving-tips", user_id, days)

    async def _ask(self, what: str, user_id: int, days: int | None) -> InsightAnswer:
        query = None if days is None else {"days": days}
        return self.calls.model(InsightAnswer, await self.calls.call("GET", f"/{what}/{user_id}", query=query))
