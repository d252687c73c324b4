"""device-service's calls, typed."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from energy_tracker.clients.http import ServiceCalls, ServiceUnavailable
from energy_tracker.contracts.device import DeviceAnswer, DeviceBody, DeviceItem, DevicePage
from energy_tracker.contracts.directory import DeviceChanges

PATH = "/api/v1/device"


@dataclass(frozen=True, slots=True)
class DeviceClient:
    """Devices as device-service knows them. Every call raises `RemoteProblem` and `ServiceUnavailable`."""

    calls: ServiceCalls

    async def create(self, device: DeviceBody) -> DeviceAnswer:
        """Create a device; the service gives its id."""
        return self.calls.model(DeviceAnswer, await self.calls.call("POST", "/create", body=device))

    async def read(self, device_id: int) -> DeviceAnswer:
        """Return a device that is in use."""
        device, _ = await self.read_tagged(device_id)
        return device

    async def read_tagged(self, device_id: int) -> tuple[DeviceAnswer, str]:
        """Return a device and its entity tag, to be given to `replace`."""
        response = await self.calls.call("GET", f"/{device_id}")
        return self.calls.model(DeviceAnswer, response), response.headers["etag"]

    async def replace(self, device_id: int, device: DeviceBody, *, tag: str | None = None) -> DeviceAnswer:
        """Replace a device; with a `tag`, only that version of it (412 otherwise)."""
        headers = {} if tag is None else {"If-Match": tag}
        return self.calls.model(
            DeviceAnswer, await self.calls.call("PUT", f"/{device_id}", body=device, headers=headers)
        )

    async def retire(self, device_id: int) -> None:
        """Take a device out of use; its history stays."""
        await self.calls.call("DELETE", f"/{device_id}")

    async def of_user(self, user_id: int) -> list[DeviceAnswer]:
        """Return the devices in use that belong to a user."""
        response = await self.calls.call("GET", f"/user/{user_id}")
        try:
            return TypeAdapter(list[DeviceAnswer]).validate_json(response.content)
        except ValidationError as error:
            message = f"{self.calls.service} answered something that cannot be read."
            raise ServiceUnavailable(message) from error

    async def page(
        self,
        *,
        text: str = "",
        user_id: int | None = None,
        retired: bool = False,
        cursor: str | None = None,
        limit: int = 50,
    ) -> DevicePage:
        """Return a page of the devices in use, or of the retired ones, whose name, location or type holds `text`."""
        query: dict[str, str | int] = {"limit": limit, "q": text, "retired": "true" if retired else "false"}
        if user_id is not None:
            query["userId"] = user_id
        if cursor is not None:
            query["cursor"] = cursor
        return self.calls.model(DevicePage, await self.calls.call("GET", query=query))

    async def iterate(
        self, *, text: str = "", user_id: int | None = None, retired: bool = False
    ) -> AsyncIterator[DeviceItem]:
        """Yield all devices that match, page by page."""
        cursor: str | None = None
        while True:
            page = await self.page(text=text, user_id=user_id, retired=retired, cursor=cursor, limit=500)
            for device in page.items:
                yield device
            cursor = page.next
            if cursor is None:
                return

    async def changes(self, *, after: int, limit: int = 500) -> DeviceChanges:
        """Return what changed after a version; tried once, since whoever follows changes asks again anyway."""
        query: dict[str, str | int] = {"after": after, "limit": limit}
        return self.calls.struct(DeviceChanges, await self.calls.call("GET", "/changes", query=query, attempts=1))
