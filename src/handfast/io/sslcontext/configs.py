"""From what a context was told to what a connection is told: one configuration per change, shared by connections."""

from __future__ import annotations

import copy
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from handfast import limits
from handfast.config.config import ClientAuth, ClientConfig, Config, ServerConfig
from handfast.crypto.signatures import SUPPORTED_SCHEMES
from handfast.errors import ConfigError, bad_option
from handfast.io.sslcontext import settings as known
from handfast.io.sslcontext.directories import LookingUp
from handfast.io.sslcontext.errors import ssl_error
from handfast.registry import AlertDescription
from handfast.sessions.tickets import SealedTickets
from handfast.trust.path.policy import POLICIES, PathPolicy
from handfast.trust.verifiers import PathVerifier

if TYPE_CHECKING:
    from handfast.io.sslcontext.directories import Found
    from handfast.io.sslcontext.settings import Settings
    from handfast.io.sslcontext.store import Store
    from handfast.trust.verifiers import Verifier

_C = TypeVar("_C", bound=Config)

_CLIENT_AUTH = {
    ssl.CERT_NONE: ClientAuth.NONE,
    ssl.CERT_OPTIONAL: ClientAuth.VERIFY_IF_GIVEN,
    ssl.CERT_REQUIRED: ClientAuth.REQUIRE_AND_VERIFY,
}
VERIFY_MODES = {
    ClientAuth.NONE: ssl.CERT_NONE,
    ClientAuth.REQUEST: ssl.CERT_OPTIONAL,
    ClientAuth.VERIFY_IF_GIVEN: ssl.CERT_OPTIONAL,
    ClientAuth.REQUIRE_ANY: ssl.CERT_REQUIRED,
    ClientAuth.REQUIRE_AND_VERIFY: ssl.CERT_REQUIRED,
}


class Configs:
    """The configurations of one context, made anew when something changed, and what outlives such changes."""

    def __init__(self) -> None:
        self._tickets = SealedTickets()
        self._made: dict[bool, tuple[object, Config]] = {}
        self._verifier: tuple[object, Verifier] | None = None

    def client(self, settings: Settings, store: Store, generation: object) -> ClientConfig:
        """For a client of these settings."""
        made = self._made.get(False)
        if made is None or made[0] != generation:
            made = self._made[False] = generation, self._new_client(settings, store)
        config = made[1]
        if not isinstance(config, ClientConfig):
            raise ssl_error("INTERNAL_ERROR")
        return config

    def server(self, settings: Settings, store: Store, generation: object) -> ServerConfig:
        """For a server of these settings."""
        made = self._made.get(True)
        if made is None or made[0] != generation:
            made = self._made[True] = generation, self._new_server(settings, store)
        config = made[1]
        if not isinstance(config, ServerConfig):
            raise ssl_error("INTERNAL_ERROR")
        return config

    def _new_client(self, settings: Settings, store: Store) -> ClientConfig:
        _check_verifier(settings, asks=settings.verify_mode != ssl.CERT_NONE)
        own = settings.client_credentials
        config = ClientConfig(
            **_shared(settings),
            schemes=settings.server_schemes or SUPPORTED_SCHEMES,
            signing_schemes=settings.client_schemes or settings.server_schemes,
            credentials=store.completed(settings.loaded) if own is None else own,
            verifier=self.verifier(settings, store),
            enforce_verdict=settings.verify_mode != ssl.CERT_NONE,
            post_handshake_auth=settings.post_handshake_auth and known.TLS13 in settings.versions(),
        )
        # What copies of it share must be there before it is copied.
        _ = config.hellos, config.own_id, config.enabled_suites, config.first_groups
        return config

    def _new_server(self, settings: Settings, store: Store) -> ServerConfig:
        own = settings.server_credentials
        credentials: Any = store.completed(settings.loaded) if own is None else own
        mode = settings.client_auth or _CLIENT_AUTH[settings.verify_mode]
        _check_verifier(settings, asks=mode is not ClientAuth.NONE)
        with_tickets = not settings.options & known.OP_NO_TICKET
        config = ServerConfig(
            **_shared(settings),
            schemes=settings.client_schemes or settings.server_schemes or SUPPORTED_SCHEMES,
            signing_schemes=settings.server_schemes,
            # A context that waits for a callback to choose another one has none, and refuses with an alert without it.
            credentials=credentials or _no_credentials,
            verifier=self.verifier(settings, store) if mode is not ClientAuth.NONE else None,
            client_auth=mode,
            require_application_protocol=False,
            tickets=self._tickets if with_tickets else None,
            ticket_count=settings.num_tickets if with_tickets else limits.TICKETS_PER_CONNECTION,
        )
        _ = config.negotiations, config.requests, config.own_id, config.enabled_suites
        return config

    def verifier(self, settings: Settings, store: Store) -> Verifier:
        """Who judges peers: the program's own, or paths to the store's roots by OpenSSL's rules."""
        if settings.verifier is not None:
            return settings.verifier
        flags = settings.verify_flags
        # A server checks no name of its clients.
        asks = settings.check_hostname, settings.hostname_checks_common_name, flags
        key = (*asks, store.generation)
        if self._verifier is None or self._verifier[0] != key:
            self._verifier = key, _path_verifier(*asks, store)
        return self._verifier[1]


def _check_verifier(settings: Settings, *, asks: bool) -> None:
    """ConfigError for a verifier of the program's whose verdict would count for nothing."""
    if settings.verifier is not None and not asks:
        advice = "set verify_mode = ssl.CERT_REQUIRED, or client_auth, or verifier = None"
        raise bad_option("verifier", "verify_mode is CERT_NONE, so its verdict would count for nothing", advice)


def _no_credentials(_hello: object) -> NoReturn:
    """In place of certificates that a server does not have: the client is told as OpenSSL tells it."""
    error = ConfigError("no_credentials")
    error.alert = AlertDescription.handshake_failure
    raise error


def _path_verifier(check_name: bool, common_name: bool, flags: int, store: Store) -> Verifier:
    policy: PathPolicy = replace(
        POLICIES["openssl"],
        common_name_fallback=common_name,
        partial_chain=bool(flags & known.PARTIAL_CHAIN),
        x509_strict=bool(flags & known.STRICT),
    )
    trusted = store.trusted()

    def make(found: tuple[Found, ...]) -> PathVerifier:
        if not flags & known.CRL_CHECK:
            return PathVerifier(trusted.roots(found), policy=policy, check_name=check_name)
        scope, lists = "chain" if flags & known.CRL_CHECK_ALL else "leaf", trusted.crls(found)
        return PathVerifier(trusted.roots(found), policy=policy, check_name=check_name, crls=lists, crl_scope=scope)

    return LookingUp(trusted.directories, make) if trusted.directories.names else make(())


def _shared(settings: Settings) -> dict[str, Any]:
    """What both roles are told alike. SSLError where nothing is left to speak."""
    versions = settings.versions()
    if not versions:
        raise ssl_error("NO_PROTOCOLS_AVAILABLE")
    return {
        "versions": versions,
        "suites": (*settings.suites_13, *settings.suites_12),
        "groups": settings.groups,
        "application_protocols": settings.application_protocols,
        "ca_names": settings.ca_names,
        "unexpected_eof": "end" if settings.options & known.OP_IGNORE_UNEXPECTED_EOF else "error",
    }


def bound(config: _C, **changed: Any) -> _C:
    """The same configuration for one connection, with callbacks of that connection's.

    Unlike ``replace`` it shares all that the configuration remembers, and checks nothing again.
    """
    made = copy.copy(config)
    vars(made).update(changed)
    return made
