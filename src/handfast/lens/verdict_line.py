"""The words for an outcome: one line that says what came of a connection, and what to do where something failed.

TLS 1.3 tells a client nothing when its certificate is accepted: it only ever hears of a refusal, and after its own
handshake is over. So a client's line never says "accepted": it says that the server answered, or for how long nothing
spoke against it. In TLS 1.2 the server's Finished, which comes last, is an answer; and an HTTP status may be a refusal
in either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from handfast.errors import CertificateRejected, ConnectionLost, HandfastError, PeerRejected
from handfast.errors.foreign import said_by
from handfast.lens import offered
from handfast.lens.certificates import DESCRIBER
from handfast.lens.outcome import ABOUT_CERTIFICATES, HTTP_REFUSALS, Cause, CauseCode, Manner, Outcome
from handfast.lens.summary import count
from handfast.limits import MAX_PEER_TEXT
from handfast.registry import AlertDescription
from handfast.roles import Role
from handfast.text import escape

if TYPE_CHECKING:
    from handfast.lens.describer import Describer

_NAMES_LISTED = 4
_TELLS_ALL = frozenset({"connect_failed", "given_up"})


def line(outcome: Outcome, error: BaseException | None = None, describer: Describer | None = None) -> str:
    """The verdict in one printable line; ``error`` is what ended the connection, if something did."""
    return _Words(outcome, describer or DESCRIBER).line(error)


def hint(outcome: Outcome, error: HandfastError | None, describer: Describer | None = None) -> str:
    """What to do about what ended the connection: what is known of the cause, or else the error's own hint."""
    cause = outcome.cause(error)
    if cause is not None:
        return _Words(outcome, describer or DESCRIBER).hint(cause)
    return "" if error is None else error.hint


class _Words:
    def __init__(self, outcome: Outcome, describer: Describer) -> None:
        self.outcome = outcome
        self.role = outcome.role
        self.info: Any = outcome.info
        self.describer = describer

    def line(self, error: BaseException | None) -> str:
        if error is not None:
            return self._failure(error)
        if self.info is None:
            return f"nothing came of it: the handshake ended {self.outcome.stage}"
        cause = self.outcome.cause()
        if cause is not None and cause.manner is Manner.CLOSE:
            return f"{self._version()} without an answer: the server closed{self._because_us(cause)}"
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
        return f"{version} OK, one-way: the client was asked for a certificate and has shown none; {self._offer()}"

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
            named = count(len(self.outcome.ca_names), "CA") if self.outcome.ca_names else "no CAs"
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

    def _offer(self, *, by_name: bool = False) -> str:
        names = self.outcome.ca_names
        if not names:
            return "it was offered no CA names"
        listed = f": {self._names(names)}" if by_name else ""
        return f"it was offered {count(len(names), 'CA name')}{listed}"

    def _names(self, names: tuple[bytes, ...]) -> str:
        shown = [f"[{escape(self.describer.name(name), MAX_PEER_TEXT)}]" for name in names[:_NAMES_LISTED]]
        return ", ".join([*shown, *([f"{len(names) - _NAMES_LISTED} more"] if len(names) > _NAMES_LISTED else [])])

    # What failed

    def _failure(self, error: BaseException) -> str:
        ours, theirs = self.role, self.role.peer
        cause = self.outcome.cause(error)
        match error:
            case PeerRejected() if cause is not None and cause.code is CauseCode.NOTHING_IN_COMMON:
                hello = self.outcome.hello
                versions_only = cause.alert == AlertDescription.protocol_version
                said = offered.versions(hello) if versions_only else offered.in_words(hello)
                return f"{theirs} refused: {self._alert(theirs, error)}; we offer {said}"
            case PeerRejected():
                return f"{theirs} refused: {self._alert(theirs, error)}{self._because(theirs, cause)}"
            case CertificateRejected(code="certificate_required"):
                return f"{ours} refused: {self._alert(ours, error)}{self._because(ours, None)}"
            case CertificateRejected():
                shown = self._identity(self.outcome.chains.get(theirs.sends, ()))
                return f"{ours} refused the {theirs}'s certificate, {self._alert(ours, error)}: {shown}: {error.what}"
            case ConnectionLost() if cause is not None:
                return f"{error.what}{self._because_us(cause)}"
            case ConnectionLost() if self.info is not None or error.code in _TELLS_ALL:
                return error.what
            case HandfastError(alert=None):
                return f"failed {self.outcome.stage}: {error.what}"
            case HandfastError():
                return f"{ours} refused {self.outcome.stage}: {self._alert(ours, error)}: {error.what}"
        return f"failed {self.outcome.stage}: {said_by(error)}"

    def _alert(self, sender: Role, error: HandfastError) -> str:
        """The alert that ``sender`` sent, by name and number."""
        number = self.outcome.alerts.get(sender.sends, error.alert)
        if number is None:
            return escape(str(error.details.get("alert", "an alert")))
        return f"{AlertDescription.describe(number)} ({int(number)})"

    def _because(self, refuser: Role, cause: Cause | None) -> str:
        """Which certificate, or lack of one, an alert about certificates speaks of."""
        outcome, refused = self.outcome, refuser.peer
        if cause is not None and cause.code is CauseCode.RENEGOTIATION:
            return self._because_us(cause)
        if outcome.alerts.get(refuser.sends, AlertDescription.certificate_required) not in ABOUT_CERTIFICATES:
            return ""
        by_name = cause is not None
        offer = f"; {self._offer(by_name=by_name)}" if refused is Role.CLIENT else ""
        if shown := outcome.chains.get(refused.sends):
            return f", after the {refused} showed {self._identity(shown)}{_found(cause)}{offer}"
        if not outcome.withheld(refused):
            return ""
        reason = outcome.choice.reason if outcome.choice is not None and refuser is not self.role else ""
        return f", because the {refused} sent no certificate{f' ({escape(reason)})' if reason else ''}{offer}"

    def _because_us(self, cause: Cause) -> str:
        """What a connection that ended without a word ended about."""
        match cause.code:
            case CauseCode.LARGE_HELLO:
                return f"; nothing came back for our hello of {self.outcome.hello_size} bytes"
            case CauseCode.RENEGOTIATION:
                return ", after it had asked for a second handshake (HelloRequest), which we declined"
        offer = self._offer(by_name=True)
        if not cause.certificate:
            reason = f" ({escape(cause.why)})" if cause.why else ""
            return f", right after the client was asked for a certificate and sent none{reason}; {offer}"
        shown = self.describer.identity(cause.certificate)
        refusal = "which is almost certainly a refusal of it"
        return f", before any data and right after the client showed {shown}, {refusal}{_found(cause)}; {offer}"

    # What to do

    def hint(self, cause: Cause) -> str:
        match cause.code:
            case CauseCode.NO_CERTIFICATE | CauseCode.CERTIFICATE_WITHHELD:
                required = PeerRejected.catalogue["certificate_required"].hint
                return f"{required}{self._issued_by(cause)}"
            case CauseCode.NOTHING_IN_COMMON:
                number = AlertDescription(cause.alert or 0)
                own = PeerRejected.catalogue[number.name].hint
                if number is AlertDescription.protocol_version:
                    return own
                return f"{own}; {offered.limits_of_ours(self.outcome.hello)}"
        return _HINTS[cause.code].format(issued_by=self._issued_by(cause))

    def _issued_by(self, cause: Cause) -> str:
        return f"; one issued by {self._names(cause.ca_names)}" if cause.ca_names else ""


def _found(cause: Cause | None) -> str:
    """What our own choice had found against the certificate that we showed."""
    if cause is None:
        return ""
    if cause.code is CauseCode.ISSUER_REKEYED:
        return "; its issuer is among the CA names that the server sent, so the server knows that CA with another key"
    return f": {escape(cause.why.removesuffix(_ALL_THE_SAME))}" if cause.objections else ""


def _http(http: Any) -> str:
    return f"HTTP {http.status} {escape(http.reason)}".rstrip()


_ALL_THE_SAME = "; it is shown all the same"
_HINTS = {
    CauseCode.ISSUER_NOT_NAMED: "show a certificate that one of the CAs named issued, in credentials; if its"
    " issuer is an intermediate below one of them, append the intermediate's certificate to the chain of our"
    " credentials",
    CauseCode.ISSUER_ENCODING: "have the certificate issued anew, or the server's CA file made anew, so that both write"
    " the name with the same string types: servers compare names by their bytes",
    CauseCode.ISSUER_REKEYED: "the CA was probably made anew under its old name: have the certificate issued by the CA"
    " that the server trusts now, or give the server the CA certificate that issued ours",
    CauseCode.EXPIRED: "renew our certificate; if it should still be valid, the clock here is wrong",
    CauseCode.NOT_YET_VALID: "wait until our certificate is valid, or set the clock right on the machine that is wrong",
    CauseCode.WRONG_PURPOSE: "have a certificate issued for clients: extendedKeyUsage clientAuth",
    CauseCode.KEY_MAY_NOT_SIGN: "have a certificate issued whose keyUsage has digitalSignature",
    CauseCode.CERTIFICATE_REFUSED: "nothing here speaks against our certificate: it may be revoked, its owner may not"
    " be allowed in, or its CA be another under the same name; the server's log says what it found",
    CauseCode.LEAF_ALONE: "only the leaf was sent: if its issuer is an intermediate, append the intermediate's"
    " certificate to the chain of our credentials; else the server's log says what it found",
    CauseCode.RENEGOTIATION: "it wants the client certificate for this path only, by renegotiation, which is not done"
    " here: have it ask in the first handshake (Apache: SSLVerifyClient outside of Location and Directory; IIS:"
    " clientcertnegotiation=enable), or speak TLS 1.3 with post_handshake_auth=True",
    CauseCode.LARGE_HELLO: "a middlebox on the path may not bear a hello of more than one packet: try"
    ' groups=["x25519"], which makes it small; or is this not the TLS port?',
}
