"""What the bodies of the API calls are made of; knows no web framework, so that the clients can be light."""

import re
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

_UNPRINTABLE = re.compile(r"[\x00-\x1F\x7F-\x9F\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069\uD800-\uDFFF\uFEFF]")


MAX_ID = 2**63 - 1
"""Identifiers are 64-bit integers."""


class WireModel(BaseModel):
    """Base of the bodies: camelCase names only, strict types, unknown fields refused, NaN and Infinity refused."""

    model_config = ConfigDict(alias_generator=to_camel, strict=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def of(cls, **fields: Any) -> Self:
        """Make a body in code, its fields under their names here. Raises pydantic's `ValidationError`."""
        return cls.model_validate(fields, by_alias=False, by_name=True)


def _is_printable(text: str) -> str:
    """Refuse control characters, line breaks, bidirectional overrides and lone surrogates."""
    found = _UNPRINTABLE.search(text)
    if found is not None:
        message = f"must not contain the control character U+{ord(found[0]):04X}"
        raise ValueError(message)
    return text


PrintableText = Annotated[str, AfterValidator(_is_printable)]
"""Text of one line that is inert in a log, a mail header and a terminal."""


class WireAnswer(WireModel):
    """Base of the answers: a reader ignores fields that a newer service adds."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)
