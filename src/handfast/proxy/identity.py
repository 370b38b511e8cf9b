"""Who the client is, in headers for a backend; and which headers would say so if a client sent them itself.

A backend can believe such a header for one reason only: the proxy takes out every one that comes from a client, in each
spelling that a backend might read as the same name, whichever forms are in use. ``claims_identity`` decides that.

The forms are told for a client whose certificate was verified, and for no other. ``X-SSL-Client-Verify`` is the one
exception: like nginx's variable it is always there, and says NONE or FAILED where there is nothing to believe.

RFC 9440 and, of the others, what Envoy and nginx document.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes

from handfast import limits
from handfast.proxy.settings import IdentityForm
from handfast.x509 import pem
from handfast.x509.certificates import Malformed, parse
from handfast.x509.distinguished_names import rfc4514_ascii

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from handfast.connection_info import ConnectionInfo, VerifiedPeer

Fields = list[tuple[bytes, bytes]]

# A name as the least careful backend reads it: CGI, WSGI and their like see no difference between "-", "_" and, in some
# servers, any other mark.
_FOLDED = bytes(ord("-") if not chr(byte).isalnum() or byte > 0x7F else ord(chr(byte).lower()) for byte in range(256))
# Whole names, and what begins with one: ours, and those by which other proxies and clouds tell a client's certificate,
# or whom they have let in.
_IDENTITY = (
    b"client-cert",  # RFC 9440
    b"x-client-cert",  # Google Cloud's load balancers
    b"x-forwarded",  # Envoy's -client-cert, Traefik's -tls-client-cert, and oauth2-proxy's -user
    b"x-ssl",  # nginx and HAProxy, as their documentation has it
    b"ssl",  # ingress-nginx, and Apache's variables
    b"x-tls",
    b"tls",
    b"x-mtls",
    b"client-verify",
    b"x-client-verify",
    b"x-client-dn",
    b"x-client-s-dn",
    b"x-client-subject",
    b"x-client-certificate",
    b"x-client-ssl",
    b"x-certificate",
    b"x-arr-clientcert",  # Azure
    b"x-amzn-mtls",  # AWS
    b"cf-client-cert",  # Cloudflare
    b"remote",  # CGI's REMOTE_USER and REMOTE_ADDR, where headers are taken for them; Authelia
    b"x-remote",  # Kubernetes' front proxy
    b"x-webauth",  # Grafana's
    b"x-auth-request",  # oauth2-proxy
)
_ENVOY_DELIMITERS = frozenset(',;="\\ ')


class IdentityTooLarge(Exception):
    """The client's certificate is larger than what a header may hold."""


def folded(name: bytes) -> bytes:
    """A header's name as the least careful reader has it: in lower case, and each mark a hyphen."""
    return name.translate(_FOLDED)


def claims_identity(name: bytes) -> bool:
    """Whether a backend might read a header of this name, in any spelling, as who the client is."""
    return is_or_extends(folded(name), _IDENTITY)


def is_or_extends(plain: bytes, names: Iterable[bytes]) -> bool:
    """Whether a name is one of these, or one with a hyphen and more behind it."""
    return any(plain == known or plain.startswith(known + b"-") for known in names)


def identity_fields(forms: Sequence[IdentityForm], info: ConnectionInfo | None) -> Fields:
    """The headers by which a backend is told who the client of this connection is.

    Reading a certificate costs, so this is for once in a connection. Raises IdentityTooLarge.
    """
    peer = None if info is None else info.verified_peer
    fields: Fields = []
    for form in forms:
        if form is IdentityForm.NGINX:
            fields.append((b"x-ssl-client-verify", _verify(info)))
        if peer is not None and info is not None:
            if len(peer.chain[0]) > limits.PROXY_CLIENT_CERT:
                raise IdentityTooLarge
            fields += _TOLD[form](peer, info)
    return fields


def _verify(info: ConnectionInfo | None) -> bytes:
    """nginx's $ssl_client_verify. The reason is a code of ours: a client's own words have no place here."""
    if info is None or info.peer is None:
        return b"NONE"
    if info.verified_peer is not None:
        return b"SUCCESS"
    return b"FAILED:" + (info.peer.verdict.code or "not_verified").encode()


def _rfc9440(peer: VerifiedPeer, _info: ConnectionInfo) -> Fields:
    """Client-Cert and Client-Cert-Chain; the chain, without the leaf, is left out where it is too long. RFC 9440 2."""
    fields = [(b"client-cert", _sf_bytes(peer.chain[0]))]
    rest = peer.chain[1:]
    if rest and sum(map(len, rest)) <= limits.PROXY_CLIENT_CHAIN:
        fields.append((b"client-cert-chain", b", ".join(map(_sf_bytes, rest))))
    return fields


def _sf_bytes(data: bytes) -> bytes:
    """A Byte Sequence of RFC 8941 3.3.5."""
    return b":" + b64encode(data) + b":"


def _xfcc(peer: VerifiedPeer, info: ConnectionInfo) -> Fields:
    """Envoy's x-forwarded-client-cert, one element. What is too long is left out: first Chain, then Cert."""
    leaf = peer.chain[0]
    parts = [f"By={_envoy(uri)}" for uri in (_names(info.own_chain[0])[1] if info.own_chain else ())]
    parts.append(f"Hash={sha256(leaf).hexdigest()}")
    room = limits.PROXY_CLIENT_CHAIN
    for name, certificates in (("Cert", (leaf,)), ("Chain", peer.chain)):
        text = f'{name}="{_escaped_pem(certificates)}"'
        if len(text) <= room:
            parts.append(text)
            room -= len(text)
    dns, uris = _names(leaf)
    parts.append(f'Subject="{_subject(leaf)}"')
    parts += [f"URI={_envoy(uri)}" for uri in uris]
    parts += [f"DNS={_envoy(name)}" for name in dns]
    return [(b"x-forwarded-client-cert", ";".join(parts).encode("ascii"))]


def _nginx(peer: VerifiedPeer, _info: ConnectionInfo) -> Fields:
    """What nginx's ssl_client variables hold, by the names that its users give them."""
    leaf = peer.chain[0]
    fields = [
        (b"x-ssl-client-cert", _escaped_pem((leaf,)).encode()),
        (b"x-ssl-client-s-dn", _subject(leaf).encode()),
    ]
    try:
        parsed = parse(leaf)
    except Malformed:
        return fields
    issuer = rfc4514_ascii(parsed.issuer)
    serial = f"{parsed.certificate.serial_number:X}"
    return [*fields, (b"x-ssl-client-i-dn", issuer.encode()), (b"x-ssl-client-serial", serial.encode())]


_TOLD = {IdentityForm.RFC9440: _rfc9440, IdentityForm.XFCC: _xfcc, IdentityForm.NGINX: _nginx}


def _escaped_pem(certificates: Iterable[bytes]) -> str:
    """PEM, percent-encoded but for what RFC 3986 calls unreserved, as by nginx's $ssl_client_escaped_cert."""
    return quote_from_bytes(b"".join(pem.encode(pem.CERTIFICATE, one) for one in certificates), safe="")


def _subject(certificate: bytes) -> str:
    try:
        return rfc4514_ascii(parse(certificate).subject)
    except Malformed:
        return ""


def _names(certificate: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The DNS names and URIs of a certificate."""
    try:
        names = parse(certificate).names
    except Malformed:
        return (), ()
    return names.dns, names.uri


def _envoy(text: str) -> str:
    """A value of an element, in quotes where a reader might take it for the end of one."""
    clean = "".join(
        one if "\x20" <= one <= "\x7e" else quote_from_bytes(one.encode(errors="surrogatepass")) for one in text
    )
    if not _ENVOY_DELIMITERS.isdisjoint(clean):
        return '"' + clean.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return clean
