"""The other usage-services of the group, found by the notes that they commit with the positions of their partitions."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import httpx

from energy_tracker.services.usage.adapters.kafka_ledger import RECENTLY_S, KafkaLedger
from energy_tracker.services.usage.neighbours import Answer, Question

log = logging.getLogger(__name__)

_TIMEOUT: Final = httpx.Timeout(60.0, connect=2.0)  # a rehearsal may take its time


@dataclass(frozen=True, slots=True)
class KafkaNeighbours:
    """`Neighbours` over HTTP; `partition_of` tells the partition of a home by its user's id."""

    ledger: KafkaLedger
    partition_of: Callable[[int], int]
    http: httpx.AsyncClient

    async def ask(self, user_id: int, question: Question) -> Answer | None:
        """Let the process answer that took the home's partition over last."""
        note = (await self.ledger.notes(within_s=RECENTLY_S)).get(self.partition_of(user_id))
        if note is None or not note.by:
            return None
        try:
            answer = await self.http.request(
                question.method,
                f"{note.by}{question.target}",
                headers=dict(question.headers),
                content=question.body,
                timeout=_TIMEOUT,
            )
        except httpx.HTTPError as error:
            log.warning("the usage-service at %s does not answer: %s", note.by, error)
            return None
        return Answer(answer.status_code, dict(answer.headers), answer.content)
