"""A proxy's TOML file: listeners with names and routes, backends, limits, and how it is run. docs/proxy-operation.md.

What cannot be honoured is refused with file, line and key. What a name does not say is as its listener has it, and
files are relative to the one that names them.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handfast import limits
from handfast.config.by_name import ByName
from handfast.config.config import ClientAuth, ClientConfig, ServerConfig
from handfast.credentials.credentials import Credentials
from handfast.credentials.pkcs11_uri import PKCS11
from handfast.crypto.providers import provider_named
from handfast.engine import automatic_ca_names
from handfast.errors import ConfigError
from handfast.host_names import is_host_name, resolvable
from handfast.proxy.admission import Ceilings
from handfast.proxy.operation.plan import Operation, Plan
from handfast.proxy.operation.toml_tables import Table, TomlFile
from handfast.proxy.settings import (
    Address,
    Backend,
    IdentityForm,
    Listener,
    Mode,
    ProxyProtocol,
    Route,
    Rule,
    Service,
    StartTls,
)
from handfast.proxy.watching.admin import check_address
from handfast.text import escape
from handfast.trust.allow import KINDS, Allowed, entries_in
from handfast.trust.combined import AllOf
from handfast.trust.decided import Decided
from handfast.trust.path.policy import POLICIES
from handfast.trust.pins import Pinned
from handfast.trust.revocation.crl_store import Crls, OcspPolicy
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from handfast.connection_info import VerifiedPeer
    from handfast.proxy.operation.stores import Stores

# What a listener says for itself alone, and a name does not have from it.
_OF_LISTENER = frozenset({"listen", "anywhere", "starttls", "names"})
# What belongs together: a name that says one of them has none of the others from its listener.
_TOGETHER = (
    frozenset({"cert", "key", "key_password_file"}),
    frozenset({"client_ca", "client_auth", "crl", "ocsp", "policy", "allow"}),
)


def load(path: Path, stores: Stores, inherited: Mapping[str, Address] | None = None) -> Plan:
    """What the file says. ``inherited`` are sockets that were handed to the process, by name. Raises ConfigError."""
    return _Reader(TomlFile(path), stores, inherited or {}).plan()


class _Reader:
    """One file, and the files that it names."""

    def __init__(self, file: TomlFile, stores: Stores, inherited: Mapping[str, Address]) -> None:
        self._file = file
        self._stores = stores
        self._inherited = inherited
        self._paths = [file.path]
        self._backends: dict[str, Backend] = {}
        self._workers = 1
        self._provider: dict[str, Any] = {}

    def plan(self) -> Plan:
        """All of it."""
        top = Table(self._file, self._file.content)
        with self._file.at(("limits",)):
            ceilings = self._ceilings(top.table("limits"))
        operation = self._operation(top)
        self._workers = operation.workers
        self._provider = self._who_computes(top)
        on_use = self._share(top.table("redis"))
        backends = top.table("backends")
        for name, table in () if backends is None else backends.items():
            self._backends[name] = self._backend(table)
        listeners: dict[Address, Listener] = {}
        for table in top.tables("listeners"):
            listener = self._listener(table)
            if listener.address in listeners:
                raise table.error("listen", "this address is there twice", "leave one of them out")
            listeners[listener.address] = listener
        top.done()
        with self._file.at(("listeners",)):
            return Plan(tuple(listeners.values()), ceilings, operation, tuple(dict.fromkeys(self._paths)), on_use)

    # How it is run

    def _ceilings(self, table: Table | None) -> Ceilings:
        if table is None:
            return Ceilings()
        made = Ceilings(
            table.whole("connections", limits.PROXY_CONNECTIONS),
            table.whole("per_client", limits.PROXY_CONNECTIONS_PER_CLIENT),
            table.whole("handshakes", limits.PROXY_HANDSHAKES),
            table.number("per_second", 0.0),
        )
        table.done()
        return made

    def _operation(self, top: Table) -> Operation:
        grace, workers = top.number("grace", limits.PROXY_GRACE), top.whole("workers", 1)
        log = Path("-") if top.text("access_log") == "-" else top.path("access_log")
        address, anywhere, captures = None, False, None
        names: tuple[str, ...] = ()
        admin = top.table("admin")
        if admin is not None:
            address = self._address(admin, "listen", 'write listen = "127.0.0.1:9180"')
            anywhere, captures, names = admin.flag("anywhere"), admin.path("captures"), admin.texts("names")
            for name in names:
                if not is_host_name(name.lower()):
                    raise admin.error("names", f"{escape(name)!r} is no name of a host", "give names without ports")
            admin.done()
            with self._file.at(admin.at("listen")):
                check_address(address, anywhere=anywhere)
        with self._file.at(()):
            return Operation(grace, log, address, captures, workers, names)

    def _who_computes(self, top: Table) -> dict[str, Any]:
        """What is said of it in the configuration of each end that speaks TLS."""
        name = top.text("crypto_provider")
        if name is None:
            return {}
        try:
            provider_named(name)
        except ConfigError as error:
            raise top.error("crypto_provider", str(error.details["reason"]), error.hint) from None
        return {"crypto_provider": name}

    def _share(self, table: Table | None) -> Callable[[], object]:
        if table is None:
            return self._stores.share(None)
        url, key = table.needed("url", 'write url = "rediss://redis.example:6380/0"'), self._followed(table, "key")
        table.done()
        if key is None:
            raise table.error("", "what is kept there must be sealed", 'write key = "fleet.key": openssl rand -hex 32')
        with self._file.at(table.where):
            return self._stores.share((url, key))

    # Backends

    def _backend(self, table: Table) -> Backend:
        address = self._address(table, "address", 'write address = "127.0.0.1:3000"')
        name, timeout = table.text("name"), table.number("connect_timeout", limits.PROXY_CONNECT_TIMEOUT)
        header, anywhere = table.choice("proxy_protocol", ProxyProtocol), table.flag("anywhere")
        starttls, http2 = table.choice("starttls", StartTls), table.flag("http2")
        tls = self._client_config(table) if table.flag("tls") else None
        if tls is None:
            for key in ("cert", "key", "key_password_file", "cacert", "crl", "ocsp", "policy", "pins", "alpn"):
                if key in table:
                    raise table.error(key, "no TLS is spoken with this backend", "write tls = true")
        table.done()
        with self._file.at(table.where):
            return Backend(address, tls, name, header, timeout, anywhere, starttls=starttls, http2=http2)

    def _client_config(self, table: Table) -> ClientConfig:
        credentials = self._credentials(table) if "cert" in table else None
        path, asked = self._path_verifier(table, "cacert")
        pins = table.texts("pins")
        with self._file.at(table.at("pins")):
            verifier = AllOf(path, Pinned(pins)) if pins else path
        with self._file.at(table.where):
            return ClientConfig(
                credentials=() if credentials is None else [credentials],
                verifier=verifier,
                ask_for_ocsp_response=asked,
                application_protocols=table.texts("alpn") or (("h2",) if table.flag("http2") else ()),
                **self._provider,
            )

    def _path_verifier(self, table: Table, key: str) -> tuple[PathVerifier, bool]:
        """How paths are verified to the roots in the file of ``key``, and whether an OCSP response is asked for."""
        roots, lists = self._followed(table, key), self._followed(table, "crl")
        ocsp, policy = table.choice("ocsp", OcspPolicy), table.text("policy")
        if policy is not None and policy not in POLICIES:
            there = ", ".join(POLICIES)
            raise table.error("policy", "there is no such policy", f"write one of {there}")
        with self._file.at(table.at("crl" if lists is not None else key)):
            trusted = Roots.default() if roots is None else Roots.from_path(roots)
            crls = None if lists is None else Crls.from_path(lists)
            made = PathVerifier(trusted, policy=policy or "handfast", crls=crls, ocsp=ocsp or OcspPolicy.CHECK)
        return made, ocsp is OcspPolicy.CHECK

    # Listeners

    def _listener(self, table: Table) -> Listener:
        address = self._address(table, "listen", 'write listen = "0.0.0.0:443"')
        rest: dict[str, Any] = {"anywhere": table.flag("anywhere"), "starttls": table.choice("starttls", StartTls)}
        names = table.table("names")
        own = table.without(*_OF_LISTENER)
        services: dict[str, Service] = {}
        configs: dict[str, ServerConfig] = {}
        for name, further in () if names is None else names.items():
            merged = further.over(own.without(*_not_for(further)))
            services[name], config = self._service(merged), self._server_config(merged)
            if config is None:
                raise further.error("", "there is no cert for this name", "write cert and key, here or above")
            configs[name] = config
            merged.done()
        if names is not None and not services:
            raise table.error("names", "there are none", "leave it out")
        if services and "backend" not in own:
            with self._file.at(table.where):
                return Listener(address, ByName(services), ServerConfig.by_name(configs), **rest)
        service, tls = self._service(own), self._server_config(own)
        own.done()
        with self._file.at(table.where):
            if services:
                by_name = ByName(services, default=service)
                return Listener(address, by_name, ServerConfig.by_name(configs, default=tls), **rest)
            return Listener(address, service, tls, **rest)

    def _service(self, table: Table) -> Service:
        backend = self._named_backend(table, table.needed("backend", "name one of [backends]"))
        mode = table.choice("mode", Mode) or Mode.HTTP
        identity, early = table.choices("identity", IdentityForm), table.flag("early_data")
        idle = table.number("idle_timeout", limits.PROXY_IDLE_TIMEOUT)
        if identity and "client_ca" not in table:
            advice = "write client_ca, or leave it out"
            raise table.error("identity", "no client certificate is verified that it could speak of", advice)
        routes = tuple(self._route(one) for one in table.tables("routes"))
        with self._file.at(table.where):
            return Service(backend, mode, identity, None, routes, early, idle)

    def _route(self, table: Table) -> Route:
        prefix, backend = table.needed("prefix", 'write prefix = "/admin"'), table.text("backend")
        allow = table.table("allow")
        rules = () if allow is None else self._rules(allow)
        table.done()
        with self._file.at(table.where):
            found = None if backend is None else self._named_backend(table, backend)
            return Route(prefix, _rule(rules), found)

    def _named_backend(self, table: Table, name: str) -> Backend:
        found = self._backends.get(name)
        if found is None:
            there = ", ".join(self._backends) or "none"
            reason = f"there is no backend of that name; there are: {there}"
            raise table.error("backend", reason, f"write [backends.{escape(name)}]")
        return found

    def _server_config(self, table: Table) -> ServerConfig | None:
        """How TLS is spoken with clients; None where it is not."""
        if "cert" not in table:
            for key in ("key", "client_ca", "allow", "resume", "early_data", "client_auth"):
                if key in table:
                    raise table.error(key, "clients come without TLS, as there is no cert", "write cert and key")
            return None
        settings: dict[str, Any] = {"credentials": [self._credentials(table)], **self._trust(table), **self._provider}
        for key, setting in (("tls", "versions"), ("suites", "suites"), ("groups", "groups")):
            if found := table.texts(key):
                settings[setting] = found
                with self._file.at(table.at(key)):
                    ServerConfig(**settings)
        settings |= self._spoken(table)
        resume, early = table.flag("resume"), table.flag("early_data")
        if early and not resume and self._stores.fleet is None:
            raise table.error("early_data", "only a resumed session can send any", "write resume = true too")
        with self._file.at(table.at("early_data" if early else "resume")):
            settings |= self._stores.settings(resume=resume, early_data=early, workers=self._workers)
        with self._file.at(table.where):
            return ServerConfig(**settings)

    def _spoken(self, table: Table) -> dict[str, Any]:
        """The application protocols."""
        given = table.texts("alpn")
        if (table.choice("mode", Mode) or Mode.HTTP) is not Mode.HTTP:
            return {"application_protocols": given} if given else {}
        ours = ("h2", "http/1.1") if find_spec("h2") is not None else ("http/1.1",)
        for one in given:
            if one not in ours:
                raise table.error("alpn", f"{one} is not spoken here; there are {', '.join(ours)}", "leave it out")
        return {"application_protocols": given or ours}

    def _trust(self, table: Table) -> dict[str, Any]:
        """Which clients are let in."""
        mode, allow = table.choice("client_auth", ClientAuth), table.table("allow")
        if "client_ca" not in table:
            for key in ("crl", "ocsp", "policy", "allow"):
                if key in table:
                    raise table.error(key, "without client_ca no client certificate is verified", "write client_ca too")
            return {"client_auth": mode or ClientAuth.NONE}
        chosen = mode or ClientAuth.REQUIRE_AND_VERIFY
        if chosen is ClientAuth.NONE:
            raise table.error("client_ca", "client_auth none asks for no certificate", "leave one of them out")
        path, asked = self._path_verifier(table, "client_ca")
        rules = () if allow is None else self._rules(allow)
        if rules and chosen is not ClientAuth.REQUIRE_AND_VERIFY:
            reason = f"with {chosen.value} a client may come in without a verified certificate"
            raise table.error("allow", reason, 'write client_auth = "require_and_verify", or nothing')
        return {
            "client_auth": chosen,
            "verifier": AllOf(path, *rules) if rules else path,
            "ca_names": automatic_ca_names(path.roots.names()),
            "ask_for_ocsp_response": asked,
        }

    def _rules(self, table: Table) -> tuple[Allowed | Decided, ...]:
        """Who may: by names and keys, and by a function."""
        entries = {argument: list(table.texts(kind)) for kind, argument in KINDS.items()}
        for name in table.texts("file"):
            path = self._file.path.parent / name
            self._paths.append(path)
            with self._file.at(table.at("file")):
                for argument, values in entries_in(path).items():
                    entries[argument] += values
        function = table.text("if")
        table.done()
        with self._file.at(table.where):
            rules = (Allowed(**entries),) if any(entries.values()) or function is None else ()
        with self._file.at(table.at("if")):
            return (*rules, *(() if function is None else (Decided.named(function),)))

    # Files and addresses

    def _credentials(self, table: Table) -> Credentials:
        cert, password = self._followed(table, "cert"), self._followed(table, "key_password_file")
        named = table.text("key")
        key: str | Path | None = named
        if named is not None and not named.lower().startswith(PKCS11):
            key = self._followed(table, "key")
        if cert is None:
            raise table.error("", "there is no cert", "write cert and key")
        with self._file.at(table.at("cert" if key is None else "key")):
            return Credentials.from_files(cert, key, password)

    def _followed(self, table: Table, key: str) -> Path | None:
        path = table.path(key)
        if path is not None:
            self._paths.append(path)
        return path

    def _address(self, table: Table, key: str, advice: str) -> Address:
        text = table.needed(key, advice)
        kind, _, rest = text.partition(":")
        if kind == "unix" and rest:
            return str(self._file.path.parent / rest)
        if kind == "systemd" and key == "listen":
            found = self._inherited.get(rest)
            if found is None:
                there = ", ".join(self._inherited) or "none"
                reason = f"no socket of that name was handed to this process; there are: {there}"
                raise table.error(key, reason, f"write FileDescriptorName={rest} in the socket unit")
            return found
        host, colon, port = text.rpartition(":")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        number = int(port) if port.isascii() and port.isdecimal() and len(port) <= 5 else 65536
        if not colon or not bare or number > 65535 or (":" in bare and bare == host):
            raise table.error(key, "this is no address", 'write "127.0.0.1:443", "[::1]:443" or "unix:/run/app.sock"')
        if key == "address" and not number:
            raise table.error(key, "no service has port 0", "write the port that it listens at")
        try:
            return resolvable(bare), number
        except ValueError as error:
            raise table.error(key, str(error), "write the name of a host, or its address") from None


class _AllRules:
    """A client may that all of several rules let in."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._rules = rules

    def why_not(self, peer: VerifiedPeer | None) -> str | None:
        """The first reason against it."""
        return next((reason for rule in self._rules if (reason := rule.why_not(peer)) is not None), None)


def _not_for(name: Table) -> Iterator[str]:
    """What a name does not have from its listener."""
    for keys in _TOGETHER:
        if any(key in name for key in keys):
            yield from keys


def _rule(rules: tuple[Rule, ...]) -> Rule | None:
    return _AllRules(rules) if rules else None
