"""granian, a server on rustls. Its start takes half a second, so a process serves all tests that configure it alike."""

from __future__ import annotations

import atexit
import os
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Self

from tests.peers.base import Cannot, ClientAuth, Options, Outcome, PeerFailed, first, missing
from tests.peers.hosted import PROGRAMS, beside_python
from tests.peers.nginx import require_possible
from tests.peers.relayed import RelayedServer
from tests.waiting import LIMIT, until

MOST_RUNNING = 3
PROBE = b"\x16\x03\x01\xff\xff"
PROBE_ANSWERED = "MessageTooLarge"
"""Of a connection without a request it tells nothing. One with a record that nobody else sends, after all others, makes
it say this; it does one thing after the other, so that by then it has told what there was to tell of them."""


class Granian:
    """A running granian."""

    def __init__(self, program: str, options: Options) -> None:
        # It lives as long as this object.
        self._directory = tempfile.TemporaryDirectory()
        directory = Path(self._directory.name)
        self.path = directory / "listening"
        page = directory / "page"
        page.write_bytes(options.response.partition(b"\r\n\r\n")[2])
        self.text = ""
        self._process = subprocess.Popen(
            [*self._command(program, options, directory), "application:application"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=PROGRAMS,
            env={**os.environ, "PAGE": str(page), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _command(self, program: str, options: Options, directory: Path) -> list[str]:
        command = [program, "--interface", "asgi", "--uds", str(self.path), "--log-level", "debug", "--http", "1"]
        for name, source, option in (
            ("certificate", options.certificate, "--ssl-certificate"),
            ("key", options.key, "--ssl-keyfile"),
            ("trust", options.trust, "--ssl-ca"),
        ):
            if source is not None:
                copy = directory / name
                copy.touch(mode=0o600)
                copy.write_bytes(source.read_bytes())
                command += [option, str(copy)]
        command += ["--ssl-protocol-min", f"tls{options.version or '1.2'}"]
        if options.client_auth is ClientAuth.REQUIRE:
            command.append("--ssl-client-verify")
        return command

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.text += line

    def ended(self) -> str | None:
        return self.text if self._process.poll() is not None else None

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(LIMIT)
        self._reader.join(LIMIT)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._directory.cleanup()


class GranianServer(RelayedServer):
    """granian: answers with ``response``'s body under a head of its own, and does not show what it received."""

    name = "granian"
    no_early_data = "granian has no option for early data"
    shows_request = False
    _running: dict[tuple[object, ...], Granian] = {}  # noqa: RUF012

    def __enter__(self) -> Self:
        options = self.options
        require_possible(options, "granian")
        for asked, reason in (
            (options.client_auth is ClientAuth.REQUEST, "granian requires a client certificate or asks for none"),
            (options.suites, "granian cannot choose suites"),
            (options.groups, "granian cannot choose groups"),
            (options.schemes, "granian cannot choose signature schemes"),
            (options.version == "1.2", "granian's protocols have a lower limit and no upper one"),
        ):
            if asked:
                raise Cannot(reason)
        self._granian = self._shared()
        self.path = self._granian.path
        self._start = len(self._granian.text)
        self.start_relay()
        return self

    def _shared(self) -> Granian:
        """The one that runs with these options, or a new one instead of the oldest."""
        program = beside_python("granian")
        if program is None:
            missing("the wheel granian is not installed")
            raise PeerFailed("granian")
        options = self.options
        files = (options.certificate, options.key, options.trust)
        key = (*(path and path.read_bytes() for path in files), options.version, options.client_auth, options.response)
        if not self._running:
            atexit.register(self._close_all)
        if key not in self._running:
            if len(self._running) >= MOST_RUNNING:
                self._running.pop(next(iter(self._running))).close()
            self._running[key] = Granian(program, options)
        return self._running[key]

    @classmethod
    def _close_all(cls) -> None:
        for granian in cls._running.values():
            granian.close()

    def ended(self) -> str | None:
        return self._granian.ended()

    def outcome(self) -> Outcome:
        self.end_relay()
        with self._connect() as probe:
            probe.sendall(PROBE)
            if not until(lambda: PROBE_ANSWERED in self._granian.text[self._start :] or self.ended() is not None):
                raise PeerFailed(f"granian does not answer:\n{self._granian.text}")
        told, _, _ = self._granian.text[self._start :].partition(PROBE_ANSWERED)
        text = told[: told.rfind("\n") + 1]
        trouble = first(r"^(.*handshake failed.*)$", text) or ""
        complete = "served|" in text and not trouble
        return Outcome(ok=complete, error=trouble or ("" if complete else "no request came"), text=text)

    def __exit__(self, *exception: object) -> None:
        self.drop()
        self._relay.join(LIMIT)
