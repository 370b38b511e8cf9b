"""A process of `bench.proxy`, on the loop that the first argument names: `handfast proxy`, or its relay without TLS."""

from __future__ import annotations

import asyncio
import sys

from handfast.cli import loops, main
from handfast.cli.target import parse_address
from handfast.proxy.server import Proxy
from handfast.proxy.settings import Backend, Listener, Mode, Service


async def relay(listen: str, to: str) -> None:
    """Relays from one address to another until it is stopped."""
    service = Service(Backend(parse_address(to, "to")), mode=Mode.TCP)
    await Proxy([Listener(parse_address(listen, "from"), service)]).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    loop, *arguments = sys.argv[1:]
    if loop == "asyncio":
        # As where it is not installed.
        sys.modules["uvloop"] = None  # type: ignore[assignment]
    if arguments[0] == "relay":
        loops.run(relay(*arguments[1:]))
    sys.exit(main(["proxy", *arguments]))
