"""Expected errors, named as sentences, and their form on the wire (RFC 9457)."""

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

_WORD_START = re.compile(r"(?<!^)(?=[A-Z])")


class FieldError(NamedTuple):
    """What is wrong with one field: a JSON pointer into the body (or `?name` for a query parameter) and a sentence."""

    pointer: str
    detail: str


class Problem(Exception):
    """Base of every expected error; `status` and `title` belong to the class, the rest to the case."""

    status: ClassVar[int] = 400
    title: ClassVar[str] = "The request cannot be carried out"

    def __init__(
        self, detail: str, *, errors: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    @property
    def type_uri(self) -> str:
        """The `type` member: a URN made of the class's name, such as `urn:energy-tracker:problem:device-not-found`."""
        return f"urn:energy-tracker:problem:{_WORD_START.sub('-', type(self).__name__).lower()}"

    def body(self) -> dict[str, object]:
        """Return the members of the `application/problem+json` document."""
        document: dict[str, object] = {
            "type": self.type_uri,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            document["errors"] = [error._asdict() for error in self.errors]
        return document


class MalformedRequest(Problem):
    """The body or its encoding cannot be read at all."""

    status = 400
    title = "The request cannot be read"


class InvalidRequest(Problem):
    """The request can be read, but its content is not acceptable."""

    status = 422
    title = "The request is not valid"


class BodyTooLarge(Problem):
    """The body, as sent or unpacked, or its number of items is over the limit."""

    status = 413
    title = "The request is too large"


class UnsupportedMediaType(Problem):
    """The content type or encoding is not one that this call reads."""

    status = 415
    title = "The content type is not supported"


class Overloaded(Problem):
    """More work is under way than fits; come back after `Retry-After`."""

    status = 429
    title = "Too much at once"


class TemporarilyUnavailable(Problem):
    """A part that this call needs does not answer; nothing is made up in its place."""

    status = 503
    title = "A needed part is not available"

    def __init__(self, detail: str, *, retry_after_s: int = 5) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})


class StorageFull(Problem):
    """The disk is full; reads go on."""

    status = 507
    title = "There is no room to store this"


class PreconditionFailed(Problem):
    """`If-Match` names another version than the stored one."""

    status = 412
    title = "The resource has changed meanwhile"
