"""Who asks. Until accounts exist there is one principal: the person at this machine."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """The party on whose behalf a use case runs; `name` is shown in logs."""

    name: str


LOCAL = Principal(name="local")
