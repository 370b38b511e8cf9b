"""Runs modules of CPython's own test package with handfast's context in place of the stock one, in a process of its own.

``python stock_child.py OUT test.test_ssl [PATTERN ...]`` writes JSON to the file OUT: how many ran, what was skipped, and for
each test that did not pass its name and the last line of its traceback.
"""

from __future__ import annotations

import json
import sys
import unittest
import warnings
from pathlib import Path


class Result(unittest.TestResult):
    """Counts, and keeps why."""

    def __init__(self) -> None:
        super().__init__()
        self.fallen: dict[str, str] = {}

    def _fell(self, test: object, error: object) -> None:
        name = getattr(test, "test_case", test)
        text = self._exc_info_to_string(error, test).strip().splitlines()  # type: ignore[attr-defined]
        self.fallen[str(getattr(name, "id", lambda: str(name))())] = text[-1] if text else ""
        if "-v" in sys.argv:
            print("\n".join(text), file=sys.stderr)

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802 (unittest's)
        super().startTest(test)
        if "-v" in sys.argv:
            print(test.id(), file=sys.stderr, flush=True)

    def addError(self, test: unittest.TestCase, err: object) -> None:  # type: ignore[override]  # noqa: N802
        self._fell(test, err)

    def addFailure(self, test: unittest.TestCase, err: object) -> None:  # type: ignore[override]  # noqa: N802
        self._fell(test, err)

    def addSubTest(self, test: unittest.TestCase, subtest: object, err: object) -> None:  # type: ignore[override]  # noqa: N802
        if err is not None:
            self._fell(subtest, err)


def main() -> None:
    import ssl

    from handfast.io.sslcontext.context import SSLContext

    out, module, *patterns = [argument for argument in sys.argv[1:] if argument != "-v"]
    stock = ssl.SSLContext
    if "--stock" in patterns:
        patterns.remove("--stock")
    else:
        ssl.SSLContext = SSLContext  # type: ignore[misc]
    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*{pattern}*" for pattern in patterns] or None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = Result()
        loader.loadTestsFromName(module).run(result)
    del stock
    report = {"run": result.testsRun, "skipped": len(result.skipped), "fallen": result.fallen}
    Path(out).write_text(json.dumps(report))


if __name__ == "__main__":
    main()
