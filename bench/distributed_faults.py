"""Faults under a steady load: `python -m bench.distributed_faults [--rate 10000] [--only REGEX] [--list]`.

The six services as processes, and clients that send readings at a rate over HTTP, each batch until it is answered 202.
One fault after the other happens, and nobody helps: a process is killed and started again, or stopped and let go on;
a usage-service joins, the first is killed, a third joins; a server is away. Meanwhile a home uses more than it wanted
to, and is due one mail. After each fault the load goes on until nothing waits that was due more than
two seconds ago (`caught_up_s` after the fault ended); then it ends, and all is compared with what was sent: the ledger,
the readings in InfluxDB, the kWh of each device and hour, episodes and mails. `wrong` says what differs, and the exit
status is 1 then; what comes afterwards starts on a fresh installation.

Faults of servers need ENERGY_TEST_SERVERS: all runs on servers of its own then, which it starts and removes.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
from tests.support.mailpit import SERVERS as MAIL_SERVERS
from tests.support.processes import SERVICES, stack_on
from tests.support.servers import COMMAND, VARIABLES, OwnServers, Servers, own_servers

from bench.distributed_faults_kinds import Fault, all_faults
from bench.distributed_faults_play import Play, prepare

FAILURES = (AssertionError, RuntimeError, TimeoutError, httpx.HTTPError)
"""What says that a service did not come right, beside what differs."""


@asynccontextmanager
async def playing(servers: OwnServers | None, options: argparse.Namespace) -> AsyncIterator[Play]:
    """Run the six services in a fresh installation."""
    where: Mapping[str, str] = os.environ if servers is None else servers.addresses
    smtp = urlsplit(where["ENERGY_TEST_SMTP"])
    variables = {
        "SPRING_MAIL_HOST": smtp.hostname or "",
        "SPRING_MAIL_PORT": str(smtp.port or 25),
        "ENERGY_TRACKER_ALERT_CHECK_INTERVAL": "PT2S",
    }
    if servers is not None and "ollama" in servers.names:
        variables["SPRING_AI_OLLAMA_BASE_URL"] = where["ENERGY_TEST_OLLAMA"]
        variables["OLLAMA_MODEL"] = where["ENERGY_TEST_OLLAMA_MODEL"]
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.folder)))
        mails = httpx.AsyncClient(base_url=where["ENERGY_TEST_MAILPIT"], trust_env=False, timeout=30)
        await stack.enter_async_context(mails)
        services = await stack.enter_async_context(stack_on(Servers.named_by(where), folder, more_usage=1, **variables))
        await services.start(*SERVICES)
        yield await prepare(services, mails, servers, options)


async def run(faults: Sequence[Fault], options: argparse.Namespace) -> dict[str, Any]:
    """Have all faults happen; return what came of each."""
    results: dict[str, Any] = {}
    waiting = list(faults)
    async with AsyncExitStack() as stack:
        servers = None
        if any(fault.server for fault in faults):
            servers = await stack.enter_async_context(own_servers("mailpit", *_model(faults)))
        while waiting:
            async with playing(servers, options) as play:
                right = True
                while waiting and right:
                    fault = waiting.pop(0)
                    results[fault.name] = result = await _meet(play, fault)
                    right = not result["wrong"]
                    print(f"{fault.name}: {json.dumps(result)}", file=sys.stderr, flush=True)
    return results


def _model(faults: Sequence[Fault]) -> tuple[Literal["ollama"], ...]:
    return ("ollama",) if any(fault.server == "ollama" for fault in faults) else ()


async def _meet(play: Play, fault: Fault) -> dict[str, Any]:
    try:
        return await play.meet(fault)
    except FAILURES as error:
        print(f"{fault.name}: {error!r}", file=sys.stderr, flush=True)
        first = (str(error) or repr(error)).splitlines()[0]
        return {"wrong": [f"{type(error).__name__}: {first}"]}


def figures(results: dict[str, Any], skipped: Sequence[Fault], options: argparse.Namespace) -> dict[str, Any]:
    """Return all as one document."""
    return {
        "rate": options.rate,
        "lost_or_doubled": any(result["wrong"] for result in results.values()),
        "skipped": [fault.name for fault in skipped],
        "faults": results,
    }


def options_given() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=10_000, help="new readings a second")
    parser.add_argument("--only", type=re.compile, default=re.compile(""), help="faults whose name matches this")
    parser.add_argument("--list", action="store_true", help="say which faults there are")
    parser.add_argument("--away", type=float, default=15, help="seconds that a stopped process, or a server, is away")
    parser.add_argument("--outage", type=float, default=60, help="seconds that InfluxDB is away")
    parser.add_argument("--patience", type=float, default=600, help="seconds in which the load is caught up with")
    parser.add_argument("--seed", type=int, default=1, help="decides about batches and repeats")
    parser.add_argument("--folder", type=Path, default=None, help="where the services write their logs")
    return parser.parse_args()


def main() -> int:
    """Have the faults happen, print JSON; 1 where anything is wrong."""
    options = options_given()
    chosen = [
        fault for fault in all_faults(away_s=options.away, outage_s=options.outage) if options.only.search(fault.name)
    ]
    if options.list:
        print("\n".join(f"{fault.name}{f' (needs {COMMAND})' if fault.server else ''}" for fault in chosen))
        return 0
    faults = [fault for fault in chosen if not fault.server or os.environ.get(COMMAND)]
    if not any(fault.server for fault in faults):
        missing = [name for name in (*VARIABLES, *MAIL_SERVERS) if not os.environ.get(name)]
        if missing:
            raise SystemExit(f"{', '.join(missing)} must name the servers to run on; see bench/README.md")
    # uvloop would hand the pipe of a command on to the servers that it starts: there would be no end of what it says.
    results = asyncio.run(run(faults, options))
    skipped = [fault for fault in chosen if fault not in faults]
    print(json.dumps(figures(results, skipped, options), indent=2))
    return int(any(result["wrong"] for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
