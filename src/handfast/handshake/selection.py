"""Which of our certificates is shown, and why not the others. Every version chooses so; nothing here is sent.

A server shows what fits the name and the schemes of the client's hello. A client shows what fits the server's request:

- its key makes a signature that the server accepts, and the oid_filters are met (RFC 9846 4.3.5): without that it is
  never shown;
- it may be used by a client now: validity, keyUsage, extendedKeyUsage; and one of the CAs that the server named issued
  a certificate of its chain (RFC 9846 4.3.4). Names are compared by their bytes. Where nothing fits that well, the
  configuration decides between the one that comes nearest and none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from handfast.config.asked import CertificateWanted
from handfast.crypto import signatures
from handfast.errors import PeerIncompatible
from handfast.events import Considered
from handfast.handshake import negotiate
from handfast.registry import SCHEMES, SignatureScheme
from handfast.x509.purpose import Purpose

if TYPE_CHECKING:
    from datetime import datetime

    from handfast.credentials.credentials import Credentials
    from handfast.x509.certificates import Parsed

_KEY_USAGE = bytes.fromhex("0603551d0f")
_EXTENDED_KEY_USAGE = bytes.fromhex("0603551d25")


class Objection(NamedTuple):
    """What speaks against showing a certificate: a stable code for programs, and words."""

    code: str
    words: str


@dataclass(slots=True)
class Choice:
    """The certificate we show and the scheme we sign with, or neither; ``reason`` says why.

    ``considered`` are the candidates one by one, in their order; a server's only where there were several.
    """

    credentials: Credentials | None
    scheme: SignatureScheme | None
    reason: str
    considered: tuple[Considered, ...] = ()

    @property
    def objections(self) -> tuple[str, ...]:
        """The codes of what speaks against the one that is shown, or of why the first is not, where none is."""
        shown = self.considered[:1] if self.credentials is None else [one for one in self.considered if one.shown]
        return shown[0].objections if shown else ()


def signer_schemes(credentials: Credentials) -> tuple[SignatureScheme, ...]:
    """What these credentials sign messages with, most wanted first. RFC 9846 4.3.3 keeps some for certificates."""
    return _proving(tuple(credentials.signer.schemes), client=False)


def client_schemes(credentials: Credentials) -> tuple[SignatureScheme, ...]:
    """Schemes that a client's credentials can sign with: RFC 9963's only where its signer names nothing better."""
    return signer_schemes(credentials) or _proving(tuple(credentials.signer.schemes), client=True)


@lru_cache(maxsize=64)
def _proving(schemes: tuple[int, ...], *, client: bool) -> tuple[SignatureScheme, ...]:
    known = [SCHEMES[scheme] for scheme in schemes if scheme in SCHEMES]
    return tuple(scheme for scheme in known if signatures.may_prove(scheme, client=client))


# At a server


def choose_server_credentials(
    candidates: Sequence[Credentials],
    schemes: Collection[int],
    server_name: str | None,
    allowed: Collection[int] | None = None,
) -> Choice:
    """The first credentials whose key the client accepts; those made for the name it asked for come first.

    ``allowed`` are the schemes that we may sign with; None allows all.
    """
    if len(candidates) == 1 and (scheme := _scheme(candidates[0], schemes, allowed)) is not None:
        return Choice(candidates[0], scheme, "there is no other")
    usable = [(one, scheme) for one in candidates if (scheme := _scheme(one, schemes, allowed)) is not None]
    if not usable:
        key = " or ".join(one.key_description for one in candidates)
        makes = (scheme for one in candidates for scheme in one.signer.schemes)
        ours = SignatureScheme.describe_all(scheme for scheme in makes if allowed is None or scheme in allowed)
        theirs = SignatureScheme.describe_all(schemes)
        raise PeerIncompatible("no_common_scheme", theirs=theirs, ours=ours, key=key)
    best, fit = usable[0], 0
    if server_name is not None:
        # The first of those that fit best: max() keeps the order.
        best = max(usable, key=lambda pair: name_fit(pair[0], server_name))
        fit = name_fit(best[0], server_name)
    others = "the first whose key the client accepts"
    reason = (others, f"the first for *.{(server_name or '').partition('.')[2]}", f"the first for {server_name}")[fit]
    accepted = {id(one) for one, _ in usable}
    considered = [_considered_by_server(one, best[0], reason, accepted=id(one) in accepted) for one in candidates]
    return Choice(*best, f"it is {reason}", tuple(considered))


def name_fit(credentials: Credentials, server_name: str) -> int:
    """How well the certificate fits the name that a client asks for: 2 exactly, 1 by a wildcard, 0 not."""
    from handfast.x509.names import dns_matches

    name = server_name.lower().removesuffix(".")
    patterns = [entry.removeprefix("DNS:") for entry in credentials.names if entry.startswith("DNS:")]
    return max((1 if pattern.startswith("*") else 2 for pattern in patterns if dns_matches(pattern, name)), default=0)


def _considered_by_server(one: Credentials, best: Credentials, reason: str, *, accepted: bool) -> Considered:
    why_not = f"it is not {reason}" if accepted else f"the client accepts no scheme of its {one.key_description} key"
    why = f"it is {reason}" if one is best else why_not
    return Considered(certificate=one.chain[0], shown=one is best, why=why)


# At a client


def choose_client_credentials(
    candidates: Sequence[Credentials],
    wanted: CertificateWanted,
    *,
    at: datetime,
    anyway: bool = True,
    schemes_of: Callable[[Credentials], Iterable[SignatureScheme]] = client_schemes,
    allowed: Collection[int] | None = None,
) -> Choice:
    """The first credentials that fit the request in every point. ``allowed`` as above.

    Where none do, ``anyway`` shows the ones that come nearest: servers name CAs incompletely, and the worst that can
    come of it is the refusal that showing nothing would bring anyway.
    """
    if not candidates:
        return Choice(None, None, "none is configured")
    found: list[tuple[Credentials, SignatureScheme | None, list[Objection], list[Objection]]] = []
    for one in candidates:
        scheme = negotiate.choose_scheme(schemes_of(one), wanted.schemes, allowed)
        found.append((one, scheme, *_objections(one, scheme, wanted, at)))
    possible = [entry for entry in found if entry[1] is not None and not entry[2]]
    # The first of those with the fewest objections: min() keeps the order.
    nearest = min(possible, key=lambda entry: len(entry[3]), default=None)
    if nearest is not None and nearest[3] and not anyway:
        nearest = None
    considered = tuple(
        Considered(
            certificate=one.chain[0],
            shown=nearest is not None and one is nearest[0],
            why=_why([*never, *objections], wanted),
            objections=tuple(objection.code for objection in (*never, *objections)),
        )
        for one, _, never, objections in found
    )
    if nearest is None:
        reason = considered[0].why if len(found) == 1 else f"none of our {len(found)} certificates fits the request"
        return Choice(None, None, reason, considered)
    credentials, scheme, _, objections = nearest
    shown_anyway = "; it is shown all the same" if objections else ""
    return Choice(credentials, scheme, _why(objections, wanted) + shown_anyway, considered)


def _why(objections: Sequence[Objection], wanted: CertificateWanted) -> str:
    if objections:
        return "; ".join(objection.words for objection in objections)
    if wanted.ca_names:
        return "its issuer is among the CA names that the server sent"
    return "the server named no CAs"


def _objections(
    credentials: Credentials, scheme: int | None, wanted: CertificateWanted, at: datetime
) -> tuple[list[Objection], list[Objection]]:
    """What speaks against showing these credentials: what forbids it, and what does not."""
    from handfast.x509.certificates import Malformed, parse

    never, objections = [], []
    if scheme is None:
        words = f"the server accepts no signature scheme that its {credentials.key_description} key may make"
        never.append(Objection("no_common_scheme", words))
    try:
        leaf = parse(credentials.chain[0])
    except Malformed as error:
        objections.append(Objection("malformed", str(error)))
    else:
        never += _unmet_filters(leaf, wanted.oid_filters)
        objections += _not_usable(leaf, at)
    if wanted.ca_names and not credentials.issued_by_any(wanted.ca_names):
        objections.append(_issuer_not_named(credentials.issuer_names, wanted.ca_names))
    return never, objections


def _issuer_not_named(issuers: Sequence[bytes], ca_names: Iterable[bytes]) -> Objection:
    """None of the names is an issuer's by its bytes; where one is by its text, this is what is said."""
    from handfast.x509.distinguished_names import rfc4514, written_as

    readable = {rfc4514(name): name for name in reversed(issuers) if written_as(name)}
    for name in ca_names:
        text = rfc4514(name)
        if text in readable and written_as(name):
            ours, theirs = written_as(readable[text]), written_as(name)
            how = f" ({ours} in the certificate, {theirs} in the server's list)" if ours != theirs else ""
            words = (
                f"its issuer {text} is among the CA names that the server sent by its text, and not by its bytes: the"
                f" two are encoded differently{how}"
            )
            return Objection("issuer_encoding", words)
    return Objection("issuer_not_named", "its issuer is not among the CA names that the server sent")


def _not_usable(leaf: Parsed, at: datetime) -> list[Objection]:
    """RFC 5280 4.1.2.5, 4.2.1.3 and 4.2.1.12."""
    found = []
    if at < leaf.not_before:
        words = f"it is not valid before {leaf.not_before:%Y-%m-%d %H:%M} UTC"
        found.append(Objection("not_yet_valid", words))
    if at > leaf.not_after:
        found.append(Objection("expired", f"it expired on {leaf.not_after:%Y-%m-%d %H:%M} UTC"))
    return [*found, *_not_for_clients(leaf.encoded)]


# Of our own certificates: what each allows is the same at any time.
@lru_cache(maxsize=64)
def _not_for_clients(certificate: bytes) -> tuple[Objection, ...]:
    from cryptography import x509

    from handfast.x509.certificates import parse
    from handfast.x509.usage import leaf_purposes_allow, wanted

    leaf = parse(certificate)
    found: list[Objection] = []
    key_usage = leaf.extension(x509.KeyUsage)
    if key_usage is not None and not key_usage.digital_signature:
        found.append(Objection("key_may_not_sign", "its keyUsage lacks digitalSignature"))
    if not leaf_purposes_allow(leaf.extension(x509.ExtendedKeyUsage), Purpose.CLIENT, any_purpose=True):
        found.append(Objection("wrong_purpose", f"its extendedKeyUsage lacks {wanted(Purpose.CLIENT)}"))
    return tuple(found)


def _unmet_filters(leaf: Parsed, filters: Iterable[tuple[bytes, bytes]]) -> list[Objection]:
    """RFC 9846 4.3.5: extensions that we do not know, which are all but the two, are passed over."""
    from cryptography import x509

    from handfast.x509.usage import key_usage_has, purposes_have

    unmet = []
    for oid, values in filters:
        if oid == _KEY_USAGE and not key_usage_has(leaf.extension(x509.KeyUsage), values):
            words = "its keyUsage is not what the server's oid_filters demand"
            unmet.append(Objection("oid_filters", words))
        elif oid == _EXTENDED_KEY_USAGE and not purposes_have(leaf.extension(x509.ExtendedKeyUsage), values):
            words = "its extendedKeyUsage is not what the server's oid_filters demand"
            unmet.append(Objection("oid_filters", words))
    return unmet


def _scheme(
    credentials: Credentials, accepted: Collection[int], allowed: Collection[int] | None
) -> SignatureScheme | None:
    return negotiate.choose_scheme(signer_schemes(credentials), accepted, allowed)
