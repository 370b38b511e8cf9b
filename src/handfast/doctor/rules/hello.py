"""Connections that come to nothing before certificates count: no TLS there, nothing in common, something in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast.doctor.finding import Finding
from handfast.doctor.inputs import Input
from handfast.outcome.diagnosed import BY_ALERT_TO_A_HELLO, BY_ERROR, causes_of_banner
from handfast.registry import AlertDescription
from handfast.roles import Role

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from handfast.doctor.evidence import Attempt, Evidence, Identity

_A = AlertDescription
# A server whose signature does not verify shows a certificate whose key it does not have.
_BY_OUR_ERROR = {**BY_ERROR, "bad_signature": ("server_key_mismatch",)}
# What a server may still say once it has chosen version, suite and group.
_ALSO_AFTER_THE_HELLO = frozenset({_A.no_application_protocol, _A.unrecognized_name})
_TIMEOUTS = frozenset({"handshake_timeout", "timeout", "too_slow"})
_CLOSED = frozenset({"eof_in_handshake", "reset", "unexpected_eof"})


def before_certificates(evidence: Evidence) -> Iterator[Finding]:
    """Why the first connection of each kind came to nothing before the server had said who it is."""
    for group in ([one for one in evidence.attempts if one.live], [one for one in evidence.attempts if not one.live]):
        failed = next((one for one in group if not one.spoke and _stopped(one)), None)
        if failed is None or (failed is not group[0] and group[0].live):
            continue
        yield _why(failed, group, evidence.server)


def after_the_hello(evidence: Evidence) -> Iterator[Finding]:
    """A server that has chosen, and then fails, proves nothing, or refuses for what no certificate is about."""
    for one in evidence.attempts:
        if not one.spoke or one.cause is not None:
            continue
        codes = _BY_OUR_ERROR.get(one.error, ())
        if one.server_alert == _A.internal_error:
            codes = _of_a_failure(one, evidence.client)
        elif one.server_alert in _ALSO_AFTER_THE_HELLO:
            codes = BY_ALERT_TO_A_HELLO[one.server_alert or 0]
        if codes:
            yield Finding(causes=codes, evidence=(_told(one),), separates=_separates(codes))
            return


def unexplained(evidence: Evidence) -> Iterator[Finding]:
    """A connection that failed, of which no other rule says anything."""
    for one in evidence.last_attempts:
        failed = bool(one.error or one.alerts) and not (one.answered or one.http or one.unread)
        if failed:
            yield Finding(causes=("unexplained",), evidence=(_told(one),), separates=Input.SERVER_LOG)
            return


def _of_a_failure(one: Attempt, client: Identity | None) -> tuple[str, ...]:
    """What a server may mean that says that it failed: handfast says so where its revocation lists are of no use."""
    if not one.client_chain:
        return ("server_failed",)
    if client is not None and any(problem.causes != ("form",) for problem in client.problems):
        return ()
    lists = () if client is not None and client.revocation_checked else ("client_crl_stale", "client_crl_missing")
    return ("server_failed", *lists)


def _stopped(one: Attempt) -> bool:
    return bool(one.error or one.alerts)


def _why(failed: Attempt, group: Sequence[Attempt], server: Identity | None) -> Finding:
    """Why a connection came to nothing; others of its group are the same with one thing left out."""
    others = [one for one in group if one is not failed and one.spoke]
    told = _told(failed)
    smaller = next((one for one in others if one.hello_size < failed.hello_size), None)
    named = any(one.server_name for one in others)
    unnamed = next((one for one in others if failed.server_name and not named and not one.server_name), None)
    older = next((one for one in others if one.offer != failed.offer and one.version), None)
    again = any(one is not failed and one.hello_size >= failed.hello_size and not one.spoke for one in group)
    if failed.heard_nothing and failed.error in _TIMEOUTS | _CLOSED and smaller is not None and again:
        words = f"a hello of {smaller.hello_size} bytes was answered, and one of {failed.hello_size} bytes was not"
        return Finding(causes=("large_hello",), evidence=(told, words))
    if unnamed is not None and failed.server_alert != _A.unrecognized_name:
        words = f"the same hello without the name {failed.server_name!r} was answered"
        return Finding(causes=("sni_refused",), evidence=(told, words))
    if failed.server_alert == _A.protocol_version and older is not None:
        words = f"{older.title}, the server chose {older.version}"
        return Finding(causes=("no_common_version",), evidence=(told, words))
    codes = _of_the_server_s_key(_codes(failed), server)
    return Finding(causes=codes, evidence=(told,), separates=_separates(codes))


def _of_the_server_s_key(codes: tuple[str, ...], server: Identity | None) -> tuple[str, ...]:
    """The causes, after a look at the server's certificate where that is known."""
    if server is None or "server_key_may_not_sign" not in codes:
        return codes
    if any("key_may_not_sign" in problem.causes for problem in server.problems):
        return ("server_key_may_not_sign",)
    return tuple(code for code in codes if code != "server_key_may_not_sign")


def _codes(one: Attempt) -> tuple[str, ...]:
    if one.speaks:
        return causes_of_banner(one.speaks)
    if one.error in _BY_OUR_ERROR:
        return _BY_OUR_ERROR[one.error]
    if one.server_alert is not None:
        return BY_ALERT_TO_A_HELLO.get(one.server_alert, ("unexplained",))
    if one.error in _TIMEOUTS and one.heard_nothing:
        return ("silent", "large_hello") if not one.live else ("silent",)
    if one.error in _CLOSED:
        return ("closed_in_handshake",)
    return ("unexplained",)


def _separates(codes: tuple[str, ...]) -> Input:
    return Input.SERVER_LOG if len(codes) > 1 or codes[0] in ("unexplained", "closed_in_handshake") else Input.NOTHING


def _told(one: Attempt) -> str:
    """What came of a connection, as a sentence."""
    if one.speaks:
        return f"{one.title}: what answered is no TLS but {one.speaks}"
    for role in (Role.SERVER, Role.CLIENT):
        if role in one.alerts:
            name = AlertDescription.describe(one.alerts[role])
            offer = f"; the client offers {one.offer}" if one.offer and not one.spoke and role is Role.SERVER else ""
            return f"{one.title}: the {role} sent the alert {name} ({one.alerts[role]}){offer}"
    return f"{one.title}: {one.what}"
