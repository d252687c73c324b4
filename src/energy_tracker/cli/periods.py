"""Periods as a person gives them: `--days 7`, or `--from` and `--to` as dates of the user's zone or as instants."""

from datetime import datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from energy_tracker.kit.instants import to_ms

FromOption = Annotated[
    str | None, typer.Option("--from", help="The beginning: a day of the user's zone, or an instant with an offset.")
]
ToOption = Annotated[str | None, typer.Option("--to", help="The end, not included; given as the beginning is.")]


def period_ms(start: str | None, end: str | None, *, days: int, zone: str, now: datetime) -> tuple[int, int]:
    """Return `[from, to)` in ms since 1970; by default the last `days` days, today included, of the user's zone."""
    local_zone = ZoneInfo(zone)
    tomorrow = _day_start(now.astimezone(local_zone) + timedelta(days=1), local_zone)
    end_ms = to_ms(tomorrow) if end is None else instant_ms(end, zone, "--to")
    if start is not None:
        start_ms = instant_ms(start, zone, "--from")
    else:
        last = datetime.fromtimestamp((end_ms - 1) / 1000, local_zone)
        start_ms = to_ms(_day_start(last - timedelta(days=days - 1), local_zone))
    if start_ms >= end_ms:
        raise typer.BadParameter("The beginning is not before the end.", param_hint="--from")
    return start_ms, end_ms


def instant_ms(text: str, zone: str, option: str) -> int:
    """Return a day's or an instant's ms since 1970. Raises `typer.BadParameter`."""
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        message = f"{text[:40]!r} is neither a day such as 2026-03-29 nor an instant such as 2026-03-29T00:00:00Z."
        raise typer.BadParameter(message, param_hint=option) from None
    return to_ms(moment if moment.tzinfo is not None else moment.replace(tzinfo=ZoneInfo(zone)))


def _day_start(moment: datetime, zone: ZoneInfo) -> datetime:
    return datetime(moment.year, moment.month, moment.day, tzinfo=zone)
