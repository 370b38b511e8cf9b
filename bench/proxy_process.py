"""A process of `bench.proxy`: `handfast proxy` on the loop that the first argument names."""

from __future__ import annotations

import asyncio
import sys

from handfast.cli import main

if __name__ == "__main__":
    loop = sys.argv.pop(1)
    if loop == "uvloop":
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    sys.exit(main(["proxy", *sys.argv[1:]]))
