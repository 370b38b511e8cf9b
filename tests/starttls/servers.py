"""Real servers on ports of 127.0.0.1, each with the certificate of a Pki, and stopped at the end.

Each is a function that gives the command of the server and waits for nothing; ``serving`` starts it. Skipped where the
program is missing, or failed under HANDFAST_REQUIRE_PEERS=1.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.peers import require_peer
from tests.peers.node import program as node_program
from tests.waiting import LIMIT, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cli.conftest import Pki

FOLDERS = [*map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"))), "/usr/sbin", "/usr/local/sbin"]
QUIET: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def program(*names: str) -> str:
    """The path of the first of these programs that is here."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *FOLDERS])
    found = next((where for name in names if (where := shutil.which(name, path=path))), None)
    return found or require_peer(names[0])


def free_port() -> int:
    """One that is free now; a server that another one precedes there ends, and is started again."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def serving(command: list[object], *ports: int, **options: Any) -> Iterator[None]:
    """A server, once all of its ports take connections."""
    process = subprocess.Popen([*map(str, command)], **QUIET | options)
    try:
        for port in ports:
            _wait(process, port)
        yield
    finally:
        process.terminate()
        try:
            process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(LIMIT)


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    def listens() -> bool:
        if process.poll() is not None:
            raise AssertionError(f"the server ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            return False
        return True

    if not until(listens):
        raise AssertionError("the server takes no connections")


def owned_by(user: str, folder: Path) -> dict[str, Any]:
    """What makes a process of root's run as a user to whom the folder then belongs; {} for others than root."""
    if os.geteuid():
        return {}
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, user, user)
    return {"user": user, "group": user}


@contextmanager
def postgresql(pki: Pki, folder: Path) -> Iterator[int]:
    """PostgreSQL, which will not run as root."""
    initdb, postgres, port = program("initdb"), program("postgres"), free_port()
    for name in ("server.pem", "server.key"):
        shutil.copy(pki.directory / name, folder / name)
        (folder / name).chmod(0o600)
    user = owned_by("postgres", folder)
    cluster = folder / "cluster"
    subprocess.run([initdb, "-D", cluster, "-A", "trust", "-U", "postgres"], check=True, cwd="/", **QUIET, **user)
    settings = {
        "port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": folder, "ssl": "on",
        "ssl_cert_file": folder / "server.pem", "ssl_key_file": folder / "server.key",
    }  # fmt: skip
    given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with serving([postgres, "-D", cluster, *given], port, cwd="/", **user):
        yield port


@contextmanager
def mariadb(pki: Pki, folder: Path) -> Iterator[int]:
    """MariaDB, without any tables: TLS is over before it would need one."""
    server, port = program("mariadbd", "mysqld"), free_port()
    data = folder / "data"
    data.mkdir()
    for name in ("server.pem", "server.key"):
        shutil.copy(pki.directory / name, folder / name)
    command = [
        server, "--no-defaults", f"--datadir={data}", f"--port={port}", "--bind-address=127.0.0.1",
        f"--socket={folder / 'socket'}", f"--pid-file={folder / 'pid'}", "--skip-grant-tables", "--skip-networking=0",
        f"--ssl-cert={folder / 'server.pem'}", f"--ssl-key={folder / 'server.key'}", "--innodb=OFF",
        "--default-storage-engine=MyISAM", *_messages(server),
    ]  # fmt: skip
    user = ["--user=root"] if os.geteuid() == 0 else []
    with serving([*command, *user], port):
        yield port


def _messages(server: str) -> list[str]:
    """Where its messages are, if it was not installed into the root."""
    folder = Path(server).resolve().parent.parent / "share" / "mysql"
    return [f"--lc-messages-dir={folder}"] if folder.is_dir() else []


@contextmanager
def dovecot(pki: Pki, folder: Path) -> Iterator[tuple[int, int, int]]:
    """Dovecot; gives the ports of IMAP, POP3 and LMTP."""
    server, imap, pop3, lmtp = program("dovecot"), free_port(), free_port(), free_port()
    config = folder / "dovecot.conf"
    me = "root" if os.geteuid() == 0 else os.environ.get("USER", "nobody")
    login = "nobody" if os.geteuid() == 0 else me
    libraries = Path(server).resolve().parent.parent / "lib" / "dovecot"
    config.write_text(f"""
base_dir = {folder}/run
libexec_dir = {libraries}
log_path = {folder}/log
protocols = imap pop3 lmtp
ssl = yes
ssl_cert = <{pki.server_cert}
ssl_key = <{pki.server_key}
default_internal_user = {me}
default_internal_group = {me}
default_login_user = {login}
listen = 127.0.0.1
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home={folder}
}}
service anvil {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp}
  }}
}}
""")
    with serving([server, "-F", "-c", config], imap, pop3, lmtp):
        yield imap, pop3, lmtp


@contextmanager
def exim(pki: Pki, folder: Path) -> Iterator[int]:
    """Exim, whose configuration must be root's."""
    server, port = program("exim4"), free_port()
    spool = folder / "spool"
    spool.mkdir()
    files = {"server.pem": pki.server_cert, "server.key": pki.server_key}
    for name, path in files.items():
        shutil.copy(path, folder / name)
    owned_by("Debian-exim", folder)
    config = folder / "exim.conf"
    config.write_text(f"""
primary_hostname = localhost
spool_directory = {spool}
log_file_path = {folder}/log-%s
tls_advertise_hosts = *
tls_certificate = {folder}/server.pem
tls_privatekey = {folder}/server.key
never_users =
""")
    shutil.chown(config, "root", "root")
    config.chmod(0o644)
    with serving([server, "-bdf", "-C", config, "-oX", f"127.0.0.1.{port}", "-oP", folder / "pid"], port):
        yield port


@contextmanager
def slapd(pki: Pki, folder: Path) -> Iterator[int]:
    """OpenLDAP, without any entries."""
    server, port = program("slapd"), free_port()
    config = folder / "slapd.conf"
    config.write_text(f"""
pidfile {folder}/pid
argsfile {folder}/arguments
TLSCertificateFile {pki.server_cert}
TLSCertificateKeyFile {pki.server_key}
""")
    with serving([server, "-h", f"ldap://127.0.0.1:{port}", "-f", config, "-d", "0"], port):
        yield port


@contextmanager
def vsftpd(pki: Pki, folder: Path) -> Iterator[int]:
    """vsftpd for anonymous users, as root alone may run it."""
    server, port = program("vsftpd"), free_port()
    empty = folder / "empty"
    empty.mkdir()
    config = folder / "vsftpd.conf"
    config.write_text(f"""
listen=YES
listen_address=127.0.0.1
listen_port={port}
background=NO
anonymous_enable=YES
secure_chroot_dir={empty}
anon_root={empty}
ssl_enable=YES
allow_anon_ssl=YES
rsa_cert_file={pki.server_cert}
rsa_private_key_file={pki.server_key}
""")
    with serving([server, config], port):
        yield port


@contextmanager
def prosody(pki: Pki, folder: Path) -> Iterator[tuple[int, int]]:
    """Prosody, which will not run as root; gives the ports of clients and of servers."""
    server, clients, servers = program("prosody"), free_port(), free_port()
    for name in ("server.pem", "server.key"):
        shutil.copy(pki.directory / name, folder / name)
    config = folder / "prosody.cfg.lua"
    config.write_text(f"""
pidfile = "{folder}/pid"
data_path = "{folder}"
log = "{folder}/log"
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {clients} }}
s2s_ports = {{ {servers} }}
modules_enabled = {{ "tls", "saslauth", "dialback" }}
ssl = {{ certificate = "{folder}/server.pem", key = "{folder}/server.key" }}
VirtualHost "localhost"
""")
    user = owned_by("prosody", folder)
    with serving([server, "--config", config, "-F"], clients, servers, cwd="/", **user):
        yield clients, servers


# HTTP


@contextmanager
def s_server(pki: Pki, folder: Path) -> Iterator[int]:
    """OpenSSL's, which speaks HTTP/1.0."""
    port = free_port()
    files = ["-cert", pki.server_cert, "-key", pki.server_key, "-CAfile", pki.ca, "-verify", "2"]
    with serving([program("openssl"), "s_server", "-www", "-accept", f"127.0.0.1:{port}", *files], port, cwd=folder):
        yield port


@contextmanager
def nginx(pki: Pki, folder: Path) -> Iterator[int]:
    """nginx with HTTP/2."""
    port = free_port()
    (folder / "index.html").write_text("nginx says hello\n")
    config = folder / "nginx.conf"
    config.write_text(f"""
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl http2;
    root {folder};
    ssl_certificate {pki.server_cert};
    ssl_certificate_key {pki.server_key};
    ssl_client_certificate {pki.ca};
    ssl_verify_client optional;
    location /large {{
      return 302 /index.html;
    }}
  }}
}}
""")
    with serving([program("nginx"), "-p", folder, "-c", config, "-e", folder / "error.log"], port):
        yield port


_NODE = """
const http2 = require('http2'), fs = require('fs');
const [port, cert, key] = process.argv.slice(1);
http2.createSecureServer({cert: fs.readFileSync(cert), key: fs.readFileSync(key), allowHTTP1: true}, (req, res) => {
  let size = 0;
  req.on('data', (part) => { size += part.length; });
  req.on('end', () => res.end(`node got ${size} bytes by HTTP ${req.httpVersion}\\n`));
}).listen(Number(port), '127.0.0.1');
"""


@contextmanager
def node(pki: Pki, folder: Path) -> Iterator[int]:
    """Node's HTTP/2 server."""
    port = free_port()
    with serving([node_program(), "-e", _NODE, port, pki.server_cert, pki.server_key], port, cwd=folder):
        yield port


_GO = """
package main

import ("fmt"; "io"; "net/http"; "os")

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "go got %d bytes by %s\\n", len(body), r.Proto)
	})
	panic(http.ListenAndServeTLS("127.0.0.1:"+os.Args[1], os.Args[2], os.Args[3], nil))
}
"""


@contextmanager
def go(pki: Pki, folder: Path) -> Iterator[int]:
    """Go's net/http, which speaks HTTP/2 by itself."""
    port, source, built = free_port(), folder / "main.go", folder / "server"
    source.write_text(_GO)
    subprocess.run([program("go"), "build", "-o", built, source], check=True, cwd=folder, timeout=LIMIT, **QUIET)
    with serving([built, port, pki.server_cert, pki.server_key], port):
        yield port


HTTP_SERVERS: dict[str, Callable[[Pki, Path], Any]] = {"s_server": s_server, "nginx": nginx, "node": node, "go": go}
