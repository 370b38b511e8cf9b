"""What a certificate is used for in a connection. By itself, because it is needed where no certificate is read."""

from __future__ import annotations

from enum import StrEnum


class Purpose(StrEnum):
    """What the judged certificate is used for: its holder's role in the connection."""

    SERVER = "server"
    CLIENT = "client"
