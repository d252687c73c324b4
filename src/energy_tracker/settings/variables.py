"""How a field of the tree names its environment variable, and the walk that finds them all."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, Field, JsonValue
from pydantic.fields import FieldInfo

PREFIX = "ENERGY_TRACKER_"
FILE_SUFFIX = "_FILE"


@dataclass(frozen=True, slots=True)
class Form:
    """What a value must look like, in words; part of a type's `Annotated`, shown in errors and in the reference."""

    text: str


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable and the field that it sets.

    `path` leads to the field from the root of the tree; at a union it holds the member's `kind` as one step more.
    `default` is as a person would write it, None where the variable has none. `alias` is another name of the variable.
    """

    name: str
    path: tuple[str, ...]
    section: type[BaseModel]
    description: str
    form: str
    default: str | None
    required: bool
    secret: bool
    alias: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """All names that a value can be given under; of a secret also those, in `_FILE`, of a file that holds it."""
        names = (self.name,) if self.alias is None else (self.name, self.alias)
        return (*names, *(name + FILE_SUFFIX for name in names)) if self.secret else names


def setting(
    variable: str, description: str, *, default: object = ..., shown: str | None = None, alias: str | None = None
) -> Any:
    """Return the field of a setting: its environment variable, what it means, its default.

    `default` is an immutable value of the field's own type; without one the variable is required. Within a union, the
    first required variable of a member chooses it. `shown` is the default in words, where the value itself says too
    little; `alias` another name that the variable has.
    """
    extra: dict[str, JsonValue] = {"variable": variable, "shown": shown, "alias": alias}
    return Field(default=default, description=description, json_schema_extra=extra)


def variables_of(tree: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[Variable]:
    """Yield every variable of a tree of settings, in the order in which the fields stand."""
    for name, field in tree.model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict) and "variable" in extra:
            yield _variable(tree, (*path, name), field, extra)
            continue
        if name == "kind":
            continue  # chosen by a required variable of its member
        members = union_members(field)
        if not members:
            yield from variables_of(_section(field), (*path, name))
        seen: set[str] = set()
        for kind, member in members.items():
            for variable in variables_of(member, (*path, name, kind)):
                if variable.name in seen:
                    continue
                seen.add(variable.name)
                if variable.path[-1] == "kind":  # stands in every member, and chooses among them all
                    yield replace(variable, form=_alternatives(*members))
                else:
                    yield variable


def union_members(field: FieldInfo) -> dict[str, type[BaseModel]]:
    """Return the members of a tagged union by their `kind`; empty where the field is none."""
    if field.discriminator is None:
        return {}
    return {get_args(member.model_fields["kind"].annotation)[0]: member for member in get_args(field.annotation)}


def _section(field: FieldInfo) -> type[BaseModel]:
    section = field.annotation
    if not (isinstance(section, type) and issubclass(section, BaseModel)):
        message = f"the field of type {section} names no variable and is no section"
        raise TypeError(message)
    return section


def _variable(section: type[BaseModel], path: tuple[str, ...], field: FieldInfo, extra: dict[str, Any]) -> Variable:
    default = None if field.is_required() else extra["shown"] or _written(field.default)
    return Variable(
        name=extra["variable"],
        path=path,
        section=section,
        description=field.description or "",
        form=_form(field.annotation, field.metadata),
        default=default,
        required=field.is_required(),
        secret="SecretStr" in str(field.annotation),
        alias=extra["alias"],
    )


def _written(default: object) -> str | None:
    if isinstance(default, bool):
        return "yes" if default else "no"
    return None if default is None else str(default)


def _alternatives(*choices: str) -> str:
    return " or ".join(f"`{choice}`" for choice in choices)


def _form(annotation: object, metadata: list[Any]) -> str:
    """Return the words of a type's outermost `Form`; of a literal, its alternatives."""
    forms = [item.text for item in metadata if isinstance(item, Form)]
    if forms:
        return forms[-1]
    if get_origin(annotation) is Literal:
        return _alternatives(*get_args(annotation))
    if get_origin(annotation) is Annotated:
        inner, *inner_metadata = get_args(annotation)
        return _form(inner, inner_metadata)
    arguments = [argument for argument in get_args(annotation) if argument is not type(None)]
    if arguments:
        return _form(arguments[0], [])
    message = f"the type {annotation} says in no `Form` what its values look like"
    raise TypeError(message)
