"""The scripts of docker/, which are no package, as modules."""

import importlib.util
from types import ModuleType

from tests.support.repository import ROOT


def load_script(path: str) -> ModuleType:
    """Return the script at a path below the root, run as a module under its own name."""
    file = ROOT / path
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
