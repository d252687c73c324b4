"""Writes docs/reference from the code; with `--check`, only says which page is stale."""

import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path

from energy_tracker.settings.loading import SELECT_MISSING_BACKENDS
from energy_tracker.settings.tree import Settings
from energy_tracker.settings.variables import Variable, variables_of

REFERENCE = Path(__file__).resolve().parent / "reference"
GENERATED = "<!-- Written by `make docs`. Change the code, not this page. -->\n"


def settings_page() -> str:
    """Return the page of all environment variables, one table for each section of the tree."""
    lines = [
        GENERATED,
        "# Settings",
        "",
        "All settings are environment variables; an empty one counts as not set. An unknown or misspelt one, or one",
        "whose value cannot be used, ends the start with a sentence that names it.",
    ]
    for section, group in groupby(variables_of(Settings), key=lambda variable: variable.path[:-1][:1]):
        rows = list(group)
        title = section[0].replace("_", " ").capitalize() if section else "General"
        lines += ["", f"## {title}", "", rows[0].section.__doc__ or "", ""]
        lines += ["| variable | default | value | meaning |", "|---|---|---|---|"]
        lines += [_row(variable) for variable in rows]
    lines += ["", "## Not in this version", ""]
    lines += ["These select backends that this version does not have yet; it refuses to start with them.", ""]
    lines += [f"- `{name}`: {backend}" for name, backend in SELECT_MISSING_BACKENDS.items()]
    return "\n".join(lines) + "\n"


def _row(variable: Variable) -> str:
    default = "" if variable.default is None else variable.default
    shown = f"`{default}`" if default and " " not in default else default
    return f"| `{variable.name}` | {shown} | {variable.form} | {variable.description} |"


PAGES: Mapping[str, Callable[[], str]] = {"settings.md": settings_page}


def stale_pages() -> Iterator[tuple[Path, str]]:
    """Yield the path and the right text of every page that differs from what the code says."""
    for name, render in PAGES.items():
        path, text = REFERENCE / name, render()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            yield path, text


def main() -> int:
    """Write the stale pages, or with `--check` name them and fail."""
    check = sys.argv[1:] == ["--check"]
    stale = list(stale_pages())
    for path, text in stale:
        if not check:
            path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path.name} {'is stale; run make docs' if check else 'written'}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
