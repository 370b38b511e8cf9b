"""curl, with whatever TLS library it was built for; the options here are those of OpenSSL's."""

from __future__ import annotations

import os
import re

from tests.peers.base import (
    REQUEST,
    Cannot,
    ClientPeer,
    KeyUpdate,
    Outcome,
    ProcessPeer,
    first,
    http_response,
    require_peer,
)
from tests.peers.openssl import group_list, rfc_suite, spell_version, suite_lists
from tests.waiting import LIMIT


class CurlClient(ProcessPeer, ClientPeer):
    """curl: makes its own request, and offers h2 and http/1.1, or http/1.1 alone, or no ALPN."""

    name = "curl"
    no_early_data = "curl before 8.11 has no option for early data"
    scheme = "https"

    def command(self) -> list[str]:
        options = self.options
        if options.schemes:
            raise Cannot("curl before 8.14 has no option for signature schemes")
        if options.key_update is not KeyUpdate.NONE:
            raise Cannot("curl has no option to change its keys")
        if options.export:
            raise Cannot("curl exports no keying material")
        if options.request != REQUEST:
            raise Cannot("curl makes its own requests")
        if options.server_name is None:
            raise Cannot("curl names the server of its URL in SNI")
        command = [require_peer("curl"), "--verbose", "--silent", "--show-error", "--include", "--max-time", f"{LIMIT}"]
        command += ["--noproxy", "*", "--connect-to", f"::127.0.0.1:{self.port}"]
        command += ["--cacert", str(options.trust)] if options.trust else ["--insecure"]
        if options.certificate:
            command += ["--cert", str(options.certificate), "--key", str(options.key)]
        if options.version:
            command += [f"--tlsv{options.version}", "--tls-max", options.version]
        if options.suites:
            for option, suites in zip(("--tls13-ciphers", "--ciphers"), suite_lists(options.suites), strict=True):
                command += [option, suites] if suites else []
        if options.groups:
            command += ["--curves", group_list(options.groups)]
        command += self._application_protocols()
        return [
            *command,
            *options.extra,
            *[f"{self.scheme}://{options.server_name}:{self.port}/"] * options.connections,
        ]

    def _application_protocols(self) -> list[str]:
        choices = {(): ["--no-alpn"], ("http/1.1",): ["--http1.1"], ("h2", "http/1.1"): ["--http2"]}
        if self.options.application_protocols not in choices:
            raise Cannot("curl offers h2 and http/1.1, or http/1.1, or nothing by ALPN")
        return choices[self.options.application_protocols]

    def environment(self) -> dict[str, str]:
        keylog = {"SSLKEYLOGFILE": str(self.options.keylog)} if self.options.keylog else {}
        return {key: value for key, value in os.environ.items() if key != "SSLKEYLOGFILE"} | keylog

    def read_outcome(self, status: int) -> Outcome:
        text = self.text()
        line = first(r"^(curl: .*)$", text)
        return Outcome(
            ok=status == 0,
            error=line or ("" if status == 0 else f"exit status {status}"),
            text=text,
            received=http_response(self.output),
            version=spell_version(first(r"SSL connection using (TLSv[\d.]+)", text)),
            suite=rfc_suite(first(r"SSL connection using \S+ / (\S+)", text)),
            application_protocol=first(r"ALPN[:,] server accepted (?:to use )?(\S+)", text),
            peer_subject=first(r"^\*\s+subject: (.*)$", text),
            resumed=re.search("SSL re-?using session", text) is not None,
        )
