"""``python -m handfast.tools.endpoint``: prints JSON lines; exit status 0: done, 1: a connection failed, 2: usage."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from handfast.errors import ApiMisuse, ConfigError
from handfast.text import escape
from handfast.tools.endpoint.conversation import run_each
from handfast.tools.endpoint.flags import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handfast.tools.endpoint.options import Address

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the flags say; the exit status."""
    status = DONE
    try:
        for outcome in run_each(parse(arguments), listening=_say_where):
            print(outcome.to_json(), flush=True)
            if not outcome.ok:
                status = FAILED
    except (ConfigError, ApiMisuse) as error:
        print(f"handfast: error: {escape(error.what)} ({error.fault})", file=sys.stderr)
        print(f"handfast: hint: {escape(error.hint)}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _say_where(address: Address) -> None:
    print(json.dumps({"listening": str(address)}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
