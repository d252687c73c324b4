"""An episode: one stretch of time in which one rule was broken by one subject."""

from dataclasses import dataclass
from typing import Literal

State = Literal["open", "acknowledged", "ended"]
STATES: tuple[State, ...] = ("open", "acknowledged", "ended")


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """An episode as its newest transition tells it, and what people have done about it.

    Instants are ms since 1970, energies kWh. `version` is that of the newest transition. `sent` says that a mail about
    it has gone out.
    """

    id: str
    version: int
    user_id: int
    rule: str
    opened_at_ms: int
    message: str
    device_id: int | None = None
    ended_at_ms: int | None = None
    threshold_kwh: float | None = None
    energy_consumed_kwh: float | None = None
    acknowledged_at_ms: int | None = None
    sent: bool = False

    @property
    def state(self) -> State:
        """What a person sees; an ended episode stays ended when it is acknowledged afterwards."""
        if self.ended_at_ms is not None:
            return "ended"
        return "open" if self.acknowledged_at_ms is None else "acknowledged"
