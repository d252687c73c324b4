"""Answers of ingestion-service, encoded by msgspec."""

from collections.abc import Sequence

import msgspec
from starlette.responses import Response

from energy_tracker.contracts.ingestion import (
    BatchAnswer,
    BatchItem,
    IngestionAnswer,
    ItemStatus,
    ShellyAnswer,
    ShellyItem,
)
from energy_tracker.kit.problems import Problem
from energy_tracker.services.ingestion.model.admission import Verdict
from energy_tracker.services.ingestion.model.readings import Candidate
from energy_tracker.services.ingestion.model.shelly import ShellyMeasurement
from energy_tracker.services.ingestion.service import Receipt, conflict

_encode = msgspec.json.Encoder().encode


def json_answer(content: msgspec.Struct, status: int = 200) -> Response:
    """Return a struct as a JSON answer."""
    return Response(_encode(content), status, media_type="application/json")


def single_answer(candidate: Candidate, verdict: Verdict) -> Response:
    """Return the answer to one reading that was accepted, or was there."""
    return json_answer(
        IngestionAnswer(event_id=candidate.event_id, status="accepted" if verdict is Verdict.ACCEPTED else "duplicate"),
        201,
    )


def batch_answer(receipt: Receipt, *, everything: bool) -> Response:
    """Return the answer to a batch; `items` lists what was not accepted, or everything."""
    plain = receipt.accepted == receipt.received and not everything
    return json_answer(
        BatchAnswer(
            received=receipt.received,
            accepted=receipt.accepted,
            duplicate=receipt.duplicate,
            rejected=receipt.rejected,
            items=() if plain else tuple(_items(receipt, everything=everything)),
        ),
        202,
    )


def _items(receipt: Receipt, *, everything: bool) -> Sequence[BatchItem]:
    items: list[BatchItem] = []
    verdicts = iter(receipt.verdicts)
    for index, outcome in enumerate(receipt.outcomes):
        status, event_id, problem = item_of(outcome, None if isinstance(outcome, Problem) else next(verdicts))
        if everything or status != "accepted":
            items.append(BatchItem(index=index, status=status, event_id=event_id, problem=problem))
    return items


def shelly_answer(measurements: Sequence[ShellyMeasurement], receipt: Receipt) -> Response:
    """Return the answer to a Shelly's status. Raises the first problem where nothing of it was recorded."""
    verdicts = iter(receipt.verdicts)
    items: list[ShellyItem] = []
    for measurement, outcome in zip(measurements, receipt.outcomes, strict=True):
        verdict = None if isinstance(outcome, Problem) else next(verdicts)
        status, event_id, problem = item_of(outcome, verdict)
        items.append(
            ShellyItem(
                channel=measurement.channel,
                kind=measurement.kind,
                direction=measurement.direction,
                status=status,
                event_id=event_id,
                problem=problem,
            )
        )
    if receipt.rejected == receipt.received:
        raise next(outcome for outcome in receipt.outcomes if isinstance(outcome, Problem))
    return json_answer(ShellyAnswer(items=tuple(items)), 201)


def item_of(
    outcome: Candidate | Problem, verdict: Verdict | None
) -> tuple[ItemStatus, str | None, dict[str, object] | None]:
    """Return status, event id and problem of one reading; `verdict` is the door's, None where it never came there."""
    if isinstance(outcome, Problem):
        return "rejected", None, outcome.body()
    if verdict is Verdict.ACCEPTED:
        return "accepted", outcome.event_id, None
    if verdict is Verdict.DUPLICATE:
        return "duplicate", outcome.event_id, None
    return "rejected", outcome.event_id, conflict(outcome).body()
