"""Clients for HTTP servers that a service calls."""

import ssl

import httpx


def http_client(*urls: str) -> httpx.AsyncClient:
    """Return a client for these addresses; a proxy of the environment is not for them, redirects are not followed.

    Without https no authority is to be trusted, and a context that knows none spares 4 MiB.
    """
    secure = any(url.lower().startswith("https:") for url in urls)
    verify = True if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.AsyncClient(trust_env=False, verify=verify)
