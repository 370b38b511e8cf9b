"""A process of `bench.proxy`: `handfast proxy` on the loop that the first argument names."""

from __future__ import annotations

import sys

from handfast.cli import main

if __name__ == "__main__":
    if sys.argv.pop(1) == "asyncio":
        # As where it is not installed.
        sys.modules["uvloop"] = None  # type: ignore[assignment]
    sys.exit(main(["proxy", *sys.argv[1:]]))
