"""Same file name, same trade: who knows what a file does in one room knows what its namesake does in another."""

from __future__ import annotations

from collections import defaultdict

from tests.syntax import modules

# The names that several rooms have, and what all of them do.
SAME_TRADE = {
    "__init__.py", "__main__.py",
    "alerts.py",  # an alert: its form on the wire, its choice
    "certificates.py",  # reading certificates: as structures, as words
    "client.py", "server.py",  # what a client and a server do: the connection, the handshake, the handshake of TLS 1.2
    # Of TLS 1.3 and of TLS 1.2.
    "client_resumption.py", "server_resumption.py", "identity.py", "negotiate.py", "post_handshake.py",
    "connect.py",  # connecting
    "messages.py",  # what two programs say to each other, byte by byte: of TLS, of the key-holder
    "loading.py",  # files and what is in them
    "records.py",  # records as bytes: their header, where they begin in a stream
    "setup.py",  # what connections are given when they start
    # What ssl calls so, in the room that stands in for it.
    "connection.py", "context.py",
    "keys.py",  # keys of the room: those that are held, those of a handshake
    "names.py",  # the names in certificates: made, read
    "options.py",  # what a program is told on its command line
}  # fmt: skip


def test_names_that_several_rooms_have_are_of_one_trade():
    rooms = defaultdict(list)
    for module in modules():
        rooms[module.path.rpartition("/")[2]].append(module.path)
    assert [paths for name, paths in rooms.items() if len(paths) > 1 and name not in SAME_TRADE] == []
