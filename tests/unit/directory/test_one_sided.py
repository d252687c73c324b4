"""A service that follows only users, or only devices, is neither stale nor held up for want of the others."""

import math

import httpx
from tests.support.clock import VirtualClock

from energy_tracker.clients.device import DeviceClient
from energy_tracker.clients.directory import Directory
from energy_tracker.clients.http import ServiceCalls
from energy_tracker.clients.user import UserClient

USERS = {"items": [{"id": 1, "version": 7}], "version": 7, "more": False}
DEVICES = {"items": [{"id": 4, "version": 9, "userId": 1}], "version": 9, "more": False}


def calls(document: object, clock: VirtualClock) -> ServiceCalls:
    http = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=document)))
    return ServiceCalls(service="other-service", url="http://other/api", http=http, clock=clock)


async def test_users_alone() -> None:
    clock = VirtualClock()
    directory = Directory(users=UserClient(calls(USERS, clock)), clock=clock)
    assert directory.age_s == math.inf
    change = await directory.refresh()
    assert (change.users, change.devices) == ({1}, frozenset())
    assert directory.user(1) is not None
    assert not directory.stale
    assert directory.devices() == []


async def test_devices_alone() -> None:
    clock = VirtualClock()
    directory = Directory(devices=DeviceClient(calls(DEVICES, clock)), clock=clock)
    change = await directory.refresh()
    assert (change.users, change.devices) == (frozenset(), {4})
    assert [device.id for device in directory.devices_of(1)] == [4]
    assert not directory.stale
