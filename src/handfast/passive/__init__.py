"""Recorded connections: a capture and its keys -> the same events that a live connection tells.

What a recording cannot know is what no byte of it says: why a side chose or refused, what it waited for, when it was
done, and the secrets that no key log holds. docs/events.md has the list.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from handfast.errors import ConfigError
from handfast.events import Event, Observer, Secret, SecretSink
from handfast.passive.capture import Capture, Packet, Secrets, read_capture
from handfast.passive.conversations import Conversations, Flow, WatchFactory
from handfast.passive.keylog_reader import KeyLogSecrets
from handfast.passive.packets import Endpoint, tcp_segment

__all__ = ["Capture", "Decoded", "Endpoint", "Flow", "RecordedConnection", "WatchFactory", "decode", "replay"]


@dataclass(slots=True)
class RecordedConnection:
    """One TLS connection of a capture: who talked, what was told, and the secrets that were used."""

    flow: Flow
    events: list[Event] = field(default_factory=list)
    secrets: list[Secret] = field(default_factory=list)


class Decoded(NamedTuple):
    """The TLS connections of a capture, in the order of their first records; ``damage`` is what ended it too early."""

    connections: list[RecordedConnection]
    damage: ConfigError | None


def decode(capture: Capture, keylog: bytes = b"") -> Decoded:
    """The events of every TLS connection in a capture. ``keylog`` is an NSS key log; secrets in the capture count too.

    Raises ConfigError not_a_capture.
    """
    connections: list[RecordedConnection] = []

    def watch(flow: Flow) -> tuple[list[Observer], list[SecretSink]]:
        connection = RecordedConnection(flow)
        connections.append(connection)
        return [connection.events.append], [connection.secrets.append]

    return Decoded(connections, replay(capture, watch, keylog))


def replay(capture: Capture, watch: WatchFactory, keylog: bytes = b"") -> ConfigError | None:
    """Tell the observers and secret sinks that ``watch`` gives for each connection, as if they had been there.

    Secrets are looked for in the whole capture first, so it does not matter where in it they stand. Returns the error
    that says where a damaged capture ended too early. Raises ConfigError not_a_capture.
    """
    secrets = KeyLogSecrets(keylog)
    damage = _collect(capture, secrets)
    conversations = Conversations(watch, secrets)
    try:
        for item in read_capture(capture):
            if isinstance(item, Packet) and (segment := tcp_segment(item.link_type, item.data)):
                conversations.take(item.time, segment)
    except ConfigError:
        # The damage that was met the first time.
        pass
    conversations.finish()
    return damage


def _collect(capture: Capture, secrets: KeyLogSecrets) -> ConfigError | None:
    items = read_capture(capture)
    try:
        for item in items:
            if isinstance(item, Secrets):
                secrets.add(item.text)
    except ConfigError as error:
        return error
    return None
