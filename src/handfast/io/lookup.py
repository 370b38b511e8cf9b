"""``handfast.info``: one way to ask what is known of a connection, whatever it is carried by."""

from __future__ import annotations

from handfast.connection_info import ConnectionInfo
from handfast.errors import ApiMisuse


def info(thing: object) -> ConnectionInfo:
    """What is known of a connection.

    ``thing``: a ``ClientConnection`` or ``ServerConnection``, a ``TLSSocket``, an ``SSLSocket`` or ``SSLObject`` that a
    ``handfast.SSLContext`` made, a transport of ``handfast.aio`` or of an event loop that was given such a context, an
    ``asyncio.StreamWriter`` on one, or anything else whose ``get_extra_info`` leads there. Raises ApiMisuse
    bad_argument for what is not handfast's.
    """
    found = _info_of(thing)
    ask = getattr(thing, "get_extra_info", None)
    for name in ("handfast", "ssl_object") if found is None and callable(ask) else ():
        answer = ask(name)  # type: ignore[misc]
        found = found or (answer if isinstance(answer, ConnectionInfo) else _info_of(answer))
    if found is None:
        raise ApiMisuse("bad_argument", reason=f"{type(thing).__name__} is not a connection of handfast's")
    return found


def _info_of(thing: object) -> ConnectionInfo | None:
    # What stands behind an SSLObject or SSLSocket is ours if a context of ours made it.
    for one in (thing, getattr(thing, "_sslobj", None)):
        found = getattr(one, "info", None)
        if isinstance(found, ConnectionInfo):
            return found
    return None
