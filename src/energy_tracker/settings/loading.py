"""From environment variables to the tree, with every mistake named at once."""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from energy_tracker.settings.secrets import Given, WrongVariable, given_values
from energy_tracker.settings.tree import Settings
from energy_tracker.settings.variables import PREFIX, Variable, union_members, variables_of

_MISSPELT = 0.88


class InvalidConfiguration(Exception):
    """The environment holds variables that cannot be used; `errors` has all of them."""

    def __init__(self, errors: tuple[WrongVariable, ...]) -> None:
        super().__init__("\n".join(f"{error.name}: {error.detail}" for error in errors))
        self.errors = errors


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables; an empty one counts as not set.

    Raises `InvalidConfiguration`, which names every variable that is unknown, misspelt, without effect or wrong.
    """
    variables = {variable.name: variable for variable in variables_of(Settings)}
    errors = list(_unknown({name for name, text in environ.items() if text}, variables))
    given = given_values(environ, variables.values(), errors)
    values = _tree_of_values(environ, given, variables)
    errors += _without_effect(given, variables, values)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        told = {wrong.name for wrong in errors}
        errors += (wrong for wrong in _described(error, given, variables) if wrong.name not in told)
        raise InvalidConfiguration(tuple(errors)) from None
    if errors:
        raise InvalidConfiguration(tuple(errors))
    return settings


def _unknown(given: set[str], variables: Mapping[str, Variable]) -> Iterator[WrongVariable]:
    """Yield what has our prefix and is not ours, and what looks like a misspelling of ours."""
    known = [name for variable in variables.values() for name in variable.names]
    for name in sorted(given - set(known)):
        ours = name.startswith(PREFIX)
        if not (ours or "ENERGY" in name.upper() or name.upper().startswith("SPRING")):
            continue
        nearest = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.0 if ours else _MISSPELT)
        if nearest:
            yield WrongVariable(name, f"there is no such setting; the nearest is {nearest[0]}")


def _tree_of_values(
    environ: Mapping[str, str], given: Mapping[str, Given], variables: Mapping[str, Variable]
) -> dict[str, Any]:
    """Lay the given texts out as the tree; a union takes the member whose `kind` or switch is given."""
    values: dict[str, Any] = {"home": _default_home(environ)}
    for variable in variables.values():
        if variable.name not in given:
            continue
        text, union = given[variable.name].text, _union_of(variable)
        if variable.path[-1] == "kind":
            values[variable.path[0]] = {"kind": text.lower()}
        elif union is None:
            _put(values, variable.path, text)
        elif _switch(union, variables).name in given:
            _put(values, (*union[:-1], "kind"), union[-1])
            _put(values, (*union[:-1], variable.path[-1]), text)
    return values


def _default_home(environ: Mapping[str, str]) -> Path:
    data = Path(environ.get("XDG_DATA_HOME", ""))  # relative ones are to be ignored (XDG Base Directory Specification)
    base = data if data.is_absolute() else Path(environ.get("HOME") or "~") / ".local" / "share"
    return base / "energy-tracker"


def _union_of(variable: Variable) -> tuple[str, ...] | None:
    """Return the path of the union's member that the variable belongs to, its `kind` at the end."""
    field = Settings.model_fields[variable.path[0]]
    return variable.path[:2] if union_members(field) else None


def _switch(member: tuple[str, ...], variables: Mapping[str, Variable]) -> Variable:
    """Return the variable that chooses a union's member: its first that is required."""
    return next(variable for variable in variables.values() if variable.path[:2] == member and variable.required)


def _put(values: dict[str, Any], path: tuple[str, ...], text: str) -> None:
    for step in path[:-1]:
        values = values.setdefault(step, {})
    values[path[-1]] = text


def _without_effect(
    given: Mapping[str, Given], variables: Mapping[str, Variable], values: Mapping[str, Any]
) -> Iterator[WrongVariable]:
    """Yield what belongs to a part that is not turned on. Names that other programs use too are let pass."""
    for variable in variables.values():
        union = _union_of(variable)
        if union is None or variable.path[-1] == "kind" or variable.name not in given or union[0] in values:
            continue
        if variable.name.startswith((PREFIX, "SPRING_")):
            name, switch = given[variable.name].name, _switch(union, variables).name
            yield WrongVariable(name, f"has no effect as long as {switch} is not set")


def _described(
    error: ValidationError, given: Mapping[str, Given], variables: Mapping[str, Variable]
) -> Iterator[WrongVariable]:
    by_path = {variable.path: variable for variable in variables.values()}
    for item in error.errors(include_url=False, include_input=False):
        place = tuple(str(step) for step in item["loc"])
        variable = by_path.get(place) or next(found for path, found in by_path.items() if path[: len(place)] == place)
        text, name = given.get(variable.name, Given("", variable.name))
        if item["type"] == "value_error":
            yield WrongVariable(name, str(item["ctx"]["error"]))
        elif item["type"] == "missing":
            yield WrongVariable(name, f"is needed too where {_switch(place[:2], variables).name} is set")
        else:
            shown = "the value" if variable.secret else repr(text)[:80]
            yield WrongVariable(name, f"{shown} is not {variable.form}")
