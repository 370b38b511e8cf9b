"""``handfast serve`` in a process of its own, for tests."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from tests.cli.conftest import Result, start
from tests.waiting import LIMIT


@dataclass
class Serving:
    """The running program: its port, what it says on standard error as it comes, and its result once it has ended."""

    process: subprocess.Popen[str]
    port: int
    said: list[str] = field(default_factory=list)

    @property
    def err(self) -> IO[str]:
        assert self.process.stderr is not None
        return self.process.stderr

    @property
    def keyboard(self) -> IO[str]:
        assert self.process.stdin is not None
        return self.process.stdin

    def types(self, line: str) -> None:
        self.keyboard.write(line)
        self.keyboard.flush()

    def hangs_up(self) -> None:
        """The end of what is typed."""
        self.keyboard.close()
        self.process.stdin = None

    @property
    def out(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def hears(self, words: str) -> str:
        """The next line on standard error that holds these words."""
        while True:
            line = self.err.readline()
            assert line, f"{words!r} was not said, but {self.said}"
            self.said.append(line.rstrip("\n"))
            if words in line:
                return line.rstrip("\n")

    def ends(self) -> Result:
        """What it did, once it ends by itself."""
        out, err = self.process.communicate(timeout=LIMIT)
        return Result(self.process.returncode, out, "\n".join([*self.said, err]))


@contextmanager
def serving(*arguments: object, listen: str = "127.0.0.1:0", **options: object) -> Iterator[Serving]:
    """Serves until the block ends, if it does not end before, and for a bounded time."""
    process = start("serve", "--listen", listen, *arguments, **options)
    bound = threading.Timer(LIMIT, process.kill)
    bound.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"(?:Serving on https://|Chatting on )(.*):(\d+)/? \(Ctrl-C ends\)\n", line)
        assert found, line or process.communicate()[1]
        yield Serving(process, int(found[2]))
    finally:
        bound.cancel()
        process.kill()
        process.communicate()
