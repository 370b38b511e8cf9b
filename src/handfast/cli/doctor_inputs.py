"""What ``handfast doctor`` is given, read from the command line's files and made ready to be looked at."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handfast.cli import options, trust_options, ui
from handfast.cli.in_options import in_options
from handfast.cli.reach import Route, reach
from handfast.cli.starttls import PROTOCOLS
from handfast.cli.target import HTTPS_PORT, Target, parse_target
from handfast.credentials.credentials import Credentials, upwards
from handfast.crypto.pkcs12 import is_pkcs12
from handfast.doctor import log_lines
from handfast.doctor.captured import attempts_of
from handfast.doctor.evidence import Unread
from handfast.doctor.examine import DIAGNOSED, unusable
from handfast.doctor.gather import Files, Given
from handfast.doctor.probe import Way
from handfast.engine import ClientConfig
from handfast.errors import ConfigError, ConnectionLost, bad_option
from handfast.file_contents import unread_by_openssl
from handfast.limits import MAX_LOG_BYTES, MAX_LOG_LINES, MAX_PEER_TEXT, PROBE_TIMEOUT
from handfast.lint.contents import Kind, read
from handfast.passive.keylog_reader import KeyLogSecrets
from handfast.roles import Role
from handfast.text import counted, escape
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier
from handfast.x509 import loading, pem

if TYPE_CHECKING:
    from handfast.credentials.credentials import CredentialsHandle
    from handfast.doctor.evidence import Attempt, Identity
    from handfast.doctor.log_lines import Log

_ADVICE = "handfast doctor https://HOST/ --cert FILE --key FILE, or --cert and --cacert, --capture, --log"


_TRUST_STORE = "this is a truststore: give the keystore, which has the client's key; its certificates go to --client-ca"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options of the command, by their names."""

    target: str | None
    cert: Path | None
    key: str | None
    key_password_file: Path | None
    cacert: Path | None
    client_ca: Path | None
    server_cert: Path | None
    server_key: Path | None
    crl: Path | None
    issuer: Path | None
    policy: str | None
    capture: Path | None
    read_keylog: Path | None
    log_text: str | None
    servername: str | None
    starttls: str | None
    family: str | None
    connect_to: tuple[str, ...]
    resolve: tuple[str, ...]
    proxy: str | None
    insecure: bool
    max_time: float | None
    tls: tuple[str, ...]
    suites: str | None
    groups: str | None
    alpn: str | None
    old_main_secret: bool
    crypto_provider: str | None

    def check(self) -> None:
        """Refuse what makes no sense together. Raises ConfigError bad_option."""
        if not any((self.target, self.cert, self.server_cert, self.capture, self.log_text)):
            raise bad_option("TARGET", "there is nothing to look at", _ADVICE)
        if self.server_key is not None and self.server_cert is None:
            raise bad_option("--server-key", "there is no --server-cert that it could belong to", "give it too")
        if self.read_keylog is not None and self.capture is None:
            raise bad_option("--keylog", "there is no --capture that it could open", "give it too")
        if self.crl is not None and self.client_ca is None:
            raise bad_option("--crl", "it is checked together with what the server trusts", "give --client-ca too")


def given(asked: Asked) -> Given:
    """What the options name. Raises ConfigError."""
    asked.check()
    target = None if asked.target is None else _target(asked.target, asked)
    client, credentials = _client(asked)
    roots = _roots(asked, target)
    files_alone = target is None and asked.capture is None and asked.server_cert is None
    client_ca = asked.client_ca or (asked.cacert if files_alone else None)
    host = "" if target is None else target.host
    log = _log(asked.log_text)
    return Given(
        way=None if target is None or roots is None else _way(asked, target, credentials, roots),
        client=_told_as_pem(client, asked.cert),
        server=_told_as_pem(_server(asked), asked.server_cert),
        roots=roots,
        named_roots=asked.cacert is not None,
        client_ca=None if client_ca is None else Roots.from_path(client_ca),
        crls=trust_options.crls(asked.crl),
        issuers=() if asked.issuer is None else _chain(asked.issuer),
        policy=asked.policy or "handfast",
        server_name=asked.servername or host,
        recorded=_recorded(asked),
        log=log.lines if log else (),
        unknown_lines=log.unknown if log else None,
        unread=_unread(asked),
        environment=os.environ,
        names=_names(asked, target),
        protocols_chosen=asked.alpn is not None,
    )


def _target(text: str, asked: Asked) -> Target:
    if " " in text.strip() and "://" not in text:
        raise bad_option("TARGET", f"{escape(text)!r} is no host", "give host:port; a line of a log goes to --log")
    target = parse_target(text, HTTPS_PORT if asked.starttls is None else PROTOCOLS[asked.starttls].port)
    if asked.starttls is not None and target.path is not None:
        raise bad_option("--starttls", "in https:// TLS starts at once", f"give {target.host}, or {target.host}:PORT")
    return target


def _roots(asked: Asked, target: Target | None) -> Roots | None:
    """What the client trusts. Without a connection only what is named counts."""
    if asked.cacert is None and target is None:
        return None
    found = trust_options.roots(asked.cacert)
    ui.note(f"trusting {found.source}")
    return found


def _way(asked: Asked, target: Target, credentials: tuple[CredentialsHandle, ...], roots: Roots) -> Way:
    route = Route(
        asked.servername, asked.connect_to, asked.resolve, asked.proxy, asked.family or "", asked.starttls or ""
    )
    settings: dict[str, Any] = {"application_protocols": ("http/1.1",)} if target.path is not None else {}
    settings |= options.parameters(
        asked.tls, asked.suites, asked.groups, asked.alpn, asked.old_main_secret, asked.crypto_provider
    )
    config = ClientConfig(
        credentials=credentials,
        verifier=PathVerifier(roots, policy=asked.policy or "handfast"),
        **settings,
    )
    request = b""
    if target.path is not None:
        request = (
            f"GET {target.path} HTTP/1.1\r\nHost: {target.authority}\r\nUser-Agent: handfast-doctor\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n"
        ).encode()
    return Way(
        open=lambda: _opened(target, route),
        config=config,
        server_name=asked.servername or target.host,
        request=request,
        announce=ui.note,
        show_to_unverified=asked.insecure,
        timeout=asked.max_time or PROBE_TIMEOUT,
    )


def _opened(target: Target, route: Route) -> socket.socket:
    """A connection on which the server awaits a hello. Raises ConnectionLost connect_failed, also without STARTTLS."""
    try:
        return reach(target, route, lambda _: None)[0]
    except ui.CommandFailed as error:
        address = f"{target.host}:{target.port}"
        raise ConnectionLost("connect_failed", address=address, reason=error.what) from None


def _client(asked: Asked) -> tuple[Files | Identity | None, tuple[CredentialsHandle, ...]]:
    """The client's files, and what is shown of them. Raises ConfigError for what cannot be read."""
    if asked.cert is None:
        options.credentials(None, asked.key, asked.key_password_file)
        return None, ()
    source = _shown(asked.cert)
    try:
        (held,) = options.credentials(asked.cert, asked.key, asked.key_password_file)
    except ConfigError as error:
        if asked.key is None and error.code == "no_key":
            path = Path(options.file_and_password(str(asked.cert))[0])
            if is_pkcs12(loading.read(path)):
                return unusable(Role.CLIENT, source, error, _TRUST_STORE), ()
            return Files(source=source, chain=_chain(path)), ()
        if error.code == "issuer_order":
            return _put_in_order(asked, source, error)
        if error.code not in DIAGNOSED:
            raise
        return unusable(Role.CLIENT, source, error, _advice(error)), ()
    own = held.current
    schemes = tuple(map(int, own.signer.schemes))
    return Files(source=source, chain=own.chain, schemes=schemes), (held,)


def _unread(asked: Asked) -> tuple[Unread, ...]:
    """The files that OpenSSL does not read, though handfast does. Raises ConfigError file_missing, file_unreadable."""
    own: dict[Role, tuple[Path | str | None, ...]] = {
        Role.CLIENT: (asked.cert, asked.key, asked.cacert),
        Role.SERVER: (asked.server_cert, asked.server_key, asked.client_ca),
    }
    found = []
    for side, given in own.items():
        paths = {options.file_and_password(str(one))[0] for one in given if one is not None}
        for path in sorted(paths):
            if Path(path).is_file():
                unread = unread_by_openssl(loading.read(path), escape(path))
                if unread is not None:
                    found.append(Unread(side, unread.what, unread.advice))
    return tuple(found)


def _advice(error: ConfigError) -> str:
    return escape(in_options(error.hint))


def _put_in_order(asked: Asked, source: str, error: ConfigError) -> tuple[Files, tuple[CredentialsHandle, ...]]:
    """The client's files, where only the order of the issuers is wrong. Raises ConfigError."""
    chain_file, key_file, password = options.files_and_password(
        Path(str(asked.cert)), asked.key, asked.key_password_file
    )
    chain = _chain(Path(chain_file))
    ordered = upwards(chain[0], chain)
    certificates = b"".join(pem.encode("CERTIFICATE", one) for one in ordered)
    own = Credentials.from_bytes(certificates, loading.read(Path(key_file or chain_file)), password)
    schemes = tuple(map(int, own.signer.schemes))
    return Files(source=source, chain=own.chain, schemes=schemes, remarks=(_ordered(error),)), (own,)


def _ordered(error: ConfigError) -> str:
    return f"{error.what}; most programs sort a chain themselves, handfast wants it in order, and here it was sorted"


def _server(asked: Asked) -> Files | Identity | None:
    """The server's files. Raises ConfigError for what cannot be read."""
    if asked.server_cert is None:
        return None
    source = escape(str(asked.server_cert))
    try:
        if asked.server_key is None:
            return Files(source=source, chain=_chain(asked.server_cert))
        own = Credentials.from_files(asked.server_cert, asked.server_key)
    except ConfigError as error:
        if error.code == "issuer_order":
            chain = _chain(asked.server_cert)
            return Files(source=source, chain=upwards(chain[0], chain), remarks=(_ordered(error),))
        if error.code not in DIAGNOSED:
            raise
        return unusable(Role.SERVER, source, error, _advice(error))
    return Files(source=source, chain=own.chain)


def _as_pem(path: Path | str | None) -> str:
    """What a PKCS#12 file is called where programs want PEM; "" for any other file."""
    name = "" if path is None else options.file_and_password(str(path))[0]
    is_one = Path(name).is_file() and is_pkcs12(loading.read(name))
    return shlex.quote(escape(f"{Path(name).stem}.pem")) if is_one else ""


def _told_as_pem(found: Files | Identity | None, path: Path | None) -> Files | Identity | None:
    """What was found, with the remark that goes with a name that ``_as_pem`` gives; as it is where it gives none."""
    made = _as_pem(path)
    if path is None or found is None or not made:
        return found
    source = shlex.quote(_shown(path))
    command = f"openssl pkcs12 -in {source} -nodes -out {made}"
    remark = f"{source} is PKCS#12; nginx, HAProxy, PostgreSQL, Go and Python take PEM, which this makes: {command}"
    return replace(found, remarks=(remark, *found.remarks))


def _chain(path: Path) -> tuple[bytes, ...]:
    """The certificates of a file. Raises ConfigError."""
    data, name = loading.read(path), escape(str(path))
    found = tuple(item.encoded for item in read(data, name) if item.kind is Kind.CERTIFICATE)
    if not found:
        raise loading.no_certificate(data, name)
    return found


def _recorded(asked: Asked) -> tuple[Attempt, ...]:
    if asked.capture is None:
        return ()
    keys = b"" if asked.read_keylog is None else loading.read(asked.read_keylog)
    with asked.capture.open("rb") as file:
        found, damage = attempts_of(file, KeyLogSecrets(keys))
    if damage is not None:
        ui.warn(damage.what)
    if not found:
        ui.warn("no TLS connection was found in the capture")
    return found


def _log(text: str | None) -> Log | None:
    """What --log gives: a file where there is one of this name, standard input for -, or the text itself.

    Raises ConfigError bad_option for the name of a file that is not there, OSError for one that cannot be read.
    """
    if text is None:
        return None
    if text == "-":
        content = sys.stdin.buffer.read(MAX_LOG_BYTES).decode("utf-8", "backslashreplace")
    elif _names_a_file(text):
        with open(text, "rb") as file:
            content = file.read(MAX_LOG_BYTES).decode("utf-8", "backslashreplace")
    else:
        content = text
    found = log_lines.parse(content)
    if content is text and not found.lines and _reads_as_a_name(text):
        what = (
            f"there is no file {escape(text, MAX_PEER_TEXT)}, and as a line of a log it says nothing that is known here"
        )
        raise bad_option("--log", what, "check the path; or give the line itself in quotes, or - for standard input")
    if not found.lines:
        ui.warn("nothing in the log is known here")
    else:
        ui.note(f"of the log {counted(found.known, 'line')} known here, {found.unknown} not")
    if found.beyond:
        ui.warn(f"of the log only the first {MAX_LOG_LINES} lines are read")
    return found


def _names_a_file(text: str) -> bool:
    """Whether a file has this name; a line of a log can be no name at all, by its length or by what is in it."""
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False


def _reads_as_a_name(text: str) -> bool:
    """Whether what is no file was meant to be one: lines of logs have spaces."""
    return len(text.split()) == 1 or ("\n" not in text and text.endswith((".log", ".txt")))


def _shown(path: Path | str) -> str:
    """A file as it is told of: without the password that may stand behind it; a token without its PIN."""
    name, _ = options.file_and_password(str(path))
    return "pkcs11:..." if name[:7].lower() == "pkcs11:" else escape(name)


def _names(asked: Asked, target: Target | None) -> dict[str, str]:
    """What stands in fixes."""
    paths = {
        "cert": asked.cert,
        "key": asked.key,
        "cacert": asked.cacert,
        "client_ca": asked.client_ca,
        "server_cert": asked.server_cert,
        "server_key": asked.server_key,
        "crl": asked.crl,
        "issuer": asked.issuer,
    }
    found = {name: shlex.quote(_shown(path)) for name, path in paths.items() if path is not None}
    for cert, key in (("cert", "key"), ("server_cert", "server_key")):
        if made := _as_pem(paths[cert]):
            found |= {cert: made, key: made}
    if asked.servername is not None:
        found |= {"host": shlex.quote(escape(asked.servername)), "name": shlex.quote(escape(asked.servername))}
    if target is not None:
        found |= {"host": target.host, "port": str(target.port), "name": found.get("name", target.host)}
    return found
