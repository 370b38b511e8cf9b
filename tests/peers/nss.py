"""NSS's own programs, selfserv and tstclnt."""

from __future__ import annotations

import atexit
import functools
import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

from handfast.registry import CipherSuite
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
    require_peer,
)
from tests.peers.gnutls import PORT_INSIDE, require_namespaces, unshare
from tests.peers.namespace import READY
from tests.waiting import LIMIT

GROUPS = {"secp256r1": "P256", "secp384r1": "P384", "secp521r1": "P521", "x25519": "x25519"}
CIPHERS_SEEN = {
    "128-bit AES-GCM": "AES_128_GCM_SHA256",
    "256-bit AES-GCM": "AES_256_GCM_SHA384",
    "256-bit CHACHA20POLY1305": "CHACHA20_POLY1305_SHA256",
}
GROUPS_OF_EACH_SIZE = {"255": "x25519", "256": "secp256r1", "384": "secp384r1", "521": "secp521r1"}
NICKNAME = "peer"


@functools.lru_cache(maxsize=64)
def _database(certificate: bytes | None, key: bytes | None, trust: bytes | None) -> Path:
    """The folder of a certificate database, kept for whoever needs the same again. Raises Cannot."""
    directory = tempfile.TemporaryDirectory()
    atexit.register(directory.cleanup)
    folder = Path(directory.name)
    database = f"sql:{folder}"

    def do(*command: str) -> None:
        made = subprocess.run(
            [require_peer(command[0]), *command[1:]], cwd=folder, capture_output=True, text=True, timeout=LIMIT
        )
        if made.returncode:
            raise Cannot(f"NSS's {command[0]} does not take such a key")

    do("certutil", "-N", "-d", database, "--empty-password")
    for number, root in enumerate(re.split(rb"(?=-----BEGIN)", trust or b"")[1:]):
        (folder / f"root{number}").write_bytes(root)
        do("certutil", "-A", "-d", database, "-n", f"root{number}", "-t", "CT,C,", "-i", f"root{number}")
    if certificate is not None and key is not None:
        (folder / "chain").write_bytes(certificate)
        (folder / "key").write_bytes(key)
        export = "openssl pkcs12 -export -in chain -inkey key -out identity -passout pass:"
        do(*export.split(), "-name", NICKNAME)
        do("pk12util", "-i", "identity", "-d", database, "-W", "")
    return folder


def database(options: Options) -> str:
    files = (options.certificate, options.key, options.trust)
    return f"sql:{_database(*(path.read_bytes() if path else None for path in files))}"


def common_arguments(options: Options) -> list[str]:
    """Raises Cannot."""
    if options.key_update is not KeyUpdate.NONE:
        raise Cannot("NSS's programs have no command to change their keys")
    low = high = f"tls{options.version}" if options.version else ""
    arguments = ["-p", "", "-d", database(options), "-V", f"{low or 'tls1.2'}:{high or 'tls1.3'}", "-v"]
    if options.certificate:
        arguments += ["-n", NICKNAME]
    if options.suites:
        arguments += ["-c", "".join(f":{CipherSuite.parse(suite):04x}" for suite in options.suites)]
    if options.groups:
        if not GROUPS.keys() >= set(options.groups):
            raise Cannot(f"this NSS does not know {', '.join(set(options.groups) - GROUPS.keys())}")
        arguments += ["-I", ",".join(GROUPS[group] for group in options.groups)]
    if options.schemes:
        if any(scheme.startswith("ed") for scheme in options.schemes):
            raise Cannot("this NSS does not know Ed25519 and Ed448 in TLS")
        arguments += ["-J", ",".join(options.schemes)]
    if options.export:
        arguments += ["-x", f"{options.export}:{EXPORT_LENGTH}"]
    return [*arguments, *options.extra]


def environment(options: Options) -> dict[str, str]:
    keylog = {"SSLKEYLOGFILE": str(options.keylog)} if options.keylog else {}
    return {key: value for key, value in os.environ.items() if key != "SSLKEYLOGFILE"} | keylog


def described(text: str) -> dict[str, Any]:
    """What NSS's programs say alike."""
    session = re.search(r"SSL version (\S+) using (\S+ \S+) with", text)
    authentication = first(r"Server Auth: \d+-bit (RSA|ECDSA)", text)
    exchange = first(r"Key Exchange: (\d+)-bit (?:TLS 1.3|ECDHE)", text)
    material = re.search(r"Keying Material:\s*((?:[0-9a-f]{2}:?\s*)+)", text)
    version = {"3.4": "1.3", "3.3": "1.2"}.get(session[1]) if session else None
    before = "TLS_" if version == "1.3" else f"TLS_ECDHE_{authentication}_WITH_"
    return {
        "version": version,
        "suite": before + CIPHERS_SEEN.get(session[2], session[2]) if session else None,
        "group": GROUPS_OF_EACH_SIZE.get(exchange) if exchange else None,
        "exported": re.sub(r"[\s:]", "", material[1])[: 2 * EXPORT_LENGTH] if material else None,
        "application_protocol": first(r"Next protocol(?: state)?[^\n]*: ?(\S+)$", text),
    }


def resumed(text: str) -> bool:
    """Whether there is a session that was resumed, by its ticket or by its id."""
    return any(count != "0" for count in re.findall(r"(?<!\d)(\d+) (?:stateless resumes|cache hits)", text))


def trouble(text: str) -> str:
    """The line that says what went wrong, or ""."""
    quiet = text.replace("PR_IN_PROGRESS_ERROR", "")
    return first(r"^(.*(?:SSL_ERROR_|SEC_ERROR_|PR_\w+_ERROR|returned error|Certificate Invalid).*)$", quiet) or ""


class NSSServer(ProcessPeer, ServerPeer):
    """selfserv, in a network namespace. It answers with a page of its own that repeats the request, and closes."""

    name = "nss"
    shows_request = False

    def command(self) -> list[str]:
        options = self.options
        if options.response != RESPONSE:
            raise Cannot("selfserv answers with what it was asked")
        if not set(options.application_protocols) <= {"http/1.1"}:
            raise Cannot("selfserv chooses http/1.1 by ALPN, or does not speak it")
        forwarder = [sys.executable, "-I", str(Path(__file__).with_name("namespace.py")), str(LIMIT)]
        forwarder += [str(self._listener.fileno()), str(self.options.connections)]
        arguments = common_arguments(options)
        arguments[arguments.index("-p") + 1] = str(PORT_INSIDE)
        server = [require_peer("stdbuf"), "-oL", require_peer("selfserv"), *arguments]
        asking = {ClientAuth.NONE: 0, ClientAuth.REQUEST: 1, ClientAuth.REQUIRE: 2}[options.client_auth]
        server += ["-E", "-r", "-r", *["-r"] * asking] if options.later else ["-r"] * asking
        if options.application_protocols:
            server.append("-Q")
        server += ["-u"] if options.connections > 1 else []
        server += ["-Z"] if options.early_data else []
        return [*unshare(), *forwarder, str(PORT_INSIDE), *server]

    def inherited(self) -> tuple[int]:
        return (self._listener.fileno(),)

    def environment(self) -> dict[str, str]:
        return environment(self.options)

    def __enter__(self) -> Self:
        require_peer("selfserv")
        require_namespaces()
        with socket.create_server(("127.0.0.1", 0)) as self._listener:
            self.port = self._listener.getsockname()[1]
            super().__enter__()
        if not self.wait_until(lambda output: READY.encode() in output):
            self.__exit__()
            raise PeerFailed(f"selfserv did not start:\n{self.text()}")
        return self

    def read_outcome(self, status: int) -> Outcome:
        text = self.text()
        facts = described(text)
        complete = facts["suite"] is not None and not trouble(text)
        return Outcome(
            ok=complete,
            error=trouble(text) or ("" if complete else "no handshake"),
            text=text,
            peer_subject=None if facts["suite"] is None else first(r"^selfserv: Subject: (.*)$", text) or "",
            resumed=resumed(text),
            **facts,
        )


class NSSClient(ProcessClient):
    """tstclnt. It never closes first."""

    name = "nss"
    closes_first = False

    def command(self) -> list[str]:
        options = self.options
        if options.application_protocols:
            raise Cannot("tstclnt has no option for ALPN")
        if options.server_name is None:
            raise Cannot("tstclnt names in SNI what it looks for in the certificate")
        arguments = common_arguments(options)
        arguments[arguments.index("-p") + 1] = str(self.port)
        override = [] if options.trust else ["-o"]
        override += ["-E"] if options.later else []
        if options.connections > 1:
            override += ["-u", "-L", str(options.connections), "-A", self.temporary_file(options.request)]
        override += ["-Z"] if options.early_data else []
        return [
            require_peer("tstclnt"),
            "-4",
            "-h",
            "127.0.0.1",
            "-a",
            options.server_name,
            "-C",
            *override,
            *arguments,
        ]

    def environment(self) -> dict[str, str]:
        return environment(self.options)

    def _converse(self) -> None:
        if self.options.connections == 1:
            super()._converse()

    def standard_input(self) -> int:
        # Of a pipe it does not notice the end: it looks for data, and poll says only that the writer hung up.
        self._ours, self._theirs = socket.socketpair()
        return self._theirs.fileno()

    def started(self) -> None:
        self._theirs.close()
        self._process.stdin = os.fdopen(self._ours.detach(), "wb", buffering=0)

    def read_outcome(self, status: int) -> Outcome:
        text = re.sub(r"(?m)^tstclnt: (?:PR_Poll|about to call PR_Poll).*\n", "", self.text())
        facts = described(text)
        complete = status == 0 and facts["suite"] is not None and not trouble(text)
        return Outcome(
            ok=complete,
            error=trouble(text) or ("" if complete else f"exit status {status}"),
            text=text,
            received=self.response(),
            peer_subject=first(r"^subject DN: (.*)$", text),
            resumed=resumed(text),
            **facts,
        )
