"""JSON as RFC 8259 and I-JSON (RFC 7493) have it: no duplicate keys, no NaN, bounded depth and integers."""

import json
import math
from dataclasses import dataclass
from typing import NoReturn

from energy_tracker.kit.problems import InvalidRequest, MalformedRequest


def _refuse_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        repeated = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]  # add() is the marking half of the test
        message = f"The key {repeated[:80]!r} occurs twice in one object."
        raise MalformedRequest(message)
    return members


def _refuse_constant(name: str) -> NoReturn:
    message = f"{name} is not a number in JSON."
    raise InvalidRequest(message)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        message = f"{text[:40]} is too large for a number."
        raise InvalidRequest(message)
    return number


@dataclass(frozen=True, slots=True)
class NotANumber:
    """Stands where a document has NaN or Infinity, which are not JSON, or a number that no float holds."""

    text: str


def _finite_or_kept(text: str) -> float | NotANumber:
    number = float(text)
    return number if math.isfinite(number) else NotANumber(text)


def loads(body: bytes, *, keep_constants: bool = False) -> object:
    """Read one JSON document; with `keep_constants`, NaN, Infinity and 1e400 become `NotANumber`, not an error.

    Raises `MalformedRequest` where it cannot be read, or repeats a key, and `InvalidRequest` for NaN, Infinity and
    1e400.
    """
    try:
        return json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_refuse_duplicates,
            parse_constant=NotANumber if keep_constants else _refuse_constant,
            parse_float=_finite_or_kept if keep_constants else _finite,
        )
    except json.JSONDecodeError as error:
        message = f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        raise MalformedRequest(message) from None
    except UnicodeDecodeError as error:
        message = f"The body is not UTF-8: byte {error.start}."
        raise MalformedRequest(message) from None
    except RecursionError:
        message = "The body is nested too deeply."
        raise MalformedRequest(message) from None
    except ValueError:
        message = "The body holds an integer of too many digits."
        raise MalformedRequest(message) from None
