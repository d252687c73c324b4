"""`users` and `devices`: what is needed to begin."""

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from energy_tracker.cli.output import AsJson, Output
from energy_tracker.cli.running import run

if TYPE_CHECKING:
    from pydantic import BaseModel

    from energy_tracker.settings import Settings

_Body = TypeVar("_Body", bound="BaseModel")

_USER_COLUMNS = (">id", "name", "e-mail", "zone", "alerting", ">threshold kWh/h")
_DEVICE_COLUMNS = (">id", "name", "type", "location", "readings", "hold", ">part of")


def add_to(app: typer.Typer) -> None:
    """Add the two groups."""
    users = typer.Typer(no_args_is_help=True, help="Users: the homes that devices belong to.")
    users.command("create")(create_user)
    users.command("list")(list_users)
    users.command("delete")(delete_user)
    app.add_typer(users, name="users")
    devices = typer.Typer(no_args_is_help=True, help="Devices: what readings are of.")
    devices.command("create")(create_device)
    devices.command("list")(list_devices)
    devices.command("retire")(retire_device)
    app.add_typer(devices, name="devices")


def _body(kind: "type[_Body]", given: dict[str, Any]) -> "_Body":
    """Return a request's body. Raises `InvalidRequest`, naming the fields that are wrong."""
    from pydantic import ValidationError

    from energy_tracker.kit.problems import FieldError, InvalidRequest

    try:
        return kind.model_validate(given)
    except ValidationError as error:
        fields = [FieldError("/".join(("", *map(str, item["loc"]))), item["msg"]) for item in error.errors()]
        raise InvalidRequest("What was given cannot be stored.", errors=fields) from None


def _user_row(user: Any) -> tuple[object, ...]:
    name = f"{user.name} {user.surname}".strip()
    alerting = "yes" if user.alerting else "no"
    return (user.id, name, user.email, user.time_zone, alerting, user.energy_alerting_threshold)


def _device_row(device: Any) -> tuple[object, ...]:
    return (
        device.id,
        device.name,
        device.type,
        device.location,
        device.kind if device.direction == "import" else f"{device.kind}, {device.direction}",
        device.max_hold if device.kind == "power" else None,
        device.parent_id,
    )


def create_user(  # noqa: PLR0913, PLR0917 - the fields of a user
    context: typer.Context,
    name: Annotated[str, typer.Option(help="The name of the person or home.")],
    email: Annotated[str, typer.Option(help="Where alerts go; no two users share one.")],
    surname: Annotated[str, typer.Option(help="The family name.")] = "",
    address: Annotated[str, typer.Option(help="The postal address.")] = "",
    zone: Annotated[str | None, typer.Option("--zone", help="The time zone, such as Europe/Berlin.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Alert above so many kWh within an hour.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a user; prints its id."""

    async def command(settings: "Settings", output: Output) -> None:
        from energy_tracker.cli.access import services
        from energy_tracker.contracts.user import UserBody

        body = _body(
            UserBody,
            {
                "name": name,
                "surname": surname,
                "email": email,
                "address": address,
                "alerting": threshold is not None,
                **({} if threshold is None else {"energyAlertingThreshold": threshold}),
                **({} if zone is None else {"timeZone": zone}),
            },
        )
        async with services(settings) as clients:
            user = await clients.users.create(body)
        output.document(user.model_dump(by_alias=True))
        output.table(_USER_COLUMNS, [_user_row(user)])

    run(context, command, as_json=as_json)


def list_users(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="Only those whose name or e-mail address holds this.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the users."""

    async def command(settings: "Settings", output: Output) -> None:
        from energy_tracker.cli.access import services

        async with services(settings) as clients:
            users = [user async for user in clients.users.iterate(text=text)]
        output.document([user.model_dump(by_alias=True) for user in users])
        output.table(_USER_COLUMNS, [_user_row(user) for user in users], empty="No users.")

    run(context, command, as_json=as_json)


def delete_user(
    context: typer.Context,
    user: Annotated[int, typer.Argument(help="The id of the user.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a user with all devices and readings; says when the last trace is gone."""

    async def command(settings: "Settings", output: Output) -> None:
        from energy_tracker.cli.access import services

        async with services(settings) as clients:
            found = await clients.users.read(user)
            if not yes:
                typer.confirm(f"Delete {found.name!r} with all devices and readings?", abort=True, err=True)
            await clients.users.delete(user)
            erasure = await clients.users.erasure(user)
        output.document(erasure.model_dump(by_alias=True, mode="json"))
        output.line(f"Deleted. The last copy, in the event log, expires at {erasure.logs_expire_at}.")

    run(context, command, as_json=as_json)


def create_device(  # noqa: PLR0913, PLR0917 - the fields of a device
    context: typer.Context,
    user: Annotated[int, typer.Option("--user", help="The id of the user it belongs to.")],
    name: Annotated[str, typer.Option(help="The name of the device.")],
    device_type: Annotated[
        str, typer.Option("--type", help="Such as REFRIGERATOR, LIGHT, TV, HEATER or MISC.")
    ] = "MISC",
    location: Annotated[str, typer.Option(help="Where it is.")] = "",
    kind: Annotated[str, typer.Option(help="How its readings come: interval, register or power.")] = "interval",
    direction: Annotated[str, typer.Option(help="import or export.")] = "import",
    max_hold: Annotated[str | None, typer.Option(help="How long a power value holds, such as PT5M.")] = None,
    rated_power: Annotated[float | None, typer.Option(help="The most it can draw, in W.")] = None,
    parent: Annotated[int | None, typer.Option(help="The id of the meter that it is behind.")] = None,
    silent_after: Annotated[str | None, typer.Option(help="Alert when it is silent for so long, such as PT2H.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a device; prints its id."""
    given = {
        "name": name,
        "type": device_type.upper(),
        "location": location,
        "userId": user,
        "kind": kind,
        "direction": direction,
        "maxHold": max_hold,
        "ratedPower": rated_power,
        "parentId": parent,
        "silentAfter": silent_after,
    }

    async def command(settings: "Settings", output: Output) -> None:
        from energy_tracker.cli.access import services
        from energy_tracker.contracts.device import DeviceBody

        body = _body(DeviceBody, {key: field for key, field in given.items() if field is not None})
        async with services(settings) as clients:
            device = await clients.devices.create(body)
        output.document(device.model_dump(by_alias=True))
        output.table(_DEVICE_COLUMNS, [_device_row(device)])

    run(context, command, as_json=as_json)


def list_devices(
    context: typer.Context,
    user: Annotated[int | None, typer.Option("--user", help="Only those of this user.")] = None,
    retired: Annotated[bool, typer.Option("--retired", help="Those that are out of use.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the devices."""

    async def command(settings: "Settings", output: Output) -> None:
        from energy_tracker.cli.access import services

        async with services(settings) as clients:
            devices = [device async for device in clients.devices.iterate(user_id=user, retired=retired)]
        output.document([device.model_dump(by_alias=True, mode="json") for device in devices])
        output.table(_DEVICE_COLUMNS, [_device_row(device) for device in devices], empty="No devices.")

    run(context, command, as_json=as_json)


def retire_device(
    context: typer.Context,
    device: Annotated[int, typer.Argument(help="The id of the device.")],
    as_json: AsJson = False,
) -> None:
    """Take a device out of use; its history stays."""

    async def command(settings: "Settings", output: Output) -> None:
        from energy_tracker.cli.access import services

        async with services(settings) as clients:
            await clients.devices.retire(device)
        output.document({"id": device, "retired": True})
        output.line("Retired; its history stays.")

    run(context, command, as_json=as_json)
