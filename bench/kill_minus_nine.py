"""Kill the real system again and again under load: `python bench/kill_minus_nine.py [--rounds 100] [--seed 1]`.

Each round starts it on what the last one left, lets clients send (single readings, batches, repeats, over several
connections, each request again until it is acknowledged), has one more home use too much, and sends SIGKILL at a
random moment, one time in five while it starts. In the end every acknowledged reading has to be there once, the rollups
have to sum up to the registers, the ledger has to balance, and every home has to have its mail, repeated as itself at
most.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.killing import Findings, ordeal
from tests.support.smtp import mail_server


async def run(rounds: int, meters: int, seed: int) -> Findings:
    """Run the ordeal in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        async with mail_server() as mail:
            return await ordeal(
                Path(folder) / "home", mail, rounds=rounds, meters=meters, seed=seed, to_the_last_mail=True
            )


def main() -> None:
    """Run, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100, help="how often it is killed under load")
    parser.add_argument("--meters", type=int, default=4, help="how many clients send at the same time")
    parser.add_argument("--seed", type=int, default=1, help="decides about the moments")
    options = parser.parse_args()
    began = time.monotonic()
    findings = asyncio.run(run(options.rounds, options.meters, options.seed))
    ready = sorted(findings.ready_after_s)
    print(f"killed              {findings.kills} times in {time.monotonic() - began:.0f} s")
    print(f"readings            {findings.readings} acknowledged, each stored once; rollups equal the registers")
    print(f"ledger              {findings.ledger}")
    print(f"mails               {findings.mails} taken, {findings.mail_ids} different")
    print(
        f"ready again         median {statistics.median(ready):.2f} s, worst {ready[-1]:.2f} s of {len(ready)} starts"
    )


if __name__ == "__main__":
    main()
