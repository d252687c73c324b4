"""The middle of whole numbers, as a whole number."""

from collections.abc import Sequence


def median(values: Sequence[int]) -> int:
    """Return the middle value, the lower one of two; 0 of none."""
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 2] if ordered else 0
