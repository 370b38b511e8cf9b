"""A capture written anew: some of its connections, with their keys inside or with none, so that it can be shared.

Packets stay byte for byte what they were. Secrets are written for the connections that are kept and for no other.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from handfast.errors import ConfigError
from handfast.lens.pcapng import interface_block, packet_block, secrets_block, section_block
from handfast.passive.capture import Capture, Packet, read_capture

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


class PacketIndex:
    """Which TCP connection each packet of a capture is of: 4 bytes a packet."""

    def __init__(self) -> None:
        self._openings = array("I")

    def add(self, opening: int) -> None:
        """The next packet is of this TCP connection, 0 for none."""
        self._openings.append(opening)

    def __len__(self) -> int:
        return len(self._openings)

    def of(self, number: int) -> int:
        """The TCP connection of a packet, which is counted from 0."""
        return self._openings[number] if number < len(self._openings) else 0


def rewrite(
    capture: Capture,
    write: Callable[[bytes], object],
    index: PacketIndex,
    wanted: Collection[int] | None,
    secrets: bytes,
) -> int:
    """Write the packets of the wanted TCP connections, or with None all packets; how many they were.

    ``secrets`` are the lines of a key log. Raises ConfigError not_a_capture; what is damaged is written up to there.
    """
    write(section_block())
    if secrets:
        write(secrets_block(secrets))
    interfaces: dict[int, int] = {}
    written = number = 0
    try:
        for item in read_capture(capture):
            if not isinstance(item, Packet):
                continue
            if wanted is None or index.of(number) in wanted:
                if item.link_type not in interfaces:
                    interfaces[item.link_type] = len(interfaces)
                    write(interface_block(item.link_type))
                write(packet_block(item.time, item.data, interface=interfaces[item.link_type]))
                written += 1
            number += 1
    except ConfigError as error:
        if error.code != "damaged_capture":
            raise
    return written
