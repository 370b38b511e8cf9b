"""``handfast.create_default_context``: the one builder of contexts."""

from __future__ import annotations

import os
import ssl
import sys
from typing import TYPE_CHECKING, Any

from handfast.errors import ConfigError
from handfast.io.sslcontext import loading
from handfast.io.sslcontext.context import SSLContext
from handfast.io.sslcontext.errors import of_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handfast.config.config import ClientAuth, ClientAuthWord
    from handfast.io.sslcontext.loading import CertificateSource, KeySource, Password
    from handfast.trust.roots import Roots

PARTIAL_CHAIN = 0x80000


def create_default_context(
    purpose: ssl.Purpose | CertificateSource | Roots = ssl.Purpose.SERVER_AUTH,
    *,
    cafile: CertificateSource | Roots | None = None,
    capath: Any = None,
    cadata: Any = None,
    certificate: CertificateSource | None = None,
    key: KeySource | None = None,
    password: Password = None,
    alpn: Iterable[str] = (),
    client_auth: ClientAuth | ClientAuthWord | None = None,
) -> SSLContext:
    """A context with the settings of ``ssl.create_default_context``, all files in any shape.

    Args:
        purpose: ``ssl.Purpose.SERVER_AUTH`` for a client, ``ssl.Purpose.CLIENT_AUTH`` for a server. Anything else is a
            client's ``cafile``.
        cafile: the CAs to trust: a name of a file or directory, the file's contents, a certificate of ``cryptography``
            or several of these, or ``handfast.Roots``. Without it, ``capath`` and ``cadata`` a client trusts the
            system's; a server asks for no client certificate until ``client_auth`` or ``verify_mode`` says so.
        certificate, key, password: our own, as ``SSLContext.load_cert_chain`` takes them; a ``pkcs11:`` URI as ``key``.
        alpn: the protocols to speak (ALPN), most wanted first. client_auth: what a server asks of clients,
            as "require_and_verify".

    Raises what ``ssl`` raises for files: OSError, and SSLError with our explanation.
    """
    if not isinstance(purpose, ssl._ASN1Object):
        if cafile is not None:
            raise TypeError("cafile is given twice")
        purpose, cafile = ssl.Purpose.SERVER_AUTH, purpose  # type: ignore[assignment]
    if purpose not in (ssl.Purpose.SERVER_AUTH, ssl.Purpose.CLIENT_AUTH):
        raise ValueError(purpose)
    server = purpose == ssl.Purpose.CLIENT_AUTH
    context = SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    if sys.version_info >= (3, 13):
        context.verify_flags |= ssl.VERIFY_X509_STRICT | PARTIAL_CHAIN
    _trust(context, cafile, capath, cadata, client=not server)
    if certificate is not None:
        context.load_cert_chain(certificate, key, password)
    elif key is not None:
        raise ValueError("certificate must be specified")
    if client_auth is not None:
        context.client_auth = client_auth
    if alpn:
        context.set_alpn_protocols(alpn)
    keylog = os.environ.get("SSLKEYLOGFILE")
    if keylog and not sys.flags.ignore_environment:
        context.keylog_filename = keylog
    return context


def _trust(context: SSLContext, cafile: Any, capath: Any, cadata: Any, *, client: bool) -> None:
    if cafile is not None:
        try:
            context.add_roots(loading.roots(cafile))
        except ConfigError as error:
            raise of_file(error) from error
    if capath is not None or cadata is not None:
        context.load_verify_locations(None, capath, cadata)
    elif cafile is None and client:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
