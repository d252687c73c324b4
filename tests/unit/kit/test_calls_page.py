"""The page at `/docs`: complete without any other server, and unable to ask one."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from energy_tracker.kit.health import Health
from energy_tracker.kit.telemetry import Telemetry
from energy_tracker.kit.web import create_app

PAGES = ("/docs", "/docs/page.css", "/docs/page.js")


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = create_app("test", description="A test.", health=Health(), telemetry=Telemetry("test"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        yield http


@pytest.mark.parametrize("path", PAGES)
async def test_nothing_is_loaded_from_elsewhere(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 200
    assert not re.findall(r"(?:https?:)?//[a-z]", answer.text)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy


async def test_what_the_page_names_is_there(client: httpx.AsyncClient) -> None:
    page = (await client.get("/docs")).text
    for target in re.findall(r'(?:href|src)="([^"]+)"', page):
        assert (await client.get(target)).status_code == 200, target


async def test_what_an_api_says_never_becomes_markup(client: httpx.AsyncClient) -> None:
    script = (await client.get("/docs/page.js")).text
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(", script)


async def test_the_page_is_none_of_the_calls(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert not set(PAGES) & set(paths)
    assert (await client.get("/redoc")).status_code == 404
