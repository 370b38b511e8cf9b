"""What two sides may cost each other over HTTP/2: bounds that h2 keeps, and those kept beside it. RFC 9113 10.5.

For the commands and the proxy alike. h2, which is an extra, is imported with this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    Event,
    PingAckReceived,
    PingReceived,
    PriorityUpdated,
    RemoteSettingsChanged,
    SettingsAcknowledged,
    UnknownFrameReceived,
    WindowUpdated,
)
from h2.settings import SettingCodes, Settings

from handfast import limits
from handfast.token_bucket import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable

_IDLE = (
    PingReceived,
    PingAckReceived,
    RemoteSettingsChanged,
    SettingsAcknowledged,
    PriorityUpdated,
    UnknownFrameReceived,
    WindowUpdated,
)


class TooMuch(Exception):
    """The other side has crossed a limit; the message says which."""


class Costs:
    """Counts what the other side makes us do for nothing: frames that ask for nothing, and streams that it resets.

    Both raise TooMuch when there were more than ``limits`` allow. ``clock`` gives seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._resets = TokenBucket(limits.HTTP2_RESETS_AT_ONCE, limits.HTTP2_RESETS_PER_SECOND, clock)
        self._idle = TokenBucket(limits.HTTP2_IDLE_FRAMES_AT_ONCE, limits.HTTP2_IDLE_FRAMES_PER_SECOND, clock)

    def other(self, event: Event) -> None:
        """Any event that is not of a stream: most of them ask for nothing."""
        if isinstance(event, _IDLE):
            self.idle()

    def idle(self) -> None:
        """A frame that asks for nothing."""
        if not self._idle.take():
            raise TooMuch("too many frames that ask for nothing")

    def reset(self) -> None:
        """A stream that a client reset, or made us reset."""
        if not self._resets.take():
            raise TooMuch("too many streams reset")


def client_connection(config: H2Configuration) -> H2Connection:
    """A client's end, to which nothing is pushed, with as many bytes of headers as ``limits`` allow."""
    connection = H2Connection(config)
    ours = {
        SettingCodes.ENABLE_PUSH: 0,
        SettingCodes.MAX_CONCURRENT_STREAMS: 0,
        SettingCodes.MAX_HEADER_LIST_SIZE: limits.HTTP_HEADERS,
    }
    connection.local_settings = Settings(client=True, initial_values=ours)
    connection.decoder.max_header_list_size = limits.HTTP_HEADERS
    return connection


def server_connection(config: H2Configuration) -> H2Connection:
    """A server's end, with as many streams and bytes of headers as ``limits`` allow."""
    connection = H2Connection(config)
    ours = {
        SettingCodes.MAX_CONCURRENT_STREAMS: limits.HTTP2_STREAMS,
        SettingCodes.MAX_HEADER_LIST_SIZE: limits.HTTP_HEAD,
        SettingCodes.ENABLE_CONNECT_PROTOCOL: 0,
    }
    connection.local_settings = Settings(client=False, initial_values=ours)
    # It would hold only once the client has acknowledged the settings.
    connection.decoder.max_header_list_size = limits.HTTP_HEAD
    return connection
