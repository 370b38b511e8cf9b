"""Runs a module of CPython's own tests with handfast's context in place of the stock one, in a process of its own.

``python stock_child.py OUT test.test_ssl [PATTERN ...]`` writes JSON to the file OUT: which passed, how many were
skipped, and for each test that did not pass the last line of its traceback. With ``-v`` the whole of it goes to stderr.
"""

from __future__ import annotations

import importlib
import json
import ssl
import sys
import unittest
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

from handfast.io.sslcontext.context import SSLContext


class Result(unittest.TestResult):
    """Counts, and keeps why."""

    def __init__(self) -> None:
        super().__init__()
        self.passed: list[str] = []
        self.fallen: dict[str, str] = {}

    def _fell(self, test: Any, error: Any) -> None:
        text = self._exc_info_to_string(error, test).strip().splitlines()  # type: ignore[attr-defined]
        self.fallen[getattr(test, "test_case", test).id()] = next(
            (line for line in reversed(text) if not line.startswith(("handfast:", " "))), ""
        )
        if "-v" in sys.argv:
            print("\n".join(text), file=sys.stderr)

    def startTest(self, test: Any) -> None:  # noqa: N802 (unittest's name)
        super().startTest(test)
        if "-v" in sys.argv:
            print(test.id(), file=sys.stderr, flush=True)

    def addSuccess(self, test: Any) -> None:  # noqa: N802
        self.passed.append(test.id())

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802
        self._fell(test, err)

    def addFailure(self, test: Any, err: Any) -> None:  # noqa: N802
        self._fell(test, err)

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: N802
        if err is not None:
            self._fell(subtest, err)


def outlive_resets(module: ModuleType) -> None:
    """Let the server of test.test_ssl outlive a connection that was reset, as that of Python 3.13 does.

    A client that closes before it has read its tickets resets the connection. Older tests count on an ``ssl`` that
    calls a reset an end: their server stops at it, and the next client of the same test finds nobody.
    """
    handler = module.ThreadedEchoServer.ConnectionHandler
    read = handler.read

    def read_until_reset(self: Any) -> Any:
        try:
            return read(self)
        except ConnectionResetError:
            return b""

    handler.read = read_until_reset


def main() -> None:
    out, module, *patterns = [argument for argument in sys.argv[1:] if argument != "-v"]
    ssl.SSLContext = SSLContext  # type: ignore[misc]
    if module == "test.test_ssl":
        outlive_resets(importlib.import_module(module))
    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*{pattern}*" for pattern in patterns] or None
    result = Result()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loader.loadTestsFromName(module).run(result)
    report = {
        "version": sys.version_info[:2],
        "passed": result.passed,
        "skipped": len(result.skipped),
        "fallen": result.fallen,
    }
    Path(out).write_text(json.dumps(report))


if __name__ == "__main__":
    main()
