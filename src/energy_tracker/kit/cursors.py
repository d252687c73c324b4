"""Cursors: opaque texts that lead from one page of a list to the next."""

import base64

from energy_tracker.kit.problems import FieldError, InvalidRequest


class CursorNotUnderstood(InvalidRequest):
    """The cursor is not one that a page ended with."""

    title = "The cursor is not understood"

    def __init__(self) -> None:
        detail = "must be the `next` of the page before, as it was"
        super().__init__(f"The cursor {detail}.", errors=[FieldError("?cursor", detail)])


def write_cursor(place: str) -> str:
    """Return the cursor of a place in a list, which is ASCII."""
    return base64.urlsafe_b64encode(place.encode("ascii")).decode("ascii").rstrip("=")


def read_cursor(cursor: str) -> str:
    """Return the place that a cursor stands for; whoever wrote it checks its form. Raises `CursorNotUnderstood`."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except ValueError:  # what base64 and ASCII refuse
        raise CursorNotUnderstood from None
