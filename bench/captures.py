"""`make bench-captures`: decoding captures, beside tshark, ssldump and scapy where they are installed.

A capture of mutual TLS 1.3 connections with their keys inside is made first. Each row is the best of its rounds, as the
time of a machine that does other things too can only be longer. What counts is how many frames a second are decoded,
and that three times the connections, or ten times the key log, take no more than their share.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from handfast import ClientConfig, ClientConnection, Credentials, PathVerifier, Roots, ServerConfig, ServerConnection
from handfast.cli.decoding import Decoding, Wanted
from handfast.engine import ClientAuth
from handfast.lens.keylog import KeyLog
from handfast.lens.pcapng import CaptureFile, Flow
from handfast.passive import Reading
from handfast.passive.keylog_reader import KeyLogSecrets
from handfast.pki.authority import CertificateAuthority

_MSS = 1460


class Made:
    """A capture of so many mutual connections, with a key log of its own and one inside."""

    def __init__(self, folder: Path, connections: int, strangers: int = 0) -> None:
        self.path = folder / f"{connections}.pcapng"
        self.keys = folder / f"{connections}-{strangers}.log"
        self.connections = connections
        authority = CertificateAuthority.create("Bench")
        server, client = authority.server("localhost"), authority.client("alice")
        verifier = PathVerifier(Roots.from_der([authority.certificate_der]))
        clients = ClientConfig(verifier=verifier, credentials=[Credentials.from_pem(client.cert_pem, client.key_pem)])
        servers = ServerConfig(
            credentials=[Credentials.from_pem(server.cert_pem, server.key_pem)],
            verifier=verifier,
            client_auth=ClientAuth.REQUIRE_AND_VERIFY,
        )
        with open(self.path, "wb") as file, open(self.keys, "w") as keys:
            capture = CaptureFile(file.write)
            for number in range(connections):
                _connect(clients, servers, capture, number, KeyLog(keys.write))
            for number in range(strangers):
                keys.write(f"CLIENT_RANDOM {number:064x} {number:096x}\n")
        self.frames = _frames(self.path)


def _connect(clients: ClientConfig, servers: ServerConfig, capture: CaptureFile, number: int, keys: KeyLog) -> None:
    address = f"10.0.{number // 50000}.1", 10000 + number % 50000
    flow = Flow(capture, address, ("10.1.0.1", 443), mss=_MSS)
    client = ClientConnection(clients, server_name="localhost")
    server = ServerConnection(servers, observers=[flow], secret_sinks=[flow.secret, keys])
    while not (client.connected and server.connected):
        server.receive(client.outgoing())
        client.receive(server.outgoing())
    client.send(b"GET /whoami HTTP/1.1\r\nHost: localhost\r\n\r\n")
    server.receive(client.outgoing())
    server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nalice")
    client.receive(server.outgoing())
    client.close()
    server.receive(client.outgoing())
    server.close()
    flow.finish()


def _frames(path: Path) -> int:
    from handfast.passive.capture import Packet, read_capture

    return sum(isinstance(item, Packet) for item in read_capture(path.read_bytes()))


def _handfast(made: Made, form: str, keys: Path | None = None) -> Callable[[], None]:
    def work() -> None:
        view = Decoding(Wanted(), form=form, levels=frozenset(), secrets="none", verifier=None)  # type: ignore[arg-type]
        secrets = KeyLogSecrets(b"" if keys is None else keys.read_bytes())
        with open(made.path, "rb") as file, open(os.devnull, "w") as nowhere:
            before, sys.stdout = sys.stdout, nowhere
            try:
                for _ in Reading(file, view.watch, secrets, over=view.over):
                    view.flush()
            finally:
                sys.stdout = before
        if view.count != made.connections:
            sys.exit(f"handfast: error: {view.count} of {made.connections} connections were decoded")

    return work


def _program(*command: str) -> Callable[[], None]:
    def work() -> None:
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)

    return work


def _scapy(path: Path) -> Callable[[], None]:
    code = "from scapy.all import TCPSession, load_layer, sniff; load_layer('tls'); "
    code += f"sniff(offline={str(path)!r}, session=TCPSession, store=False)"
    return _program(sys.executable, "-c", code)


def rows(small: Made, large: Made, noisy: Made) -> list[tuple[str, Made, Callable[[], None]]]:
    """What is measured: a name, what it reads, and the work."""
    found = [
        ("handfast, a line per connection", small, _handfast(small, "summary")),
        ("handfast, every field", small, _handfast(small, "fields")),
        ("handfast, JSON", small, _handfast(small, "json")),
        ("handfast, a line, key log beside it", small, _handfast(small, "summary", small.keys)),
        ("handfast, a line, 10 times the key log", noisy, _handfast(noisy, "summary", noisy.keys)),
        ("handfast, a line, 3 times the connections", large, _handfast(large, "summary")),
    ]
    if shutil.which("tshark"):
        found.append(("tshark, every field (-V)", small, _program("tshark", "-r", str(small.path), "-V")))
        found.append(("tshark, 3 times the connections", large, _program("tshark", "-r", str(large.path), "-V")))
    if shutil.which("ssldump"):
        for made in (small, large):
            command = ("ssldump", "-r", str(made.path), "-l", str(made.keys), "-AdNH")
            found.append((f"ssldump, {made.connections} connections", made, _program(*command)))
    if find_spec("scapy") is not None:
        found.append(("scapy", small, _scapy(small.path)))
    return found


def best(work: Callable[[], None], rounds: int) -> float:
    """The shortest time of some rounds, in seconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="Decode captures, beside other programs.")
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small, large = Made(folder, options.connections), Made(folder, 3 * options.connections)
        noisy_folder = folder / "noisy"
        noisy_folder.mkdir()
        noisy = Made(noisy_folder, options.connections, strangers=45 * options.connections)
        print(f"{'what':45} {'frames':>8} {'s':>8} {'frames/s':>9}")
        for title, made, work in rows(small, large, noisy):
            seconds = best(work, options.rounds)
            print(f"{title:45} {made.frames:8} {seconds:8.2f} {made.frames / seconds:9.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
