"""What the mails say: subject, text and HTML, inert whatever the names in them hold."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import assert_never
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from energy_tracker.kit.instants import from_ms
from energy_tracker.services.alert.model.mails import MailKind
from energy_tracker.services.alert.model.transitions import Transition

_PHRASES: Mapping[str, Mapping[MailKind, str]] = {
    "high-usage": {
        "opened": "Energy Usage Alert",  # the words of the wire contract
        "reminder": "Reminder: energy usage is still high",
        "ended": "Energy usage is back to normal",
    },
    "silent-device": {
        "opened": "Silent Device Alert",
        "reminder": "Reminder: a device is still silent",
        "ended": "A silent device is heard again",
    },
    "unusual-use": {
        "opened": "Unusual Energy Use",
        "reminder": "Reminder: energy use is still unusual",
        "ended": "Energy use is as usual again",
    },
    "month-limit": {
        "opened": "Monthly Energy Limit Alert",
        "reminder": "Reminder: this month will pass its limit",
        "ended": "The month that was to pass its limit has ended",
    },
}
_AT_BOTH_ENDS = "You get one mail when an alert begins and one when it ends."
_WHEN: Mapping[str, str] = {"month-limit": "You get one mail in a month that will pass your limit."}
_WHETHER = "Whether you get any is a setting of your user in Energy Tracker."
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_JOINERS = frozenset({"\u200c", "\u200d"})  # written in words and emoji; they change nothing around them
_MAX_LINE = 500


@dataclass(frozen=True, slots=True)
class Letter:
    """The content of a mail."""

    subject: str
    text: str
    html: str


def one_line(text: str) -> str:
    """Return the text as one printable line: line breaks, control and direction characters become spaces."""
    cleaned = "".join(
        " " if unicodedata.category(character) in _UNPRINTABLE and character not in _JOINERS else character
        for character in text[: 2 * _MAX_LINE]
    )
    return " ".join(cleaned.split())[:_MAX_LINE]


def write_letter(transition: Transition, kind: MailKind) -> Letter:
    """Return the mail of this kind about an episode, as this transition tells it."""
    name = one_line(transition.user_name or "")
    greeting = f"Hello {name}," if name else "Hello,"
    opening = _opening_sentence(kind)
    message = one_line(transition.message)
    facts = _facts(transition)
    closing = f"{_WHEN.get(transition.rule, _AT_BOTH_ENDS)} {_WHETHER}"
    width = max(len(name) for name, _ in facts) + 1
    table = "\n".join(f"{name + ':':<{width}}  {value}" for name, value in facts)
    text = "\n\n".join(part for part in (greeting, opening, message, table, f"-- \n{closing}") if part) + "\n"
    return Letter(_subject(transition, kind), text, _html(greeting, opening, message, facts, closing))


def _subject(transition: Transition, kind: MailKind) -> str:
    phrases = _PHRASES.get(transition.rule)
    phrase = phrases[kind] if phrases else f"Alert of the rule {transition.rule} ({kind})"
    return f"{phrase} for User {transition.user_id}"


def _opening_sentence(kind: MailKind) -> str:
    match kind:
        case "opened":
            return ""
        case "reminder":
            return "This alert is still open, and nobody has acknowledged it."
        case "ended":
            return "This alert has ended."
        case _:
            assert_never(kind)


def _facts(transition: Transition) -> list[tuple[str, str]]:
    zone = _zone(transition.time_zone)
    facts = [("Began", _local_time(transition.opened_at_ms, zone))]
    if transition.ended_at_ms is not None:
        facts.append(("Ended", _local_time(transition.ended_at_ms, zone)))
    if transition.device_id is not None:
        name = one_line(transition.device_name or "")
        facts.append(
            ("Device", f"{name} (number {transition.device_id})" if name else f"number {transition.device_id}")
        )
    if transition.threshold_kwh is not None:
        facts.append(("Threshold", kilowatt_hours(transition.threshold_kwh)))
    if transition.energy_consumed_kwh is not None:
        facts.append(("Energy consumed", kilowatt_hours(transition.energy_consumed_kwh)))
    return facts


def kilowatt_hours(energy_kwh: float) -> str:
    """Write an energy with its unit, in steps of a milliwatt-hour, without trailing zeros."""
    digits = f"{energy_kwh:.6f}".rstrip("0").rstrip(".")
    return f"{digits} kWh"


def _zone(name: str | None) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):  # the last two: no name of a zone, or a path that is none
        return ZoneInfo("UTC")


def _local_time(instant_ms: int, zone: ZoneInfo) -> str:
    local = from_ms(instant_ms).astimezone(zone)
    offset = local.strftime("%z")
    return f"{local:%Y-%m-%d %H:%M:%S} ({zone.key}, UTC{offset[:3]}:{offset[3:5]})"


def _html(greeting: str, opening: str, message: str, facts: list[tuple[str, str]], closing: str) -> str:
    rows = "".join(
        f'<tr><th align="left" style="padding:2px 16px 2px 0">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in facts
    )
    paragraphs = "".join(f"<p>{escape(part)}</p>" for part in (greeting, opening) if part)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"></head>'
        '<body style="font-family:sans-serif;font-size:16px;line-height:1.5">'
        f"{paragraphs}<p><strong>{escape(message)}</strong></p><table>{rows}</table>"
        f'<p style="color:#595959;font-size:14px">{escape(closing)}</p></body></html>\n'
    )
