"""The options that ``handfast serve`` alone has, and what they come to."""

from __future__ import annotations

import signal
from contextlib import nullcontext
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from handfast import limits
from handfast.cli import options, trust_options, ui, who_may
from handfast.engine import ClientAuth
from handfast.errors import ConfigError, bad_option
from handfast.host_names import is_host_name
from handfast.reload.handles import Reloading
from handfast.text import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from handfast.credentials.credentials import Credentials, CredentialsHandle
    from handfast.fleet.redis_fleet import RedisFleet

    F = TypeVar("F", bound=Callable[..., object])
    Identities = tuple[CredentialsHandle, ...] | Callable[[Any], Any]

HTTP1, HTTP2 = "http/1.1", "h2"
_FILE = click.Path(path_type=Path)


def identity_options(command: F) -> F:
    """--cert and --key, in pairs, --key-password-file, --staple."""
    return options.together(
        click.option(
            "--cert",
            type=_FILE,
            multiple=True,
            metavar="FILE",
            help="Our certificate chain: PEM, leaf first, or PKCS#12. Several, each with its --key: clients get the one"
            " for the name they ask for, others the first.",
        ),
        click.option(
            "--key",
            multiple=True,
            metavar="FILE|URI",
            help="Its private key: PEM, DER or PKCS#12, or pkcs11:... for a token.",
        ),
        click.option("--key-password-file", type=_FILE, metavar="FILE", help="Holds the keys' password, or the PIN."),
        click.option(
            "--staple",
            type=_FILE,
            multiple=True,
            metavar="FILE",
            help="What the CA says of a certificate now, an OCSP response in DER, for clients that ask; repeatable.",
        ),
    )(command)


def client_verification(
    client_ca: Path | None,
    client_auth: str | None,
    crl: Path | None,
    ocsp: str | None,
    *,
    policy: str | None,
    reload: bool,
    **allow: Any,
) -> tuple[ClientAuth, dict[str, Any]]:
    """The mode, and the settings that say which clients are let in; ``allow`` are those of ``who_may.ALLOW``.

    Raises ConfigError.
    """
    some = who_may.who_may(**allow)
    if some is not None:
        # What is wrong with it is said though there is more to say.
        some.load()
    mode, settings = trust_options.client_auth(
        client_auth, client_ca, crl, ocsp, reload=reload, who_may=some, policy=policy
    )
    if some is not None and not (client_ca and mode is ClientAuth.REQUIRE_AND_VERIFY):
        reason = f"with {mode.value} a client may come in without a verified certificate"
        advice = "give --client-ca, and --client-auth require_and_verify or nothing"
        raise bad_option("--allow-...", reason, advice)
    return mode, settings


def identities(
    cert: tuple[Path, ...],
    key: tuple[str, ...],
    key_password_file: Path | None,
    staple: tuple[Path, ...],
    *,
    reload: bool,
) -> tuple[Identities, tuple[Reloading[Credentials], ...]]:
    """What these options name, by the names that clients ask for where there are several, and what can be reloaded.

    Raises ConfigError.
    """
    if not cert:
        raise ConfigError("no_credentials")
    if key and len(key) != len(cert):
        reason = f"{len(cert)} --cert and {len(key)} --key make no pairs"
        raise bad_option("--key", reason, "give one --key for each --cert, in the same order, or none at all")
    pairs = zip(cert, key or (None,) * len(cert), strict=True)
    handles = [_identity(one, its_key, key_password_file, staple, reload=reload) for one, its_key in pairs]
    _check_staples(staple, handles)
    reloading = tuple(handle for handle in handles if isinstance(handle, Reloading))
    return _by_name(cert, handles), reloading


def _identity(
    cert: Path, key: str | None, password: Path | None, staples: tuple[Path, ...], *, reload: bool
) -> CredentialsHandle:
    from handfast.credentials.credentials import Credentials
    from handfast.reload.handles import ReloadingCredentials

    if not staples:
        kind = ReloadingCredentials if reload else Credentials
        return kind.from_files(cert, key, password)

    def load() -> Credentials:
        found = Credentials.from_files(cert, key, password)
        return replace(found, ocsp_response=_response_for(found, staples))

    if not reload:
        return load()
    files = ReloadingCredentials.from_files(cert, key, password).paths
    return Reloading(load, *files, *staples)


def _response_for(credentials: Credentials, staples: tuple[Path, ...]) -> bytes:
    """The response that is about this certificate; b"" where none is."""
    from handfast.x509.certificates import parse

    number = parse(credentials.chain[0]).certificate.serial_number
    found = {_serial_number(response, path): response for path in staples for response in [_read(path)]}
    return found.get(number, b"")


def _read(path: Path) -> bytes:
    from handfast.x509 import loading

    return loading.read(path)


def _serial_number(response: bytes, path: Path) -> int:
    """The number of the certificate that an OCSP response is about. Raises ConfigError."""
    from cryptography.x509 import ocsp

    try:
        return ocsp.load_der_ocsp_response(response).serial_number
    except ValueError:
        reason = f"{escape(str(path))} is no OCSP response that speaks of a certificate"
        advice = "give DER, as openssl ocsp -respout writes it"
        raise bad_option("--staple", reason, advice) from None


def _check_staples(staples: tuple[Path, ...], handles: list[CredentialsHandle]) -> None:
    """Each must be about one of the certificates. Raises ConfigError."""
    used = {handle.current.ocsp_response for handle in handles}
    for path in staples:
        if _read(path) not in used:
            raise bad_option("--staple", f"{escape(str(path))} is about no --cert", "have one made for its certificate")


def _by_name(cert: tuple[Path, ...], handles: list[CredentialsHandle]) -> Identities:
    from handfast.config.by_name import ByName
    from handfast.x509.certificates import parse

    if len(handles) == 1:
        return tuple(handles)
    table: dict[str, tuple[CredentialsHandle, ...]] = {}
    for path, handle in zip(cert, handles, strict=True):
        names = {name.lower().removesuffix(".") for name in parse(handle.current.chain[0]).names.dns}
        usable = [name for name in names if is_host_name(name.removeprefix("*."))]
        if not usable and handle is not handles[0]:
            ui.warn(f"--cert: {path} has no DNS name, so it is for no client")
        for name in usable:
            table[name] = (*table.get(name, ()), handle)
    first = [found for found in table.values() if handles[0] in found]
    return ByName(table, default=max(first, key=len, default=(handles[0],)))


def spoken(settings: dict[str, Any], *, http2: bool) -> tuple[str, ...]:
    """The application protocols to offer, and never one that a client could not be answered in. RFC 7301 3.2."""
    ours = (HTTP2, HTTP1) if http2 and find_spec("h2") is not None else (HTTP1,)
    wanted = settings.get("application_protocols")
    if wanted is None:
        return ours
    found = tuple(name for name in wanted if name in ours)
    names, others = ", ".join(ours), ", ".join(name for name in wanted if name not in ours)
    if not found:
        raise bad_option("--alpn", f"this server speaks {names} only, not {others or 'nothing'}", "leave --alpn out")
    if others:
        ui.warn(f"--alpn: {others} is not offered, as this server speaks {names} only")
    return found


def watcher(handles: tuple[Reloading[Any], ...], *, reload: bool) -> AbstractContextManager[object]:
    """What loads these anew, if asked to."""
    if not reload:
        return nullcontext()
    from handfast.reload.watcher import FileWatcher

    return FileWatcher(*handles, on_signal=signal.SIGHUP)


def following(handles: Sequence[Reloading[Any]], *, follow: bool) -> AbstractContextManager[object]:
    """What loads these anew when their files change, if asked to; signals are another's."""
    if not follow or not handles:
        return nullcontext()
    from handfast.reload.watcher import FileWatcher

    return FileWatcher(*handles)


def sessions(fleet: RedisFleet | None, *, resume: bool, early_data: bool) -> dict[str, Any]:
    """The settings for --resume and --early-data; with a fleet, its servers resume each other's sessions."""
    from handfast.sessions.replay import MemoryReplayGuard
    from handfast.sessions.tickets import SealedTickets

    if early_data and not resume and fleet is None:
        raise bad_option("--early-data", "only a resumed session can send any", "give --resume too")
    settings: dict[str, Any] = {}
    if resume or fleet is not None:
        settings["tickets"] = SealedTickets() if fleet is None else fleet.tickets
    if early_data:
        # Nothing is answered before the client has completed its handshake, so what it sends early is no replay.
        settings |= {
            "max_early_data": limits.SKIPPED_EARLY_DATA,
            "replay_guard": MemoryReplayGuard() if fleet is None else fleet.replay_guard,
            "early_data_with_client_identity": True,
        }
    return settings
