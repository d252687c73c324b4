"""Answers of insight-service: the original's three fields, and the facts that the advice cites."""

from pydantic import Field

from energy_tracker.kit.wire import WireAnswer


class FactBody(WireAnswer):
    """A figure that code computed from the measured series; the only source of numbers in the advice."""

    id: str = Field(description="The name under which tips cite it, such as F3.")
    value: float = Field(description="In `unit`, rounded as the tips show it.")
    unit: str = Field(description="kWh, kWh a year, W, %, h a day, times a day, days or o'clock.")
    period: str = Field(description="The part of the past that it is about, an ISO-8601 interval.")
    how: str = Field(description="How it was computed, in a sentence.")
    label: str = Field(description="What it is.")
    device_id: int | None = Field(default=None, description="The device it is about; null: the whole home.")


class TipBody(WireAnswer):
    """One piece of advice and the ids of the facts it rests on."""

    text: str
    facts: tuple[str, ...]


class InsightAnswer(WireAnswer):
    """`GET /api/v1/insight/overview/{userId}` and `/saving-tips/{userId}`."""

    user_id: int
    tips: str = Field(description="The items' texts, one a line.")
    energy_usage: float | None = Field(
        description="kWh imported from the start of the window that the facts name until now, the hour that is not "
        "over included; null where nothing was measured, never 0."
    )
    items: tuple[TipBody, ...] = ()
    facts: tuple[FactBody, ...] = ()
    adviser: str = Field(default="rules", description="Who chose the words: `rules` or `ollama:<model>`.")
