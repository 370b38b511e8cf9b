"""Servers that start slowly, or speak another protocol than HTTP over TLS: `make doctor-matrix` meets them."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tests.doctor.envoy import envoy
from tests.doctor.others import python_with
from tests.doctor.servers import PROGRAMS, Running, Server, Setting, listening, process_server
from tests.peers.base import missing, require_peer
from tests.peers.hosted import PROGRAMS as APPLICATIONS
from tests.peers.hosted import beside_python
from tests.ports import own_port
from tests.starttls.servers import free_port, owned_by, program
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def jsse(setting: Setting) -> Iterator[Running]:
    """Java's HttpsServer."""
    java, store = require_peer("java"), setting.directory / "server.p12"
    files = (
        "-in",
        str(setting.certificate),
        "-inkey",
        str(setting.key),
        "-out",
        str(store),
        "-passout",
        "pass:changeit",
    )
    subprocess.run([require_peer("openssl"), "pkcs12", "-export", *files], check=True, timeout=LIMIT)
    ca = "" if setting.client_ca is None else str(setting.client_ca)
    command = [java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", str(PROGRAMS / "Server.java"), str(store), ca]
    with process_server([*command, setting.version], setting.directory / "java.log", "127.0.0.1:") as running:
        yield running


@contextlib.contextmanager
def granian(setting: Setting) -> Iterator[Running]:
    """granian, on rustls; its protocols have a lower limit and no upper one."""
    found = beside_python("granian")
    if found is None:
        missing("granian is not installed")
        raise AssertionError
    with own_port() as port:
        page = setting.write("page", b"hello\n")
        command = [found, "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port), "--http", "1"]
        command += ["--ssl-certificate", str(setting.certificate), "--ssl-keyfile", str(setting.key)]
        command += ["--ssl-protocol-min", f"tls{setting.version}", "--working-dir", str(APPLICATIONS)]
        if setting.client_ca is not None:
            command += ["--ssl-ca", str(setting.client_ca), "--ssl-client-verify"]
        environment = {**os.environ, "PAGE": str(page), "PYTHONDONTWRITEBYTECODE": "1"}
        log = setting.directory / "granian.log"
        with listening([*command, "application:application"], log, port, env=environment) as running:
            yield running


@contextlib.contextmanager
def mosquitto(setting: Setting) -> Iterator[Running]:
    """An MQTT broker, which speaks after its client does."""
    with own_port() as port:
        asking = ""
        if setting.client_ca is not None:
            asking = f"cafile {setting.client_ca}\nrequire_certificate true\n"
            asking += f"crlfile {setting.crl}\n" if setting.crl is not None else ""
        user = "user root\n" if os.geteuid() == 0 else ""
        config = setting.write(
            "mosquitto.conf",
            f"{user}allow_anonymous true\nlistener {port} 127.0.0.1\ncertfile {setting.certificate}\n"
            f"keyfile {setting.key}\ntls_version tlsv{setting.version}\n{asking}",
        )
        command = [require_peer("mosquitto"), "-c", str(config)]
        with listening(command, setting.directory / "mosquitto.log", port) as running:
            yield running


@contextlib.contextmanager
def postgresql(setting: Setting) -> Iterator[Running]:
    """PostgreSQL with clientcert=verify-full: whether a certificate must come it says in its own protocol."""
    initdb, postgres, port = program("initdb"), program("postgres"), free_port()
    paths = {"cert": setting.certificate, "key": setting.key, "ca": setting.client_ca, "crl": setting.crl}
    # pytest's own folders are for nobody else.
    with TemporaryDirectory() as name:
        folder = Path(name)
        for kind, path in paths.items():
            if path is not None:
                (folder / kind).write_bytes(path.read_bytes())
                (folder / kind).chmod(0o600)
        user = owned_by("postgres", folder)
        command = [initdb, "-D", str(folder / "cluster"), "-A", "trust", "-U", "postgres"]
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, **user)
        (folder / "cluster" / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 cert clientcert=verify-full\n")
        given = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": folder, "ssl": "on"}
        given |= {f"ssl_{kind}_file": folder / kind for kind, path in paths.items() if path is not None}
        given |= {f"ssl_{end}_protocol_version": f"TLSv{setting.version}" for end in ("min", "max")}
        options = [part for setting_name, value in given.items() for part in ("-c", f"{setting_name}={value}")]
        served = [postgres, "-D", str(folder / "cluster"), *options]
        with listening(served, setting.directory / "postgres.log", port, cwd="/", **user) as running:
            yield running


@contextlib.contextmanager
def grpc_core(setting: Setting) -> Iterator[Running]:
    """A server of gRPC's C core, on BoringSSL. It speaks both versions, whatever the setting says."""
    ca = "" if setting.client_ca is None else str(setting.client_ca)
    command = [python_with("grpc"), str(PROGRAMS / "grpc_server.py"), str(setting.certificate), str(setting.key), ca]
    with process_server(command, setting.directory / "grpc.log", "127.0.0.1:") as running:
        yield running


MORE_SERVERS: dict[str, Server] = {
    "jsse": jsse,
    "granian": granian,
    "mosquitto": mosquitto,
    "postgresql": postgresql,
    "grpc": grpc_core,
    "envoy": envoy,
}
# What the doctor is told of where to go, for those that are no HTTP servers.
OTHER_PROTOCOLS: dict[str, tuple[str, ...]] = {"mosquitto": (), "postgresql": ("--starttls", "postgres")}
