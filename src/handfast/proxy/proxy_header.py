"""The header of PROXY protocol version 2: who the client is, told a backend before the client's first byte.

By HAProxy's specification (proxy-protocol.txt, sections 2.2 and 2.2.6 for SSL). Addresses are those of the client's
connection to us. What speaks of the client's certificate is there for a verified client only; for all others the verify
result is not zero, whatever they have shown.
"""

from __future__ import annotations

import socket
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from handfast.proxy.settings import ProxyProtocol

if TYPE_CHECKING:
    from handfast.connection_info import ConnectionInfo, VerifiedPeer
    from handfast.proxy.client import Client

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
# Version 2, on behalf of a client.
_PROXY = 0x21
_TCP4, _TCP6, _UNIX_STREAM = 0x11, 0x21, 0x31
_UNIX_PATH = 108

_ALPN, _AUTHORITY, _SSL = 0x01, 0x02, 0x20
_VERSION, _COMMON_NAME, _CIPHER, _SIGNATURE_HASH, _KEY, _GROUP, _SCHEME, _CERTIFICATE = range(0x21, 0x29)
# It came by TLS; with a certificate on this connection; with one on this session, which may have been resumed.
_CLIENT_SSL, _CERT_CONN, _CERT_SESS = 0x01, 0x02, 0x04
_VERIFIED, _NOT_VERIFIED = 0, 1


def header_for(client: Client, form: ProxyProtocol) -> bytes:
    """The header for this client: its addresses, and with TLS what ``form`` says."""
    family, addresses = _addresses(client.address, client.bound)
    told = b""
    if client.info is not None and form is not ProxyProtocol.ADDRESSES:
        cipher = client.transport.get_extra_info("cipher")
        told = _tls(client.info, cipher, certificate=form is ProxyProtocol.CERTIFICATE)
    body = addresses + told
    return SIGNATURE + struct.pack(">BBH", _PROXY, family, len(body)) + body


def _addresses(client: Any, bound: Any) -> tuple[int, bytes]:
    """The family with its protocol, and both addresses."""
    if not isinstance(client, tuple) or not isinstance(bound, tuple):
        return _UNIX_STREAM, b"".join(_path(address) for address in (client, bound))
    hosts = [address[0].partition("%")[0] for address in (client, bound)]
    kind, family = (socket.AF_INET6, _TCP6) if ":" in hosts[0] else (socket.AF_INET, _TCP4)
    packed = b"".join(socket.inet_pton(kind, host) for host in hosts)
    return family, packed + struct.pack(">HH", client[1], bound[1])


def _path(address: Any) -> bytes:
    path = address if isinstance(address, bytes) else str(address or "").encode("utf-8", "surrogateescape")
    return path[:_UNIX_PATH].ljust(_UNIX_PATH, b"\0")


def _tls(info: ConnectionInfo, cipher: tuple[str, str, int], *, certificate: bool) -> bytes:
    """What was negotiated, and who the client is if that was verified."""
    suite, version, _ = cipher
    peer = info.verified_peer
    flags = _CLIENT_SSL
    if peer is not None:
        flags |= _CERT_SESS if info.resumed else _CERT_CONN | _CERT_SESS
    parts = [
        struct.pack(">BI", flags, _NOT_VERIFIED if peer is None else _VERIFIED),
        _tlv(_VERSION, version.encode()),
        *(_identity(peer, certificate=certificate) if peer is not None else ()),
        _tlv(_CIPHER, suite.encode()),
        *_own_certificate(info),
        *(() if info.group is None else (_tlv(_GROUP, str(info.group).encode()),)),
        *(() if info.own_scheme is None else (_tlv(_SCHEME, str(info.own_scheme).encode()),)),
    ]
    return b"".join(
        (
            *(() if info.application_protocol is None else (_tlv(_ALPN, info.application_protocol.encode()),)),
            *(() if info.server_name is None else (_tlv(_AUTHORITY, info.server_name.encode()),)),
            _tlv(_SSL, b"".join(parts)),
        )
    )


def _identity(peer: VerifiedPeer, *, certificate: bool) -> tuple[bytes, ...]:
    from handfast.x509.certificates import parse

    names = parse(peer.chain[0]).names.common_names
    # Of several common names none is said to be the one.
    named = (_tlv(_COMMON_NAME, names[0].encode("utf-8", "replace")),) if len(names) == 1 else ()
    return (*named, _tlv(_CERTIFICATE, peer.chain[0])) if certificate else named


def _own_certificate(info: ConnectionInfo) -> tuple[bytes, ...]:
    """How the certificate that we showed is signed, and its key; nothing where a session was resumed."""
    if not info.own_chain:
        return ()
    signature_hash, key = _algorithms(info.own_chain[0])
    return _tlv(_SIGNATURE_HASH, signature_hash.encode()), _tlv(_KEY, key.encode())


@lru_cache(maxsize=16)
def _algorithms(certificate: bytes) -> tuple[str, str]:
    """The hash and the key as HAProxy names them: SHA256, RSA2048, EC256."""
    from handfast.x509.certificates import parse

    parsed = parse(certificate).certificate
    hashed = parsed.signature_hash_algorithm
    key = parsed.public_key()
    kind = type(key).__name__.rpartition(".")[2].removesuffix("PublicKey").upper()
    words = f"{kind}{getattr(key, 'key_size', '')}"
    return (words if hashed is None else hashed.name.upper()), words


def _tlv(kind: int, value: bytes) -> bytes:
    return struct.pack(">BH", kind, len(value)) + value
