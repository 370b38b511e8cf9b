"""OpenSSL's own programs, s_server and s_client."""

from __future__ import annotations

import functools
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from tests.peers.base import (
    EXPORT_LENGTH,
    ClientAuth,
    KeyUpdate,
    Options,
    Outcome,
    PeerFailed,
    ProcessClient,
    ProcessPeer,
    ServerPeer,
    first,
    require_peer,
)

if TYPE_CHECKING:
    from pathlib import Path

GROUPS = {
    "secp256r1": "P-256",
    "secp384r1": "P-384",
    "secp521r1": "P-521",
    "x25519": "X25519",
    "x448": "X448",
}
# A line that starts with one of these letters is a command to s_server and s_client.
KEY_UPDATES = {KeyUpdate.SEND: b"k\n", KeyUpdate.REQUEST: b"K\n"}
REQUEST_CERTIFICATE = b"c\n"
SUMMARY = b"-----BEGIN SSL SESSION PARAMETERS-----"  # printed for each connection
NO_DATA = rb"SSL_do_handshake -> 1\n|Read BLOCK\n"
KEYS_UPDATED = b"SSL_do_handshake -> 1\n"
# TLS 1.2's suites have names of OpenSSL's own.
SUITES = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
}
RFC_SUITES = {name: suite for suite, name in SUITES.items()}
RFC_GROUPS = {"prime256v1": "secp256r1", "X25519": "x25519", "X448": "x448"}


def group_list(groups: tuple[str, ...]) -> str:
    """OpenSSL's spelling of groups; a name it has no other word for is passed as it is."""
    return ":".join(GROUPS.get(group, group) for group in groups)


def suite_lists(suites: tuple[str, ...]) -> tuple[str, str]:
    """OpenSSL's spelling of the suites of TLS 1.3, and of those of 1.2."""
    return (
        ":".join(suite for suite in suites if suite not in SUITES),
        ":".join(SUITES[suite] for suite in suites if suite in SUITES),
    )


def rfc_suite(name: str | None) -> str | None:
    return RFC_SUITES.get(name, name) if name else None


def rfc_group(name: str | None) -> str | None:
    return RFC_GROUPS.get(name, name) if name else None


def common_arguments(options: Options) -> list[str]:
    arguments = []
    if options.certificate:
        arguments += ["-cert", str(options.certificate), "-key", str(options.key), *issuers(options.certificate)]
    if options.trust:
        arguments += ["-CAfile", str(options.trust), "-verify_return_error"]
    if options.version:
        arguments.append(f"-tls{options.version.replace('.', '_')}")
    for option, suites in zip(("-ciphersuites", "-cipher"), suite_lists(options.suites), strict=True):
        if suites:
            arguments += [option, suites]
    if options.groups:
        arguments += ["-groups", group_list(options.groups)]
    if options.schemes:
        arguments += ["-sigalgs", ":".join(options.schemes)]
    if options.application_protocols:
        arguments += ["-alpn", ",".join(options.application_protocols)]
    if options.keylog:
        arguments += ["-keylogfile", str(options.keylog)]
    if options.export:
        arguments += ["-keymatexport", options.export, "-keymatexportlen", str(EXPORT_LENGTH)]
    return [*arguments, *options.extra]


def issuers(certificate: Path) -> list[str]:
    """The certificates after the leaf, which alone -cert reads, in a file of their own."""
    _, *others = re.split(rb"(?=-----BEGIN CERTIFICATE)", certificate.read_bytes().strip())[1:]
    if not others:
        return []
    rest = certificate.with_name(f"{certificate.stem}-issuers.pem")
    rest.write_bytes(b"".join(others))
    return ["-cert_chain", str(rest)]


def exported(text: str) -> str | None:
    value = first(r"^    Keying material: (\w+)$", text)
    return value.lower() if value else None


def trouble(text: str) -> str:
    """The line that says what went wrong, or ""."""
    for pattern in (r"^(?:\w+:)?(error:.*)$", r"^(.*(?:write:errno|unable to load|Could not|Unknown option).*)$"):
        if line := first(pattern, text):
            return line
    return ""


def spell_version(text: str | None) -> str | None:
    """ "1.3" for "TLSv1.3"."""
    return text.removeprefix("TLSv") if text else None


class OpenSSLServer(ProcessPeer, ServerPeer):
    """s_server, spoken to through its standard input. It has no way to close cleanly: the client must, or ``drop``."""

    name = "openssl"

    def command(self) -> list[str]:
        command = [
            require_peer("openssl"),
            "s_server",
            "-accept",
            "127.0.0.1:0",
            "-naccept",
            str(self.options.connections),
        ]
        if self.options.early_data:
            command.append("-early_data")
        if self.options.client_auth is not ClientAuth.NONE and not self.options.later:
            command += ["-Verify" if self.options.client_auth is ClientAuth.REQUIRE else "-verify", "5"]
        if self.options.certificate:
            # Only with a name of its own, and a certificate for it, does it tell which name it was asked for.
            identity = ["-cert2", str(self.options.certificate), "-key2", str(self.options.key)]
            command += ["-servername", "nobody.example", *identity]
        return command + common_arguments(self.options)

    def __enter__(self) -> Self:
        super().__enter__()
        listening = re.compile(rb"^ACCEPT .*:(\d+)\r?\n", re.MULTILINE)
        if not self.wait_until(listening.search):
            self.__exit__()
            raise PeerFailed(f"s_server did not start:\n{self.text()}")
        match = listening.search(self.output)
        assert match is not None
        self.port = int(match[1])
        self.start_thread(self._answer)
        return self

    def _answer(self) -> None:
        if self.options.key_update is not KeyUpdate.NONE:
            self.wait_until(lambda output: b"\nSecure Renegotiation IS" in output)
            self.write(KEY_UPDATES[self.options.key_update])
            self.wait_until_read()
        if self.options.later:
            self.wait_until(lambda output: b"\nSecure Renegotiation IS" in output)
            self.write(REQUEST_CERTIFICATE)
            self.wait_until_read()
        for number in range(1, self.options.connections + 1):
            whole = functools.partial(self._has_request, number)
            if self.wait_until(whole):
                self.write(self.options.response)

    def _has_request(self, number: int, output: bytes) -> bool:
        """Whether the request of this connection has come, of which it is the last."""
        return output.count(SUMMARY) >= number and self._received(output).endswith(b"\r\n\r\n")

    @staticmethod
    def _received(output: bytes) -> bytes:
        """What came from the last client: it is printed after the summary of the session, before the word DONE."""
        summary = rb"\nSecure Renegotiation IS.*?\n(?:Keying material exporter:\n.*?\n.*?\n.*?\n)?(.*)"
        after = re.search(summary, output.rpartition(SUMMARY)[2], re.DOTALL)
        return re.sub(NO_DATA, b"", after[1]).split(b"DONE\n")[0] if after else b""

    def read_outcome(self, status: int) -> Outcome:
        text = self.text()
        last_session = text.rpartition(SUMMARY.decode())[2]
        suite = rfc_suite(first(r"^CIPHER is (\S+)", text))
        complete = status == 0 and suite is not None and not trouble(text)
        shared_groups = first(r"^Shared groups: (\S+)$", text) or ""
        return Outcome(
            ok=complete,
            error=trouble(text) or ("" if complete else f"exit status {status}"),
            text=text,
            received=self._received(self.output),
            suite=suite,
            group=None if ":" in shared_groups else rfc_group(shared_groups),
            application_protocol=first(r"^ALPN protocols selected: (\S+)", text),
            peer_subject=None if suite is None else first(r"^subject=(.*)$", text) or "",
            server_name=first(r'^Hostname in TLS extension: "(.*)"', text),
            exported=exported(text),
            resumed="\nReused session-id" in last_session,
            early_data="\nEarly data received:" in text,
        )


class OpenSSLClient(ProcessClient):
    """s_client."""

    name = "openssl"

    def command(self) -> list[str]:
        command = [require_peer("openssl"), "s_client", "-connect", f"127.0.0.1:{self.port}"]
        if self.options.server_name:
            command += ["-servername", self.options.server_name]
            if self.options.trust:
                command += ["-verify_hostname", self.options.server_name]
        else:
            command.append("-noservername")
        if self.options.later:
            command.append("-enable_pha")
        if self._session is not None:
            command += ["-sess_in", self._session]
        if self.options.early_data:
            command += ["-early_data", self.temporary_file(self.options.early_data)]
        return command + common_arguments(self.options)

    def prepare(self) -> None:
        self._session: str | None = None
        for _ in range(self.options.connections - 1):
            self._session = self.temporary_file()
            keep = (*self.options.extra, "-sess_out", self._session)
            with OpenSSLClient(self.port, replace(self.options, connections=1, early_data=b"", extra=keep)) as before:
                before.outcome()

    def update_keys(self) -> None:
        self.write(KEY_UPDATES[self.options.key_update])
        self.wait_until(lambda errors: b"KEYUPDATE" in errors, of="errors")

    def read_outcome(self, status: int) -> Outcome:
        text = self.text()
        suite = rfc_suite(first(r"^(?:New|Reused), .*Cipher is ((?!\(NONE\))\S+)", text))
        complete = status == 0 and suite is not None and not trouble(text)
        group = first(r"^(?:Server|Peer) Temp Key: (?:ECDH, )?(\w+)", text)
        return Outcome(
            ok=complete,
            error=trouble(text) or ("" if complete else f"exit status {status}"),
            text=text,
            received=self.response(),
            version=spell_version(first(r"^(?:New|Reused), (TLSv[\d.]+)", text)),
            suite=suite,
            group=rfc_group(group or first(r"^Negotiated TLS1.3 group: (\S+)", text)),
            application_protocol=first(r"^ALPN protocol: (\S+)", text),
            peer_subject=None if suite is None else first(r"^subject=(.*)$", text) or "",
            ca_names=self._ca_names(text),
            exported=exported(text),
            resumed="\nReused, TLS" in text,
            early_data="\nEarly data was accepted" in text,
        )

    @staticmethod
    def _ca_names(text: str) -> tuple[str, ...] | None:
        if "No client certificate CA names sent" in text:
            return ()
        section = r"(?ms)^Acceptable client certificate CA names\n(.*?)^(?:Requested|Client|Peer|---)"
        names = re.search(section, text)
        return tuple(names[1].splitlines()) if names else None
