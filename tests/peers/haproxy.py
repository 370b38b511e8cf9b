"""HAProxy as an HTTPS server."""

from __future__ import annotations

import signal
from typing import Any

from tests.peers.base import Cannot, Outcome, first, last, require_peer
from tests.peers.nginx import require_possible
from tests.peers.openssl import group_list, rfc_suite, spell_version, suite_lists
from tests.peers.relayed import RelayedProcess, verify_word
from tests.waiting import LIMIT

# What it tells of a connection, in the order of SEEN.
FACTS = "%[ssl_fc_protocol]|%[ssl_fc_cipher]|%[ssl_fc_alpn]|%{+Q}[ssl_c_s_dn]|%[ssl_fc_sni]|%[ssl_fc_is_resumed]"
SEEN = ("version", "suite", "application_protocol", "peer_subject", "server_name")
BUFFER = 2**22
"""Bytes: it keeps a request's whole head in one buffer."""


class HAProxyServer(RelayedProcess):
    """haproxy: answers with ``response``'s body under a head of its own, and does not show what it received."""

    name = "haproxy"
    shows_request = False
    finish = signal.SIGUSR1

    def command(self) -> list[str]:
        require_possible(self.options, "HAProxy")
        if self.options.schemes:
            raise Cannot("HAProxy before 2.8 cannot choose signature schemes")
        program = require_peer("haproxy")
        config = self.write_file("haproxy.cfg", self._config())
        return [program, "-db", "-f", str(config)]

    def _config(self) -> str:
        options = self.options
        assert options.certificate is not None
        assert options.key is not None
        page = self.write_file("page", options.response.partition(b"\r\n\r\n")[2])
        identity = self.write_file("identity.pem", options.certificate.read_bytes() + options.key.read_bytes())
        bind = [
            f"bind unix@{self.path} ssl crt {identity}",
            f"verify {verify_word(options, 'none', 'optional', 'required')}",
        ]
        if options.version:
            bind.append(f"ssl-min-ver TLSv{options.version} ssl-max-ver TLSv{options.version}")
        if options.trust:
            bind.append(f"ca-file {options.trust}")
        if options.groups:
            bind.append(f"curves {group_list(options.groups)}")
        if options.suites:
            names, names_12 = suite_lists(options.suites)
            bind += [f"ciphersuites {names}"] if names else []
            bind += [f"ciphers {names_12}"] if names_12 else []
        if options.early_data:
            bind.append("allow-0rtt")
        if options.application_protocols:
            bind.append(f"alpn {','.join(options.application_protocols)}")
        return (
            f"global\n    nbthread 1\n    tune.bufsize {BUFFER}\n    tune.maxrewrite 1024\n"
            "    log stdout format raw local0 debug\n"
            f"defaults\n    mode http\n    timeout client {LIMIT:.0f}s\n    timeout http-request {LIMIT:.0f}s\n"
            "    log global\n"
            "    option httpclose\n"
            f"frontend tls\n    {' '.join(bind)}\n"
            f"    log-format seen|%ST|%tsc|{FACTS}\n"
            "    error-log-format failed|%[fc_err_str]|%[ssl_fc_err_str]|%[ssl_c_err]|%[ssl_c_ca_err]\n"
            f"    http-request wait-for-body time {LIMIT:.0f}s\n"
            f"    http-request return status 200 content-type text/plain file {page}\n"
        )

    def read_outcome(self, status: int) -> Outcome:
        text = self.text()
        trouble = first(r"^(failed\|.*)$", text) or ""
        line = last(r"^seen\|(.*)$", text)
        facts = {} if line is None else self._facts(line)
        complete = line is not None and line.startswith("200|") and not trouble
        return Outcome(ok=complete, error=trouble or ("" if complete else line or "no answer"), text=text, **facts)

    @staticmethod
    def _facts(line: str) -> dict[str, Any]:
        _, _, *values, resumed = line.split("|")
        facts: dict[str, Any] = dict(zip(SEEN, (value.strip('-"') or None for value in values), strict=True))
        facts["version"] = spell_version(facts["version"])
        facts["suite"] = rfc_suite(facts["suite"])
        facts["peer_subject"] = facts["peer_subject"] or ""
        return {**facts, "resumed": resumed == "1"}
