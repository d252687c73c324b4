"""The health check of a container: asks one service whether it can do its work, with the standard library alone.

`python -m energy_tracker.cli.probe PORT` starts in a few hundredths of a second, so it can run every few seconds. It
is no command of `energy-tracker`: that would load all of it each time.
"""

import http.client
import sys
from http import HTTPStatus

PATH = "/actuator/health"
TIMEOUT_S = 4.0
SHOWN_CHARACTERS = 1000  # what Docker keeps of a check is a few kilobytes
USAGE = 2


def main(arguments: list[str]) -> int:
    """Ask the service on this machine's PORT; return 0 when it is UP, 1 when not, 2 for wrong arguments.

    What the service says of its parts is printed when it is not UP: `docker inspect` shows it.
    """
    if len(arguments) != 1 or not arguments[0].isdecimal():
        sys.stderr.write("usage: python -m energy_tracker.cli.probe PORT\n")
        return USAGE
    connection = http.client.HTTPConnection("127.0.0.1", int(arguments[0]), timeout=TIMEOUT_S)
    try:
        connection.request("GET", PATH)
        answer = connection.getresponse()
        body = answer.read().decode("utf-8", "replace")
    except (OSError, OverflowError, http.client.HTTPException) as error:
        sys.stdout.write(f"no answer on port {arguments[0]}: {type(error).__name__}: {error}\n")
        return 1
    finally:
        connection.close()
    if answer.status == HTTPStatus.OK:
        return 0
    sys.stdout.write(f"{answer.status}: {body[:SHOWN_CHARACTERS]}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
