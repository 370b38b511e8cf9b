"""GnuTLS's own programs, gnutls-serv and gnutls-cli."""

from __future__ import annotations

import functools
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from tests.peers.base import (
    EXPORT_LENGTH,
    RESPONSE,
    Cannot,
    ClientAuth,
    KeyUpdate,
    Options,
    Outcome,
    PeerFailed,
    ProcessClient,
    ProcessPeer,
    ServerPeer,
    first,
    http_response,
    missing,
    require_peer,
)
from tests.peers.namespace import READY
from tests.waiting import LIMIT

SUITES = {
    "TLS_AES_128_GCM_SHA256": "AES-128-GCM",
    "TLS_AES_256_GCM_SHA384": "AES-256-GCM",
    "TLS_CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305",
}
# Of TLS 1.2: the key exchange, which includes the kind of certificate, and the cipher.
SUITES_12 = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": ("ECDHE-ECDSA", "AES-128-GCM"),
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": ("ECDHE-RSA", "AES-128-GCM"),
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": ("ECDHE-ECDSA", "AES-256-GCM"),
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": ("ECDHE-RSA", "AES-256-GCM"),
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": ("ECDHE-ECDSA", "CHACHA20-POLY1305"),
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": ("ECDHE-RSA", "CHACHA20-POLY1305"),
}
SCHEMES = {
    "ecdsa_secp256r1_sha256": "ECDSA-SECP256R1-SHA256",
    "ecdsa_secp384r1_sha384": "ECDSA-SECP384R1-SHA384",
    "ecdsa_secp521r1_sha512": "ECDSA-SECP521R1-SHA512",
    "ed25519": "EDDSA-ED25519",
    "ed448": "EDDSA-ED448",
    "rsa_pss_rsae_sha256": "RSA-PSS-RSAE-SHA256",
    "rsa_pss_rsae_sha384": "RSA-PSS-RSAE-SHA384",
    "rsa_pss_rsae_sha512": "RSA-PSS-RSAE-SHA512",
    "rsa_pss_pss_sha256": "RSA-PSS-SHA256",
    "rsa_pss_pss_sha384": "RSA-PSS-SHA384",
    "rsa_pss_pss_sha512": "RSA-PSS-SHA512",
    "rsa_pkcs1_sha256": "RSA-SHA256",
    "rsa_pkcs1_sha384": "RSA-SHA384",
    "rsa_pkcs1_sha512": "RSA-SHA512",
}
PORT_INSIDE = 4433


@functools.cache
def capabilities() -> str:
    """What this GnuTLS was built with."""
    return subprocess.run(["gnutls-cli", "--list"], capture_output=True, text=True, timeout=LIMIT).stdout.upper()


def priority(options: Options) -> str:
    """The priority string. Raises Cannot for what this GnuTLS does not know."""
    if options.version:
        words = ["NORMAL", "-VERS-ALL", f"+VERS-TLS{options.version}"]
    else:
        words = ["NORMAL", "-VERS-ALL", "+VERS-TLS1.3", "+VERS-TLS1.2"]
    if options.suites:
        words += ["-CIPHER-ALL", *(f"+{SUITES[suite]}" for suite in options.suites if suite in SUITES)]
        for exchange, cipher in (SUITES_12[suite] for suite in options.suites if suite in SUITES_12):
            words += ["-KX-ALL", f"+{exchange}", f"+{cipher}"]
    if options.groups:
        groups = [f"GROUP-{group.upper()}" for group in options.groups]
        for group in groups:
            if group not in capabilities():
                raise Cannot(f"this GnuTLS does not know {group}")
        words += ["-GROUP-ALL", *(f"+{group}" for group in groups)]
    if options.schemes:
        words += ["-SIGN-ALL", *(f"+SIGN-{SCHEMES[scheme]}" for scheme in options.schemes)]
    return ":".join(words)


def common_arguments(options: Options) -> list[str]:
    arguments = ["--priority", priority(options)]
    if options.certificate:
        arguments += ["--x509certfile", str(options.certificate), "--x509keyfile", str(options.key)]
    if options.trust:
        arguments += ["--x509cafile", str(options.trust)]
    for protocol in options.application_protocols:
        arguments += ["--alpn", protocol]
    if options.export:
        arguments += ["--keymatexport", options.export, "--keymatexportsize", str(EXPORT_LENGTH)]
    return [*arguments, *options.extra]


def environment(options: Options) -> dict[str, str]:
    keylog = {"SSLKEYLOGFILE": str(options.keylog)} if options.keylog else {}
    return {key: value for key, value in os.environ.items() if key != "SSLKEYLOGFILE"} | keylog


def described(text: str) -> dict[str, Any]:
    """Version, suite and group from a line like (TLS1.3)-(ECDHE-X25519)-(ECDSA-SECP256R1-SHA256)-(AES-256-GCM)."""
    form = r"Description: \(TLS([\d.]+)(?:-X\.509)?\)-\((?:ECDHE-)?([^)]*)\)-\(([^)]*)\)-\(([^)]*)\)"
    session = re.search(form, text)
    if session is None:
        return {}
    version, group, signature, cipher = session.groups()
    suites = {theirs: ours for ours, theirs in SUITES.items()}
    suite = suites.get(cipher, cipher)
    if version == "1.2":
        exchange = "ECDHE-RSA" if signature.startswith("RSA") else "ECDHE-ECDSA"
        suite = next((ours for ours, theirs in SUITES_12.items() if theirs == (exchange, cipher)), cipher)
    return {"version": version, "group": group.lower(), "suite": suite}


def trouble(text: str) -> str:
    """The line that says what went wrong, or ""."""
    # What it says when it is asked to authenticate, or told to ask.
    text = re.sub(
        r"^\*\*\* (?:This is a resumed session|Processing|Sending re-auth|.*Re-auth).*$", "", text, flags=re.MULTILINE
    )
    return first(r"^(.*(?:\*\*\* |Fatal error|[Ee]rror in handshake|Received alert|Error:).*)$", text) or ""


def require_namespaces() -> None:
    """Ends the running test where this machine makes no network namespaces."""
    probe = subprocess.run([*unshare(), "true"], capture_output=True, text=True, timeout=LIMIT)
    if probe.returncode:
        missing(f"gnutls-serv binds every address, and no network namespace can be made for it: {probe.stderr.strip()}")


def unshare() -> list[str]:
    """The start of a command that runs in namespaces of its own and ends, with all it started, when unshare ends."""
    mapping = [] if os.geteuid() == 0 else ["--map-root-user"]
    return [require_peer("unshare"), "--net", "--pid", "--fork", "--kill-child", *mapping, "--"]


class GnuTLSServer(ProcessPeer, ServerPeer):
    """gnutls-serv as an HTTP server, in a network namespace. It closes after its answer.

    Of a ``response`` other than RESPONSE it sends the body, under a head of its own; else a page of its own.
    """

    name = "gnutls"
    shows_request = False

    def command(self) -> list[str]:
        forwarder = [sys.executable, "-I", str(Path(__file__).with_name("namespace.py")), str(LIMIT)]
        forwarder += [str(self._listener.fileno()), str(self.options.connections)]
        # Only its log of records tells which alert it received.
        server = [require_peer("gnutls-serv"), "--port", str(PORT_INSIDE), "--debug", "5"]
        # Only an echo server takes commands, from its client.
        server.append("--echo" if self.options.later else "--http")
        if self.options.client_auth is ClientAuth.NONE or self.options.later:
            server.append("--disable-client-cert")
        elif self.options.client_auth is ClientAuth.REQUIRE:
            server += ["--require-client-cert", "--verify-client-cert"]
        else:
            server.append("--verify-client-cert")
        if self.options.early_data:
            server.append("--earlydata")
        if self.options.response != RESPONSE:
            server += ["--httpdata", self._page]
        return [*unshare(), *forwarder, str(PORT_INSIDE), *server, *common_arguments(self.options)]

    def inherited(self) -> tuple[int]:
        return (self._listener.fileno(),)

    def environment(self) -> dict[str, str]:
        return environment(self.options)

    def prepare(self) -> None:
        self._page = self.temporary_file(self.options.response.partition(b"\r\n\r\n")[2])

    def __enter__(self) -> Self:
        if self.options.key_update is not KeyUpdate.NONE:
            raise Cannot("gnutls-serv has no command to change its keys")
        if self.options.later and self.options.client_auth is not ClientAuth.REQUIRE:
            raise Cannot("gnutls-serv requires what it asks for after the handshake")
        require_peer("gnutls-serv")
        require_namespaces()
        with socket.create_server(("127.0.0.1", 0)) as self._listener:
            self.port = self._listener.getsockname()[1]
            super().__enter__()
        if not self.wait_until(lambda output: READY.encode() in output):
            self.__exit__()
            raise PeerFailed(f"gnutls-serv did not start:\n{self.text()}")
        return self

    def drop(self) -> None:
        # It sends tickets before it has read Finished, and killed with something unread it would reset the connection.
        self.wait_until(lambda errors: b"FINISHED (20) was received" in errors, of="errors")
        super().drop()

    def read_outcome(self, status: int) -> Outcome:
        text = self.text()
        facts = described(text)
        return Outcome(
            ok=bool(facts) and not trouble(text),
            error=trouble(text),
            text=text,
            application_protocol=first(r"^- Application protocol: (\S+)", text),
            peer_subject=(first(r"^\s+Subject: (.*)$", text) or "") if facts else None,
            server_name=first(r"^- Given server name\[\d+\]: (\S+)", text),
            exported=first(r"^- Key material: (\w+)$", text),
            **facts,
        )


class GnuTLSClient(ProcessClient):
    """gnutls-cli."""

    name = "gnutls"

    def command(self) -> list[str]:
        options = self.options
        if options.connections > 2:
            raise Cannot("gnutls-cli makes two connections and no more")
        command = [require_peer("gnutls-cli"), "--verbose", "--port", str(self.port), *common_arguments(options)]
        if options.key_update is KeyUpdate.SEND:
            raise Cannot("gnutls-cli changes its keys only with a request for ours")
        if options.key_update is KeyUpdate.REQUEST:
            command.append("--inline-commands")
        if not options.trust:
            command.append("--insecure")
        if options.server_name:
            command += ["--sni-hostname", options.server_name, "--verify-hostname", options.server_name]
        else:
            command.append("--disable-sni")
        if options.later:
            command.append("--post-handshake-auth")
        if options.connections > 1:
            command += ["--resume", "--waitresumption"]
        if options.early_data:
            command += ["--earlydata", self.temporary_file(options.early_data)]
        return [*command, "127.0.0.1"]

    def environment(self) -> dict[str, str]:
        return environment(self.options)

    def response(self) -> bytes:
        # --verbose announces the size of each part of it.
        return http_response(re.sub(rb"- Received\[\d+\]: ", b"", self.output))

    def update_keys(self) -> None:
        self.write(b"^rekey^\n")
        self.wait_until(lambda output: b"- Rekey was completed" in output)

    def read_outcome(self, status: int) -> Outcome:
        text = self.text()
        facts = described(text)
        complete = status == 0 and bool(facts) and not trouble(text)
        return Outcome(
            ok=complete,
            error=trouble(text) or ("" if complete else f"exit status {status}"),
            text=text,
            received=self.response(),
            application_protocol=first(r"^- Application protocol: (\S+)", text),
            peer_subject=first(r"^\s+Subject: (.*)$", text),
            ca_names=self._ca_names(text),
            exported=first(r"^- Key material: (\w+)$", text),
            resumed="*** This is a resumed session" in text,
            **facts,
        )

    @staticmethod
    def _ca_names(text: str) -> tuple[str, ...] | None:
        names = re.search(r"^- Server's trusted authorities:\n((?:\s+\[\d+\]: .*\n)*)", text, re.MULTILINE)
        # In TLS 1.2 it tells of a request only if there are names in it.
        if names is None and "Server has requested a certificate" not in text:
            return None
        return tuple(re.findall(r"\]: (.*)\n", names[1])) if names else ()
