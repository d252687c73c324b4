"""What columns are called, in the files that meters, plugs and their makers write."""

import re
from typing import Final

TIME: Final = (
    "timestamp", "time", "datetime", "date", "minute", "instant", "utc", "localtime", "intervalend", "end", "to",
    "intervalstart", "start", "from", "ts", "zeit", "zeitpunkt", "zeitstempel", "datum", "uhrzeit", "ende", "bis",
    "beginn", "von", "datumuhrzeit", "datetimeutc", "timestamputc", "readat", "measuredat",
)  # fmt: skip
DEVICE: Final = (
    "device", "devicename", "deviceid", "plug", "appliance", "sensor", "meter", "metername", "meterid", "entity",
    "entityid", "geraet", "gerät", "channel", "name",
)  # fmt: skip
TYPE: Final = ("type", "devicetype", "kind", "typ")
LOCATION: Final = ("location", "room", "ort", "raum", "area")

_STARTS = {"start", "from", "von", "beginn", "begin", "intervalstart", "starttime"}
_REGISTERS = {"register", "counter", "meterreading", "zaehlerstand", "zählerstand", "stand", "cumulative", "index"}
_POWERS = {"power", "leistung", "watt", "load", "demand"}
_GENERIC = {
    "power", "energy", "value", "consumption", "usage", "reading", "wert", "verbrauch", "mean", "total", "kwh", "wh",
    "mwh", "w", "kw", "mw", "leistung", "watt", "watts", "kilowatt", "kilowatts", "energie", "active", "import",
    "register", "counter", "avg", "average", "in",
}  # fmt: skip
_WORD = re.compile(r"[^\W\d_]+")


def _words(name: str) -> set[str]:
    return set(_WORD.findall(re.sub(r"(?<=[a-z][a-z])(?=[A-Z])", " ", name).casefold()))


def is_generic(name: str) -> bool:
    """Return whether a value column's name says only what is measured, and so names no device."""
    return _words(name) <= _GENERIC


def names_start(name: str) -> bool:
    """Return whether a time column's name says that it holds the start of intervals."""
    return bool(_words(name) & _STARTS)


def names_register(name: str) -> bool:
    """Return whether a value column's name says that it holds a counter."""
    return bool(_words(name) & _REGISTERS)


def names_power(name: str) -> bool:
    """Return whether a value column's name says power."""
    return bool(_words(name) & _POWERS)
