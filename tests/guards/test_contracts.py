"""What was once on a wire can still be read, and loses no member on the way.

A sample is `samples/<module>/<Type>/<what it shows>.json`; a list holds several of the type. Never edit one: add
another.
"""

import importlib
import json
import pkgutil
import re
from pathlib import Path

import msgspec
import pytest
from pydantic import BaseModel, TypeAdapter

from energy_tracker import contracts

SAMPLES = sorted((Path(__file__).parent / "samples").rglob("*.json"))
ON_A_WIRE = (msgspec.Struct, BaseModel)


def wire_types() -> dict[str, type]:
    """Return every type that contracts define, by `module/Name`."""
    found: dict[str, type] = {}
    for module in pkgutil.iter_modules(contracts.__path__):
        namespace = importlib.import_module(f"{contracts.__name__}.{module.name}")
        for name, item in vars(namespace).items():
            if isinstance(item, type) and issubclass(item, ON_A_WIRE) and item.__module__ == namespace.__name__:
                found[f"{module.name}/{name}"] = item
    return found


def read_and_written(kind: type, document: object) -> object:
    """Return what becomes of a document that is read as the type and written again."""
    text = json.dumps(document)
    if issubclass(kind, BaseModel):
        adapter: TypeAdapter[object] = TypeAdapter(kind)
        return adapter.dump_python(adapter.validate_json(text), mode="json", by_alias=True)
    return msgspec.to_builtins(msgspec.json.decode(text, type=kind))


def lost_members(before: object, after: object, path: str = "") -> list[str]:
    """Return the pointers of members that are in one document and not in the other."""
    if isinstance(before, dict):
        missing = [] if isinstance(after, dict) else [path]
        members = after if isinstance(after, dict) else {}
        for name, value in before.items():
            missing += lost_members(value, members[name], f"{path}/{name}") if name in members else [f"{path}/{name}"]
        return missing
    if isinstance(before, list) and isinstance(after, list):
        return [lost for index, pair in enumerate(zip(before, after, strict=True))
                for lost in lost_members(*pair, f"{path}/{index}")]  # fmt: skip
    return []


def sample_id(path: Path) -> str:
    return "/".join(path.with_suffix("").parts[-3:])


@pytest.mark.parametrize("sample", SAMPLES, ids=sample_id)
def test_old_samples_still_read(sample: Path) -> None:
    kind = wire_types()["/".join(sample.parts[-3:-1])]
    content = json.loads(sample.read_text(encoding="utf-8"))
    for document in content if isinstance(content, list) else [content]:
        assert lost_members(document, read_and_written(kind, document)) == []


def test_every_document_has_a_sample() -> None:
    types = wire_types()
    used = " ".join(str(hint) for kind in types.values() for hint in kind.__annotations__.values())
    bases = {base.__name__ for kind in types.values() for base in kind.__bases__}
    documents = {
        path
        for path, kind in types.items()
        if kind.__name__ not in bases and not re.search(rf"\b{kind.__name__}\b", used)
    }
    without = documents - {"/".join(sample.parts[-3:-1]) for sample in SAMPLES}
    assert not without, f"write tests/guards/samples/<module>/<Type>/first-version.json for {sorted(without)}"
