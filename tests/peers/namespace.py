"""Runs a server that cannot choose its address, and forwards some connections to it, one after the other.

    unshare --net ... python -I namespace.py LIMIT LISTENING_FD CONNECTIONS PORT COMMAND...

The command runs in a network namespace of its own, where every address it binds is out of reach of everybody. The
listening socket was made outside, on the loopback interface that the tests see, and a socket stays in the namespace
that it was made in, so this process can hand each byte from the one to the other. It says READY when killing unshare
ends it as well. When the last connection is over, so is the command. LIMIT is the seconds that it has to listen.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
READY = "forwarding to a server of its own network namespace"


def bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = bytearray(struct.pack("16sh22x", b"lo", 0))
        fcntl.ioctl(any_socket, SIOCGIFFLAGS, request)
        flags = struct.unpack_from("h", request, 16)[0]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | IFF_UP))


def connect(server: subprocess.Popen[bytes], port: int, limit: float) -> socket.socket:
    """A connection to the command, which may still be about to listen."""
    deadline = time.monotonic() + limit
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            if time.monotonic() > deadline or server.poll() is not None:
                raise
            time.sleep(0.01)


def pump(source: socket.socket, sink: socket.socket, *, to_the_end: bool = False) -> None:
    """Copies until the end of the source, and ends the sink the same way.

    With ``to_the_end`` a sink that takes no more ends nothing: a server that its client left has not said all it has to
    say before it has closed its own side.
    """
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            try:
                sink.sendall(data)
            except OSError:
                if not to_the_end:
                    break
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def is_held(port: int, connection: socket.socket) -> bool:
    """Whether the command still has the other end of a connection open.

    An end of data does not say so: a server that refuses may shut its side down first (NSS does for a client without
    certificate), and find its words afterwards. A socket that a process holds has an inode, and loses it by closing.
    """
    ends = f"{port:04X}", f"{connection.getsockname()[1]:04X}"
    # A command that listens on :: has its connections in the second list.
    lists = [Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    for line in itertools.chain(*lists):
        _, local, remote, *_, inode = line.split()[:10]
        if (local.rpartition(":")[2], remote.rpartition(":")[2]) == ends and inode != "0":
            return True
    return False


def main() -> None:
    limit, listening_fd, connections, port, *command = sys.argv[1:]
    print(READY, flush=True)
    bring_loopback_up()
    with socket.socket(fileno=int(listening_fd)) as listener, subprocess.Popen(command) as server:
        for _ in range(int(connections)):
            outside, _ = listener.accept()
            with outside, connect(server, int(port), float(limit)) as inside:
                back = threading.Thread(target=pump, args=(inside, outside), kwargs={"to_the_end": True})
                back.start()
                pump(outside, inside)
                back.join()
                deadline = time.monotonic() + float(limit)
                while is_held(int(port), inside) and time.monotonic() < deadline:
                    time.sleep(0.005)
        server.terminate()


if __name__ == "__main__":
    main()
