"""``python -m tests.sslcontext.consumers NAME PAIRING FOLDER`` runs one consumer; it says what it saw, or fails."""

from __future__ import annotations

import signal
import sys
import warnings

from tests.sslcontext.consumers import http_clients, loops, servers, services
from tests.sslcontext.consumers.kinds import CONSUMERS, Contexts

SECONDS = 40


def main() -> None:
    name, pairing, folder = sys.argv[1:]
    # A hang is a result.
    signal.alarm(SECONDS)
    warnings.simplefilter("ignore")
    print(CONSUMERS[name](Contexts(pairing, folder)))


if __name__ == "__main__":
    _ = http_clients, loops, servers, services
    main()
