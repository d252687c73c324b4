"""Status bodies as real Shelly devices send them."""

from typing import Any

import pytest
from tests.support.ingestion import NOW_MS

from energy_tracker.contracts.ingestion import ReadingBody
from energy_tracker.kit.instants import to_ms
from energy_tracker.services.ingestion.model.readings import InvalidReading
from energy_tracker.services.ingestion.model.shelly import read_status

Measured = tuple[str, str, str, float]


def measured(document: object) -> list[Measured]:
    found: list[Measured] = []
    for one in read_status(document, device_id=7, now_ms=NOW_MS):
        assert isinstance(one.body, ReadingBody)
        amount = one.body.register_kwh if one.kind == "register" else one.body.power_w
        assert amount is not None
        found.append((one.channel, one.kind, one.direction, round(amount, 9)))
    return found


CASES: list[tuple[dict[str, Any], list[Measured]]] = [
    (  # Shelly Plug S, first generation: watt-minutes
        {"unixtime": 0, "meters": [{"power": 12.3, "is_valid": True, "total": 60_000, "counters": [1, 2, 3]}]},
        [("meter:0", "register", "import", 1.0)],
    ),
    (  # Shelly EM: Wh, and what was given away
        {
            "emeters": [
                {"power": -310.2, "is_valid": True, "total": 2_500.5, "total_returned": 700.0},
                {"power": 0, "is_valid": False, "total": 1, "total_returned": 1},
            ]
        },
        [("emeter:0", "register", "import", 2.5005), ("emeter:0", "register", "export", 0.7)],
    ),
    ({"meters": [{"power": 5.5, "is_valid": True}]}, [("meter:0", "power", "import", 5.5)]),
    ({"emeters": [{"power": -5.5, "is_valid": True}]}, [("emeter:0", "power", "export", 5.5)]),
    (  # a message of the second generation
        {"method": "NotifyStatus", "params": {"ts": 1.7e9, "switch:0": {"id": 0, "aenergy": {"total": 1234.5}}}},
        [("switch:0", "register", "import", 1.2345)],
    ),
    ({"id": 2, "apower": 8.1, "output": True}, [("switch:2", "power", "import", 8.1)]),
    (
        {
            "id": 1,
            "src": "shellypro3em",
            "result": {"em:0": {"total_act_power": -20}, "emdata:0": {"total_act": 9_000.0, "total_act_ret": 1_000}},
        },
        [("em:0", "register", "import", 9.0), ("em:0", "register", "export", 1.0)],
    ),
    ({"em1:1": {"act_power": 3.5}}, [("em1:1", "power", "import", 3.5)]),
    (
        {"em1data:1": {"total_act_energy": 10, "total_act_ret_energy": 0}},
        [("em1:1", "register", "import", 0.01), ("em1:1", "register", "export", 0.0)],
    ),
]


@pytest.mark.parametrize(("document", "expected"), CASES, ids=[str(expected) for _, expected in CASES])
def test_a_status_gives_each_channel_once(document: dict[str, Any], expected: list[Measured]) -> None:
    assert measured(document) == expected


@pytest.mark.parametrize(
    ("own", "expected_ms"),
    [
        ({"unixtime": 1_777_629_600}, 1_777_629_600_000),
        ({"ts": 1_777_629_600.25}, 1_777_629_600_250),
        ({"unixtime": 0}, NOW_MS),
        ({"unixtime": 10**12}, NOW_MS),
        ({"ts": "soon"}, NOW_MS),
        ({}, NOW_MS),
    ],
    ids=str,
)
def test_the_time_is_the_devices_own_where_it_is_plausible(own: dict[str, Any], expected_ms: int) -> None:
    (one,) = read_status({**own, "switch:0": {"apower": 1}}, device_id=7, now_ms=NOW_MS)
    assert isinstance(one.body, ReadingBody)
    assert to_ms(one.body.timestamp) == expected_ms


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        3,
        {"switch:0": 3},
        {"switch:0": {"apower": "5"}},
        {"meters": [None]},
        {"meters": {}},
        {"wifi_sta": {}},
        {"switch:0": {"apower": True}},
        {"switch:x": {"apower": 1}},
    ],
    ids=str,
)
def test_a_body_without_measurements_is_refused(document: object) -> None:
    with pytest.raises(InvalidReading):
        read_status(document, device_id=7, now_ms=NOW_MS)


def test_an_impossible_register_is_that_channels_problem() -> None:
    (bad, good) = read_status(
        {"switch:0": {"aenergy": {"total": -5}}, "switch:1": {"apower": 1}}, device_id=7, now_ms=NOW_MS
    )
    assert isinstance(bad.body, InvalidReading)
    assert isinstance(good.body, ReadingBody)
