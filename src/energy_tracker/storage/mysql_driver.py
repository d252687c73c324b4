"""asyncmy, without what it needs for one kind of login only.

A server that keeps passwords as `caching_sha2_password` wants a password encrypted, if the connection is not, where the
user has not logged in since the server started. For that asyncmy imports cryptography at its own import: 9 MiB that
most processes never use. Here they are imported by the first such login.
"""

import importlib
import sys
from types import ModuleType
from typing import Any, Final

_PACKAGE: Final = "cryptography.hazmat"


class _Late(ModuleType):
    """Stands for a module that is imported by the first use of what is in it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


def _default_backend() -> object:
    return importlib.import_module(f"{_PACKAGE}.backends").default_backend()


def _stand_ins() -> dict[str, ModuleType]:
    """Return modules that have what `asyncmy.auth` imports, by the names that it imports it from."""
    names = ("cryptography", _PACKAGE, *(f"{_PACKAGE}.{name}" for name in ("backends", "primitives")))
    made = {name: ModuleType(name) for name in (*names, f"{_PACKAGE}.primitives.asymmetric")}
    vars(made[f"{_PACKAGE}.backends"])["default_backend"] = _default_backend
    for path in ("primitives.hashes", "primitives.serialization", "primitives.asymmetric.padding"):
        package, _, name = f"{_PACKAGE}.{path}".rpartition(".")
        vars(made[package])[name] = _Late(f"{package}.{name}")
    return made


def import_driver() -> ModuleType:
    """Return asyncmy, imported without cryptography where neither is in memory yet."""
    if "asyncmy" in sys.modules or "cryptography" in sys.modules:
        return importlib.import_module("asyncmy")
    made = _stand_ins()
    sys.modules.update(made)
    try:
        return importlib.import_module("asyncmy")
    finally:
        for name in made:
            del sys.modules[name]
