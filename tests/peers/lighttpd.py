"""lighttpd with mod_openssl as an HTTPS server."""

from __future__ import annotations

import signal

from tests.peers.base import Cannot, Outcome, require_peer
from tests.peers.nginx import require_possible
from tests.peers.relayed import RelayedProcess, verify_word


class LighttpdServer(RelayedProcess):
    """lighttpd: answers with ``response``'s body under a head of its own, and does not show what it received."""

    name = "lighttpd"
    shows_request = False
    finish = signal.SIGINT

    def command(self) -> list[str]:
        require_possible(self.options, "lighttpd")
        if self.options.groups or self.options.schemes or self.options.suites or self.options.application_protocols:
            raise Cannot("lighttpd is told of no parameters here")
        program = require_peer("lighttpd")
        return [program, "-D", "-f", str(self.write_file("lighttpd.conf", self._config()))]

    def _config(self) -> str:
        options = self.options
        root = self.directory / "root"
        root.mkdir()
        (root / "index.html").write_bytes(options.response.partition(b"\r\n\r\n")[2])
        active = verify_word(options, "disable", "enable", "enable")
        enforced = verify_word(options, "disable", "disable", "enable")
        versions = [f"TLSv{options.version}"] * 2 if options.version else ["TLSv1.2", "TLSv1.3"]
        lines = [
            'server.modules = ("mod_openssl", "mod_accesslog")',
            f'server.document-root = "{root}"',
            'index-file.names = ("index.html")',
            f'server.bind = "{self.path}"',
            f'accesslog.filename = "{self.directory}/access.log"',
            'accesslog.format = "seen|%s|%{SSL_PROTOCOL}e|%{SSL_CIPHER}e|%{SSL_CLIENT_S_DN}e"',
            'ssl.engine = "enable"',
            'debug.log-ssl-noise = "enable"',
            f'ssl.pemfile = "{options.certificate}"',
            f'ssl.privkey = "{options.key}"',
            f'ssl.verifyclient.activate = "{active}"',
            f'ssl.verifyclient.enforce = "{enforced}"',
            "ssl.verifyclient.depth = 5",
            f'ssl.openssl.ssl-conf-cmd = ("MinProtocol" => "{versions[0]}", "MaxProtocol" => "{versions[1]}")',
        ]
        if options.trust:
            lines.append(f'ssl.verifyclient.ca-file = "{options.trust}"')
        return "\n".join([*lines, ""])

    def read_outcome(self, status: int) -> Outcome:
        log = self.directory / "access.log"
        text = self.text() + (log.read_text() if log.exists() else "")
        errors = [line for line in text.splitlines() if "SSL" in line and not line.startswith("seen|")]
        return Outcome(ok="seen|200" in text, error=errors[0] if errors else "", text=text)
