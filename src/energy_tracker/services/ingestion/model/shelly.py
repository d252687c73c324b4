"""Status bodies of Shelly devices as readings.

First generation: `GET /status`; second generation and later: `Shelly.GetStatus`, one component's status, or the message
`NotifyStatus`. Each meter in a device is a channel of its own (`switch:0`, `emeter:1`), and gives its register where it
has one, else its power: never both, since they tell of the same energy.

Units, by Shelly's API references: `total` of a first generation `emeter` is Wh, of a `meter` watt-minutes; all energies
of the second generation are Wh, and `aenergy` includes what `ret_aenergy` has returned.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from energy_tracker.contracts.ingestion import ReadingBody
from energy_tracker.contracts.readings import Direction
from energy_tracker.kit.instants import MS_PER_SECOND, to_iso
from energy_tracker.kit.problems import FieldError, Problem
from energy_tracker.services.ingestion.model.decoding import check_fields
from energy_tracker.services.ingestion.model.readings import EARLIEST_MS, MAX_AHEAD_MS, invalid

_WH_PER_KWH = 1_000
_MINUTES_PER_HOUR = 60
_SWITCHES = re.compile(r"(?:switch|pm1|cover|light|rgbw?|cct|plug):[0-9]{1,3}", re.ASCII)
_METERS = re.compile(r"em1?(?:data)?:[0-9]{1,3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ShellyMeasurement:
    """What one channel measured: a register in kWh or a power in W. `body` is the reading, or why it cannot be one."""

    channel: str
    kind: Literal["register", "power"]
    direction: Direction
    body: ReadingBody | Problem


@dataclass(frozen=True, slots=True)
class _Found:
    channel: str
    kind: Literal["register", "power"]
    direction: Direction
    amount: float


def read_status(document: object, *, device_id: int, now_ms: int) -> list[ShellyMeasurement]:
    """Return what a status tells. Its own time counts where it is plausible, else the time here, `now_ms`.

    Raises `InvalidReading` where it holds no measurement.
    """
    if not isinstance(document, dict):
        raise invalid([FieldError("", "must be a JSON object: the status of a Shelly")])
    status = next((document[name] for name in ("params", "result") if isinstance(document.get(name), dict)), document)
    found = [*_first_generation(status), *_second_generation(status)]
    if not found:
        raise invalid([FieldError("", "holds no power and no energy that a Shelly's status would")])
    time_ms = _own_time_ms(status, now_ms)
    return [
        ShellyMeasurement(one.channel, one.kind, one.direction, _reading(one, device_id=device_id, time_ms=time_ms))
        for one in found
    ]


def _reading(found: _Found, *, device_id: int, time_ms: int) -> ReadingBody | Problem:
    field = "registerKwh" if found.kind == "register" else "powerW"
    item = {
        "deviceId": device_id,
        "timestamp": to_iso(time_ms),
        field: found.amount,
        "direction": found.direction,
        "channel": found.channel,
    }
    try:
        return check_fields(item)
    except Problem as problem:
        return problem


def _first_generation(status: Mapping[str, Any]) -> Iterator[_Found]:
    for name, watt_hours in (("emeters", 1.0), ("meters", 1 / _MINUTES_PER_HOUR)):
        meters = status.get(name)
        for number, meter in enumerate(meters if isinstance(meters, list) else ()):
            if isinstance(meter, dict) and meter.get("is_valid", True) is True:
                factor = watt_hours / _WH_PER_KWH
                yield from _channel(
                    f"{name.removesuffix('s')}:{number}",
                    _scaled(meter.get("total"), factor),
                    _scaled(meter.get("total_returned"), factor),
                    _number(meter.get("power")),
                )


def _second_generation(status: Mapping[str, Any]) -> Iterator[_Found]:
    if isinstance(status.get("id"), int) and ("apower" in status or "aenergy" in status):
        status = {f"switch:{status['id']}": status}
    meters: dict[str, dict[str, Any]] = {}
    for name, component in status.items():
        if not isinstance(component, dict):
            continue
        if _SWITCHES.fullmatch(name):
            yield from _switch(name, component)
        elif _METERS.fullmatch(name):
            meters.setdefault(name.replace("data:", ":"), {}).update(component)
    for name, meter in meters.items():
        whole = name.startswith("em:")
        yield from _channel(
            name,
            _scaled(meter.get("total_act" if whole else "total_act_energy"), 1 / _WH_PER_KWH),
            _scaled(meter.get("total_act_ret" if whole else "total_act_ret_energy"), 1 / _WH_PER_KWH),
            _number(meter.get("total_act_power" if whole else "act_power")),
        )


def _switch(name: str, component: Mapping[str, Any]) -> Iterator[_Found]:
    total_wh = _total(component.get("aenergy"))
    returned_wh = _total(component.get("ret_aenergy"))
    if total_wh is not None and returned_wh is not None:
        total_wh -= returned_wh
    yield from _channel(
        name,
        _scaled(total_wh, 1 / _WH_PER_KWH),
        _scaled(returned_wh, 1 / _WH_PER_KWH),
        _number(component.get("apower")),
    )


def _channel(name: str, import_kwh: float | None, export_kwh: float | None, power_w: float | None) -> Iterator[_Found]:
    if import_kwh is not None:
        yield _Found(name, "register", "import", import_kwh)
        if export_kwh is not None:
            yield _Found(name, "register", "export", export_kwh)
    elif power_w is not None:
        yield _Found(name, "power", "import" if power_w >= 0 else "export", abs(power_w))


def _own_time_ms(status: Mapping[str, Any], now_ms: int) -> int:
    system = status.get("sys")
    for seconds in (
        status.get("ts"),
        status.get("unixtime"),
        system.get("unixtime") if isinstance(system, dict) else None,
    ):
        number = _number(seconds)
        if number is not None and EARLIEST_MS <= number * MS_PER_SECOND <= now_ms + MAX_AHEAD_MS:
            return round(number * MS_PER_SECOND)
    return now_ms


def _total(energy: object) -> float | None:
    return _number(energy.get("total")) if isinstance(energy, dict) else None


def _scaled(number: object, factor: float) -> float | None:
    amount = _number(number)
    return None if amount is None else amount * factor


def _number(content: object) -> float | None:
    return float(content) if isinstance(content, int | float) and not isinstance(content, bool) else None
