"""Same file name, same trade: who knows what a file does in one room knows what its namesake does in another."""

from __future__ import annotations

from collections import defaultdict

from tests.syntax import modules

# The names that several rooms have, and what all of them do.
SAME_TRADE = {
    "__init__.py", "__main__.py",
    "alerts.py",  # an alert: its form on the wire, its choice
    "client.py", "server.py",  # what a client and a server do: the connection, the handshake, the handshake of TLS 1.2
    # Of TLS 1.3 and of TLS 1.2.
    "client_resumption.py", "server_resumption.py", "identity.py", "negotiate.py", "post_handshake.py",
    "connect.py",  # connecting
    "messages.py",  # what two programs say to each other, byte by byte: of TLS, of the key-holder
    "loading.py",  # files and what is in them
    "records.py",  # records as bytes: their header, where they begin in a stream
    "settings.py",  # what is chosen before anything starts: of a context, of a proxy
    "setup.py",  # what connections are given when they start
    # What ssl calls so, in the room that stands in for it.
    "connection.py", "context.py",
    "options.py",  # what a program is told on its command line
}  # fmt: skip


def namesakes() -> dict[str, list[str]]:
    """The file names that several rooms have, with their paths."""
    rooms = defaultdict(list)
    for module in modules():
        rooms[module.path.rpartition("/")[2]].append(module.path)
    return {name: paths for name, paths in rooms.items() if len(paths) > 1}


def test_names_that_several_rooms_have_are_of_one_trade():
    assert {name: paths for name, paths in namesakes().items() if name not in SAME_TRADE} == {}


def test_no_name_is_excepted_that_one_room_alone_has():
    assert SAME_TRADE - namesakes().keys() == set()
