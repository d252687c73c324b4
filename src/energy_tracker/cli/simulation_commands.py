"""`simulate` and `score`: readings whose truth is known, and how right the figures are."""

import csv
import gzip
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO, cast

import typer

from energy_tracker.cli import exits
from energy_tracker.cli.homes import UserOption, chosen_user
from energy_tracker.cli.output import AsJson, Output, kwh
from energy_tracker.cli.periods import FromOption, ToOption, period_ms
from energy_tracker.cli.running import CommandFailed, run

if TYPE_CHECKING:
    from energy_tracker.services.ingestion.simulation.households import Household
    from energy_tracker.services.ingestion.simulation.readings import SimulatedReading
    from energy_tracker.settings import Settings

_MS_PER_CHUNK = 31 * 86_400_000
_SHOWN_BUCKETS = 20
_MS_PER_HOUR = 3_600_000


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("simulate")(simulate)
    app.command("score")(score)


def simulate(  # noqa: PLR0913, PLR0917 - the options of the command
    context: typer.Context,
    profile: Annotated[str, typer.Option(help="home or lab.")] = "home",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same readings.")] = 1,
    days: Annotated[int, typer.Option(min=1, max=3660, help="How many days, up to the last full hour.")] = 14,
    start: FromOption = None,
    end: ToOption = None,
    faults: Annotated[str, typer.Option(help="What goes wrong on the way, such as lost=0.01,late=0.05,gap.")] = "",
    truth: Annotated[Path | None, typer.Option(help="Write the truth here, for `score`.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="Write a CSV that `import` takes (.gz too).")] = None,
    user: Annotated[int | None, typer.Option("--user", help="Send the readings as this user's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Simulate a household: write its readings to a file, send them, or both; and write the truth."""
    if file is None and user is None:
        raise typer.BadParameter("Say where the readings go: --file, --user or both.")

    async def command(settings: "Settings", output: Output) -> None:
        from energy_tracker.kit.clock import SystemClock
        from energy_tracker.kit.instants import to_iso
        from energy_tracker.services.ingestion.simulation.faults import disturb, parse_faults
        from energy_tracker.services.ingestion.simulation.generation import Simulation
        from energy_tracker.services.ingestion.simulation.households import household
        from energy_tracker.services.ingestion.simulation.truth import TruthRecorder, write_truth

        chosen = household(profile)
        zone = settings.default_time_zone
        start_ms, end_ms = period_ms(start, end, days=days, zone=zone, now=SystemClock().now())
        if end is None:
            end_ms = min(end_ms, _hour_start(SystemClock().now_ms()))
        simulation = Simulation(household=chosen, seed=seed, epoch_ms=start_ms)
        names = tuple(each for each in faults.split(",") if each)
        recorder = None if truth is None else TruthRecorder(simulation, start_ms, end_ms, faults=names)
        deliveries = disturb(simulation.readings(start_ms, end_ms), parse_faults(faults), seed=seed, truth=recorder)
        readings: Iterator[SimulatedReading] = (delivery.reading for delivery in deliveries)
        result: dict[str, Any] = {"from": to_iso(start_ms), "to": to_iso(end_ms), "profile": profile, "seed": seed}
        if file is not None:
            kept = list(readings) if user is not None else None
            result["written"] = _write_csv(file, chosen, kept if kept is not None else readings)
            readings = iter(kept or ())
        if user is not None:
            result |= await _send(settings, chosen, user, readings)
        if recorder is not None and truth is not None:
            with truth.open("w", encoding="utf-8") as stream:
                write_truth(recorder.finish(), stream)
        output.document(result)
        output.table(("what", ">value"), list(result.items()))

    run(context, command, as_json=as_json)


async def _send(
    settings: "Settings", chosen: "Household", user_id: int, readings: Iterable["SimulatedReading"]
) -> dict[str, Any]:
    from energy_tracker.cli.access import services
    from energy_tracker.cli.household import ensure_devices, send_readings
    from energy_tracker.cli.sending import wait_until_derived

    async with services(settings) as clients:
        await clients.users.read(user_id)
        ids = await ensure_devices(clients, chosen, user_id)
        answer = await send_readings(clients, readings, ids)
        derived = await wait_until_derived(clients)
    return {
        "sent": answer.received,
        "accepted": answer.accepted,
        "duplicate": answer.duplicate,
        "rejected": answer.rejected,
        "derived": derived,
    }


def _write_csv(file: Path, chosen: "Household", readings: Iterable["SimulatedReading"]) -> int:
    """Write readings in the form of `export`, in which every row says its kind; return how many."""
    from energy_tracker.services.ingestion.imports.exported import COLUMNS

    devices = {device.name: device for device in chosen.devices}
    count = 0
    with _text(file) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for count, reading in enumerate(readings, start=1):  # noqa: B007 - the number of the last one is the count
            writer.writerow(_cells(devices[reading.device], reading))
    return count


def _cells(device: Any, reading: "SimulatedReading") -> Iterator[object]:
    from energy_tracker.kit.instants import to_iso
    from energy_tracker.services.ingestion.imports.exported import COLUMNS, UNIT_OF, inert_cell

    about = device.body(user_id=0, parent_id=None)
    amounts = (reading.power_w, reading.register_kwh, reading.energy_kwh)
    cells = {
        "timestamp": to_iso(reading.at_ms),
        "since": "" if reading.since_ms is None else to_iso(reading.since_ms),
        "device": inert_cell(device.name),
        "type": device.type,
        "location": inert_cell(device.location),
        "kind": reading.kind,
        "direction": reading.direction,
        "amount": next(amount for amount in amounts if amount is not None),
        "unit": UNIT_OF[reading.kind],
        "event_id": inert_cell(reading.event_id or ""),
        "max_hold": about["maxHold"],
        "device_kind": device.kind,
        "device_direction": device.direction,
        "parent": inert_cell(device.parent or ""),
        "rated_power": "" if device.rated_power_w is None else device.rated_power_w,
        "silent_after": "",
    }
    return (cells[column] for column in COLUMNS)


def _text(file: Path) -> TextIO:
    if file.name.endswith(".gz"):
        return io.TextIOWrapper(cast("Any", gzip.GzipFile(file, "wb", mtime=0)), encoding="utf-8", newline="")
    return file.open("w", encoding="utf-8", newline="")


def _hour_start(at_ms: int) -> int:
    return at_ms - at_ms % _MS_PER_HOUR


def score(
    context: typer.Context,
    truth: Annotated[Path, typer.Argument(help="The truth that `simulate` wrote.")],
    user: UserOption = None,
    as_json: AsJson = False,
) -> None:
    """Compare every hour of every device with the truth; fails where one is not right."""

    async def command(settings: "Settings", output: Output) -> None:
        from msgspec.structs import replace

        from energy_tracker.cli.access import services
        from energy_tracker.services.ingestion.simulation.score import MeasuredBucket, measured_buckets
        from energy_tracker.services.ingestion.simulation.score import score as judge
        from energy_tracker.services.ingestion.simulation.truth import read_truth

        with truth.open(encoding="utf-8") as stream:
            known = read_truth(stream)
        from_ms, to_ms = known.header.from_ms, _hour_start(known.header.to_ms)
        if to_ms <= from_ms:
            raise typer.BadParameter("The truth is of less than a full hour.", param_hint="TRUTH")
        # An hour that the simulation breaks off in is not over: what its last readings hold for is not known.
        known = replace(known, rows=tuple(row for row in known.rows if row.start_ms < to_ms))
        measured: list[MeasuredBucket] = []
        async with services(settings) as clients:
            home = await chosen_user(clients, user)
            for first_ms in range(from_ms, to_ms, _MS_PER_CHUNK):
                last_ms = min(first_ms + _MS_PER_CHUNK, to_ms)
                measured += measured_buckets(
                    await clients.usage.series(home.id, start_ms=first_ms, end_ms=last_ms, resolution="hour")
                )
        _report_score(output, judge(known, measured))

    run(context, command, as_json=as_json)


def _report_score(output: Output, result: Any) -> None:
    import msgspec

    from energy_tracker.kit.instants import to_iso

    output.document({"passed": result.passed, **msgspec.to_builtins(result)})
    output.table(
        ("device", "kind", ">hours", ">wrong", ">largest error kWh", ">true kWh", ">measurable kWh", ">measured kWh"),
        [
            (
                each.device,
                each.kind,
                each.buckets,
                each.out_of_tolerance,
                f"{each.max_error_kwh:.6f}",
                kwh(each.true_kwh),
                kwh(each.measurable_kwh),
                kwh(each.measured_kwh),
            )
            for each in result.devices
        ],
    )
    for bucket in result.faulty[:_SHOWN_BUCKETS]:
        output.line(f"{bucket.device} {to_iso(bucket.start_ms)}: {bucket.verdict} ({bucket.error_kwh:+.6f} kWh)")
    output.line(
        "Every hour of every device is right." if result.passed else f"{len(result.faulty)} hours are not right."
    )
    if not result.passed:
        raise CommandFailed(exits.FAILED)
