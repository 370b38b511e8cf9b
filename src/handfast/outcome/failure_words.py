"""The words for a failure: one sentence that says who refused whom and why, and what to do about it.

They are made here alone. The log of a server, the verdict on the command line and the endpoint's report say the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast.errors import CertificateRejected, ConnectionLost, HandfastError, PeerRejected
from handfast.errors.foreign import said_by
from handfast.limits import MAX_PEER_TEXT
from handfast.outcome import offered
from handfast.outcome.cause import ABOUT_CERTIFICATES, Cause, CauseCode
from handfast.registry import AlertDescription
from handfast.roles import Role
from handfast.text import counted, escape

if TYPE_CHECKING:
    from handfast.outcome.describer import Describer
    from handfast.outcome.failure import Failure

_NAMES_LISTED = 4
_TELLS_ALL = frozenset({"connect_failed", "given_up"})


def line(failure: Failure, describer: Describer) -> str:
    """The failure in one printable line, without what to do about it."""
    return _Words(failure, describer).line()


def hint(failure: Failure, describer: Describer) -> str:
    """What to do about it: what is known of the cause, or else the error's own hint; "" for nothing."""
    if failure.cause is not None:
        return _Words(failure, describer).hint(failure.cause)
    return failure.error.hint if isinstance(failure.error, HandfastError) else ""


def silent_refusal(failure: Failure, cause: Cause, describer: Describer) -> str:
    """What a connection that the server closed without a word ended about, as the rest of a sentence."""
    return _Words(failure, describer).because_us(cause)


def offer(ca_names: tuple[bytes, ...] | None, describer: Describer | None = None) -> str:
    """ "it was offered 2 CA names"; with a describer, which."""
    if not ca_names:
        return "it was offered no CA names"
    listed = f": {_names(ca_names, describer)}" if describer is not None else ""
    return f"it was offered {counted(len(ca_names), 'CA name')}{listed}"


def _names(names: tuple[bytes, ...], describer: Describer) -> str:
    shown = [f"[{escape(describer.name(name), MAX_PEER_TEXT)}]" for name in names[:_NAMES_LISTED]]
    return ", ".join([*shown, *([f"{len(names) - _NAMES_LISTED} more"] if len(names) > _NAMES_LISTED else [])])


class _Words:
    def __init__(self, failure: Failure, describer: Describer) -> None:
        self.failure = failure
        self.describer = describer

    def line(self) -> str:
        failure = self.failure
        ours, theirs = failure.role, failure.role.peer
        cause = failure.cause
        stage = f" {failure.stage}" if failure.stage else ""
        # Words without a stage stand behind "handshake failed" in a log line.
        failed = f"failed{stage}: " if stage else ""
        match failure.error:
            case PeerRejected() as error if cause is not None and cause.code is CauseCode.NOTHING_IN_COMMON:
                versions_only = cause.alert == AlertDescription.protocol_version
                said = offered.versions(failure.hello) if versions_only else offered.in_words(failure.hello)
                return f"{theirs} refused: {self._alert(theirs, error)}; we offer {said}"
            case PeerRejected() as error:
                return f"{theirs} refused: {self._alert(theirs, error)}{self._because(theirs, cause)}"
            case CertificateRejected(code="certificate_required") as error:
                return f"{ours} refused: {self._alert(ours, error)}{self._because(ours, None)}"
            case CertificateRejected() as error:
                shown = self._identity(failure.chains.get(theirs, ()))
                return f"{ours} refused the {theirs}'s certificate, {self._alert(ours, error)}: {shown}: {error.what}"
            case ConnectionLost() as error if cause is not None:
                return f"{error.what}{self.because_us(cause)}"
            case ConnectionLost() as error if failure.complete or error.code in _TELLS_ALL:
                return error.what
            case HandfastError(alert=None) as error:
                return f"{failed}{error.what}"
            case HandfastError() as error:
                return f"{ours} refused{stage}: {self._alert(ours, error)}: {error.what}"
            case None:
                return f"nothing came of it: the handshake ended{stage}"
            case error:
                return f"{failed}{said_by(error)}"

    def _identity(self, chain: tuple[bytes, ...]) -> str:
        return self.describer.identity(chain[0]) if chain else "without a certificate"

    def _alert(self, sender: Role, error: HandfastError) -> str:
        """The alert that ``sender`` sent, by name and number."""
        number = self.failure.alerts.get(sender, error.alert)
        if number is None:
            return escape(str(error.details.get("alert", "an alert")))
        # Anyone on the path can have sent it.
        stage = str(error.details.get("stage", "")) if isinstance(error, PeerRejected) else ""
        plaintext = escape(stage) if stage.startswith(" in plaintext") else ""
        return f"{AlertDescription.describe(number)} ({int(number)}){plaintext}"

    def _because(self, refuser: Role, cause: Cause | None) -> str:
        """Which certificate, or lack of one, an alert about certificates speaks of."""
        failure, refused = self.failure, refuser.peer
        if cause is not None and cause.code is CauseCode.RENEGOTIATION:
            return self.because_us(cause)
        if failure.alerts.get(refuser, AlertDescription.certificate_required) not in ABOUT_CERTIFICATES:
            return ""
        names = offer(failure.ca_names, self.describer if cause is not None else None)
        offered_names = f"; {names}" if refused is Role.CLIENT else ""
        if shown := failure.chains.get(refused):
            return f", after the {refused} showed {self._identity(shown)}{_found(cause)}{offered_names}"
        if not failure.withheld(refused):
            return ""
        reason = f" ({escape(failure.reason)})" if failure.reason and refuser is not failure.role else ""
        return f", because the {refused} sent no certificate{reason}{offered_names}"

    def because_us(self, cause: Cause) -> str:
        """What a connection that ended without a word ended about."""
        match cause.code:
            case CauseCode.LARGE_HELLO:
                return f"; nothing came back for our hello of {self.failure.hello_size} bytes"
            case CauseCode.RENEGOTIATION:
                return ", after it had asked for a second handshake (HelloRequest), which we declined"
        offered_names = offer(self.failure.ca_names, self.describer)
        if not cause.certificate:
            reason = f" ({escape(cause.why)})" if cause.why else ""
            return f", right after the client was asked for a certificate and sent none{reason}; {offered_names}"
        shown = self.describer.identity(cause.certificate)
        refusal = "which is almost certainly a refusal of it"
        return f", before any data and right after the client showed {shown}, {refusal}{_found(cause)}; {offered_names}"

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
                return f"{own}; {offered.limits_of_ours(self.failure.hello)}"
        return _HINTS[cause.code].format(issued_by=self._issued_by(cause))

    def _issued_by(self, cause: Cause) -> str:
        return f"; one issued by {_names(cause.ca_names, self.describer)}" if cause.ca_names else ""


def _found(cause: Cause | None) -> str:
    """What our own choice had found against the certificate that we showed."""
    if cause is None:
        return ""
    if cause.code is CauseCode.ISSUER_REKEYED:
        return "; its issuer is among the CA names that the server sent, so the server knows that CA with another key"
    return f": {escape(cause.why.removesuffix(_ALL_THE_SAME))}" if cause.objections else ""


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
