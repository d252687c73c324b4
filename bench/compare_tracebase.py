"""Compare simulated appliances with real ones of the tracebase data set.

    python bench/compare_tracebase.py FOLDER

FOLDER holds one `<Type>.csv.gz` per type with the columns device, minute, mean_w and max_w. For each type and
measure the table shows the median over the real specimens with their range, and the simulated value. Only days are
counted on which the appliance ran at all: how often people use it is theirs, and the real ones were mostly recorded
while in use. A simulated value is in bounds where it lies between the smallest and the largest real specimen, or
within a factor of 1.5 of their median. Exits with 1 where one is out of bounds.
"""

import csv
import gzip
import re
import statistics
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby, pairwise
from pathlib import Path

from energy_tracker.kit.instants import MS_PER_MINUTE, to_ms
from energy_tracker.services.ingestion.simulation.appliances import cooling, electronics, kitchen, laundry
from energy_tracker.services.ingestion.simulation.appliances.base import Appliance
from energy_tracker.services.ingestion.simulation.segments import Segment
from energy_tracker.services.ingestion.simulation.surroundings import Habits, Place, day_after, day_of

FACTOR = 1.5
SIMULATED_DAYS = 84
MINUTES_PER_DAY = 1_440
_ONE_DAY_OF_A_SPECIMEN = re.compile(r"_\d{4}\.\d\d\.\d\d$")


@dataclass(frozen=True)
class Subject:
    """A type in tracebase, its model, and the power in W above which it counts as running."""

    type: str
    appliance: Appliance
    running_w: float


SUBJECTS = (
    Subject("Refrigerator", cooling.REFRIGERATOR, 20),
    Subject("Freezer", cooling.FREEZER, 20),
    Subject("WaterKettle", kitchen.Kettle(), 200),
    Subject("Coffeemaker", kitchen.CoffeeMaker(), 100),
    Subject("MicrowaveOven", kitchen.Microwave(), 100),
    Subject("Dishwasher", kitchen.Dishwasher(), 10),
    Subject("Washingmachine", laundry.WashingMachine(), 10),
    Subject("LaundryDryer", laundry.Dryer(), 100),
    Subject("TV-LCD", electronics.TELEVISION, 20),
    Subject("PC-Desktop", electronics.DESK_COMPUTER, 20),
    Subject("PC-Laptop", electronics.LAPTOP, 10),
    Subject("Monitor-TFT", electronics.MONITOR, 8),
    Subject("Lamp", electronics.LAMPS, 5),
    Subject("Router", electronics.ROUTER, 2),
)


@dataclass(frozen=True)
class Minute:
    """A minute since 1970 and the mean power in it, in W."""

    number: int
    mean_w: float


@dataclass(frozen=True)
class Measures:
    """What is compared: shares, minutes, W, kWh."""

    duty: float
    runs_a_day: float
    run_median_min: float | None
    run_p90_min: float | None
    rest_median_min: float | None
    power_median_w: float | None
    power_p90_w: float | None
    kwh_a_day: float


def measures(recorded: Sequence[Minute], running_w: float) -> Measures:
    """Return the measures of one specimen on its days of use; a run that a gap cuts off is not counted."""
    used = {minute.number // MINUTES_PER_DAY for minute in recorded if minute.mean_w > running_w}
    minutes = [minute for minute in recorded if minute.number // MINUTES_PER_DAY in used]
    runs: list[int] = []
    rests: list[int] = []
    pieces = [list(piece) for _, piece in groupby(enumerate(minutes), key=lambda each: each[1].number - each[0])]
    for piece in pieces:
        lengths = [(on, len(list(run))) for on, run in groupby(piece, key=lambda each: each[1].mean_w > running_w)]
        for on, length in lengths[1:-1]:
            (runs if on else rests).append(length)
    running = [minute.mean_w for minute in minutes if minute.mean_w > running_w]
    days = len(minutes) / MINUTES_PER_DAY
    return Measures(
        duty=len(running) / len(minutes),
        runs_a_day=len(runs) / days,
        run_median_min=quantile(runs, 0.5),
        run_p90_min=quantile(runs, 0.9),
        rest_median_min=quantile(rests, 0.5),
        power_median_w=quantile(running, 0.5),
        power_p90_w=quantile(running, 0.9),
        kwh_a_day=sum(minute.mean_w for minute in minutes) / 60_000 / days,
    )


def quantile(numbers: Sequence[float], share: float) -> float | None:
    """Return a quantile (the nearest of the numbers), or None of nothing."""
    ordered = sorted(numbers)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def real(path: Path) -> dict[str, list[Minute]]:
    """Return the minutes by specimen; what a name with a date says is one day of a specimen."""
    specimens: dict[str, list[Minute]] = {}
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            at = datetime.fromisoformat(row["minute"]).replace(tzinfo=UTC)
            minute = Minute(to_ms(at) // MS_PER_MINUTE, float(row["mean_w"]))
            specimens.setdefault(_ONE_DAY_OF_A_SPECIMEN.sub("", row["device"]), []).append(minute)
    return {
        name: sorted(minutes, key=lambda each: each.number)
        for name, minutes in specimens.items()
        if len(minutes) >= MINUTES_PER_DAY
    }


def simulated(appliance: Appliance, seed: int) -> list[Minute]:
    """Return the minutes of twelve weeks of winter, the season of the real ones."""
    day = day_of(seed=seed, at_ms=to_ms(datetime(2026, 1, 5, tzinfo=UTC)), place=Place(), habits=Habits())
    first_ms, energies = day.start_ms, [0.0] * (SIMULATED_DAYS * MINUTES_PER_DAY)
    for _ in range(SIMULATED_DAYS):
        for start_ms, end_ms, power_w in in_minutes(appliance.segments(day, "specimen")):
            index = (start_ms - first_ms) // MS_PER_MINUTE
            if index < len(energies):
                energies[index] += power_w * (end_ms - start_ms)
        day = day_after(day)
    return [Minute(first_ms // MS_PER_MINUTE + i, energy / MS_PER_MINUTE) for i, energy in enumerate(energies)]


def in_minutes(segments: Iterable[Segment]) -> Iterator[Segment]:
    """Yield the segments, cut at the minutes."""
    for start_ms, end_ms, power_w in segments:
        cuts = range(start_ms - start_ms % MS_PER_MINUTE + MS_PER_MINUTE, end_ms, MS_PER_MINUTE)
        for left_ms, right_ms in pairwise((start_ms, *cuts, end_ms)):
            yield Segment(left_ms, right_ms, power_w)


def compare(subject: Subject, folder: Path) -> tuple[list[str], bool]:
    """Return the lines of the table for a type, and whether all is in bounds."""
    specimens = [measures(minutes, subject.running_w) for minutes in real(folder / f"{subject.type}.csv.gz").values()]
    switched = [each for each in specimens if each.duty < 0.9] or specimens  # one that is never off has no runs
    models = [measures(simulated(subject.appliance, seed), subject.running_w) for seed in (1, 2, 3)]
    lines, all_in_bounds = [], True
    for name in Measures.__dataclass_fields__:
        ours = [number for each in models if (number := getattr(each, name)) is not None]
        theirs = [number for each in switched if (number := getattr(each, name)) is not None]
        if not ours or not theirs or (name == "runs_a_day" and max(theirs) == 0):
            continue
        value, median = statistics.median(ours), statistics.median(theirs)
        in_bounds = min(theirs) <= value <= max(theirs) or median / FACTOR <= value <= median * FACTOR
        all_in_bounds &= in_bounds
        spread = f"{min(theirs):.3g} to {max(theirs):.3g}"
        verdict = "" if in_bounds else "out of bounds"
        lines.append(
            f"| {subject.type} ({len(switched)}) | {name} | {median:.3g} | {spread} | {value:.3g} | {verdict} |"
        )
    return lines, all_in_bounds


def main(folder: Path) -> int:
    """Print the table; return the exit code."""
    print("| type (specimens) | measure | real median | real range | simulated | |")
    print("|---|---|---|---|---|---|")
    good = True
    for subject in SUBJECTS:
        lines, in_bounds = compare(subject, folder)
        print("\n".join(lines))
        good &= in_bounds
    return 0 if good else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1])))
