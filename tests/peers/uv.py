"""uv, on rustls: fetches a list of requirements, which is one request."""

from __future__ import annotations

import os
import sys
import tempfile
from typing import Self

from tests.peers.base import (
    REQUEST,
    Cannot,
    ClientPeer,
    KeyUpdate,
    Options,
    Outcome,
    PeerFailed,
    ProcessPeer,
    missing,
)
from tests.peers.hosted import beside_python


def program() -> str:
    """uv as its wheel brings it, or the end of the running test."""
    path = beside_python("uv")
    if path is None:
        missing("the wheel uv is not installed")
        raise PeerFailed("uv")
    return path


def require_possible(options: Options) -> None:
    """Raises Cannot."""
    for asked, reason in (
        (options.version, "uv cannot choose versions"),
        (options.suites, "uv cannot choose suites"),
        (options.groups, "uv cannot choose groups"),
        (options.schemes, "uv cannot choose signature schemes"),
        (options.application_protocols == ("http/1.1",), "uv offers h2 and http/1.1 by ALPN"),
        (options.key_update is not KeyUpdate.NONE, "uv has no option to change its keys"),
        (options.later, "rustls has no authentication after the handshake"),
        (options.export, "uv exports no keying material"),
        (options.keylog, "uv writes no key log"),
        (options.request != REQUEST or options.upload, "uv makes its own requests"),
        (options.server_name != "localhost", "uv finds servers by the system's means alone, which know localhost"),
    ):
        if asked:
            raise Cannot(reason)


class UvClient(ProcessPeer, ClientPeer):
    """uv pip compile, of requirements at an address; they need not make sense, as it says what it made of them."""

    name = "uv"
    makes_several_connections = False
    no_early_data = "uv has no option for early data"

    def command(self) -> list[str]:
        command = [program(), "pip", "compile", "--no-index", "--python", sys.executable, "--no-cache"]
        if not self.options.trust:
            command += ["--allow-insecure-host", f"localhost:{self.port}"]
        return [*command, *self.options.extra, f"https://localhost:{self.port}/requirements.txt"]

    def environment(self) -> dict[str, str]:
        options = self.options
        settings = {"UV_HTTP_RETRIES": "0", "UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never", "NO_PROXY": "*"}
        if options.trust:
            settings["SSL_CERT_FILE"] = str(options.trust)
        if options.certificate:
            assert options.key is not None
            self._identity.write(options.certificate.read_bytes() + options.key.read_bytes())
            self._identity.flush()
            settings["SSL_CLIENT_CERT"] = self._identity.name
        return {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "SSL_"))} | settings

    def __enter__(self) -> Self:
        require_possible(self.options)
        self._identity = tempfile.NamedTemporaryFile(suffix=".pem")
        return super().__enter__()

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        self._identity.close()

    def read_outcome(self, status: int) -> Outcome:
        text = self.text()
        # That is what RESPONSE names.
        complete = "hello was not found" in text
        error = "" if complete else " ".join(text.split())
        return Outcome(ok=complete, error=error, text=text, received=self.options.response if complete else b"")
