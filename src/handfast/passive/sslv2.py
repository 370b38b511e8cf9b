"""A ClientHello in the framing of SSLv2, by which clients of the last century also spoke to servers of TLS.

RFC 5246 E.2.
"""

from __future__ import annotations

from struct import unpack_from

from handfast.wire.messages import ClientHello
from handfast.wire.parsing import parse_handshake

# The length before it.
HEADER = 2
_RANDOM = 32


def as_client_hello(body: bytes) -> ClientHello:
    """The ClientHello that it stands for: the suites that TLS knows, and the challenge as the random.

    ``body`` is what follows the length, and has been found to be whole.
    """
    version, suites, session, challenge = unpack_from("!HHHH", body, 1)
    at = 9
    kinds = [body[one : one + 3] for one in range(at, at + suites, 3)]
    known = tuple(int.from_bytes(kind[1:]) for kind in kinds if not kind[0])
    session_id = body[at + suites : at + suites + session][:_RANDOM]
    random = body[at + suites + session :][:challenge].rjust(_RANDOM, b"\0")
    hello = ClientHello(version, random, session_id, known or (0,), b"\0")
    raw = hello.encode()
    parsed = parse_handshake(raw)
    return parsed if isinstance(parsed, ClientHello) else hello
