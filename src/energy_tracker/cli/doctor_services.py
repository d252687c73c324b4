"""Asks services that run elsewhere how they are: what they keep is in databases, and no data folder tells of it."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import httpx

from energy_tracker.cli.access import running_urls
from energy_tracker.cli.doctor import Finding

if TYPE_CHECKING:
    from energy_tracker.settings import Settings

_TIMEOUT_S: Final = 10.0  # a service asks its database, log and peers before it answers
_NO_ANSWER: Final = "start it, or correct --at (ENERGY_TRACKER_SERVICES_AT) and ENERGY_TRACKER_{}_PORT"


def examine_services(settings: "Settings") -> Iterator[Finding]:
    """Yield the state of each service, given settings that name where they run."""
    yield Finding("data folder", "ok", "not looked at: the services named by --at keep nothing in it")
    with httpx.Client(timeout=_TIMEOUT_S, trust_env=False) as http:
        for service, url in (running_urls(settings) or {}).items():
            yield _examine(http, service, url)


def _examine(http: httpx.Client, service: str, url: str) -> Finding:
    part = f"{service}-service"
    try:
        health = http.get(f"{url}/actuator/health").json()
        status, components = health["status"], health["components"]
        down = {name: state for name, state in components.items() if state["status"] != "UP"}
    except httpx.HTTPError as error:
        detail = f"{url} does not answer ({type(error).__name__})"
        return Finding(part, "broken", detail, _NO_ANSWER.format(service.upper()))
    except (ValueError, KeyError, TypeError, AttributeError):
        detail = f"{url} does not answer as a service does"
        return Finding(part, "broken", detail, _NO_ANSWER.format(service.upper()))
    if status == "UP":
        return Finding(part, "ok", f"{url}: UP, with {', '.join(components) or 'no parts'}")
    said = "; ".join(f"{name}: {_reason(state)}" for name, state in down.items())
    return Finding(part, "broken", f"{url}: {status}" + (said and f", {said}"), "mend what it names; its log says more")


def _reason(state: Mapping[str, Any]) -> str:
    return str((state.get("details") or {}).get("error", state["status"]))[:300]
