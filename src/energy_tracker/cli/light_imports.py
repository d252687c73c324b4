"""Keeps parts of libraries that a service never uses out of its memory: a third of its start, 10 MiB and more.

Where a library is built differently one day, nothing is left out, and everything works as before.
"""

import sys
from types import ModuleType
from typing import Any, Final

_UNUSED: Final = (
    "httpx._main",  # the command line of httpx: it brings rich, pygments and click
    "sqlalchemy.ext.asyncio.scoping",  # the object-relational mapper; repositories are written in SQLAlchemy Core
    "sqlalchemy.ext.asyncio.session",
    "sqlalchemy.dialects.mysql.aiomysql",  # drivers that are none of ours
    "sqlalchemy.dialects.mysql.cymysql",
    "sqlalchemy.dialects.mysql.mariadbconnector",
    "sqlalchemy.dialects.mysql.mysqlconnector",
    "sqlalchemy.dialects.mysql.pyodbc",
    "uvicorn.main",  # the command line of uvicorn: it brings click and multiprocessing
    "http.server",  # servers that prometheus_client has for programs which have none
    "wsgiref.simple_server",
)
_ABSENT: Final = ("pydantic.v1",)
"""FastAPI asks whether a model is one of Pydantic 1; where that cannot be imported, none is."""


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
    for name in _ABSENT:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # what the import system takes for "there is none"
