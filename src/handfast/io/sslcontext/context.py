"""``handfast.SSLContext``: what programs configure."""

from __future__ import annotations

import _ssl
import ssl
import threading
import warnings
from typing import TYPE_CHECKING, Any, Self

from handfast.errors import HandfastError
from handfast.fork import renew_in_children
from handfast.io.sslcontext import errors, hooks, loading, settings
from handfast.io.sslcontext.configs import Configs
from handfast.io.sslcontext.configured import Configured
from handfast.io.sslcontext.connection import TLSConnection
from handfast.io.sslcontext.setup import Setup
from handfast.io.sslcontext.store import Store
from handfast.io.sslcontext.transports import BioTransport, SocketTransport
from handfast.io.sslcontext.wrapped import SSLObject, SSLSocket
from handfast.lens.keylog import KeyLog

if TYPE_CHECKING:
    import socket
    from typing import TextIO

    from handfast.engine import ConnectionInfo
    from handfast.io.sslcontext.loading import Password
    from handfast.trust.roots import Roots

_COUNTED = (
    "number",
    "connect",
    "connect_good",
    "connect_renegotiate",
    "accept",
    "accept_good",
    "accept_renegotiate",
    "hits",
    "misses",
    "timeouts",
    "cache_full",
)


class SSLContext(Configured):
    """An ``ssl.SSLContext`` whose connections are handfast's.

    It has all that the stock class has, on every Python what newer ones have, and above that:

    Attributes:
        client_credentials, server_credentials: our identities, as ``ClientConfig`` and ``ServerConfig`` take them, in
            place of what ``load_cert_chain`` loaded. None for that.
        ca_names: DER names of the CAs that are named to the peer. None names none.
        client_auth: what is asked of clients, one of five modes; ``verify_mode`` has three.
        verifier: judges peers, in place of paths to what ``load_verify_locations`` loaded. It judges names too. Under
            CERT_NONE, where its verdict would count for nothing, a connection that is wrapped raises SSLError.
        observe: given the peer's address (None over memory buffers), makes the observers and secret sinks of a
            connection.

    What cannot be honoured raises ValueError when it is set.
    Connections keep the configuration that the context had when they were wrapped.
    """

    sslobject_class = SSLObject if hooks.asked() else hooks.BuiltSSLObject
    sslsocket_class = SSLSocket if sslobject_class is SSLObject else hooks.BuiltSSLSocket
    _store: Store
    _configs: Configs
    _counts: dict[str, int]
    _keylog: tuple[str, TextIO] | None

    def __new__(cls, protocol: int | None = None, *_args: Any, **_kwargs: Any) -> Self:
        """As ``ssl.SSLContext``; ValueError for a protocol older than TLS 1.2."""
        if protocol is None:
            words = "ssl.SSLContext() without protocol argument is deprecated."
            warnings.warn(words, category=DeprecationWarning, stacklevel=2)
            protocol = int(ssl.PROTOCOL_TLS)
        server, versions = settings.of_protocol(protocol)
        # The C module's context is what ``isinstance`` needs. Of it only its defaults are used, here.
        stock: Any = _ssl._SSLContext
        self: Self = stock.__new__(cls, protocol)
        self._told = settings.Settings(
            server,
            versions,
            # Some have it among their defaults, and then a cut connection looks like an end in order. RFC 9846 6.1.
            stock.options.__get__(self) & ~settings.OP_IGNORE_UNEXPECTED_EOF,
            stock.verify_flags.__get__(self),
            verify_mode=ssl.CERT_REQUIRED if server is False else ssl.CERT_NONE,
            check_hostname=server is False,
            minimum_version=ssl.TLSVersion(stock.minimum_version.__get__(self)),
        )
        self._protocol = ssl._SSLMethod(protocol)
        self._store = Store()
        self._configs = Configs()
        self._generation = 0
        self._counts = dict.fromkeys(_COUNTED, 0)
        self._keylog = None
        renew_in_children(self, _lock=threading.RLock)
        return self

    def __del__(self) -> None:
        """Close the key log."""
        keylog = getattr(self, "_keylog", None)
        if keylog is not None:
            keylog[1].close()

    # Connections

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """As ``ssl.SSLContext.wrap_bio``; ValueError without a name under ``check_hostname``, which stock lets pass."""
        return super().wrap_bio(*args, **kwargs)

    def _wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool,
        server_hostname: str | None = None,
        *,
        owner: object = None,
        session: Any = None,
    ) -> TLSConnection:
        """Called by ``ssl.SSLObject`` for what stands behind it."""
        return self._wrapped(BioTransport(incoming, outgoing), server_side, server_hostname, owner, session)

    def _wrap_socket(
        self,
        sock: socket.socket,
        server_side: bool,
        server_hostname: str | None = None,
        *,
        owner: object = None,
        session: Any = None,
    ) -> TLSConnection:
        """Called by ``ssl.SSLSocket`` for what stands behind it."""
        return self._wrapped(SocketTransport(sock), server_side, server_hostname, owner, session)

    def _wrapped(
        self,
        transport: BioTransport | SocketTransport,
        server_side: bool,
        server_hostname: str | None,
        owner: object,
        session: Any,
    ) -> TLSConnection:
        role = self._told.server
        if role is not None and role != bool(server_side):
            which = "SERVER" if role else "CLIENT"
            words = f"Cannot create a {'client' if role else 'server'} socket with a PROTOCOL_TLS_{which} context"
            raise ssl.SSLError(0, words)
        # Newer ssl modules say it over buffers as over sockets; older ones took both there and used neither.
        for name, value in (("server_hostname", server_hostname), ("session", session)):
            if server_side and value is not None:
                raise ValueError(f"{name} can only be specified in client mode")
        if server_hostname is not None and (not server_hostname or server_hostname.startswith(".")):
            raise ValueError("server_hostname cannot be an empty string or start with a leading dot.")
        if server_hostname is not None and "\0" in server_hostname:
            raise TypeError("embedded null character")
        if self._told.check_hostname and not server_side and not server_hostname:
            raise ValueError("check_hostname requires server_hostname")
        return TLSConnection(
            self,
            transport,
            server_side=server_side,
            server_hostname=server_hostname,
            owner=owner,
            session=session,
        )

    def _setup(self, server_side: bool) -> Setup:
        """What a connection that is wrapped now starts with. Raises SSLError where the settings contradict."""
        with self._lock:
            make = self._configs.server if server_side else self._configs.client
            try:
                config = make(self._told, self._store, (self._generation, self._store.generation))
            except HandfastError as error:
                raise errors.of_connection(error, None, None) from error
            return Setup(
                config,
                observe=self._told.observe,
                secret_sinks=() if self._keylog is None else (KeyLog(self._write_keylog),),
                sni_callback=self._told.sni_callback if server_side else None,
                post_handshake_auth=self._told.post_handshake_auth and server_side,
                names_count=self._told.check_hostname or self._told.verifier is not None,
                count=self._count,
            )

    def _count(self, info: ConnectionInfo) -> None:
        """Count a handshake, and note which CAs of directories it needed."""
        kind = "accept" if info.role.name == "SERVER" else "connect"
        with self._lock:
            self._counts[kind] += 1
            self._counts[f"{kind}_good"] += 1
            self._counts["hits"] += info.resumed
        peer = info.verified_peer
        if peer is not None:
            self._store.note_path(peer.verdict.path)

    # Identity and trust

    def load_cert_chain(self, certfile: Any, keyfile: Any = None, password: Password = None) -> None:
        """Our certificate chain and its key: names of files, or their contents, or objects of ``cryptography``.

        PEM, DER and PKCS#12 are understood; ``keyfile`` may be a ``pkcs11:`` URI, and ``password`` the token's PIN. A
        second key of the same kind takes the first one's place. Raises as the stock method does.
        """
        loaded = loading.credentials(certfile, keyfile, password)
        kept = [one for one in self._told.loaded if one.public_key.kind != loaded.public_key.kind]
        self._tell(loaded=[*kept, loaded])

    def load_verify_locations(self, cafile: Any = None, capath: Any = None, cadata: Any = None) -> None:
        """Trust CAs, and look up revocation lists: as the stock method, which also says what it raises.

        ``capath`` is looked up at each judgement: what is put there later counts. ValueError after ``freeze_trust``.
        """
        with self._lock:
            self._store.load(cafile, capath, cadata)

    def load_default_certs(self, purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH) -> None:
        """Trust the system's roots, or those that the environment names."""
        if not isinstance(purpose, ssl._ASN1Object):
            raise TypeError(purpose)
        self.set_default_verify_paths()

    def set_default_verify_paths(self) -> None:
        """As ``load_default_certs``."""
        with self._lock:
            self._store.load_defaults()

    def add_roots(self, roots: Roots) -> None:
        """Trust all of ``roots``."""
        with self._lock:
            self._store.add(roots)

    def freeze_trust(self) -> None:
        """Let nothing more be trusted: loading roots raises ValueError from now on.

        requests loads some hundred public CAs into whatever context it is given; a client that is to trust a private
        CA alone would then trust those as well. What is put into directories that were loaded before still counts.
        """
        with self._lock:
            self._store.frozen = True

    def get_ca_certs(self, binary_form: bool = False) -> list[Any]:
        """As the stock method."""
        with self._lock:
            return self._store.ca_certs(binary_form)

    def cert_store_stats(self) -> dict[str, int]:
        """As the stock method."""
        with self._lock:
            return self._store.stats()

    def session_stats(self) -> dict[str, int]:
        """As the stock method; ``hits`` are sessions that were resumed. Misses and timeouts are not counted."""
        with self._lock:
            return dict(self._counts)

    @property  # type: ignore[override]
    def keylog_filename(self) -> str | None:
        """The file that every connection's secrets are appended to, RFC 9850; None for none."""
        return None if self._keylog is None else self._keylog[0]

    @keylog_filename.setter
    def keylog_filename(self, value: Any) -> None:
        with self._lock:
            opened = None if value is None else _open_keylog(value)
            before, self._keylog = self._keylog, None if opened is None else (value, opened)
            if before is not None:
                before[1].close()

    def _write_keylog(self, line: str) -> None:
        with self._lock:
            if self._keylog is not None:
                self._keylog[1].write(line)


def _open_keylog(name: Any) -> TextIO:
    """The file, to which the stock class writes a line that says what it is if it is new."""
    import os

    file = open(os.fsdecode(name), "a", encoding="ascii", buffering=1)  # noqa: SIM115 (the context closes it)
    if not os.fstat(file.fileno()).st_size:
        file.write("# TLS secrets log file, generated by OpenSSL / Python\n")
    return file
