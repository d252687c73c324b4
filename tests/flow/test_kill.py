"""The real system, killed with SIGKILL under load: nothing that was acknowledged is lost, nothing is there twice."""

from pathlib import Path

from tests.support.killing import ordeal
from tests.support.smtp import mail_server

READY_WITHIN_S = 10.0


async def test_killed_again_and_again(tmp_path: Path) -> None:
    async with mail_server() as mail:
        findings = await ordeal(tmp_path / "home", mail, rounds=3, meters=3, seed=1, to_the_last_mail=False)
    assert findings.readings > 100
    assert max(findings.ready_after_s) < READY_WITHIN_S
