"""A server's configuration by its files: it can be pickled, and so reach the workers that a server starts."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from handfast.engine import ClientAuth, ServerConfig, automatic_ca_names
from handfast.words import mode

if TYPE_CHECKING:
    from collections.abc import Sequence

FilePath: TypeAlias = "str | os.PathLike[str]"


@dataclass(frozen=True, kw_only=True)
class ServerFiles:
    """Which files a server's identity and trust are in. They are read in each process that serves, when it starts.

    Attributes:
        certificate, key: the chain and its key, as in ``Credentials.from_files``; ``key`` may be a pkcs11 URI.
        password_file: holds the key's password, or the PIN.
        client_ca: who may issue client certificates: a file or a directory.
        client_auth: what is asked of clients, a ``ClientAuth`` or its name. Without it clients must show a certificate
            that ``client_ca`` vouches for, or, where there is no ``client_ca``, are asked for none.
        application_protocols: ALPN names, most wanted first.
    """

    certificate: FilePath
    key: FilePath | None = None
    password_file: FilePath | None = None
    client_ca: FilePath | None = None
    client_auth: str | None = None
    application_protocols: Sequence[str] = ()

    @property
    def mode(self) -> ClientAuth:
        """What is asked of clients."""
        if self.client_auth is not None:
            return mode("client_auth", self.client_auth, ClientAuth)
        return ClientAuth.NONE if self.client_ca is None else ClientAuth.REQUIRE_AND_VERIFY

    def server_config(self) -> ServerConfig:
        """The configuration that the files make. Raises ConfigError for what is wrong with one."""
        from handfast.credentials.credentials import Credentials
        from handfast.trust.roots import Roots
        from handfast.trust.verifiers import PathVerifier

        # A path, for text would be the password itself.
        password = None if self.password_file is None else Path(self.password_file)
        settings: dict[str, Any] = {}
        if self.client_ca is not None:
            roots = Roots.from_path(self.client_ca)
            settings = {"verifier": PathVerifier(roots), "ca_names": automatic_ca_names(roots.names())}
        return ServerConfig(
            credentials=[Credentials.from_files(self.certificate, self.key, password)],
            client_auth=self.mode,
            application_protocols=tuple(self.application_protocols),
            **settings,
        )

    def ssl_context(self) -> ssl.SSLContext:
        """The context that the files make. Raises ConfigError for what is wrong with one."""
        from handfast.io.sslcontext.context import SSLContext

        config = self.server_config()
        context: Any = SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.server_credentials = config.credentials
        context.client_auth = config.client_auth
        context.verifier = config.verifier
        context.ca_names = config.ca_names
        if config.application_protocols:
            context.set_alpn_protocols(list(config.application_protocols))
        made: ssl.SSLContext = context
        return made
