"""The OpenAPI documents of the six services, held against what they answer."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi import checks as openapi_checks

from energy_tracker.kit.clock import SystemClock
from energy_tracker.settings import load_settings
from energy_tracker.wiring.serving import serving
from energy_tracker.wiring.standalone import SERVICES

EXAMPLES = 12

HELD = (
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.negative_data_rejection,
    openapi_checks.unsupported_method,
)
"""Left out: `positive_data_acceptance`. What a schema cannot say is refused all the same: text without control
characters, exactly one of three values, `to` after `from`, a cursor that was given out, a device that is the user's."""


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """The whole system, served from an event loop of its own, with a user and a device to be found."""
    folder: Path = tmp_path_factory.mktemp("home")
    ports = {f"ENERGY_TRACKER_{service.upper()}_PORT": "0" for service in SERVICES}
    configured = load_settings({"ENERGY_TRACKER_HOME": str(folder), **ports})
    found: dict[str, str] = {}
    ready, done = threading.Event(), threading.Event()

    async def serve() -> None:
        async with serving(settings=configured, clock=SystemClock()) as running:
            found.update(running.urls)
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(30)
        with httpx.Client(trust_env=False) as http:
            http.post(f"{found['user']}/api/v1/user", json={"name": "A", "email": "a@example.org"}).raise_for_status()
            device = {"name": "D", "type": "MISC", "userId": 1}
            http.post(f"{found['device']}/api/v1/device", json=device).raise_for_status()
        yield found
    finally:
        done.set()
        thread.join(30)


@pytest.mark.parametrize("service", SERVICES)
def test_answers_are_as_the_document_says(urls: Mapping[str, str], service: str) -> None:
    document = schemathesis.openapi.from_url(f"{urls[service]}/openapi.json")
    count = 0
    for found in document.get_all_operations():
        operation = found.ok()
        count += 1

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy() | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
        def holds(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=list(HELD))

        holds()
    assert count >= 7
