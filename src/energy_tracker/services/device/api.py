"""device-service over HTTP."""

from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Response

from energy_tracker.contracts.device import DeviceAnswer, DeviceBody, DeviceItem, DevicePage
from energy_tracker.contracts.directory import Assignment, DeviceChanges, DirectoryDevice
from energy_tracker.kit.instants import format_duration, from_ms
from energy_tracker.kit.openapi import problem_responses
from energy_tracker.kit.parameters import AfterId, AfterVersion, Asker, SearchText, Versions
from energy_tracker.kit.problems import FieldError, InvalidRequest
from energy_tracker.kit.web import StrictRoute, entity_tag, parse_id
from energy_tracker.kit.wire import MAX_ID
from energy_tracker.services.device.model import Device, DeviceDraft
from energy_tracker.services.device.service import DeviceNotFound, DeviceService, OwnerNotFound

PREFIX = "/api/v1/device"

_RETIREMENT = """
Takes the device out of use from now on. Its readings stay and go on counting in the past of its user; its sub-meters
count for themselves from now on. It is not found any more, but listed with `?retired=true`.
"""


def _device_id(text: Annotated[str, Path(alias="id", description="A 64-bit integer")]) -> int:
    device_id = parse_id(text)
    if device_id is None:
        raise DeviceNotFound
    return device_id


def _owner_id(text: Annotated[str, Path(alias="userId", description="A 64-bit integer")]) -> int:
    user_id = parse_id(text)
    if user_id is None:
        raise OwnerNotFound
    return user_id


DeviceId = Annotated[int, Depends(_device_id)]
OwnerId = Annotated[int, Depends(_owner_id)]
Limit = Annotated[int, Query(ge=1, le=500, description="How many at most")]
OfUser = Annotated[int | None, Query(alias="userId", ge=1, le=MAX_ID, description="Only this user's devices")]
Retired = Annotated[bool, Query(description="Those that are retired, instead of those in use")]


class DeviceApi:
    """The calls of device-service, one method each."""

    def __init__(self, service: DeviceService) -> None:
        self._service = service

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix=PREFIX, tags=["device"], route_class=StrictRoute)
        add = router.add_api_route
        created: dict[str, Any] = {
            "methods": ["POST"],
            "status_code": 201,
            "responses": problem_responses(400, 413, 415, 422, 503),
        }
        add("/create", self.create, summary="Create a device", **created)
        add("", self.create, summary="Create a device (as the original's relatives do)", **created)
        add("", self.page, summary="List or search devices", responses=problem_responses(422, 503))
        add("/changes", self.changes, summary="Follow the devices' changes", responses=problem_responses(422, 503))
        add("/user/{userId}", self.of_user, summary="A user's devices", responses=problem_responses(404, 503))
        add("/{id}", self.read, summary="Read a device", responses=problem_responses(404, 503))
        add(
            "/{id}",
            self.replace,
            methods=["PUT"],
            summary="Replace a device",
            responses=problem_responses(400, 404, 412, 413, 415, 422, 503),
        )
        add(
            "/{id}",
            self.retire,
            methods=["DELETE"],
            status_code=204,
            summary="Retire a device, keeping its history",
            description=_RETIREMENT,
            responses=problem_responses(404, 412, 503),
        )
        return router

    async def create(self, body: DeviceBody, principal: Asker, response: Response) -> DeviceAnswer:
        """Store a new device; the service gives the id, whatever the body says. The user must exist."""
        device = await self._service.create_device(principal=principal, draft=_draft(body))
        response.headers["Location"] = f"{PREFIX}/{device.id}"
        return _tagged(device, response)

    async def page(
        self,
        principal: Asker,
        after_id: AfterId,
        limit: Limit = 50,
        text: SearchText = "",
        user_id: OfUser = None,
        retired: Retired = False,
    ) -> DevicePage:
        """Devices in order of id; `q` looks into name, location and type."""
        page = await self._service.list_devices(
            principal=principal, text=text, user_id=user_id, retired=retired, after_id=after_id, limit=limit
        )
        following = None if page.next_after_id is None else str(page.next_after_id)
        return DevicePage(items=[_item(device) for device in page.devices], next=following)

    async def of_user(self, user_id: OwnerId, principal: Asker) -> list[DeviceAnswer]:
        """Devices in use that belong to a user: none where nobody knows the user."""
        devices = await self._service.list_devices_of_user(principal=principal, user_id=user_id)
        return [_answer(device) for device in devices]

    async def read(self, device_id: DeviceId, principal: Asker, response: Response) -> DeviceAnswer:
        """One device; its version is the ETag."""
        return _tagged(await self._service.read_device(principal=principal, device_id=device_id), response)

    async def replace(
        self, device_id: DeviceId, body: DeviceBody, principal: Asker, versions: Versions, response: Response
    ) -> DeviceAnswer:
        """Replace the original's fields; those beside them that are absent stay. If-Match guards against lost updates.

        Another `userId` or `parentId` holds from now on; another `kind`, `direction` or `maxHold` for all the history.
        A device that goes to another user leaves its parent and its sub-meters behind.
        """
        if body.id not in {None, 0, device_id}:
            raise InvalidRequest("Not acceptable: /id.", errors=[FieldError("/id", "must be the id of the path")])
        device = await self._service.replace_device(
            principal=principal, device_id=device_id, draft=_draft(body), expected_versions=versions
        )
        return _tagged(device, response)

    async def retire(self, device_id: DeviceId, principal: Asker, versions: Versions) -> None:
        """Retire the device."""
        await self._service.retire_device(principal=principal, device_id=device_id, expected_versions=versions)

    async def changes(self, principal: Asker, after: AfterVersion = 0, limit: Limit = 500) -> Response:
        """For the other services: the newest state of everything that changed after a version, retired devices too.

        A `version` below `after` means that the devices were restored from a backup: begin again at 0.
        """
        page = await self._service.list_changes(principal=principal, after=after, limit=limit)
        items = tuple(_entry(device) for device in page.devices)
        answer = DeviceChanges(items=items, version=page.version, more=page.more)
        return Response(msgspec.json.encode(answer), media_type="application/json")


def _draft(body: DeviceBody) -> DeviceDraft:
    draft = DeviceDraft(
        name=body.name,
        type=body.type,
        location=body.location or "",
        user_id=body.user_id,
        kind=body.kind,
        direction=body.direction,
        max_hold=body.max_hold,
    )
    given = body.model_fields_set
    if "rated_power" in given:
        draft = replace(draft, rated_power_w=body.rated_power)
    if "parent_id" in given:
        draft = replace(draft, parent_id=body.parent_id)
    if "silent_after" in given:
        draft = replace(draft, silent_after=body.silent_after)
    return draft


def _fields(device: Device) -> dict[str, Any]:
    details = device.details
    silent_after_ms = details.silent_after_ms
    return {
        "id": device.id,
        "name": details.name,
        "type": details.type,
        "location": details.location,
        "user_id": details.user_id,
        "kind": details.kind,
        "direction": details.direction,
        "max_hold": format_duration(timedelta(milliseconds=details.max_hold_ms)),
        "rated_power": details.rated_power_w,
        "parent_id": details.parent_id,
        "silent_after": None if silent_after_ms is None else format_duration(timedelta(milliseconds=silent_after_ms)),
    }


def _answer(device: Device) -> DeviceAnswer:
    return DeviceAnswer(**_fields(device))


def _item(device: Device) -> DeviceItem:
    retired_at_ms = device.retired_at_ms
    return DeviceItem(**_fields(device), retired_at=None if retired_at_ms is None else from_ms(retired_at_ms))


def _tagged(device: Device, response: Response) -> DeviceAnswer:
    response.headers["ETag"] = entity_tag(device.version)
    return _answer(device)


def _entry(device: Device) -> DirectoryDevice:
    details = device.details
    return DirectoryDevice(
        id=device.id,
        version=device.version,
        name=details.name,
        type=details.type,
        location=details.location,
        user_id=details.user_id,
        parent_id=details.parent_id,
        assignments=tuple(
            Assignment(from_ms=each.from_ms, user_id=each.user_id, parent_id=each.parent_id)
            for each in device.assignments
        ),
        kind=details.kind,
        direction=details.direction,
        max_hold_ms=details.max_hold_ms,
        rated_power_w=details.rated_power_w,
        silent_after_ms=details.silent_after_ms,
        created_at_ms=device.created_at_ms,
        retired_at_ms=device.retired_at_ms,
        erased=device.erased,
    )
