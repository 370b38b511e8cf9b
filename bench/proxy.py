"""`make bench-proxy`: what a proxy's process spends per new mutual connection, kept-alive request and MiB.

`handfast proxy` beside nginx, haproxy, stunnel and hitch, where they are installed, each with one worker before the
same nginx, which serves the files without TLS. All take turns, several times, so that all meet the same machine. What
is counted is the time of the proxy's own process on its core (utime and stime of /proc/PID/stat), not the clock on the
wall and not what the client or the backend spends. Both ends have P-256 certificates, clients must show theirs, nothing
is resumed. The load is Debian's `ab` (apache2-utils) for connections and requests, and `curl` for bytes.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from statistics import median

from bench.build import python_build
from handfast.pki.authority import CertificateAuthority

RESULTS = Path("bench-proxy-results.json")
HOST = "127.0.0.1"
CONNECTIONS, REQUESTS, ABREAST = 400, 4000, 16
DOWNLOADS, MIB = 4, 32
PATIENCE = 30.0
TICKS = os.sysconf("SC_CLK_TCK")
GOALS = {"ms/connection": 1.2, "ms/MiB": 1.4}


@dataclass(frozen=True)
class Site:
    """The files and ports that all have in common."""

    folder: Path
    backend: int

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def path(self, name: str) -> str:
        return str(self.folder / name)


@dataclass
class Proxy:
    """One of those that are measured: its process, and what it spent on each kind of work."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    spent: dict[str, list[float]] = field(default_factory=dict)

    @property
    def scheme(self) -> str:
        """Of its URLs."""
        return "http" if self.name.startswith(PLAIN) else "https"

    def ticks(self) -> float:
        """Seconds on a core until now, of the process and those that it started."""
        return sum(map(_ticks, (self.process.pid, *_children(self.process.pid)))) / TICKS


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def make_pki(folder: Path) -> None:
    ca = CertificateAuthority.create("Bench CA", key="ecdsa-p256")
    server, client = ca.server("localhost", HOST, key="ecdsa-p256"), ca.client("alice", key="ecdsa-p256")
    files = {"ca.pem": ca.certificate_pem}
    for name, issued in (("server", server), ("client", client)):
        files |= {f"{name}.pem": issued.cert_pem, f"{name}.key": issued.key_pem}
        files[f"{name}-both.pem"] = issued.cert_pem + issued.key_pem
    for name, content in files.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_bytes(content)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
        return port


def start_backend(site: Site) -> subprocess.Popen[bytes]:
    www = site.folder / "www"
    www.mkdir()
    (www / "small").write_bytes(b"x" * 100)
    (www / "large").write_bytes(b"x" * MIB * 2**20)
    config = _nginx_config(
        site, "backend", f"server {{ listen {HOST}:{site.backend}; root {www}; keepalive_requests 1000000; }}"
    )
    log = site.folder / "backend.log"
    process = _start(["nginx", "-c", str(config)], log)
    _listens(process, site.backend, log)
    return process


def _nginx_config(site: Site, name: str, server: str) -> Path:
    temporary = "".join(
        f"{kind}_temp_path {site.folder}/{name}-{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return site.write(
        f"{name}.conf",
        f"daemon off; worker_processes 1; pid {site.folder}/{name}.pid; error_log /dev/null;"
        f"events {{ worker_connections 4096; }} http {{ access_log off; {temporary} {server} }}",
    )


def nginx(site: Site, port: int) -> list[str]:
    config = _nginx_config(
        site,
        "nginx",
        f"upstream b {{ server {HOST}:{site.backend}; keepalive 32; keepalive_requests 1000000; }}"
        f"server {{ listen {HOST}:{port} ssl; ssl_certificate {site.path('server.pem')};"
        f"ssl_certificate_key {site.path('server.key')}; ssl_client_certificate {site.path('ca.pem')};"
        "ssl_verify_client on; ssl_session_cache off; ssl_session_tickets off; ssl_protocols TLSv1.2 TLSv1.3;"
        "keepalive_requests 1000000; location / { proxy_pass http://b; proxy_http_version 1.1;"
        "proxy_set_header Connection ''; } }",
    )
    return ["nginx", "-c", str(config)]


def haproxy(site: Site, port: int) -> list[str]:
    config = site.write(
        "haproxy.cfg",
        f"""global
 nbthread 1
 ssl-default-bind-options no-tls-tickets
 tune.ssl.cachesize 0
defaults
 mode tcp
 timeout connect 5s
 timeout client 60s
 timeout server 60s
listen x
 bind {HOST}:{port} ssl crt {site.path("server-both.pem")} ca-file {site.path("ca.pem")} verify required
 server b {HOST}:{site.backend}
""",
    )
    return ["haproxy", "-db", "-f", str(config)]


def stunnel(site: Site, port: int) -> list[str]:
    config = site.write(
        "stunnel.conf",
        f"""foreground = yes
pid =
debug = 0
sessionCacheSize = 1
sessionResume = no
[x]
accept = {HOST}:{port}
connect = {HOST}:{site.backend}
cert = {site.path("server.pem")}
key = {site.path("server.key")}
CAfile = {site.path("ca.pem")}
verifyChain = yes
requireCert = yes
""",
    )
    return ["stunnel", str(config)]


def hitch(site: Site, port: int) -> list[str]:
    config = site.write(
        "hitch.conf",
        f"""frontend = "[{HOST}]:{port}"
backend = "[{HOST}]:{site.backend}"
pem-file = "{site.path("server-both.pem")}"
workers = 1
daemon = off
user = "{getpass.getuser()}"
quiet = on
tls-protos = TLSv1.2 TLSv1.3
client-verify = required
client-verify-ca = "{site.path("ca.pem")}"
""",
    )
    return ["hitch", "--config", str(config)]


def handfast(scheme: str, loop: str, provider: str, site: Site, port: int) -> list[str]:
    identity = ["--cert", site.path("server.pem"), "--key", site.path("server.key"), "--client-ca", site.path("ca.pem")]
    ends = ["--from", f"{HOST}:{port}", "--to", f"{scheme}://{HOST}:{site.backend}"]
    return [sys.executable, "-m", "bench.proxy_process", loop, *identity, *ends, "--crypto-provider", provider]


def without_tls(loop: str, site: Site, port: int) -> list[str]:
    """What the loop, the kernel and our relay take: a floor for the rest."""
    ends = [f"{HOST}:{port}", f"{HOST}:{site.backend}"]
    return [sys.executable, "-m", "bench.proxy_process", loop, "relay", *ends]


Command = Callable[[Site, int], list[str]]
PLAIN = "without TLS, "


def candidates(only: list[str]) -> dict[str, Command]:
    found: dict[str, Command] = {}
    loops = ["asyncio", *(["uvloop"] if find_spec("uvloop") else [])]
    providers = ["cryptography", *(["aws-lc"] if find_spec("qh3") else [])]
    for scheme, loop, provider in product(("tcp", "http"), loops, providers):
        name = f"handfast, {scheme}, {loop}" + ("" if provider == "cryptography" else f", {provider}")
        found[name] = partial(handfast, scheme, loop, provider)
    found |= {f"{PLAIN}{loop}": partial(without_tls, loop) for loop in loops}
    others: dict[str, Command] = {"nginx": nginx, "haproxy": haproxy, "stunnel": stunnel, "hitch": hitch}
    for name, command in others.items():
        if shutil.which(name):
            found[name] = command
        else:
            print(f"{name} is not installed, and left out", file=sys.stderr)
    return {name: command for name, command in found.items() if not only or any(one in name for one in only)}


def _start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)


def _listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection((HOST, port)).close()
            return
        except OSError:
            if time.monotonic() > end or process.poll() is not None:
                raise RuntimeError(f"{process.args!r} does not listen: {log.read_text()[-800:]}") from None
            time.sleep(0.02)


@contextlib.contextmanager
def running(name: str, command: Command, site: Site) -> Iterator[Proxy]:
    port = free_port()
    log = site.folder / f"{port}.log"
    process = _start(command(site, port), log)
    try:
        _listens(process, port, log)
        yield Proxy(name, port, process)
    finally:
        # Its workers with it: it leads a group of its own.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def connections(site: Site, proxy: Proxy, version: str) -> int:
    _ab(site, proxy, "-n", str(CONNECTIONS), version=version)
    return CONNECTIONS


def requests(site: Site, proxy: Proxy) -> int:
    _ab(site, proxy, "-k", "-n", str(REQUESTS))
    return REQUESTS


def _ab(site: Site, proxy: Proxy, *options: str, version: str = "TLS1.3") -> None:
    tls = ["-E", site.path("client-both.pem"), "-f", version] if proxy.scheme == "https" else []
    command = ["ab", "-q", "-c", str(ABREAST), *tls, *options, f"{proxy.scheme}://{HOST}:{proxy.port}/small"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode or "Failed requests:        0\n" not in done.stdout or "Non-2xx" in done.stdout:
        raise RuntimeError(f"{proxy.name}: {done.stderr[-400:]} {done.stdout[-800:]}")


def downloads(site: Site, proxy: Proxy) -> int:
    identity = ["--cacert", site.path("ca.pem"), "--cert", site.path("client.pem"), "--key", site.path("client.key")]
    command = ["curl", "-sf", "--http1.1", *identity, "-o", "/dev/null", "-w", "%{size_download}"]
    url = f"{proxy.scheme}://localhost:{proxy.port}/large"
    curls = [
        subprocess.Popen([*command, "--resolve", f"localhost:{proxy.port}:{HOST}", url], stdout=subprocess.PIPE)
        for _ in range(DOWNLOADS)
    ]
    for curl in curls:
        out, _ = curl.communicate(timeout=600)
        if out != str(MIB * 2**20).encode():
            raise RuntimeError(f"{proxy.name}: curl got {out!r}")
    return DOWNLOADS * MIB


WORK: dict[str, tuple[float, Callable[[Site, Proxy], int]]] = {
    "ms/connection": (1e3, partial(connections, version="TLS1.3")),
    "ms/connection, TLS 1.2": (1e3, partial(connections, version="TLS1.2")),
    "us/request": (1e6, requests),
    "ms/MiB": (1e3, downloads),
}


def measure(site: Site, proxies: list[Proxy], rounds: int, kinds: list[str]) -> None:
    for number in range(rounds + 1):
        for kind in kinds:
            unit, work = WORK[kind]
            for proxy in proxies:
                before = proxy.ticks()
                count = work(site, proxy)
                # The first round warms them up.
                if number:
                    proxy.spent.setdefault(kind, []).append((proxy.ticks() - before) * unit / count)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.proxy")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", default=[], help="part of a name; repeatable")
    parser.add_argument("--kind", action="append", default=[], choices=WORK, help="which work; repeatable")
    given = parser.parse_args()
    kinds = given.kind or list(WORK)
    print(f"Python {sys.version.split()[0]}: {python_build()}; load {os.getloadavg()[0]:.2f}")
    with contextlib.ExitStack() as stack:
        site = Site(Path(stack.enter_context(tempfile.TemporaryDirectory())), free_port())
        site.folder.chmod(0o755)
        make_pki(site.folder)
        backend = start_backend(site)
        stack.callback(backend.wait)
        stack.callback(os.killpg, backend.pid, signal.SIGTERM)
        proxies = []
        for name, command in candidates(given.only).items():
            proxies.append(stack.enter_context(running(name, command, site)))
        measure(site, proxies, given.rounds, kinds)
        report(proxies, kinds)


def report(proxies: list[Proxy], kinds: list[str]) -> None:
    print("| proxy | " + " | ".join(kinds) + " |")
    print("|---" * (len(kinds) + 1) + "|")
    for proxy in proxies:
        cells = []
        for kind in kinds:
            spent = proxy.spent[kind]
            cells.append(f"{median(spent):.3g} ({min(spent):.3g} to {max(spent):.3g})")
        print(f"| {proxy.name} | " + " | ".join(cells) + " |")
    goals = ", ".join(f"{value} {kind}" for kind, value in GOALS.items())
    print(f"\nMedian, least and most of the rounds. The goals are {goals}.")
    RESULTS.write_text(json.dumps({proxy.name: proxy.spent for proxy in proxies}, indent=1) + "\n")


if __name__ == "__main__":
    main()
