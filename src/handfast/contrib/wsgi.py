"""Who the peer is, in the environ of WSGI, under the names that Apache's mod_ssl made usual.

An identity is told of verified peers only: there is no SSL_CLIENT_S_DN that the verifier did not accept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias

from handfast.contrib.asgi import info_or_none
from handfast.x509 import pem
from handfast.x509.describe import describe

if TYPE_CHECKING:
    from handfast.engine import ConnectionInfo, VerifiedPeer

Environ: TypeAlias = "MutableMapping[str, Any]"
# Frameworks declare the two in types of their own.
Application: TypeAlias = "Callable[[Any, Any], Iterable[bytes]]"

# Where gunicorn and werkzeug, Flask's development server, put the connection.
_SOCKETS = ("gunicorn.socket", "werkzeug.socket")
_CLIENT = "SSL_CLIENT_"
_NAMES = {"DNS": "SAN_DNS", "email": "SAN_Email", "URI": "SAN_URI", "IP": "SAN_IP"}


def tls_environ(info: ConnectionInfo) -> dict[str, Any]:
    """The entries for a server's connection.

    HTTPS, SSL_PROTOCOL, SSL_CIPHER, SSL_TLS_SNI where the client sent one, SSL_SERVER_CERT where one was sent, and
    SSL_CLIENT_VERIFY: SUCCESS, NONE without a certificate, or FAILED:code. With SUCCESS alone: SSL_CLIENT_S_DN,
    SSL_CLIENT_I_DN, SSL_CLIENT_M_SERIAL, SSL_CLIENT_CERT, SSL_CLIENT_CERT_CHAIN_n, and SSL_CLIENT_SAN_DNS_n, _Email_n,
    _URI_n and _IP_n. ``handfast.info`` is the ConnectionInfo itself, in which an unverified chain is called that.
    """
    verified, peer = info.verified_peer, info.peer
    environ: dict[str, Any] = {
        "HTTPS": "on",
        "SSL_PROTOCOL": str(info.version).replace(" ", "v"),
        "SSL_CIPHER": str(info.suite),
        "handfast.info": info,
    }
    if info.server_name is not None:
        environ["SSL_TLS_SNI"] = info.server_name
    if info.own_chain:
        environ["SSL_SERVER_CERT"] = _pem(info.own_chain[0])
    if verified is not None:
        environ |= _identity(verified)
    else:
        environ[f"{_CLIENT}VERIFY"] = "NONE" if peer is None else f"FAILED:{peer.verdict.code or 'not_verified'}"
    return environ


def _identity(peer: VerifiedPeer) -> dict[str, str]:
    leaf, *others = peer.chain
    described = describe(leaf)
    found = {
        "VERIFY": "SUCCESS",
        "S_DN": described.subject,
        "I_DN": described.issuer,
        "M_SERIAL": described.serial_number.upper(),
        "CERT": _pem(leaf),
        **{f"CERT_CHAIN_{number}": _pem(certificate) for number, certificate in enumerate(others)},
    }
    for name in described.names:
        kind, _, value = name.partition(":")
        if kind in _NAMES:
            number = sum(1 for known in found if known.startswith(_NAMES[kind] + "_"))
            found[f"{_NAMES[kind]}_{number}"] = value
    return {_CLIENT + key: value for key, value in found.items()}


def _pem(certificate: bytes) -> str:
    return pem.encode(pem.CERTIFICATE, certificate).decode()


class TLSEnvironMiddleware:
    """Adds the entries of ``tls_environ`` under gunicorn and werkzeug; under others the environ stays as it is.

    What the environ says of a client's certificate already is replaced.
    """

    def __init__(self, app: Application) -> None:
        self._app = app

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        found = (info_or_none(environ[key]) for key in _SOCKETS if key in environ)
        info = next((info for info in found if info is not None), None)
        if info is not None and info.complete:
            for key in [key for key in environ if key.startswith(_CLIENT)]:
                del environ[key]
            environ.update(tls_environ(info))
        return self._app(environ, start_response)
