"""Servers that people run, each for any number of connections, told what to ask of a client, and their logs."""

from __future__ import annotations

import contextlib
import os
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import handfast
from handfast.io import sockets
from handfast.trust.revocation.crl_store import Crls
from tests.peers.base import RESPONSE, PeerFailed, require_peer
from tests.peers.golang import build
from tests.peers.node import program as node_program
from tests.ports import own_port
from tests.race.servers import threaded, wait_for
from tests.waiting import LIMIT, until

PROGRAMS = Path(__file__).with_name("programs")


@dataclass(frozen=True)
class Setting:
    """What a server is told. ``client_ca`` None asks for no certificate."""

    directory: Path
    certificate: Path
    key: Path
    client_ca: Path | None
    crl: Path | None
    version: str

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    @property
    def both(self) -> Path:
        """Certificate and key in one file."""
        return self.write("both.pem", self.certificate.read_bytes() + self.key.read_bytes())


class Running:
    """A server that listens on ``port`` of 127.0.0.1."""

    def __init__(self, port: int, log: Path | None = None) -> None:
        self.port = port
        self._log = log

    def log(self) -> str:
        """What it wrote so far, "" for a server without a log of its own."""
        return "" if self._log is None else self._log.read_text(errors="backslashreplace")


Server = Callable[[Setting], "contextlib.AbstractContextManager[Running]"]


@contextlib.contextmanager
def process(command: list[str], log: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A program that writes into a file, until the block ends."""
    with log.open("wb") as output:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": output, "stderr": subprocess.STDOUT}
        running = subprocess.Popen(command, bufsize=0, **pipes, **options)
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(LIMIT)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait(LIMIT)
            if running.stdin is not None:
                running.stdin.close()


def port_in(running: subprocess.Popen[bytes], log: Path, marker: str) -> int:
    """The number at the end of the first line of a log that starts with ``marker``."""

    def found() -> list[str]:
        return [line for line in log.read_text().splitlines() if line.startswith(marker)]

    if not until(lambda: found() or running.poll() is not None) or not found():
        raise PeerFailed(f"{running.args!r} did not say where it listens:\n{log.read_text()}")
    return int(found()[0].rpartition(":")[2])


@contextlib.contextmanager
def listening(command: list[str], log: Path, port: int, **options: Any) -> Iterator[Running]:
    """A program that listens on a port, with further arguments of Popen."""
    with process(command, log, **options) as running:
        try:
            wait_for(running, port)
        except PeerFailed:
            raise PeerFailed(log.read_text()) from None
        yield Running(port, log)


@contextlib.contextmanager
def process_server(command: list[str], log: Path, marker: str) -> Iterator[Running]:
    """A program that says in its log where it listens, in a line that starts with ``marker`` and ends in the port."""
    with process(command, log) as running:
        yield Running(port_in(running, log, marker), log)


@contextlib.contextmanager
def nginx(setting: Setting, more: str = "") -> Iterator[Running]:
    """``more`` are further directives of the server, without the last semicolon."""
    program = require_peer("nginx")
    log, directory = setting.directory / "nginx.log", setting.directory
    with own_port() as port:
        lines = [f"ssl_certificate {setting.certificate}", f"ssl_certificate_key {setting.key}"]
        lines += [f"ssl_protocols TLSv{setting.version}", "keepalive_timeout 0"]
        if setting.client_ca is not None:
            lines += [f"ssl_client_certificate {setting.client_ca}", "ssl_verify_client on", "ssl_verify_depth 5"]
        lines += [f"ssl_crl {setting.crl}"] if setting.crl is not None else []
        lines += [more] if more else []
        paths = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        lines += [f"{name}_temp_path {directory}/{name}" for name in paths]
        user = "user root;\n" if os.geteuid() == 0 else ""
        config = setting.write(
            "nginx.conf",
            f"{user}daemon off;\nmaster_process off;\npid {directory}/nginx.pid;\nerror_log stderr info;\n"
            "events { worker_connections 16; }\nhttp {\naccess_log off;\nserver {\n"
            f"listen 127.0.0.1:{port} ssl reuseport;\n{';'.join(lines)};\nlocation / {{ return 204; }}\n}}\n}}\n",
        )
        with listening([program, "-e", "stderr", "-p", str(directory), "-c", str(config)], log, port) as running:
            yield running


@contextlib.contextmanager
def haproxy(setting: Setting) -> Iterator[Running]:
    program = require_peer("haproxy")
    with own_port() as port:
        bind = [f"bind 127.0.0.1:{port} ssl crt {setting.both}"]
        bind += [f"ssl-min-ver TLSv{setting.version} ssl-max-ver TLSv{setting.version}"]
        bind += [f"ca-file {setting.client_ca} verify required"] if setting.client_ca is not None else []
        bind += [f"crl-file {setting.crl}"] if setting.crl is not None else []
        config = setting.write(
            "haproxy.cfg",
            "global\n    nbthread 1\n    log stdout format raw local0 debug\n"
            "defaults\n    mode http\n    log global\n    timeout client 2m\n"
            f"frontend tls\n    {' '.join(bind)}\n"
            "    error-log-format failed|%[fc_err_str]|%[ssl_fc_err_str]|%[ssl_c_err]|%[ssl_c_ca_err]\n"
            "    http-request return status 204\n",
        )
        with listening([program, "-db", "-f", str(config)], setting.directory / "haproxy.log", port) as running:
            yield running


def _answer(connection: object) -> None:
    connection.recv(4096)  # type: ignore[attr-defined]
    connection.sendall(RESPONSE)  # type: ignore[attr-defined]


@contextlib.contextmanager
def stunnel(setting: Setting) -> Iterator[Running]:
    program = require_peer("stunnel4")
    with own_port() as port, threaded(_answer) as backend:
        asking = ""
        if setting.client_ca is not None:
            asking = f"CAfile = {setting.client_ca}\nverifyChain = yes\nrequireCert = yes\n"
            asking += f"CRLfile = {setting.crl}\n" if setting.crl is not None else ""
        config = setting.write(
            "stunnel.conf",
            f"foreground = yes\npid =\nsyslog = no\ndebug = info\n[tls]\naccept = 127.0.0.1:{port}\n"
            f"connect = 127.0.0.1:{backend}\ncert = {setting.certificate}\nkey = {setting.key}\n{asking}"
            f"sslVersionMin = TLSv{setting.version}\nsslVersionMax = TLSv{setting.version}\n",
        )
        with listening([program, str(config)], setting.directory / "stunnel.log", port) as running:
            yield running


@contextlib.contextmanager
def hitch(setting: Setting) -> Iterator[Running]:
    program = require_peer("hitch")
    # It refuses to work as root.
    not_root = 'user = "nobody"\ngroup = "nogroup"\n' if os.geteuid() == 0 else ""
    with own_port() as port, threaded(_answer) as backend:
        asking = ""
        if setting.client_ca is not None:
            asking = f'client-verify = required\nclient-verify-ca = "{setting.client_ca}"\n'
        config = setting.write(
            "hitch.conf",
            f'frontend = "[127.0.0.1]:{port}"\nbackend = "[127.0.0.1]:{backend}"\npem-file = "{setting.both}"\n'
            f"{asking}tls-protos = TLSv{setting.version}\nworkers = 1\ndaemon = off\n{not_root}",
        )
        with listening([program, f"--config={config}"], setting.directory / "hitch.log", port) as running:
            yield running


@contextlib.contextmanager
def s_server(setting: Setting) -> Iterator[Running]:
    command = [require_peer("openssl"), "s_server", "-accept", "127.0.0.1:0", "-www"]
    command += [f"-tls{setting.version.replace('.', '_')}", "-cert", str(setting.certificate), "-key", str(setting.key)]
    command += ["-cert_chain", str(setting.certificate), "-cipher", "DEFAULT@SECLEVEL=0"]
    if setting.client_ca is not None:
        # Of the file of -CRL it takes the first list alone.
        lists = b"" if setting.crl is None else setting.crl.read_bytes()
        trusted = setting.write("trusted.pem", setting.client_ca.read_bytes() + lists)
        command += ["-CAfile", str(trusted), "-Verify", "5", "-verify_return_error"]
    command += ["-crl_check"] if setting.crl is not None else []
    with process_server(command, setting.directory / "s_server.log", "ACCEPT") as running:
        yield running


@cache
def go_program() -> Path:
    """The server in Go, compiled once."""
    folder = TemporaryDirectory()
    program = Path(folder.name) / "server"
    build(PROGRAMS / "server.go", program)
    # It goes when the program does.
    _KEPT.append(folder)
    return program


_KEPT: list[TemporaryDirectory[str]] = []


@contextlib.contextmanager
def go(setting: Setting) -> Iterator[Running]:
    ca = "" if setting.client_ca is None else str(setting.client_ca)
    command = [str(go_program()), str(setting.certificate), str(setting.key), ca, setting.version]
    with process_server(command, setting.directory / "go.log", "127.0.0.1:") as running:
        yield running


@contextlib.contextmanager
def node(setting: Setting) -> Iterator[Running]:
    paths = [str(path or "") for path in (setting.certificate, setting.key, setting.client_ca, setting.crl)]
    command = [node_program(), str(PROGRAMS / "server.mjs"), *paths, setting.version]
    with process_server(command, setting.directory / "node.log", "127.0.0.1:") as running:
        yield running


@contextlib.contextmanager
def python_ssl(setting: Setting) -> Iterator[Running]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    version = ssl.TLSVersion.TLSv1_3 if setting.version == "1.3" else ssl.TLSVersion.TLSv1_2
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(setting.certificate, setting.key)
    if setting.client_ca is not None:
        context.load_verify_locations(setting.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    if setting.crl is not None:
        context.load_verify_locations(setting.crl)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    log = setting.write("python.log", "")

    def serve(connection: object) -> None:
        try:
            with context.wrap_socket(connection, server_side=True) as tls:  # type: ignore[arg-type]
                tls.recv(4096)
                tls.sendall(RESPONSE)
        except OSError as error:
            with log.open("a") as file:
                file.write(f"{error}\n")

    with threaded(serve) as port:
        yield Running(port, log)


@contextlib.contextmanager
def ourselves(setting: Setting) -> Iterator[Running]:
    """handfast's own server."""
    asking: dict[str, object] = {}
    if setting.client_ca is not None:
        crls = None if setting.crl is None else Crls.from_file(setting.crl)
        roots = handfast.Roots.from_file(setting.client_ca)
        asking = {"verifier": handfast.PathVerifier(roots, crls=crls), "ca_names": roots.names()}
        asking["client_auth"] = handfast.ClientAuth.REQUIRE_AND_VERIFY
    config = handfast.ServerConfig(
        credentials=[handfast.Credentials.from_files(setting.certificate, setting.key)],
        versions=(setting.version,),
        **asking,  # type: ignore[arg-type]
    )

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                tls = listener.accept()
                with contextlib.suppress(handfast.HandfastError), tls:
                    tls.recv(4096)
                    tls.sendall(RESPONSE)

    with sockets.listen("127.0.0.1", 0, config, timeout=LIMIT) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Running(listener.address[1])
        finally:
            listener.close()
            thread.join(LIMIT)


SERVERS: dict[str, Server] = {
    "nginx": nginx,
    "haproxy": haproxy,
    "stunnel": stunnel,
    "hitch": hitch,
    "s_server": s_server,
    "go": go,
    "node": node,
    "python": python_ssl,
    "handfast": ourselves,
}
# Those that look at revocation lists.
WITH_LISTS = frozenset({"nginx", "haproxy", "stunnel", "s_server", "node", "python", "handfast"})
