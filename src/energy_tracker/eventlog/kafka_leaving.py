"""Leaving a client behind that has lost its way."""

import threading
from typing import Protocol


class Closes(Protocol):
    """Something that is closed, which may take long."""

    def close(self) -> None:
        """Let go of all connections."""


def leave_behind(consumer: Closes) -> None:
    """Close a consumer without waiting for it: one that does not find the group may take long to leave it."""
    threading.Thread(target=consumer.close, name="a consumer that is left behind", daemon=True).start()
