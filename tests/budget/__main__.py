"""python -m tests.budget            what each row costs now, beside the table
python -m tests.budget --write       the table anew, this Python's column of it
python -m tests.budget --json        what each row costs now, for the test
python -m tests.budget --functions ROW   where a row's bytecodes go
"""

from __future__ import annotations

import json
import sys

from tests.budget import rows, table


def main(arguments: list[str]) -> str:
    """What to print."""
    match arguments:
        case []:
            allowed = table.load().get(table.PYTHON, {})
            return "\n".join(f"{row:40}{now:7}{allowed.get(row, 0):7}" for row, now in rows.counts())
        case ["--json"]:
            return json.dumps(dict(rows.counts()))
        case ["--write"]:
            table.write(dict(rows.counts()))
            return f"wrote the column {table.PYTHON} of {table.TABLE.name}"
        case ["--functions", row] if row in rows.ROWS:
            return "\n".join(f"{side:8}{figure:6} {function}" for side, function, figure in rows.by_function(row))
        case _:
            sys.exit(f"{__doc__}\nrows: {', '.join(rows.ROWS)}")


if __name__ == "__main__":
    print(main(sys.argv[1:]))
