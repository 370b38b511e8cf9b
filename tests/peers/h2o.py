"""h2o as an HTTPS server."""

from __future__ import annotations

import os
import signal

from tests.peers.base import Cannot, ClientAuth, Outcome, last, require_peer
from tests.peers.nginx import require_possible
from tests.peers.relayed import RelayedProcess


class H2OServer(RelayedProcess):
    """h2o: answers with ``response``'s body under a head of its own, and does not show what it received."""

    name = "h2o"
    shows_request = False
    finish = signal.SIGTERM

    def command(self) -> list[str]:
        options = self.options
        require_possible(options, "h2o")
        if options.client_auth is not ClientAuth.NONE:
            raise Cannot("h2o asks for no client certificates")
        if options.version or options.groups or options.schemes or options.suites or options.application_protocols:
            raise Cannot("h2o is told of no parameters here")
        root = self.directory / "root"
        root.mkdir()
        (root / "index.html").write_bytes(options.response.partition(b"\r\n\r\n")[2])
        identity = f"certificate-file: {options.certificate}, key-file: {options.key}"
        config = [
            "user: root" if os.geteuid() == 0 else "",
            f"listen: {{type: unix, port: {self.path}, ssl: {{{identity}, ocsp-update-interval: 0}}}}",
            f"hosts: {{default: {{paths: {{/: {{file.dir: {root}}}}}}}}}",
            f"access-log: {{path: {self.directory}/log, format: 'seen|%s|%{{ssl.protocol-version}}x'}}",
        ]
        return [require_peer("h2o"), "-c", str(self.write_file("h2o.conf", "\n".join([*config, ""])))]

    def read_outcome(self, status: int) -> Outcome:
        log = self.directory / "log"
        text = self.text() + (log.read_text() if log.exists() else "")
        return Outcome(ok="seen|200" in text, error="", text=text, version=last(r"^seen\|200\|(.*)", text))
