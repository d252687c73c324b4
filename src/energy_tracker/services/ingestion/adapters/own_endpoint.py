"""Posting to ingestion-service's own HTTP endpoint, as the simulation does."""

from collections.abc import Mapping

import httpx
import msgspec

from energy_tracker.kit.problems import TemporarilyUnavailable
from energy_tracker.services.ingestion.simulation.control import PostAnswer


class OwnEndpoint:
    """`Post` over an HTTP client; `url` is the service's own address."""

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self._http = http
        self._url = url

    async def __call__(self, path: str, body: Mapping[str, object]) -> PostAnswer:
        """Return the answer. Raises `TemporarilyUnavailable` when nobody answers."""
        try:
            response = await self._http.post(
                f"{self._url}{path}", content=msgspec.json.encode(body), headers={"Content-Type": "application/json"}
            )
        except httpx.TransportError as error:
            raise TemporarilyUnavailable(f"ingestion-service does not answer: {error}") from error
        retry_after = response.headers.get("retry-after", "")
        outcome = response.json().get("status") if response.is_success else None
        return PostAnswer(response.status_code, outcome, float(retry_after) if retry_after.isdigit() else None)
