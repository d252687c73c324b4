"""Numbers as files write them: only plain decimals, because a guess about separators is a factor of 1 000."""

import re
from collections.abc import Callable, Iterable
from math import isfinite

_NUMBER = {
    ".": re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?\s*", re.ASCII),
    ",": re.compile(r"\s*[+-]?(?:\d+,?\d*|,\d+)(?:[eE][+-]?\d{1,3})?\s*", re.ASCII),
}
_COMMA = re.compile(r"[+-]?\d*,\d+", re.ASCII)
_MAYBE_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)


class NotANumber(ValueError):
    """The text is not a finite decimal number with the column's decimal sign."""


class DecimalSignCannotBeTold(ValueError):
    """Every comma could part thousands as well."""


def is_number(text: str, decimal: str) -> bool:
    """Return whether the text is a plain number with this decimal sign."""
    return _NUMBER[decimal].fullmatch(text) is not None


def number_reader(decimal: str) -> Callable[[str], float]:
    """Return the function that reads a number with this decimal sign; it raises `NotANumber` with the reason."""

    def read_point(text: str) -> float:
        try:
            amount = float(text)
        except ValueError:
            raise NotANumber(_reason(text, ".")) from None
        if not isfinite(amount) or "_" in text:
            raise NotANumber(_reason(text, "."))
        return amount

    def read_comma(text: str) -> float:
        if "." in text:
            raise NotANumber(_reason(text, ","))
        try:
            return read_point(text.replace(",", ".", 1))
        except NotANumber:
            raise NotANumber(_reason(text, ",")) from None

    return read_point if decimal == "." else read_comma


def _reason(text: str, decimal: str) -> str:
    shown = repr(text[:40])
    if decimal == "." and _COMMA.fullmatch(text.strip()):
        return f"{shown} has a comma where the decimal sign is a point (declare --decimal ,)"
    if decimal == "," and "." in text:
        return f"{shown} has a point where the decimal sign is a comma (declare --decimal . or remove thousands signs)"
    return f"{shown} is not a number"


def detect_decimal(texts: Iterable[str]) -> str:
    """Return the decimal sign of a column's texts. Raises `DecimalSignCannotBeTold`."""
    commas = [text.strip() for text in texts if _COMMA.fullmatch(text.strip())]
    if not commas:
        return "."
    if all(_MAYBE_THOUSANDS.fullmatch(text) for text in commas):
        message = f"the comma in {commas[0]!r} may part thousands or decimals: declare --decimal , or --decimal ."
        raise DecimalSignCannotBeTold(message)
    return ","
