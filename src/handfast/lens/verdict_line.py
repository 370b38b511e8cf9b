"""The words for an outcome: one line that says what came of a connection, and what to do where something failed.

TLS 1.3 tells a client nothing when its certificate is accepted: it only ever hears of a refusal, and after its own
handshake is over. So a client's line never says "accepted": it says that the server answered, or for how long nothing
spoke against it. In TLS 1.2 the server's Finished, which comes last, is an answer; and an HTTP status may be a refusal
in either. The words for failures are ``outcome.failure_words``, which the log of a server shares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from handfast.outcome import failure_words
from handfast.outcome.cause import HTTP_REFUSALS, Manner
from handfast.outcome.certificate_words import DESCRIBER
from handfast.roles import Role
from handfast.text import counted, escape

if TYPE_CHECKING:
    from handfast.errors import HandfastError
    from handfast.lens.outcome import Outcome
    from handfast.outcome.describer import Describer


def line(outcome: Outcome, error: BaseException | None = None, describer: Describer | None = None) -> str:
    """The verdict in one printable line; ``error`` is what ended the connection, if something did."""
    return _Words(outcome, describer or DESCRIBER).line(error)


def hint(outcome: Outcome, error: HandfastError | None, describer: Describer | None = None) -> str:
    """What to do about what ended the connection: what is known of the cause, or else the error's own hint."""
    return failure_words.hint(outcome.failure(error), describer or DESCRIBER)


class _Words:
    def __init__(self, outcome: Outcome, describer: Describer) -> None:
        self.outcome = outcome
        self.role = outcome.role
        self.info: Any = outcome.info
        self.describer = describer

    def line(self, error: BaseException | None) -> str:
        failure = self.outcome.failure(error)
        if error is not None or self.info is None:
            return failure_words.line(failure, self.describer)
        cause = failure.cause
        if cause is not None and cause.manner is Manner.CLOSE:
            what = failure_words.silent_refusal(failure, cause, self.describer)
            return f"{self._version()} without an answer: the server closed{what}"
        said = self._server_line() if self.role is Role.SERVER else self._client_line()
        return f"{said}; {', '.join(self._parameters())}"

    def _version(self) -> str:
        return str(self.info.version)

    # What came off

    def _server_line(self) -> str:
        version = self._version()
        peer = self.info.peer
        if peer is not None and peer.verdict.accepted:
            return f"mutual {version} OK: client {self._identity(peer.chain)}"
        if peer is not None:
            return f"{version} OK, but the client is NOT verified: {self._unverified(peer)}"
        if not self.info.client_auth_requested:
            return f"{version} OK, one-way: no client certificate was requested"
        offer = failure_words.offer(self.outcome.ca_names)
        return f"{version} OK, one-way: the client was asked for a certificate and has shown none; {offer}"

    def _client_line(self) -> str:
        peer = self.info.peer
        verified = peer is not None and peer.verdict.accepted
        server = f"server {self._identity(peer.chain) if verified else f'NOT VERIFIED: {self._unverified(peer)}'}"
        if self.info.session_identified:
            known = self._not_refused(
                "the session stands for the certificate that we showed when it began, and the server"
            )
            return f"{self._status(mutual=verified)}: {server}; {known}"
        if not self.info.client_auth_requested:
            known = self._not_refused("it requested no client certificate and")
            return f"{self._status(one_way=True)}: {server}; {known}{self._asked_again()}"
        if not self.info.certificate_sent:
            named = counted(len(self.outcome.ca_names), "CA") if self.outcome.ca_names else "no CAs"
            declined = self._not_refused(f"it requested a client certificate, naming {named}; we showed none and it")
            return f"{self._status(one_way=True)}: {server}; {declined}"
        ours = self._identity(self.outcome.chains.get(self.role.sends, ()))
        return f"{self._status(mutual=verified)}: {server}; {self._not_refused(f'we showed {ours} and the server')}"

    def _status(self, *, mutual: bool = False, one_way: bool = False) -> str:
        """ "mutual TLS 1.3 OK"; an HTTP status that may be a refusal takes that word away."""
        http = self.outcome.http
        if http is not None and http.status in HTTP_REFUSALS:
            return f"{self._version()} OK{', one-way' if one_way else ''}, but the server answered {_http(http)}"
        return f"{'mutual ' if mutual else ''}{self._version()} OK{', one-way' if one_way else ''}"

    def _not_refused(self, so_far: str) -> str:
        if self.outcome.answered:
            http = self.outcome.http
            # A refusal stands at the head of the line already.
            return f"{so_far} answered" + (f" {_http(http)}" if http and http.status not in HTTP_REFUSALS else "")
        return f"{so_far} has not refused within {self.outcome.waited * 1000:.0f} ms"

    def _asked_again(self) -> str:
        wanted = "; it then asked for a second handshake (HelloRequest), which we declined"
        return wanted if self.outcome.renegotiation_wanted else ""

    def _parameters(self) -> list[str]:
        info = self.info
        said = [str(one) for one in (info.suite, info.group) if one is not None]
        if info.application_protocol is not None:
            said.append(f"ALPN {escape(info.application_protocol)}")
        elif wanted := self.outcome.protocols:
            said.append(f"no ALPN selected ({'we' if self.role is Role.CLIENT else 'the client'} offered {wanted})")
        if info.retried:
            said.append("after a HelloRetryRequest")
        if info.resumed:
            said.append("resumed")
        return said

    def _identity(self, chain: tuple[bytes, ...]) -> str:
        return self.describer.identity(chain[0]) if chain else "without a certificate"

    def _unverified(self, peer: Any) -> str:
        if peer is None:
            return "it has shown no certificate"
        return f"{self._identity(peer.chain)}: {peer.verdict.explanation}"


def _http(http: Any) -> str:
    return f"HTTP {http.status} {escape(http.reason)}".rstrip()
