"""The rows of a file as readings, in batches, in bounded memory.

A reading depends on its own row alone, never on its neighbours, so that a file gives the same readings however it is
shuffled or cut. The one exception is the hour that a clock shows twice, where only the file's order tells the first
from the second; where it does not, the rows are rejected.
"""

import csv
from collections.abc import Iterable, Iterator
from itertools import islice

from energy_tracker.services.ingestion.imports.fold import FoldedHours
from energy_tracker.services.ingestion.imports.model import (
    FileCannotBeImported,
    FoundDevice,
    ImportedReading,
    ImportPlan,
    RejectedRow,
    RowBatch,
)
from energy_tracker.services.ingestion.imports.numbers import NotANumber, number_reader
from energy_tracker.services.ingestion.imports.times import Ambiguous, NotATime, TimeDoesNotExist, TimeReader

BATCH_ROWS = 5_000


def read_rows(lines: Iterable[str], plan: ImportPlan, *, batch_rows: int = BATCH_ROWS) -> Iterator[RowBatch]:
    """Yield the readings of all lines (the header's too), some rows at a time.

    Raises `FileCannotBeImported` where the file cannot be read on (a quotation mark that is not closed, a line without
    end, damaged gzip); what came before was yielded.
    """
    above = plan.preamble_lines
    reader = csv.reader(islice(lines, above, None), delimiter=plan.separator, strict=True)
    rows = _Rows(plan)
    try:
        for _ in islice(reader, plan.header_rows):
            pass
        for row in reader:
            rows.add(row, above + reader.line_num)
            if rows.full(batch_rows):
                yield rows.take()
    except csv.Error as error:
        yield rows.finish()
        message = (
            f"The file cannot be read on at line {above + reader.line_num}: {error}. "
            "Is a quotation mark before it not closed? The rows before it were read."
        )
        raise FileCannotBeImported(message) from None
    except FileCannotBeImported:
        yield rows.finish()
        raise
    yield rows.finish()


class _Rows:
    """Turns rows into readings; holds what has not been yielded yet."""

    def __init__(self, plan: ImportPlan) -> None:
        self._plan = plan
        self._width = len(plan.column_names)
        self._times = TimeReader(plan.time_format, plan.zone)
        self._number = number_reader(plan.decimal)
        self._scaled = plan.unit.times != 1 or plan.unit.per != 1
        self._known: dict[str, str | None] = {}
        self._folded = FoldedHours()
        self._start()
        shift_us = plan.period_us or 0
        ends = plan.stamp == "end"
        # From the time in the file to the reading's instant, and from there back to the start of its interval.
        self._shift_us = (shift_us if plan.kind == "interval" and not ends else 0) - (
            shift_us if plan.kind == "power" and ends else 0
        )
        self._span_us = shift_us if plan.kind == "interval" and shift_us else None

    def _start(self) -> None:
        self._readings: list[ImportedReading] = []
        self._rejected: list[RejectedRow] = []
        self._devices: list[FoundDevice] = []
        self._count = 0
        self._empty = 0

    def full(self, batch_rows: int) -> bool:
        return self._count >= batch_rows

    def take(self) -> RowBatch:
        batch = RowBatch(self._readings, self._rejected, self._devices, self._count, self._empty)
        self._start()
        return batch

    def finish(self) -> RowBatch:
        self._settle(self._folded.flush())
        return self.take()

    def add(self, row: list[str], line: int) -> None:
        """Take the next row; one that is no reading is kept with its reason."""
        if not row:
            return
        self._count += 1
        if len(row) != self._width and (len(row) < self._width or any(row[self._width :])):
            self._reject_ragged(row, line)
            return
        plan = self._plan
        text = row[plan.time_index] if plan.time_of_day_index is None else plan.time_text(row)
        try:
            instant = self._times.instant_us(text)
        except NotATime:
            self._reject(line, plan.time_index, f"{text[:40]!r} is not a time written as {plan.time_format.value}")
            return
        except TimeDoesNotExist:
            self._reject(line, plan.time_index, f"{text[:40]!r} does not exist: the clock of {plan.zone} skipped it")
            return
        for column in plan.values:
            cell = row[column.index]
            if not cell or cell.isspace():
                self._empty += 1
                continue
            try:
                amount = self._number(cell)
            except NotANumber as error:
                self._reject(line, column.index, str(error))
                continue
            if self._scaled:
                amount = plan.unit.scale(amount)
            device = self._device(row, line, column.device_name)
            if device is not None:
                self._place(line, device, instant, amount)

    def _place(self, line: int, device: str, instant: int | Ambiguous, amount: float) -> None:
        if isinstance(instant, Ambiguous):
            self._settle(self._folded.hold(device, instant, line, amount))
            return
        if self._plan.zone is not None:
            self._settle(self._folded.passed(device, instant))
        self._append(line, device, instant, amount)

    def _append(self, line: int, device: str, instant_us: int, amount: float) -> None:
        instant_us += self._shift_us
        since_us = None if self._span_us is None else instant_us - self._span_us
        plan = self._plan
        self._readings.append(ImportedReading(line, device, instant_us, since_us, amount, plan.kind, plan.direction))

    def _settle(self, settled: Iterable[tuple[int, str, int | None, float]]) -> None:
        for line, device, instant_us, amount in settled:
            if instant_us is None:
                reason = f"the clock of {self._plan.zone} showed this time twice, and the order does not tell which"
                self._reject(line, self._plan.time_index, reason)
            else:
                self._append(line, device, instant_us, amount)

    def _device(self, row: list[str], line: int, default: str) -> str | None:
        """Return the device's name, noting it when it is new; None where the cell is no name (the row is rejected)."""
        index = self._plan.device_index
        cell = default if index is None else row[index]
        try:
            name = self._known[cell]
        except KeyError:
            name = self._known[cell] = _proper_name(cell)
            if name is not None:
                self._devices.append(self._found(row, name))
        if name is None:
            self._reject(line, index, f"{cell[:40]!r} is not a device's name")
        return name

    def _found(self, row: list[str], name: str) -> FoundDevice:
        plan = self._plan
        kind = row[plan.type_index].strip() if plan.type_index is not None else None
        location = row[plan.location_index].strip() if plan.location_index is not None else None
        return FoundDevice(name, plan.kind, plan.direction, kind or None, location or None)

    def _reject_ragged(self, row: list[str], line: int) -> None:
        reason = (
            f"the row has {len(row)} cells, the {'header' if self._plan.header_rows else 'first row'} {self._width}"
        )
        self._rejected.append(RejectedRow(line, None, reason))

    def _reject(self, line: int, index: int | None, reason: str) -> None:
        name = None if index is None else self._plan.column_names[index]
        self._rejected.append(RejectedRow(line, name, reason))


def _proper_name(cell: str) -> str | None:
    name = cell.strip()
    return name if name and name.isprintable() else None
