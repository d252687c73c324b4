"""From environment variables to the tree, with every mistake named at once."""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from energy_tracker.settings.tree import Settings
from energy_tracker.settings.variables import PREFIX, Variable, union_members, variables_of

SELECT_MISSING_BACKENDS: Mapping[str, str] = {
    "SPRING_DATASOURCE_URL": "MySQL",
    "SPRING_DATASOURCE_USERNAME": "MySQL",
    "SPRING_DATASOURCE_PASSWORD": "MySQL",
    "SPRING_KAFKA_BOOTSTRAP_SERVERS": "Kafka",
    "INFLUX_URL": "InfluxDB",
    "USER_SERVICE_URL": "user-service in a process of its own",
    "DEVICE_SERVICE_URL": "device-service in a process of its own",
    "USAGE_SERVICE_URL": "usage-service in a process of its own",
}
_MISSPELT = 0.88


class WrongVariable(NamedTuple):
    """A variable and a sentence that says what is wrong with it and what would be right; never a secret's value."""

    name: str
    detail: str


class InvalidConfiguration(Exception):
    """The environment holds variables that cannot be used; `errors` has all of them."""

    def __init__(self, errors: tuple[WrongVariable, ...]) -> None:
        super().__init__("\n".join(f"{error.name}: {error.detail}" for error in errors))
        self.errors = errors


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables; an empty one counts as not set.

    Raises `InvalidConfiguration`, which names every variable that is unknown, misspelt, without effect or wrong.
    """
    given = {name: text for name, text in environ.items() if text}
    variables = {variable.name: variable for variable in variables_of(Settings)}
    errors = [*_unknown(given, variables), *_not_in_this_version(given)]
    values = _tree_of_values(given, variables)
    errors += _without_effect(given, variables, values)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        errors += _described(error, given, variables)
        raise InvalidConfiguration(tuple(errors)) from None
    if errors:
        raise InvalidConfiguration(tuple(errors))
    return settings


def _unknown(given: Mapping[str, str], variables: Mapping[str, Variable]) -> Iterator[WrongVariable]:
    """Yield what has our prefix and is not ours, and what looks like a misspelling of ours."""
    known = [*variables, *SELECT_MISSING_BACKENDS]
    for name in sorted(given.keys() - set(known)):
        ours = name.startswith(PREFIX)
        if not (ours or "ENERGY" in name.upper() or name.upper().startswith("SPRING")):
            continue
        nearest = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.0 if ours else _MISSPELT)
        if nearest:
            yield WrongVariable(name, f"there is no such setting; the nearest is {nearest[0]}")


def _not_in_this_version(given: Mapping[str, str]) -> Iterator[WrongVariable]:
    for name, backend in SELECT_MISSING_BACKENDS.items():
        if name in given:
            yield WrongVariable(
                name, f"selects {backend}, but this version runs embedded only, in one process on SQLite; unset {name}"
            )


def _tree_of_values(given: Mapping[str, str], variables: Mapping[str, Variable]) -> dict[str, Any]:
    """Lay the given texts out as the tree; a union takes the member whose `kind` or required variable is given."""
    values: dict[str, Any] = {"home": _default_home(given)}
    for variable in variables.values():
        if variable.name not in given:
            continue
        union = _union_of(variable)
        if variable.path[-1] == "kind":
            values[variable.path[0]] = {"kind": given[variable.name].lower()}
        elif union is None:
            _put(values, variable.path, given[variable.name])
        elif _chosen(union, given, variables):
            _put(values, (*union[:-1], "kind"), union[-1])
            _put(values, (*union[:-1], variable.path[-1]), given[variable.name])
    return values


def _default_home(given: Mapping[str, str]) -> Path:
    data = Path(given.get("XDG_DATA_HOME", ""))  # relative ones are to be ignored (XDG Base Directory Specification)
    base = data if data.is_absolute() else Path(given.get("HOME", "~")) / ".local" / "share"
    return base / "energy-tracker"


def _union_of(variable: Variable) -> tuple[str, ...] | None:
    """Return the path of the union's member that the variable belongs to, its `kind` at the end."""
    field = Settings.model_fields[variable.path[0]]
    return variable.path[:2] if union_members(field) else None


def _chosen(member: tuple[str, ...], given: Mapping[str, str], variables: Mapping[str, Variable]) -> bool:
    return any(
        variable.required and variable.name in given for variable in variables.values() if variable.path[:2] == member
    )


def _put(values: dict[str, Any], path: tuple[str, ...], text: str) -> None:
    for step in path[:-1]:
        values = values.setdefault(step, {})
    values[path[-1]] = text


def _without_effect(
    given: Mapping[str, str], variables: Mapping[str, Variable], values: Mapping[str, Any]
) -> Iterator[WrongVariable]:
    """Yield what belongs to a part that is not turned on. Names that other programs use too are let pass."""
    for variable in variables.values():
        union = _union_of(variable)
        if union is None or variable.path[-1] == "kind" or variable.name not in given or union[0] in values:
            continue
        if variable.name.startswith((PREFIX, "SPRING_")):
            switch = next(other.name for other in variables.values() if other.path[:2] == union and other.required)
            yield WrongVariable(variable.name, f"has no effect as long as {switch} is not set")


def _described(
    error: ValidationError, given: Mapping[str, str], variables: Mapping[str, Variable]
) -> Iterator[WrongVariable]:
    by_path = {variable.path: variable for variable in variables.values()}
    for item in error.errors(include_url=False, include_input=False):
        place = tuple(str(step) for step in item["loc"])
        variable = by_path.get(place) or next(found for path, found in by_path.items() if path[: len(place)] == place)
        if item["type"] == "value_error":
            yield WrongVariable(variable.name, str(item["ctx"]["error"]))
        else:
            shown = "the value" if variable.secret else repr(given.get(variable.name, ""))[:80]
            yield WrongVariable(variable.name, f"{shown} is not {variable.form}")
