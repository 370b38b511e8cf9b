"""The two sides of a connection, and the two directions in which they send."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal


class Direction(StrEnum):
    """Who sent what an event speaks of."""

    CLIENT_TO_SERVER = "C>S"
    SERVER_TO_CLIENT = "S>C"


class Role(StrEnum):
    """Which side of a connection this is."""

    CLIENT = "client"
    SERVER = "server"

    # The direction in which this role sends, and the other role: attributes, because handshakes ask for them often.
    sends: Direction
    peer: Role


RoleWord = Literal["client", "server"]

Role.CLIENT.sends, Role.CLIENT.peer = Direction.CLIENT_TO_SERVER, Role.SERVER
Role.SERVER.sends, Role.SERVER.peer = Direction.SERVER_TO_CLIENT, Role.CLIENT
