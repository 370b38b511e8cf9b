"""Whom a command trusts: what --cacert, --client-ca, --crl, --ocsp, --pin, --policy and their like come to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handfast.cli.options import F, together
from handfast.engine import ClientAuth, automatic_ca_names
from handfast.errors import bad_option
from handfast.trust.path.policy import POLICIES
from handfast.trust.revocation.crl_store import OcspPolicy

if TYPE_CHECKING:
    from handfast.cli.who_may import WhoMay
    from handfast.trust.revocation.crl_store import Crls
    from handfast.trust.roots import Roots
    from handfast.trust.verifiers import Verifier

_FILE = click.Path(path_type=Path)


def revocation_options(command: F) -> F:
    """--crl, --ocsp."""
    return together(
        click.option("--crl", type=_FILE, metavar="FILE_OR_DIR", help="Refuse what these revocation lists hold."),
        click.option(
            "--ocsp",
            type=click.Choice([policy.value for policy in OcspPolicy]),
            help="What the peer's CA says of it now: check asks for that, require refuses a peer without.",
        ),
    )(command)


def policy_option(command: F) -> F:
    """--policy."""
    return click.option(
        "--policy",
        type=click.Choice(list(POLICIES)),
        help="Which rules certificates are held to: handfast's own (the default), those of OpenSSL's defaults, or the "
        "strict ones of Python 3.13.",
    )(command)


def roots(cacert: Path | None) -> Roots:
    """What --cacert names, or else the environment or the system. Raises ConfigError."""
    from handfast.cli.trust_stores import checked_file
    from handfast.trust.roots import Roots

    return Roots.default() if cacert is None else Roots.from_path(checked_file(cacert))


def crls(crl: Path | None) -> Crls | None:
    """The lists that --crl names. Raises ConfigError."""
    from handfast.trust.revocation.crl_store import Crls

    return None if crl is None else Crls.from_path(crl)


def server_verification(
    cacert: Path | None,
    crl: Path | None,
    ocsp: str | None,
    pins: tuple[str, ...],
    first_use: Path | None,
    *,
    insecure: bool,
    policy: str | None = None,
    reload: bool = False,
) -> dict[str, Any]:
    """What --cacert, --crl, --ocsp, --pin, --trust-on-first-use, --policy and -k put into a client's configuration.

    A pin counts besides everything else, and with -k it alone does, as for curl. Raises ConfigError.
    """
    from handfast.reload.handles import ReloadingVerifier
    from handfast.trust.combined import AllOf
    from handfast.trust.first_use import FirstUse
    from handfast.trust.pins import Pinned
    from handfast.trust.verifiers import PathVerifier

    other = "--cacert" if cacert is not None else "-k" if insecure else None
    if first_use is not None and other is not None:
        reason = f"{other} says whom to trust in another way"
        raise bad_option("--trust-on-first-use", reason, "leave one of them out")
    asked: list[Verifier] = []
    if first_use is None and not (insecure and pins):
        rules, responses = policy or "handfast", ocsp or OcspPolicy.CHECK

        def load() -> PathVerifier:
            return PathVerifier(roots(cacert), policy=rules, crls=crls(crl), ocsp=responses)

        followed = [path for path in (cacert, crl) if path is not None and reload]
        asked.append(ReloadingVerifier(load, *followed) if followed else load())
    else:
        if policy is not None:
            raise bad_option("--policy", "no path is verified that it could be about", "leave it out")
        _no_revocation(crl, ocsp, "no path is verified that it could be about", "leave it out")
    if pins:
        asked.append(Pinned(pins))
    if first_use is not None:
        asked.append(FirstUse(first_use))
    return {
        "verifier": asked[0] if len(asked) == 1 else AllOf(*asked),
        "enforce_verdict": bool(pins) or not insecure,
        "ask_for_ocsp_response": ocsp == OcspPolicy.CHECK,
    }


def client_auth(
    mode: str | None,
    client_ca: Path | None,
    crl: Path | None,
    ocsp: str | None,
    *,
    reload: bool = False,
    who_may: WhoMay | None = None,
    policy: str | None = None,
) -> tuple[ClientAuth, dict[str, Any]]:
    """The mode that --client-auth, --client-ca, --crl, --ocsp and --policy ask for, and what they give a server.

    ``who_may`` has a say about clients whose certificates are good.
    """
    from handfast.reload.handles import ReloadingVerifier
    from handfast.trust.combined import AllOf
    from handfast.trust.roots import Roots
    from handfast.trust.verifiers import PathVerifier

    if client_ca is None:
        _no_revocation(crl, ocsp, "without --client-ca no client certificate is verified", "give --client-ca too")
        if policy is not None:
            raise bad_option("--policy", "without --client-ca nothing is verified", "give --client-ca too")
        return ClientAuth(mode) if mode is not None else ClientAuth.REQUEST, {}
    chosen = ClientAuth(mode) if mode is not None else ClientAuth.REQUIRE_AND_VERIFY
    if chosen is ClientAuth.NONE:
        raise bad_option("--client-ca", "--client-auth none asks for no certificate", "leave one of them out")
    settings: dict[str, Any] = {"ask_for_ocsp_response": ocsp == OcspPolicy.CHECK}
    issuers, rules, responses = client_ca, policy or "handfast", ocsp or OcspPolicy.CHECK

    def load() -> PathVerifier | AllOf:
        path = PathVerifier(Roots.from_path(issuers), policy=rules, crls=crls(crl), ocsp=responses)
        return path if who_may is None else AllOf(path, who_may.load())

    if reload:
        files = [path for path in (issuers, crl, *(() if who_may is None else who_may.paths)) if path is not None]
        handle = ReloadingVerifier(load, *files)
        return chosen, {"verifier": handle, "ca_names": handle.ca_names, **settings}
    verifier = load()
    names = verifier.roots.names() if verifier.roots is not None else ()
    return chosen, {"verifier": verifier, "ca_names": automatic_ca_names(names), **settings}


def _no_revocation(crl: Path | None, ocsp: str | None, reason: str, advice: str) -> None:
    """ConfigError for options that would do nothing."""
    for option, value in (("--crl", crl), ("--ocsp", ocsp)):
        if value is not None:
            raise bad_option(option, reason, advice)
