"""`make bench-captures`: decoding captures, beside tshark, ssldump and scapy where they are installed.

A capture of mutual TLS 1.3 connections with their keys inside is made first. Each row is the best of its rounds, as the
time of a machine that does other things too can only be longer. What counts is how many frames a second are decoded,
and that three times the connections, or ten times the key log, take no more than their share. On a machine that does
other things too, the time of the processor says more. scapy, which takes minutes for what the others do in seconds,
reads a tenth of it. ssldump 1.4, Debian's, looks its key log through again and again, and decrypts no TLS 1.3 with it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
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
    return sum(1 for _ in _packets(path))


def _packets(path: Path) -> Iterator[bytes]:
    from handfast.passive.capture import Packet, read_capture

    return (item.data for item in read_capture(path.read_bytes()) if isinstance(item, Packet))


def as_ethernet(made: Made) -> Path:
    """The same packets in Ethernet frames, in the older format of files: ssldump knows no raw IP and reads nothing."""
    path = made.path.with_suffix(".pcap")
    start = bytes(12) + b"\x08\0"
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, 1))
        for packet in _packets(made.path):
            size = len(start) + len(packet)
            file.write(struct.pack("<IIII", 0, 0, size, size) + start + packet)
    return path


def read_quietly(path: Path | str, form: str, keys: Path | None = None) -> int:
    """Decode a capture and print it nowhere; how many connections there were."""
    view = Decoding(Wanted(), form=form, levels=frozenset(), secrets="none", verifier=None)  # type: ignore[arg-type]
    secrets = KeyLogSecrets(b"" if keys is None else keys.read_bytes())
    with open(path, "rb") as file, open(os.devnull, "w") as nowhere:
        before, sys.stdout = sys.stdout, nowhere
        try:
            for _ in Reading(file, view.watch, secrets, over=view.over):
                view.flush()
        finally:
            sys.stdout = before
    return view.count


def _handfast(made: Made, form: str, keys: Path | None = None) -> Callable[[], None]:
    def work() -> None:
        count = read_quietly(made.path, form, keys)
        if count != made.connections:
            sys.exit(f"handfast: error: {count} of {made.connections} connections were decoded")

    return work


def _program(*command: str) -> Callable[[], None]:
    def work() -> None:
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)

    return work


def _ssldump(made: Made, *keys: str) -> Callable[[], None]:
    # Without -n it asks DNS for each address.
    return _program("ssldump", "-n", "-r", str(as_ethernet(made)), *keys, "-AdNH")


def _scapy(python: str, path: Path) -> Callable[[], None]:
    code = "from scapy.all import TCPSession, load_layer, sniff; load_layer('tls'); "
    code += f"sniff(offline={str(path)!r}, session=TCPSession, store=False)"
    return _program(python, "-c", code)


def peak(path: Path) -> int:
    """The most memory that decoding a capture holds at once, in KiB, beyond what there was before."""
    tracemalloc.start()
    read_quietly(path, "fields")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most >> 10


def rows(few: Made, small: Made, large: Made, noisy: Made) -> list[tuple[str, Made, Callable[[], None]]]:
    """What is measured: a name, what it reads, and the work."""
    found = [
        ("handfast, a line per connection", small, _handfast(small, "summary")),
        ("handfast, every field", small, _handfast(small, "fields")),
        ("handfast, every field, 3 times the connections", large, _handfast(large, "fields")),
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
            name = f"ssldump, key log beside it, {made.connections} connections"
            found.append((name, made, _ssldump(made, "-l", str(made.keys))))
        found.append(("ssldump, no keys", small, _ssldump(small)))
    if python := scapy_python():
        found.append(("scapy", few, _scapy(python, few.path)))
    return found


def scapy_python() -> str:
    """A Python that has scapy: this one, or the one that $HANDFAST_SCAPY names; "" for none."""
    return sys.executable if find_spec("scapy") is not None else os.environ.get("HANDFAST_SCAPY", "")


def versions() -> str:
    """The other programs that are measured, as they call themselves."""
    commands = [("tshark", "--version"), ("ssldump", "-v")]
    found = []
    for command in commands:
        if shutil.which(command[0]):
            said = subprocess.run(command, capture_output=True, text=True, check=False)
            found.append(f"{(said.stdout + said.stderr).strip().splitlines()[0]}")
        else:
            found.append(f"no {command[0]}")
    if python := scapy_python():
        code = "from importlib.metadata import version; print('scapy', version('scapy'))"
        found.append(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip())
    else:
        found.append("no scapy (a Python that has it: HANDFAST_SCAPY)")
    return "; ".join(found)


def best(work: Callable[[], None], rounds: int) -> tuple[float, float]:
    """The shortest time of some rounds, and the least time of the processor, of child processes too, in seconds."""
    times = []
    for _ in range(rounds):
        start, before = time.perf_counter(), _processor()
        work()
        times.append((time.perf_counter() - start, _processor() - before))
    return min(one for one, _ in times), min(one for _, one in times)


def _processor() -> float:
    return sum(os.times()[:4])


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="Decode captures, beside other programs.")
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        few = Made(folder, max(1, options.connections // 10))
        small, large = Made(folder, options.connections), Made(folder, 3 * options.connections)
        noisy_folder = folder / "noisy"
        noisy_folder.mkdir()
        noisy = Made(noisy_folder, options.connections, strangers=45 * options.connections)
        print(f"Python {sys.version.split()[0]}; {versions()}")
        print(f"{'what':46} {'frames':>8} {'s':>8} {'frames/s':>9} {'cpu s':>8} {'per cpu s':>9}")
        for title, made, work in rows(few, small, large, noisy):
            seconds, busy = best(work, options.rounds)
            rates = f"{made.frames / seconds:9.0f} {busy:8.2f} {made.frames / busy:9.0f}"
            print(f"{title:46} {made.frames:8} {seconds:8.2f} {rates}", flush=True)
        print("\nmemory at most, of connections one after the other (what grows is the key log in the file):")
        for made in (few, small, large):
            print(f"{made.connections:6} connections {peak(made.path):8} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
