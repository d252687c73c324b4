"""The page at `/docs` that shows a service's calls: three files of our own, so that it needs no other server."""

from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Response

_TYPES: Final = {"page.html": "text/html", "page.css": "text/css", "page.js": "text/javascript"}
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def router() -> APIRouter:
    """Return the routes of the page: `/docs`, and beside it the style and the script that it loads."""
    routes = APIRouter()
    for path, name in (("/docs", "page.html"), ("/docs/page.css", "page.css"), ("/docs/page.js", "page.js")):
        routes.add_api_route(path, _endpoint(name), methods=["GET"], include_in_schema=False, response_model=None)
    return routes


def _endpoint(name: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - FastAPI reads the inner function's types
    async def page() -> Response:
        content = files(__package__).joinpath(name).read_bytes()
        return Response(content, media_type=f"{_TYPES[name]}; charset=utf-8", headers=_HEADERS)

    return page
