"""``handfast.info``: one way to ask what is known of a connection, whatever it is carried by."""

from __future__ import annotations

from handfast.connection_info import ConnectionInfo
from handfast.errors import ApiMisuse


def info(thing: object) -> ConnectionInfo:
    """What is known of a connection.

    ``thing``: a ``ClientConnection`` or ``ServerConnection``, a ``TLSSocket``, a transport of ``handfast.aio``, an
    ``asyncio.StreamWriter`` on one, or anything else whose ``get_extra_info`` leads there. Raises ApiMisuse
    bad_argument for what is not handfast's.
    """
    found = getattr(thing, "info", None)
    ask = getattr(thing, "get_extra_info", None)
    if not isinstance(found, ConnectionInfo) and callable(ask):
        found = ask("handfast")
    if not isinstance(found, ConnectionInfo):
        raise ApiMisuse("bad_argument", reason=f"{type(thing).__name__} is not a connection of handfast's")
    return found
