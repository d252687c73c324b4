"""The one value of each variable, whichever name gave it: its own, its alias, or that of a file with the secret."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from energy_tracker.settings.variables import FILE_SUFFIX, Variable

MOST_BYTES = 65_536


class WrongVariable(NamedTuple):
    """A variable and a sentence that says what is wrong with it and what would be right; never a secret's value."""

    name: str
    detail: str


class Given(NamedTuple):
    """What a variable was set to, and the name under which it was."""

    text: str
    name: str


def given_values(
    environ: Mapping[str, str], variables: Iterable[Variable], errors: list[WrongVariable]
) -> dict[str, Given]:
    """Return what is given, by the variable's own name; what cannot be taken is added to the errors."""
    values: dict[str, Given] = {}
    for variable in variables:
        names = [name for name in variable.names if environ.get(name)]
        if len(names) > 1:
            errors.append(WrongVariable(names[1], f"{names[0]} says the same thing; set one of them"))
        elif names:
            values.update(_one_value(environ, variable, names[0], errors))
    return values


def _one_value(
    environ: Mapping[str, str], variable: Variable, name: str, errors: list[WrongVariable]
) -> Iterator[tuple[str, Given]]:
    if not (variable.secret and name.endswith(FILE_SUFFIX)):
        yield variable.name, Given(environ[name], name)
        return
    try:
        yield variable.name, Given(_content(Path(environ[name])), name)
    except ValueError as error:
        errors.append(WrongVariable(name, f"the file {environ[name][:200]!r} {error}"))


def _content(file: Path) -> str:
    """Return the secret that a file holds, without the line's end. Raises `ValueError`, never with the content."""
    try:
        with file.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
        text = content.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        message = f"cannot be read: {error.strerror or type(error).__name__}"
        raise ValueError(message) from None
    except UnicodeDecodeError:
        message = "cannot be read: it holds no text in UTF-8"
        raise ValueError(message) from None
    if len(content) > MOST_BYTES:
        message = f"holds more than {MOST_BYTES} bytes; that is no secret"
        raise ValueError(message)
    if not text:
        message = "is empty"
        raise ValueError(message)
    return text
