"""Evidence gathered: connections made, captures read, certificates examined, each by what the other side goes by."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING

from handfast.doctor.evidence import Evidence, Identity, Shadowed
from handfast.doctor.examine import Judge, examined
from handfast.doctor.probe import probe
from handfast.errors import HandfastError
from handfast.host_names import is_host_name
from handfast.roles import Role
from handfast.trust.roots import Roots
from handfast.x509.certificates import Parsed, parse_all

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handfast.doctor.evidence import Attempt, LogLine, Unread
    from handfast.doctor.probe import Way
    from handfast.trust.revocation.crl_store import Crls

_BUNDLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """One side's own files: where they are from, the chain, the schemes that the key can sign with, and remarks."""

    source: str
    chain: tuple[bytes, ...] = field(repr=False)
    schemes: tuple[int, ...] = ()
    remarks: tuple[str, ...] = ()

    def remarked(self, identity: Identity) -> Identity:
        """What was found of the chain, with the remarks about the files."""
        return replace(identity, remarks=(*self.remarks, *identity.remarks))


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the doctor was given.

    Attributes:
        way: how to ask the server; None where no connection is made.
        client, server: each side's files, or what is wrong with them; None where none were given.
        roots: what the client trusts; None where that is not known. named_roots: whether the user named them.
        client_ca: what the server trusts, None where that is not known. crls: the server's revocation lists.
        issuers: further CA certificates, DER, that may belong into a chain.
        policy: the rules that certificates are held to.
        server_name: the name that the server's certificate must have; "" for none.
        recorded: the connections of a capture. log, unknown_lines: what a log says, see ``Evidence``.
        unread: files that other programs do not read.
        environment: the variables that name CA bundles are looked up in it.
        names, protocols_chosen: see ``Evidence``.
    """

    way: Way | None = None
    client: Files | Identity | None = None
    server: Files | Identity | None = None
    roots: Roots | None = None
    named_roots: bool = False
    client_ca: Roots | None = None
    crls: Crls | None = None
    issuers: tuple[bytes, ...] = field(default=(), repr=False)
    policy: str = "handfast"
    server_name: str = ""
    recorded: tuple[Attempt, ...] = ()
    log: tuple[LogLine, ...] = ()
    unknown_lines: int | None = None
    unread: tuple[Unread, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    names: Mapping[str, str] = field(default_factory=dict)
    protocols_chosen: bool = False


def gather(given: Given) -> Evidence:
    """All that can be known of what was given."""
    gathering = _Gathering(given)
    usable = not isinstance(given.client, Identity)
    live = probe(given.way) if given.way is not None and usable else ()
    attempts = (*live, *given.recorded)
    server = gathering.server(attempts)
    return Evidence(
        attempts=attempts,
        client=gathering.client(attempts),
        server=server,
        server_file=given.server.chain if given.server is not None else (),
        log=given.log,
        unknown_lines=given.unknown_lines,
        unread=given.unread,
        shadowed=gathering.shadowed(server),
        names={"own_name": _own_name(server), **given.names},
        protocols_chosen=given.protocols_chosen,
    )


def _own_name(server: Identity | None) -> str:
    """A name that the server's certificate has; "" where it has none that can stand in a command."""
    leaf = next(iter(parse_all(server.chain[:1])), None) if server is not None else None
    if not isinstance(leaf, Parsed):
        return ""
    hosts = filter(is_host_name, map(str.lower, leaf.names.dns))
    return next(chain(hosts, map(str, leaf.names.ip)), "")


class _Gathering:
    def __init__(self, given: Given) -> None:
        self.given = given
        trusted = [roots.certificates for roots in (given.roots, given.client_ca) if roots is not None]
        own = [files.chain for files in (given.client, given.server) if files is not None]
        known = (*given.issuers, *(one for group in (*trusted, *own) for one in group))
        self.judge = Judge(at=datetime.now(UTC), policy=given.policy, known=tuple(dict.fromkeys(known)))

    def client(self, attempts: tuple[Attempt, ...]) -> Identity | None:
        """The client's certificates: its files, or what it was seen to show."""
        given = self.given
        if isinstance(given.client, Identity):
            return given.client
        judge = replace(self.judge, roots=given.client_ca, crls=given.crls)
        if given.client is not None:
            files = given.client
            return files.remarked(examined(Role.CLIENT, files.source, files.chain, judge, files.schemes))
        shown = next((one.client_chain for one in attempts if one.client_chain), None)
        return None if shown is None else examined(Role.CLIENT, "what the client showed", shown, judge)

    def server(self, attempts: tuple[Attempt, ...]) -> Identity | None:
        """The server's certificates: what it was seen to send, or else its files."""
        given = self.given
        if isinstance(given.server, Identity):
            return given.server
        shown = next((one for one in attempts if one.server_chain), None)
        if shown is not None:
            return self._server(shown.server_chain, "what the server sent", given.server_name or shown.server_name)
        if given.server is not None:
            files = given.server
            return files.remarked(self._server(files.chain, files.source, given.server_name))
        return None

    def _server(self, chain: tuple[bytes, ...], source: str, name: str, roots: Roots | None = None) -> Identity:
        judge = replace(self.judge, roots=roots or self.given.roots, server_name=name)
        return examined(Role.SERVER, source, chain, judge)

    def shadowed(self, server: Identity | None) -> Shadowed | None:
        """Another bundle of the environment or the system's store that verifies a server which is refused."""
        given = self.given
        if given.named_roots or given.roots is None or server is None or server.accepted is not False:
            return None
        for roots in self._other_bundles():
            if roots.certificates == given.roots.certificates:
                continue
            if self._server(server.chain, server.source, given.server_name, roots=roots).accepted:
                return Shadowed(used=given.roots.source, verifies=roots.source)
        return None

    def _other_bundles(self) -> list[Roots]:
        found = []
        for variable in _BUNDLES:
            path = self.given.environment.get(variable, "")
            if path:
                try:
                    found.append(Roots.default({variable: path}))
                except HandfastError:
                    continue
        return [*found, Roots.system()]
