"""What a configuration says and could not do, found when it is made.

A demand that is never looked at fails open, since its author relies on it. So each is honoured or refused. What
merely allows something, as ``psk_satisfies_client_auth``, or is kept ready for it, as a ``replay_guard``, may stand
unused. The configurations are of ``config.py``, which imports this file: here they are what is looked at.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING, Protocol

from handfast.config.by_name import ByName
from handfast.crypto.signatures import may_prove
from handfast.errors import bad_option
from handfast.registry import ProtocolVersion, SignatureScheme
from handfast.words import is_list

if TYPE_CHECKING:
    from collections.abc import Collection
    from dataclasses import Field
    from typing import Any, ClassVar

_SIGNING = "name one of those, or give credentials with a key of another kind"
_ADVICE = "leave it out, or let versions have TLS 1.3"


class Config(Protocol):
    """A configuration of either role."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def handshake_timeout(self) -> float: ...
    @property
    def enabled_versions(self) -> tuple[int, ...]: ...


class ClientConfig(Config, Protocol):
    """A client's."""

    @property
    def ticket_request(self) -> tuple[int, int] | None: ...
    @property
    def sessions(self) -> object: ...


class ServerConfig(Config, Protocol):
    """A server's."""

    @property
    def tickets(self) -> object: ...
    @property
    def verifier(self) -> object: ...
    @property
    def client_auth(self) -> str: ...
    @property
    def asks_for_ocsp_response(self) -> bool: ...
    @property
    def choose_config(self) -> object: ...
    @property
    def credentials(self) -> Any: ...
    @property
    def signing_schemes(self) -> Collection[int] | None: ...


def check_kinds(config: Config) -> None:
    """ConfigError for what is neither True nor False where it must be, and for a time that is no number.

    "false" would count as True, and no deadline comes before one that is not a number.
    """
    for field in fields(config):
        value = getattr(config, field.name)
        if isinstance(field.default, bool) and not isinstance(value, bool):
            raise bad_option(field.name, f"{value!r} is neither True nor False", "give one of them")
    if math.isnan(config.handshake_timeout):
        raise bad_option("handshake_timeout", "it is not a number", "give seconds")


def check_client_demands(config: ClientConfig) -> None:
    """ConfigError for tickets that nothing would keep, and for what only TLS 1.3 can do, where it is not spoken."""
    if config.ticket_request is not None and any(config.ticket_request) and config.sessions is None:
        raise bad_option("ticket_request", "no ticket is kept without sessions", "add sessions=handfast.SessionCache()")
    if ProtocolVersion.TLS13 not in config.enabled_versions:
        asked = ("post_handshake_auth", "ticket_request", "key_share_groups", "ca_names")
        _refuse_unspoken(config, *asked)


def check_signing(config: ServerConfig) -> None:
    """ConfigError where TLS 1.3 is spoken and no key can sign in it; a function may give one that does."""
    if callable(config.credentials) or ProtocolVersion.TLS13 not in config.enabled_versions:
        return
    schemes = [scheme for one in config.credentials for scheme in one.current.signer.schemes]
    usable = [scheme for scheme in schemes if may_prove(scheme, client=False)]
    if not usable:
        reason = "none can sign at a TLS 1.3 server, where RSA in PKCS#1 v1.5 is not taken"
        raise bad_option("credentials", reason, 'add a key of another kind, or speak TLS 1.2 alone: versions=["1.2"]')
    if config.signing_schemes is not None and not {*usable} & {*config.signing_schemes}:
        ours = SignatureScheme.describe_all(dict.fromkeys(usable))
        raise bad_option("signing_schemes", f"our keys sign with none of these in TLS 1.3, but with {ours}", _SIGNING)


def check_server_demands(config: ServerConfig) -> None:
    """ConfigError for the shape of tickets that are never given, and for what only TLS 1.3 has, where it is not spoken.

    In TLS 1.2 a client staples nothing, and shows no certificate but in the handshake.
    """
    for name in ("ticket_count", "ticket_lifetime", "session_lifetime"):
        if config.tickets is None and getattr(config, name) != getattr(type(config), name):
            raise bad_option(name, "there are no tickets", "add tickets=handfast.SealedTickets(), or leave it out")
    if ProtocolVersion.TLS13 in config.enabled_versions:
        return
    _refuse_unspoken(config, "ask_for_ocsp_response", "ask_for_timestamps", "max_early_data")
    if config.verifier is not None and config.client_auth == "none":
        reason = "no client is asked for a certificate, and TLS 1.2 has no authentication after the handshake"
        raise bad_option("verifier", reason, 'give client_auth as well, as client_auth="require_and_verify"')
    if config.asks_for_ocsp_response:
        raise bad_option("verifier", "it requires an OCSP response, and only TLS 1.3 lets a client send one", _ADVICE)


def check_tables(config: ServerConfig) -> None:
    """ConfigError for a table of names that holds what would not be looked at."""
    if isinstance(config.choose_config, ByName):
        for value in config.choose_config.values:
            check_chosen(config, value)
    if isinstance(config.credentials, ByName):
        for value in config.credentials.values:
            several = value if is_list(value) else (value,)
            if not several or not all(hasattr(one, "current") for one in several):
                reason = f"a name stands for {type(value).__name__}, which is no credentials"
                raise bad_option("credentials", reason, "give handfast.Credentials, or a list of them, for each name")


def check_chosen(base: ServerConfig, chosen: ServerConfig) -> None:
    """ConfigError where a configuration that ``base`` chooses for a client says what would no longer be looked at."""
    if type(chosen) is not type(base):
        reason = f"a name stands for {type(chosen).__name__}, which is no configuration"
        raise bad_option("choose_config", reason, "give a handfast.ServerConfig for each name")
    # One that is made from ours has our chooser, which was asked.
    if chosen.choose_config is not None and chosen.choose_config != base.choose_config:
        reason = "a configuration that is chosen for a client chooses another one itself, and it would not be asked"
        raise bad_option("choose_config", reason, "put all names into one table, or let one function choose")
    if chosen.handshake_timeout != base.handshake_timeout:
        reason = "a configuration that is chosen has another one, and time runs before any is chosen"
        raise bad_option("handshake_timeout", reason, "give all of them the same")


def _refuse_unspoken(config: Config, *names: str) -> None:
    for name in names:
        if getattr(config, name):
            raise bad_option(name, "only TLS 1.3 has it, and it is not spoken here", _ADVICE)
