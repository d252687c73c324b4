"""Asking once about what a local copy does not know."""

from collections.abc import Iterable

REMEMBERED = 10_000


class AskedAbout:
    """Remembers which ids were asked about; once there are more than `remembered`, it begins again with none."""

    def __init__(self, *, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._ids: set[int] = set()

    def add(self, ids: Iterable[int]) -> set[int]:
        """Return those of the ids that were not asked about; they count as asked about from now on."""
        fresh = set(ids) - self._ids
        if fresh and len(self._ids) > self._remembered:
            self._ids.clear()
        self._ids |= fresh
        return fresh
