"""Servers that want a client certificate, and do not get one or refuse the one that comes.

An alert alone decides little: one stands for many causes, and many servers send none. What decides is the certificate
itself, the CA names that the server sends, what the server trusts where that is known, and how two connections differ.
Each rule starts from all causes that fit how the refusal came and takes away what the rest of the evidence excludes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast.doctor.evidence import Asked
from handfast.doctor.examine import named
from handfast.doctor.finding import Finding
from handfast.doctor.inputs import Input
from handfast.outcome.cause import CauseCode, Manner
from handfast.outcome.certificate_words import DESCRIBER
from handfast.outcome.diagnosed import ANY_REFUSAL, BY_SERVER_ALERT
from handfast.registry import AlertDescription, ProtocolVersion, SignatureScheme
from handfast.text import escape
from handfast.x509.distinguished_names import rfc4514, written_as

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from handfast.doctor.evidence import Attempt, Evidence, Identity

_NAMES_SHOWN = 4
_TLS13 = ProtocolVersion.describe(ProtocolVersion.TLS13)
_NONE_SHOWN = frozenset({CauseCode.NO_CERTIFICATE, CauseCode.CERTIFICATE_WITHHELD})
_NOT_ABOUT_CERTIFICATES = frozenset({CauseCode.NOTHING_IN_COMMON, CauseCode.LARGE_HELLO, CauseCode.RENEGOTIATION})
_ISSUER = frozenset({"client_wrong_ca", "client_missing_intermediate"})
_TRUST = _ISSUER | {"client_twin_ca"}
# What a server's CA file and the client's chain tell between them.
_OF_PATHS = _TRUST | {"client_path_not_built"}
_LISTS = frozenset({"client_revoked", "client_crl_stale", "client_crl_missing"})
# What may be wrong with a CA that is not known here, by the alert where that says more than that something is.
_OF_AN_UNKNOWN_CA = ("client_expired", "client_weak_key", "client_weak_hash")
_OF_AN_UNKNOWN_CA_BY_ALERT: Mapping[int, tuple[str, ...]] = {AlertDescription.certificate_expired: ("client_expired",)}
# Statuses that are about who may come in, and not about the certificate itself.
_FORBIDDEN = frozenset({401, 403})


def never_asked(evidence: Evidence) -> Iterator[Finding]:
    """A certificate is there to be shown, and the server asks for none."""
    if evidence.client is None or not evidence.client.chain:
        return
    complete = [one for one in evidence.attempts if one.complete]
    if any(speaks_behind(one) for one in complete):
        # Whom it wants a certificate of is this server, and not the client.
        return
    if complete and all(one.asked is Asked.NEVER for one in complete):
        words = f"{complete[0].title}: {complete[0].version or 'the'} handshake completed without a CertificateRequest"
        yield Finding(causes=("not_requested",), evidence=(words,))


def asked_later(evidence: Evidence) -> Iterator[Finding]:
    """A server that asks after the handshake, which few clients answer."""
    for one in evidence.attempts:
        if one.asked is Asked.RENEGOTIATION:
            words = f"{one.title}: the server sent HelloRequest, which was declined"
            yield Finding(causes=("renegotiation",), evidence=(words, *_http_words(one)))
            return
        if one.asked is Asked.AFTERWARDS:
            words = f"{one.title}: the server sent CertificateRequest after the handshake"
            yield Finding(causes=("requested_later",), evidence=(words, *_http_words(one)))
            return


def none_shown(evidence: Evidence) -> Iterator[Finding]:
    """The server wants a certificate and gets none."""
    one = next((one for one in evidence.attempts if one.cause in _NONE_SHOWN and _is_of_access(one)), None)
    if one is None or any(other.client_chain for other in evidence.attempts):
        return
    client = evidence.client
    said = (_refusal_words(one), _asked_words(one))
    if one.manner is Manner.HTTP and one.http is not None and not one.http.about_certificate:
        causes = ("no_certificate", "path_forbidden")
        yield Finding(causes=causes, evidence=said, separates=Input.CLIENT_CERTIFICATE)
    elif client is None:
        # A recorded client may have had one and kept it to itself.
        kept = ("certificate_withheld",) if one.ca_names and not one.live else ()
        separates = Input.CLIENT_CERTIFICATE if kept else Input.NOTHING
        yield Finding(causes=("no_certificate", *kept), evidence=said, separates=separates)
    elif client.chain:
        yield from _kept_to_itself(one, client, said)


def _kept_to_itself(one: Attempt, client: Identity, said: tuple[str, ...]) -> Iterator[Finding]:
    """Why a client that has a certificate showed none. Files that cannot be used are a finding of their own.

    Ours shows what it has, unless the server is not verified; what the names say of it holds all the same.
    """
    if one.schemes and client.schemes and not set(client.schemes) & set(one.schemes):
        words = f"its key makes {SignatureScheme.describe_all(client.schemes)}"
        taken = f"the server takes {SignatureScheme.describe_all(one.schemes, _NAMES_SHOWN)}"
        yield Finding(causes=("client_scheme",), evidence=(*said, words, taken))
    elif one.ca_names and not named(client, one.ca_names):
        codes = _not_named(client, one)
        if not one.live and codes != ("issuer_encoding",):
            codes = ("certificate_withheld",)
        yield Finding(causes=codes, evidence=(*said, _issuer_words(client)), separates=separating(codes, client))
    elif not one.live:
        yield Finding(causes=("no_certificate",), evidence=(*said, "the certificate given would have fitted"))


def refused(evidence: Evidence) -> Iterator[Finding]:
    """The server refuses the certificate that was shown."""
    one = next((one for one in evidence.attempts if _is_refusal(one)), None)
    if one is None:
        return
    client = evidence.client
    said = [_refusal_words(one), _asked_words(one)]
    if client is not None and _has_own_fault(client):
        # What is wrong with it is a finding already, and enough for a refusal.
        return
    if one.http is not None and one.manner is Manner.HTTP and one.http.status in _FORBIDDEN:
        yield _forbidden(one, evidence, said)
        return
    if client is not None:
        said.append(_issuer_words(client))
    codes = _narrowed(BY_SERVER_ALERT.get(one.server_alert or 0, ANY_REFUSAL), one, client)
    codes += _of_those_above(one, client)
    if client is not None and client.is_new and "client_not_allowed" in codes and len(codes) > 1:
        # Where the reason is open, a server whose clock is behind is one.
        codes = (*codes, "client_not_yet_valid")
        said.append("its validity began less than two days ago")
    yield Finding(causes=codes, evidence=tuple(said), separates=separating(codes, client))


def closed_later(evidence: Evidence) -> Iterator[Finding]:
    """A server that closes after the handshake, and asked for nothing."""
    for one in evidence.attempts:
        ended = one.error in ("reset", "unexpected_eof") and not one.answered and one.live
        if one.complete and ended and one.cause is None and one.asked is Asked.NEVER:
            yield Finding(causes=("closed_later",), evidence=(f"{one.title}: {one.what}",), separates=Input.SERVER_LOG)
            return


def _is_refusal(one: Attempt) -> bool:
    if speaks_behind(one):
        return False
    if one.cause is None or one.cause in _NONE_SHOWN | _NOT_ABOUT_CERTIFICATES or not one.client_chain:
        return False
    return _is_of_access(one)


def speaks_behind(one: Attempt) -> bool:
    """Whether a page complains of no certificate though one was shown, or none was asked for."""
    return one.http is not None and one.http.none_sent and (bool(one.client_chain) or one.asked is Asked.NEVER)


def _is_of_access(one: Attempt) -> bool:
    """Whether a refusal is about who comes: of HTTP's, one that speaks of certificates, or that forbids."""
    answer = one.http
    if one.manner is not Manner.HTTP or answer is None:
        return True
    return answer.about_certificate or answer.status in _FORBIDDEN


def _has_own_fault(client: Identity) -> bool:
    return any(problem.causes != ("form",) for problem in client.problems)


def _forbidden(one: Attempt, evidence: Evidence, said: list[str]) -> Finding:
    without = next((other for other in evidence.attempts if other.complete and not other.client_chain), None)
    client = evidence.client
    issuers: tuple[str, ...] = ()
    if client is not None and one.ca_names and not named(client, one.ca_names):
        # A server that lets anybody connect may still go by what it found out.
        said.append(_issuer_words(client))
        issuers = _not_named(client, one)
    if without is not None and without.http is not None:
        said.append(f"{without.title}: HTTP {without.http.status} {escape(without.http.reason)}".rstrip())
        if without.http.status not in {*_FORBIDDEN, 400, 495, 496}:
            separates = Input.SERVER_LOG if issuers else Input.NOTHING
            return Finding(causes=(*issuers, "client_not_allowed"), evidence=tuple(said), separates=separates)
    causes = (*issuers, "client_not_allowed", "path_forbidden")
    return Finding(causes=causes, evidence=tuple(said), separates=Input.SERVER_LOG)


def _of_those_above(one: Attempt, client: Identity | None) -> tuple[str, ...]:
    """The faults of CAs above a certificate that nothing here has looked at."""
    if client is None or client.ends_in_root or client.accepted is not None:
        return ()
    alert = one.server_alert or 0
    if alert in _OF_AN_UNKNOWN_CA_BY_ALERT:
        return _OF_AN_UNKNOWN_CA_BY_ALERT[alert]
    return () if alert in BY_SERVER_ALERT else _OF_AN_UNKNOWN_CA


def _narrowed(codes: tuple[str, ...], one: Attempt, client: Identity | None) -> tuple[str, ...]:
    """The causes that the rest of the evidence leaves."""
    if client is None:
        return codes
    excluded: set[str] = set()
    if client.accepted:
        excluded |= _TRUST
    elif _TRUST & set(codes) and not named(client, one.ca_names or ()):
        if client.signs_itself:
            return ("client_self_signed",)
        if one.ca_names:
            return _not_named(client, one)
    elif one.ca_names:
        excluded |= _ISSUER
    if client.ends_in_root:
        excluded.add("client_missing_intermediate")
    if one.live:
        # Our own signature was checked against it.
        excluded.add("client_key_mismatch")
    if client.revocation_checked:
        excluded |= _LISTS
    return tuple(code for code in codes if code not in excluded) or ("certificate_refused",)


def _not_named(client: Identity, one: Attempt) -> tuple[str, ...]:
    """Why none of the CAs that the server names issued the certificate."""
    if _same_text(client, one):
        return ("issuer_encoding",)
    return ("client_wrong_ca",) if client.ends_in_root else ("client_wrong_ca", "client_missing_intermediate")


def _same_text(client: Identity, one: Attempt) -> bool:
    """Whether an issuer's name reads as one that the server named, and is other bytes."""
    texts = {rfc4514(name) for name in one.ca_names or () if written_as(name)}
    return any(rfc4514(name) in texts and written_as(name) for name in client.issuers)


def separating(codes: tuple[str, ...], client: Identity | None) -> Input:
    """What would tell which of these causes it is."""
    if len(codes) == 1:
        return Input.SERVER_LOG if codes[0] == "certificate_refused" else Input.NOTHING
    if set(codes) <= _ISSUER:
        return Input.CLIENT_ISSUER
    if set(codes) <= _OF_PATHS and client is not None and client.accepted is None:
        return Input.CLIENT_CA
    return Input.SERVER_LOG


def _refusal_words(one: Attempt) -> str:
    how = ""
    match one.manner:
        case Manner.ALERT if one.server_alert is not None:
            # In TLS 1.2 the server's Finished comes last, and an alert in its place.
            where = " after the handshake" if one.complete and one.version == _TLS13 else ""
            unprotected = ", unprotected, which anybody on the path can send" if one.plaintext else ""
            name = AlertDescription.describe(one.server_alert)
            how = f"the server sent the alert {name} ({one.server_alert}){where}{unprotected}"
        case Manner.HTTP if one.http is not None:
            about = ", and its page speaks of the certificate" if one.http.about_certificate else ""
            how = f"the server answered HTTP {one.http.status} {escape(one.http.reason)}".rstrip() + about
        case _:
            how = "the server closed without a word" + (f" ({one.error})" if one.error else "")
    shown = f"after {DESCRIBER.identity(one.client_chain[0])}" if one.client_chain else "and no certificate was shown"
    return f"{one.title}: {how}, {shown}"


def _asked_words(one: Attempt) -> str:
    if not one.ca_names:
        return "the server's request names no CAs"
    names = [f"[{escape(DESCRIBER.name(name))}]" for name in one.ca_names[:_NAMES_SHOWN]]
    more = f" and {len(one.ca_names) - _NAMES_SHOWN} more" if len(one.ca_names) > _NAMES_SHOWN else ""
    return f"the server's request names {', '.join(names)}{more}"


def _issuer_words(client: Identity) -> str:
    issuers = [f"[{escape(DESCRIBER.name(name))}]" for name in dict.fromkeys(client.issuers[:_NAMES_SHOWN])]
    return f"the client's certificate is issued by {', then '.join(issuers)}" if issuers else "its issuer is not known"


def _http_words(one: Attempt) -> tuple[str, ...]:
    if one.http is None:
        return ()
    return (f"and answered HTTP {one.http.status} {escape(one.http.reason)}".rstrip(),)
