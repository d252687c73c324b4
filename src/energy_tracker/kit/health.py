"""Health of a service: named parts that it needs, each a check."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Status = Literal["UP", "DOWN"]


@dataclass(frozen=True, slots=True)
class PartHealth:
    """State of one part; `details` are facts for a person, never secrets."""

    status: Status
    details: Mapping[str, object] = field(default_factory=dict)


Check = Callable[[], Awaitable[PartHealth]]


@dataclass(slots=True)
class Health:
    """The parts a service needs, asked on every call of `/actuator/health`."""

    checks: dict[str, Check] = field(default_factory=dict)
    ready: bool = True

    async def report(self) -> tuple[Status, dict[str, PartHealth]]:
        """Ask every part; the whole is UP when the service is ready and every part is."""
        parts: dict[str, PartHealth] = {}
        for name, check in self.checks.items():
            try:
                parts[name] = await check()
            except Exception as error:  # noqa: BLE001 - a check that raises is the answer "down", whatever it raised
                parts[name] = PartHealth("DOWN", {"error": f"{type(error).__name__}: {error}"[:300]})
        up = self.ready and all(part.status == "UP" for part in parts.values())
        return ("UP" if up else "DOWN"), parts
