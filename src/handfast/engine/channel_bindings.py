"""Channel bindings: values that tie what an application says to the TLS connection that it says it on. RFC 5056.

``tls-exporter`` is a value of this connection alone. ``tls-unique`` was meant to be one in TLS 1.2, and is with the
extended main secret; TLS 1.3 has none. ``tls-server-end-point`` is one of the server's certificate, for those who stand
behind something that ends TLS for them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from handfast.errors import ApiMisuse
from handfast.keys.established import Established
from handfast.roles import Role

if TYPE_CHECKING:
    from handfast.connection_info import ConnectionInfo
    from handfast.keys.established12 import Established12

TLS_EXPORTER = "tls-exporter"
TLS_UNIQUE = "tls-unique"
TLS_SERVER_END_POINT = "tls-server-end-point"

EXPORTER_LABEL = "EXPORTER-Channel-Binding"
EXPORTER_LENGTH = 32


def of(kind: str, established: Established | Established12, info: ConnectionInfo) -> bytes:
    """The channel binding of this kind, which is not ``tls-exporter``. Raises ApiMisuse no_channel_binding."""
    if kind == TLS_UNIQUE:
        return unique(established)
    if kind != TLS_SERVER_END_POINT:
        raise ApiMisuse("no_channel_binding", kind=repr(kind), reason="it is not known")
    chain = info.peer_chain if info.role is Role.CLIENT else info.own_chain
    if not chain:
        raise ApiMisuse("no_channel_binding", kind=kind, reason="the server showed no certificate")
    return server_end_point(chain[0])


def unique(established: Established | Established12) -> bytes:
    """The Finished that was sent first, 12 bytes. RFC 5929 3.1.

    Raises ApiMisuse no_channel_binding in TLS 1.3, for which it is not defined (RFC 9266 1), and without the extended
    main secret, where somebody in the middle can give two connections the same (RFC 7627 1).
    """
    if isinstance(established, Established):
        raise ApiMisuse("no_channel_binding", kind=TLS_UNIQUE, reason="TLS 1.3 has none; tls-exporter takes its place")
    if not established.exporter.extended:
        reason = "without the extended main secret two connections can have the same"
        raise ApiMisuse("no_channel_binding", kind=TLS_UNIQUE, reason=reason)
    return established.first_finished


def server_end_point(certificate: bytes) -> bytes:
    """The hash of the server's certificate (DER), by the hash of that certificate's signature. RFC 5929 4.1.

    Raises ApiMisuse no_channel_binding where that signature has no hash of its own (Ed25519, Ed448, ML-DSA): the RFC
    defines no value then.
    """
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        algorithm = None
    if algorithm is None:
        reason = "RFC 5929 defines none for a certificate whose signature does not name one hash"
        raise ApiMisuse("no_channel_binding", kind=TLS_SERVER_END_POINT, reason=reason)
    name = "sha256" if algorithm.name in ("md5", "sha1") else algorithm.name.replace("-", "_")
    return hashlib.new(name, certificate).digest()
