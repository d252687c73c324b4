"""Whose figures a command is about: the user that `--user` names, or the only one there is."""

from typing import TYPE_CHECKING, Annotated

import typer

from energy_tracker.kit.problems import Problem

if TYPE_CHECKING:
    from energy_tracker.cli.access import Clients
    from energy_tracker.contracts.user import UserAnswer

UserOption = Annotated[
    int | None, typer.Option("--user", help="The id of the user; not needed where there is only one.")
]

_SHOWN: int = 10


class UserNotNamed(Problem):
    """There is not exactly one user, so the command has to be told which one is meant."""

    status = 422
    title = "Whose?"


async def chosen_user(clients: "Clients", user_id: int | None) -> "UserAnswer":
    """Return the user of this id, or the only one where None is given. Raises `UserNotNamed`."""
    if user_id is not None:
        return await clients.users.read(user_id)
    found = []
    async for user in clients.users.iterate():
        found.append(user)
        if len(found) > _SHOWN:
            break
    if len(found) == 1:
        return found[0]
    if not found:
        raise UserNotNamed("There is no user yet; make one: users create --name NAME --email ADDRESS.")
    names = ", ".join(f"{user.id} {user.name}" for user in found[:_SHOWN])
    raise UserNotNamed(f"Name one with --user: {names}{', …' if len(found) > _SHOWN else ''}.")
