"""The households that can be simulated: a home and a laboratory."""

from dataclasses import dataclass, replace

from energy_tracker.kit.instants import MS_PER_MINUTE, MS_PER_SECOND
from energy_tracker.kit.problems import FieldError, InvalidRequest
from energy_tracker.services.ingestion.simulation.appliances.base import Appliance
from energy_tracker.services.ingestion.simulation.appliances.cooling import FREEZER, REFRIGERATOR, ULTRA_LOW_FREEZER
from energy_tracker.services.ingestion.simulation.appliances.electronics import (
    DESK_COMPUTER,
    LAMPS,
    MONITOR,
    ROUTER,
    SPEAKER,
    TELEVISION,
    AlwaysOn,
    ScheduledLights,
)
from energy_tracker.services.ingestion.simulation.appliances.energy import CarCharger, HeatPump, SolarPanels
from energy_tracker.services.ingestion.simulation.appliances.kitchen import CoffeeMaker, Dishwasher, Kettle, Microwave
from energy_tracker.services.ingestion.simulation.appliances.laboratory import FumeHood, Furnace, ServerRack, VacuumPump
from energy_tracker.services.ingestion.simulation.appliances.laundry import Dryer, WashingMachine
from energy_tracker.services.ingestion.simulation.readings import SimulatedDevice
from energy_tracker.services.ingestion.simulation.surroundings import Habits, Place

HOUSE_METER = "House meter"
LAB_METER = "Lab meter"


class UnknownProfile(InvalidRequest):
    """There is no household of that name to simulate."""


@dataclass(frozen=True, slots=True)
class Household:
    """A household: where it is, how its people live, its metered devices, and what has no meter of its own."""

    name: str
    place: Place
    habits: Habits
    devices: tuple[SimulatedDevice, ...]
    unmetered: tuple[tuple[str, Appliance], ...] = ()

    def device(self, name: str) -> SimulatedDevice:
        """Return the device of a name. Raises `KeyError`."""
        for device in self.devices:
            if device.name == name:
                return device
        raise KeyError(name)


def household(profile: str) -> Household:
    """Return the household of a profile, `home` or `lab`. Raises `UnknownProfile`."""
    profiles = {"home": home, "lab": lab}
    if profile not in profiles:
        names = " or ".join(profiles)
        message = f"there is no profile {profile[:40]!r}; use {names}"
        raise UnknownProfile(message, errors=(FieldError("/profile", f"use {names}"),))
    return profiles[profile]()


def home() -> Household:
    """Return a home of a few people with a heat pump, an electric car and panels on the roof."""
    plugs = (
        SimulatedDevice(
            name="Refrigerator", type="REFRIGERATOR", location="Kitchen", appliance=REFRIGERATOR, rated_power_w=1_200,
        ),
        SimulatedDevice(
            name="Freezer", type="REFRIGERATOR", location="Cellar", appliance=FREEZER, rated_power_w=1_500,
        ),
        SimulatedDevice(
            name="Kettle", type="MISC", location="Kitchen", appliance=Kettle(), rated_power_w=2_200,
            sends_event_id=False
        ),
        SimulatedDevice(
            name="Coffee maker", type="MISC", location="Kitchen", appliance=CoffeeMaker(), rated_power_w=1_100,
        ),
        SimulatedDevice(
            name="Microwave oven", type="MISC", location="Kitchen", appliance=Microwave(), rated_power_w=1_600,
            period_ms=30 * MS_PER_SECOND, max_hold_ms=MS_PER_MINUTE,
        ),
        SimulatedDevice(
            name="Dishwasher", type="MISC", location="Kitchen", appliance=Dishwasher(), rated_power_w=2_400,
            kind="interval", period_ms=5 * MS_PER_MINUTE, sends_since=True,
        ),
        SimulatedDevice(
            name="Washing machine", type="MISC", location="Bathroom", appliance=WashingMachine(), rated_power_w=2_500
        ),
        SimulatedDevice(
            name="Dryer", type="MISC", location="Bathroom", appliance=Dryer(), rated_power_w=2_800,
            kind="interval", period_ms=MS_PER_MINUTE,
        ),
        SimulatedDevice(
            name="Television", type="TV", location="Living room", appliance=TELEVISION, rated_power_w=250,
        ),
        SimulatedDevice(
            name="Desk computer", type="MISC", location="Study", appliance=DESK_COMPUTER, rated_power_w=400,
        ),
        SimulatedDevice(
            name="Router", type="MISC", location="Hall", appliance=ROUTER, rated_power_w=20,
            kind="interval", period_ms=15 * MS_PER_MINUTE, sends_event_id=False,
        ),
        SimulatedDevice(
            name="Lamps", type="LIGHT", location="Living room", appliance=LAMPS, rated_power_w=100,
        ),
        SimulatedDevice(
            name="Heat pump", type="HEATER", location="Cellar", appliance=HeatPump(), rated_power_w=4_000,
            kind="register", base_kwh=7_312.406,
        ),
        SimulatedDevice(
            name="Car charger", type="MISC", location="Garage", appliance=CarCharger(), rated_power_w=11_500,
            kind="register", period_ms=30 * MS_PER_SECOND, base_kwh=2_846.911,
        ),
    )  # fmt: skip
    meter = SimulatedDevice(
        name=HOUSE_METER,
        type="MISC",
        location="Hall",
        appliance=None,
        kind="register",
        rated_power_w=24_000,
        base_kwh=31_877.25,
    )
    panels = SimulatedDevice(
        name="Solar panels",
        type="MISC",
        location="Roof",
        appliance=SolarPanels(),
        rated_power_w=7_500,
        direction="export",
    )
    return Household(
        name="home",
        place=Place(),
        habits=Habits(),
        devices=(meter, *(replace(plug, parent=HOUSE_METER) for plug in plugs), panels),
        unmetered=(("Speaker", SPEAKER), ("Everything else", AlwaysOn(power_w=46.0, fluctuation=0.1, awake_w=85.0))),
    )


def lab() -> Household:
    """Return a laboratory that works Monday to Friday around machines that never rest."""
    plugs = (
        SimulatedDevice(
            name="Server rack", type="MISC", location="Server room", appliance=ServerRack(), rated_power_w=6_000,
            period_ms=10 * MS_PER_SECOND, max_hold_ms=MS_PER_MINUTE,
        ),
        SimulatedDevice(
            name="Freezer -80", type="REFRIGERATOR", location="Store", appliance=ULTRA_LOW_FREEZER, rated_power_w=2_600
        ),
        SimulatedDevice(
            name="Fume hood", type="MISC", location="Laboratory 1", appliance=FumeHood(), rated_power_w=800,
            kind="interval", period_ms=5 * MS_PER_MINUTE, sends_since=True,
        ),
        SimulatedDevice(
            name="Tube furnace", type="HEATER", location="Laboratory 2", appliance=Furnace(), rated_power_w=3_300,
        ),
        SimulatedDevice(
            name="Vacuum pump", type="MISC", location="Laboratory 2", appliance=VacuumPump(), rated_power_w=1_200,
            kind="interval", period_ms=15 * MS_PER_MINUTE, sends_event_id=False,
        ),
        SimulatedDevice(
            name="Lights", type="LIGHT", location="Laboratory 1", appliance=ScheduledLights(), rated_power_w=1_000,
        ),
        SimulatedDevice(
            name="Workstation", type="MISC", location="Office",
            appliance=replace(DESK_COMPUTER, power_w=160.0, busy_w=210.0), rated_power_w=650,
        ),
        SimulatedDevice(
            name="Monitor", type="MISC", location="Office", appliance=MONITOR, rated_power_w=60,
        ),
        SimulatedDevice(
            name="Air conditioner", type="AIR_CONDITIONER", location="Server room",
            appliance=AlwaysOn(power_w=690.0, fluctuation=0.06, step_min=8), rated_power_w=1_500,
            kind="register", base_kwh=18_204.33,
        ),
    )  # fmt: skip
    meter = SimulatedDevice(
        name=LAB_METER, type="MISC", location="Switchboard", appliance=None, kind="register", rated_power_w=40_000,
        base_kwh=204_119.0,
    )  # fmt: skip
    return Household(
        name="lab",
        place=Place(),
        habits=Habits(wakes_h=7.9, sleeps_h=18.6, home_on_workdays=1.0, absent_share=0.01, weekend_absent_share=0.85),
        devices=(meter, *(replace(plug, parent=LAB_METER) for plug in plugs)),
        unmetered=(("Everything else", AlwaysOn(power_w=240.0, fluctuation=0.08, awake_w=420.0)),),
    )
