"""alert-service's calls, typed."""

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import httpx
import pydantic

from energy_tracker.clients.http import ServiceCalls, ServiceUnavailable
from energy_tracker.contracts.alerts import AlertAnswer, AlertCount, AlertPage, AlertState, MailPage, MailState

PATH = "/api/v1/alert"

_ALERTS = pydantic.TypeAdapter(list[AlertAnswer])


@dataclass(frozen=True, slots=True)
class AlertClient:
    """Alerts and mails as alert-service knows them. Every call raises `RemoteProblem` and `ServiceUnavailable`."""

    calls: ServiceCalls

    async def of_user(
        self, user_id: int, *, states: Collection[AlertState] = (), limit: int = 1000
    ) -> list[AlertAnswer]:
        """Return a user's episodes, newest first, in these states (none given: all), at most `limit` of them."""
        response = await self.calls.call("GET", f"/user/{user_id}?{_query(states, limit, None)}")
        return self._alerts(response)

    async def count(self, user_id: int, *, states: Collection[AlertState] = ()) -> int:
        """Return how many episodes a user has had, in these states (none given: all)."""
        response = await self.calls.call("GET", f"/user/{user_id}/count?{_query(states, None, None)}")
        return self.calls.model(AlertCount, response).count

    async def read(self, alert_id: str) -> AlertAnswer:
        """Return an episode."""
        return self.calls.model(AlertAnswer, await self.calls.call("GET", f"/{quote(alert_id, safe='')}"))

    async def acknowledge(self, alert_id: str) -> AlertAnswer:
        """Say that somebody has seen an episode, and return it."""
        response = await self.calls.call("POST", f"/{quote(alert_id, safe='')}/acknowledge")
        return self.calls.model(AlertAnswer, response)

    async def page(
        self, *, states: Collection[AlertState] = (), cursor: str | None = None, limit: int = 100
    ) -> AlertPage:
        """Return a page of everybody's episodes, newest first."""
        return self.calls.model(AlertPage, await self.calls.call("GET", f"?{_query(states, limit, cursor)}"))

    async def iterate(self, *, states: Collection[AlertState] = ()) -> AsyncIterator[AlertAnswer]:
        """Yield everybody's episodes, newest first, page by page."""
        cursor: str | None = None
        while True:
            page = await self.page(states=states, cursor=cursor, limit=1000)
            for alert in page.items:
                yield alert
            cursor = page.next
            if cursor is None:
                return

    async def outbox(
        self, *, states: Collection[MailState] = (), cursor: str | None = None, limit: int = 100
    ) -> MailPage:
        """Return a page of the mails, newest first."""
        return self.calls.model(MailPage, await self.calls.call("GET", f"/outbox?{_query(states, limit, cursor)}"))

    def _alerts(self, response: httpx.Response) -> list[AlertAnswer]:
        try:
            return _ALERTS.validate_json(response.content)
        except pydantic.ValidationError as error:
            message = f"{self.calls.service} answered something that cannot be read."
            raise ServiceUnavailable(message) from error


def _query(states: Collection[str], limit: int | None, cursor: str | None) -> str:
    parameters: list[tuple[str, str]] = [("state", state) for state in states]
    if limit is not None:
        parameters.append(("limit", str(limit)))
    if cursor is not None:
        parameters.append(("cursor", cursor))
    return urlencode(parameters)
