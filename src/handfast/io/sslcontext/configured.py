"""What a context is told: the setters of ``ssl.SSLContext``, and ours above them."""

from __future__ import annotations

import operator
import ssl
import threading
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from handfast import limits
from handfast.config.config import ClientAuth
from handfast.credentials.signers import awaits_always
from handfast.errors import ConfigError
from handfast.io.sslcontext import ciphers, settings
from handfast.io.sslcontext.configs import VERIFY_MODES
from handfast.words import mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from handfast.config.config import ClientAuthWord, CredentialSource
    from handfast.credentials.credentials import Credentials
    from handfast.io.arguments import ObserverFactory
    from handfast.trust.verifiers import Verifier

# What the stock class makes of a version that it was given.
_ALIASES = {ssl.TLSVersion.MAXIMUM_SUPPORTED: ssl.TLSVersion.TLSv1_3}


def _checked(
    credentials: Sequence[Credentials] | CredentialSource | None,
) -> Sequence[Credentials] | CredentialSource | None:
    """ValueError for a signer that must be awaited, as far as it is known already."""
    for one in () if credentials is None or callable(credentials) else credentials:
        signer = one.current.signer
        if awaits_always(signer, signer.sign):
            raise ValueError("handfast.SSLContext cannot await a signer: its callers do not await. Use handfast.aio")
    return credentials


def _check_lists(verifier: Verifier | None, flags: int) -> None:
    """ValueError for a verifier of the program's beside flags that want the store's revocation lists looked at."""
    if verifier is not None and flags & (settings.CRL_CHECK | settings.CRL_CHECK_ALL):
        raise ValueError(
            "handfast.SSLContext: VERIFY_CRL_CHECK_LEAF and VERIFY_CRL_CHECK_CHAIN are of the context's own store,"
            " whose place a verifier takes: give that one the lists, as handfast.PathVerifier(roots, crls=...)"
        )


class Configured(ssl.SSLContext):
    """The part of ``SSLContext`` that is about settings; it is never made by itself."""

    _lock: threading.RLock
    _told: settings.Settings
    _protocol: int
    _generation: int

    @abstractmethod
    def _setup(self, server_side: bool) -> Any:
        """What a connection that is wrapped now starts with."""

    def _tell(self, **told: Any) -> None:
        """Change settings; connections that are wrapped from now on are made anew of them."""
        with self._lock:
            if any(getattr(self._told, name) != value for name, value in told.items()):
                for name, value in told.items():
                    setattr(self._told, name, value)
                self._generation += 1

    # What is spoken

    def set_ciphers(self, ciphers_: str, /) -> None:
        """The suites of TLS 1.2, as OpenSSL's cipher strings name them. SSLError where nothing spoken is left."""
        if not isinstance(ciphers_, str):
            raise TypeError(f"set_ciphers() argument must be str, not {type(ciphers_).__name__}")
        self._tell(suites_12=ciphers.suites_12(ciphers_))

    def set_ciphersuites(self, ciphersuites: str, /) -> None:
        """The suites of TLS 1.3, by their names, most wanted first, with colons between."""
        self._tell(suites_13=ciphers.suites_13(ciphersuites))

    def get_ciphers(self) -> list[Any]:
        """As the stock method."""
        return ciphers.listed((*self._told.suites_13, *self._told.suites_12))

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """As the stock method."""
        names = tuple(alpn_protocols)
        for name in names:
            encoded = bytes(name, "ascii")
            if not 1 <= len(encoded) <= 255:
                raise ssl.SSLError("ALPN protocols must be 1 to 255 in length")
        self._tell(application_protocols=names)

    def set_npn_protocols(self, npn_protocols: Iterable[str]) -> None:
        """ValueError: NPN was replaced by ALPN."""
        raise ValueError("handfast does not speak NPN, which ALPN replaced: use set_alpn_protocols")

    def set_ecdh_curve(self, name: str | bytes, /) -> None:
        """The one group for the key exchange."""
        if not isinstance(name, str | bytes):
            raise TypeError(f"set_ecdh_curve() argument must be str or bytes, not {type(name).__name__}")
        text = name.decode("ascii", "replace") if isinstance(name, bytes) else name
        try:
            group = ciphers.groups(text)
        except ValueError:
            raise ValueError(f"unknown elliptic curve name {text!r}") from None
        self._tell(groups=group)

    def set_groups(self, groups: str, /) -> None:
        """The groups for the key exchange, most wanted first, with colons between."""
        self._tell(groups=ciphers.groups(groups))

    def get_groups(self, *, include_aliases: bool = False) -> list[str]:
        """The names of the groups, most wanted first."""
        return ciphers.names_of_groups(self._told.groups)

    def set_client_sigalgs(self, sigalgs: str, /) -> None:
        """What a client may sign with, most wanted first, with colons between: a server names and accepts these.

        Where it is not set, what ``set_server_sigalgs`` set holds for both.
        """
        self._tell(client_schemes=ciphers.schemes(sigalgs))

    def set_server_sigalgs(self, sigalgs: str, /) -> None:
        """What a server may sign with, most wanted first, with colons between: a client offers and accepts these."""
        self._tell(server_schemes=ciphers.schemes(sigalgs))

    @property
    def _msg_callback(self) -> None:
        """None; setting it raises ValueError: it is private in ssl, and ``observe`` tells more."""
        return None

    @_msg_callback.setter
    def _msg_callback(self, callback: Any) -> None:
        raise ValueError("handfast.SSLContext has no _msg_callback: use observe")

    def load_dh_params(self, path: Any, /) -> None:
        """ValueError: key exchange over finite fields is not spoken."""
        raise ValueError("handfast does not speak finite-field Diffie-Hellman: leave load_dh_params out")

    def set_psk_client_callback(self, callback: Any) -> None:
        """ValueError: external pre-shared keys are not offered here."""
        raise ValueError("handfast.SSLContext has no external pre-shared keys")

    def set_psk_server_callback(self, callback: Any, identity_hint: Any = None) -> None:
        """ValueError: external pre-shared keys are not taken here."""
        raise ValueError("handfast.SSLContext has no external pre-shared keys")

    # Properties of the stock class

    @property
    def protocol(self) -> Any:  # type: ignore[override]
        """As given."""
        return self._protocol

    @property
    def security_level(self) -> int:  # type: ignore[override]
        """2: nothing below 112 bits is spoken or accepted."""
        return ciphers.SECURITY_LEVEL

    @property  # type: ignore[override]
    def verify_mode(self) -> ssl.VerifyMode:
        """As in the stock class; under a ``client_auth`` of ours the mode that comes nearest."""
        mode = self._told.client_auth
        return self._told.verify_mode if mode is None else VERIFY_MODES[mode]

    @verify_mode.setter
    def verify_mode(self, value: Any) -> None:
        try:
            mode = ssl.VerifyMode(operator.index(value))
        except ValueError:
            raise ValueError("invalid value for verify_mode") from None
        if mode is ssl.CERT_NONE and self._told.check_hostname:
            raise ValueError("Cannot set verify_mode to CERT_NONE when check_hostname is enabled.")
        self._tell(verify_mode=mode, client_auth=None)

    @property
    def check_hostname(self) -> bool:
        """As in the stock class."""
        return self._told.check_hostname

    @check_hostname.setter
    def check_hostname(self, value: Any) -> None:
        mode = self._told.verify_mode
        self._tell(
            check_hostname=bool(value), verify_mode=ssl.CERT_REQUIRED if value and mode is ssl.CERT_NONE else mode
        )

    @property
    def hostname_checks_common_name(self) -> bool:
        """Whether a server's certificate without names in subjectAltName is matched by its common name."""
        return self._told.hostname_checks_common_name

    @hostname_checks_common_name.setter
    def hostname_checks_common_name(self, value: Any) -> None:
        self._tell(hostname_checks_common_name=bool(value))

    @property  # type: ignore[override]
    def minimum_version(self) -> ssl.TLSVersion:
        """The lowest version that may be spoken; below TLS 1.2 none is, whatever this says."""
        return self._told.minimum_version

    @minimum_version.setter
    def minimum_version(self, value: Any) -> None:
        self._check_versions_can_be_set()
        version = settings.checked_version(value, maximum=False)
        self._tell(minimum_version=_ALIASES.get(version, version))

    @property  # type: ignore[override]
    def maximum_version(self) -> ssl.TLSVersion:
        """The highest version that may be spoken; ValueError for one below TLS 1.2."""
        return self._told.maximum_version

    @maximum_version.setter
    def maximum_version(self, value: Any) -> None:
        self._check_versions_can_be_set()
        version = settings.checked_version(value, maximum=True)
        if version is ssl.TLSVersion.MINIMUM_SUPPORTED:
            version = ssl.TLSVersion.TLSv1_2
        self._tell(maximum_version=ssl.TLSVersion.MAXIMUM_SUPPORTED if version == ssl.TLSVersion.TLSv1_3 else version)

    def _check_versions_can_be_set(self) -> None:
        if self._protocol not in (ssl.PROTOCOL_TLS, ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER):
            raise ValueError("The context's protocol doesn't support modification of highest and lowest version.")

    @property  # type: ignore[override]
    def options(self) -> ssl.Options:
        """As in the stock class; ValueError for what cannot be honoured."""
        return ssl.Options(self._told.options)

    @options.setter
    def options(self, value: Any) -> None:
        self._tell(options=settings.checked_options(value, self._told.options))

    @property  # type: ignore[override]
    def verify_flags(self) -> ssl.VerifyFlags:
        """As in the stock class; ValueError for what cannot be honoured."""
        return ssl.VerifyFlags(self._told.verify_flags)

    @verify_flags.setter
    def verify_flags(self, value: Any) -> None:
        flags = settings.checked_flags(value)
        _check_lists(self._told.verifier, flags)
        self._tell(verify_flags=flags)

    @property
    def post_handshake_auth(self) -> bool:
        """As in the stock class."""
        return self._told.post_handshake_auth

    @post_handshake_auth.setter
    def post_handshake_auth(self, value: Any) -> None:
        self._tell(post_handshake_auth=bool(value))

    @property
    def num_tickets(self) -> int:
        """How many tickets a server sends on each connection of TLS 1.3; ValueError for more than 8.

        TLS 1.2, to which the number of ``ssl`` does not apply, has one at most, and with 0 none: nothing is resumed.
        """
        return self._told.num_tickets

    @num_tickets.setter
    def num_tickets(self, value: Any) -> None:
        if self._protocol != ssl.PROTOCOL_TLS_SERVER:
            raise ValueError("SSLContext is not a server context.")
        value = operator.index(value)
        if not 0 <= value <= limits.MAX_TICKETS_SENT:
            reason = "value must be non-negative" if value < 0 else f"at most {limits.MAX_TICKETS_SENT} are sent"
            raise ValueError(reason)
        self._tell(num_tickets=value)

    @property  # type: ignore[override]
    def sni_callback(self) -> Callable[[Any, str | None, Any], int | None] | None:
        """As in the stock class."""
        return self._told.sni_callback

    @sni_callback.setter
    def sni_callback(self, value: Any) -> None:
        if self._protocol == ssl.PROTOCOL_TLS_CLIENT:
            raise ValueError("sni_callback cannot be set on TLS_CLIENT context")
        if value is not None and not callable(value):
            raise TypeError("not a callable object")
        self._tell(sni_callback=value)

    # Above the stock class

    @property
    def client_credentials(self) -> Sequence[Credentials] | CredentialSource | None:
        """See the class."""
        return self._told.client_credentials

    @client_credentials.setter
    def client_credentials(self, value: Sequence[Credentials] | CredentialSource | None) -> None:
        self._tell(client_credentials=_checked(value))

    @property
    def server_credentials(self) -> Sequence[Credentials] | CredentialSource | None:
        """See the class."""
        return self._told.server_credentials

    @server_credentials.setter
    def server_credentials(self, value: Sequence[Credentials] | CredentialSource | None) -> None:
        self._tell(server_credentials=_checked(value))

    @property
    def ca_names(self) -> Sequence[bytes] | None:
        """See the class."""
        return self._told.ca_names

    @ca_names.setter
    def ca_names(self, value: Sequence[bytes] | None) -> None:
        self._tell(ca_names=None if value is None else tuple(value))

    @property
    def client_auth(self) -> ClientAuth | None:
        """See the class; None where ``verify_mode`` says it."""
        return self._told.client_auth

    @client_auth.setter
    def client_auth(self, value: ClientAuth | ClientAuthWord | None) -> None:
        if self._told.server is False:
            raise ValueError("client_auth is a server's")
        try:
            self._tell(client_auth=None if value is None else mode("client_auth", value, ClientAuth))
        except ConfigError as error:
            raise ValueError(f"handfast.ClientAuth: {error.what}; {error.hint}") from None

    @property
    def verifier(self) -> Verifier | None:
        """See the class."""
        return self._told.verifier

    @verifier.setter
    def verifier(self, value: Verifier | None) -> None:
        if value is not None and (isinstance(value, type) or not callable(getattr(value, "verify", None))):
            raise TypeError(f"a verifier has a method verify, and {value!r} has none")
        if value is not None and awaits_always(value, value.verify):
            raise ValueError("handfast.SSLContext cannot await a verifier: its callers do not await. Use handfast.aio")
        _check_lists(value, self._told.verify_flags)
        self._tell(verifier=value)

    @property
    def observe(self) -> ObserverFactory | None:
        """See the class."""
        return self._told.observe

    @observe.setter
    def observe(self, value: ObserverFactory | None) -> None:
        if value is not None and not callable(value):
            raise TypeError("observe is a function of the peer's address")
        self._tell(observe=value)
