"""Makes the token with which Grafana may read the bucket, and nothing else; keeps the one that works already."""
# ruff: noqa: INP001 - a script that a container runs, no package

import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

KEPT = Path("/secrets/kept/INFLUX_TOKEN")
FILE = Path("/secrets/grafana/INFLUX_TOKEN")
GRAFANA_USER = 472
TIMEOUT_S = 10


def ask(path: str, token: str, body: dict[str, Any] | None = None) -> Any:
    """Return InfluxDB's answer. Raises `HTTPError` where it refuses, `OSError` where it does not answer."""
    request = urllib.request.Request(  # noqa: S310 - the address is this system's own
        os.environ["INFLUX_URL"] + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Token {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - as above
        return json.load(answer)


def bucket_id(token: str) -> str | None:
    """Return the id of the bucket, or None where the token does not let see it."""
    query = urllib.parse.urlencode({"org": os.environ["INFLUX_ORG"], "name": os.environ["INFLUX_BUCKET"]})
    try:
        buckets = ask(f"/api/v2/buckets?{query}", token)["buckets"]
    except urllib.error.HTTPError:
        return None
    return str(buckets[0]["id"]) if buckets else None


def main() -> int:
    """Make the token unless one that works is there; return the exit code."""
    if FILE.exists() and bucket_id(FILE.read_text(encoding="utf-8")):
        sys.stdout.write("the token is there already\n")
        return 0
    admin = KEPT.read_text(encoding="utf-8")
    bucket = bucket_id(admin)
    if bucket is None:
        sys.stderr.write(f"InfluxDB has no bucket {os.environ['INFLUX_BUCKET']} that its token shows\n")
        return 1
    query = urllib.parse.urlencode({"org": os.environ["INFLUX_ORG"]})
    organisation = ask(f"/api/v2/orgs?{query}", admin)["orgs"][0]["id"]
    readable = {"action": "read", "resource": {"type": "buckets", "id": bucket, "orgID": organisation}}
    made = ask(
        "/api/v2/authorizations",
        admin,
        {"orgID": organisation, "description": "Grafana, reads only", "permissions": [readable]},
    )
    FILE.unlink(missing_ok=True)
    descriptor = os.open(FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        os.fchown(descriptor, GRAFANA_USER, GRAFANA_USER)
        opened.write(made["token"])
    sys.stdout.write("a token that reads the bucket was made\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
