"""What is decided about a request before any route sees it: HEAD, and requests that a foreign web page makes."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from energy_tracker.kit.problems import Problem

PROBLEM_JSON = "application/problem+json"
METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class CrossSiteRequest(Problem):
    """A page of another site makes a browser change something here."""

    status = 403
    title = "The request comes from another site"


class Gate:
    """ASGI middleware: answers HEAD as GET (the server leaves the body out), and 403 to what another site changes.

    Browsers send a POST of another site's page to this machine without asking; they say so in `Sec-Fetch-Site`, older
    ones in `Origin`. Programs send neither.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http":
            method = scope["method"]
            if method == "HEAD":
                scope = {**scope, "method": "GET"}
            elif method not in _SAFE and is_cross_site(scope["headers"]):
                problem = CrossSiteRequest("A web page of another site cannot change anything here.")
                await JSONResponse(problem.body(), problem.status, media_type=PROBLEM_JSON)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def is_cross_site(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether a browser says that a page of another site makes this request."""
    origin = host = None
    for name, content in headers:
        if name == b"sec-fetch-site":
            return content.strip().lower() == b"cross-site"
        if name == b"origin":
            origin = content
        elif name == b"host":
            host = content
    return origin is not None and _host_name(origin) != _host_name(b"//" + (host or b""))


def _host_name(url: bytes) -> str | None:
    try:
        return urlsplit(url.decode("latin-1")).hostname
    except ValueError:
        return None


def allowed_methods(routes: Iterable[BaseRoute], scope: Scope) -> str:
    """Return the methods that a path has, as `Allow` lists them (RFC 9110, section 10.2.1)."""
    known = list(routes)
    methods = {
        method
        for method in METHODS
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in known)
    }
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
