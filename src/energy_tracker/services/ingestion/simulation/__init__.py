"""Simulated appliances, the truth about them, faults on the way, and the score of what was measured.

Nothing here knows a framework or reads the clock of the machine. The entry points, by module:

`households`
    `household(profile: str) -> Household`: `home` or `lab`; raises `UnknownProfile` (422).
    `Household.devices: tuple[SimulatedDevice, ...]`, parents before their sub-meters;
    `SimulatedDevice.body(user_id=…, parent_id=…)` is the body that creates it through device-service.
`generation`
    `Simulation(household=…, seed=…, epoch_ms=…, mark=None)`: the same household, seed and epoch give the same
    readings for ever; registers show the energy since the epoch. `.readings(from_ms, to_ms) ->
    Iterator[SimulatedReading]`, `.quarter_hours(device_name, from_ms, to_ms) -> dict[start_ms, mJ]`, `.mark(at_ms)
    -> CounterMark`. `generate(profile, seed, from_ms, to_ms, *, epoch_ms=None) -> Iterator[SimulatedReading]`.
    `live(simulation, *, from_ms, clock) -> AsyncIterator[SimulatedReading]`: each when it is due, past ones at
    once. `SimulatedReading.body(device_id)` is the body of `POST /api/v1/ingestion`.
`faults`
    `parse_faults(text) -> tuple[Fault, ...]`: such as `lost=0.01,late=0.05,gap`; raises `UnknownFault` (422).
    `disturb(readings, faults, *, seed, truth=None) -> Iterator[Delivery]`, in order of `Delivery.delivered_ms`,
    each with `.reading`; `truth` is a `TruthRecorder` that is shown what can be known from what is delivered.
`truth`
    `TruthRecorder(simulation, from_ms, to_ms)`: `.observe(reading)`, then `.finish() -> Truth`.
    `write_truth(truth, file)` and `read_truth(file) -> Truth` (text files, JSON Lines; raises `TruthUnreadable`).
`score`
    `score(truth, measured: Iterable[MeasuredBucket], tolerance=Tolerance()) -> Score`;
    `measured_buckets(answer: SeriesAnswer) -> Iterator[MeasuredBucket]` takes the answer of usage-service's `series`.
`control`
    `SimulationRunner(fleet=…, post=…, clock=…, options=SimulationOptions())` implements
    `ports.SimulationControl`, and has `close()`. `fleet` is a `Fleet` (`devices() -> Sequence[fleet.FleetDevice]`),
    `post` a `Post` (`post(path, body) -> PostAnswer`).
"""
