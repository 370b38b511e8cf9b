"""nginx as an HTTPS server."""

from __future__ import annotations

import os
import signal
from typing import Any

from tests.peers.base import Cannot, KeyUpdate, Options, Outcome, first, last, require_peer
from tests.peers.openssl import group_list, rfc_group, rfc_suite, spell_version, suite_lists
from tests.peers.relayed import RelayedProcess, verify_word

# What it tells of a request, in the order of SEEN.
FACTS = (
    "$ssl_protocol|$ssl_cipher|$ssl_curve|$ssl_alpn_protocol|$ssl_client_s_dn|$ssl_server_name|"
    "$ssl_session_reused|$ssl_early_data"
)
SEEN = ("version", "suite", "group", "application_protocol", "peer_subject", "server_name")


def require_possible(options: Options, name: str) -> None:
    """Raises Cannot for what no web server here has means for."""
    for asked, reason in (
        (options.key_update is not KeyUpdate.NONE, f"{name} has no command to change its keys"),
        (options.later, f"{name} asks for a certificate in the handshake only"),
        (options.export, f"{name} exports no keying material"),
        (options.keylog, f"{name} writes no key log"),
        (options.extra, f"{name} is told everything by its configuration"),
    ):
        if asked:
            raise Cannot(reason)


class NginxServer(RelayedProcess):
    """nginx: answers with ``response``'s body under a head of its own, and does not show what it received.

    It completes the handshake whatever certificate comes, and refuses it by an HTTP answer.
    """

    name = "nginx"
    shows_request = False
    finish = signal.SIGQUIT

    def command(self) -> list[str]:
        require_possible(self.options, "nginx")
        if not set(self.options.application_protocols) <= {"http/1.1"}:
            raise Cannot("nginx chooses http/1.1, or h2 where that is switched on")
        program = require_peer("nginx")
        config = self.write_file("nginx.conf", self._config())
        return [program, "-e", "stderr", "-p", str(self.directory), "-c", str(config)]

    def _config(self) -> str:
        options = self.options
        page = self.write_file("page", options.response.partition(b"\r\n\r\n")[2])
        page.chmod(0o644)
        version = f"TLSv{options.version}" if options.version else "TLSv1.2 TLSv1.3"
        lines = [
            f"ssl_certificate {options.certificate}",
            f"ssl_certificate_key {options.key}",
            f"ssl_protocols {version}",
            f"ssl_verify_client {verify_word(options, 'off', 'optional', 'on')}",
            "ssl_verify_depth 5",
        ]
        if options.trust:
            lines.append(f"ssl_client_certificate {options.trust}")
        if options.groups:
            lines.append(f"ssl_ecdh_curve {group_list(options.groups)}")
        if options.suites:
            names, names_12 = suite_lists(options.suites)
            lines += [f"ssl_conf_command Ciphersuites {names}"] if names else []
            lines += [f"ssl_ciphers {names_12}"] if names_12 else []
        if options.schemes:
            lines.append(f"ssl_conf_command SignatureAlgorithms {':'.join(options.schemes)}")
        paths = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        lines += [f"{name}_temp_path {self.directory}/{name}" for name in paths]
        lines += ["ssl_early_data on"] if options.early_data else []
        lines += ["keepalive_timeout 0", "large_client_header_buffers 4 2m", *options.extra]
        lines.append(f"location / {{ default_type text/plain; alias {page.parent}/; try_files /page =404; }}\n")
        user = "user root;\n" if os.geteuid() == 0 else ""
        return (
            f"{user}daemon off;\nmaster_process off;\npid {self.directory}/pid;\nerror_log stderr info;\n"
            "events { worker_connections 16; }\n"
            f"http {{\nlog_format seen 'seen|$status|{FACTS}';\naccess_log /dev/stdout seen;\n"
            f"server {{\nlisten unix:{self.path} ssl;\n" + ";\n".join(lines) + "}\n}\n"
        )

    def read_outcome(self, status: int) -> Outcome:
        text = self.text()
        trouble = first(r"^.*?((?:SSL_|peer closed|client prematurely|client sent|client SSL).*)$", text) or ""
        line = last(r"^seen\|(.*)$", text)
        facts = dict.fromkeys(SEEN) if line is None else self._facts(line)
        complete = line is not None and line.startswith("200|") and not trouble
        return Outcome(ok=complete, error=trouble or ("" if complete else "no answer"), text=text, **facts)

    @staticmethod
    def _facts(line: str) -> dict[str, Any]:
        _, *values, resumed, early = line.split("|")
        facts: dict[str, Any] = dict(zip(SEEN, (value.strip("-") or None for value in values), strict=True))
        facts["version"] = spell_version(facts["version"])
        facts["suite"] = rfc_suite(facts["suite"])
        facts["group"] = rfc_group(facts["group"])
        facts["peer_subject"] = facts["peer_subject"] or ""
        # It says 1 only of a request that it read before the handshake was over, so nothing that it says means no.
        return {**facts, "resumed": resumed == "r", "early_data": True if early == "1" else None}
