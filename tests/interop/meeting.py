"""One connection between handfast's endpoint and a foreign peer, and what each side says of it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from handfast.credentials.credentials import Credentials
from handfast.engine import ClientConfig, ServerConfig
from handfast.registry import AlertDescription, ProtocolVersion, SignatureScheme
from handfast.tools.endpoint import Address, Options, Outcome, Shutdown, run
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier
from tests import certificates
from tests.interop.ways import LOSING_ALERTS
from tests.listening import ANY_PORT, LOCALHOST, Listening
from tests.peers import REQUEST, RESPONSE, Cannot
from tests.peers import Options as TheirOptions
from tests.peers import Outcome as TheirOutcome
from tests.waiting import OUR_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handfast.pki.authority import CertificateAuthority, Issued
    from tests.conftest import Files
    from tests.interop.columns import Column
    from tests.interop.ways import Way


CHOOSING_NO_VERSION = {"uv", "granian", "h2o"}
# OTP has it since 27 at the earliest.
WITHOUT_EXTENDED_MAIN_SECRET = {"erlang"}


def cannot(reason: str) -> None:
    """Ends the test: the cell of the table stays blank, for this reason."""
    pytest.skip(reason)


def trusting(*authorities: CertificateAuthority) -> PathVerifier:
    """A verifier that trusts these roots; without any, the one that made all healthy certificates."""
    return PathVerifier(Roots.from_der(root.certificate_der for root in authorities or (certificates.ca(),)))


def credentials(issued: Issued) -> Credentials:
    return Credentials.from_key(issued.chain, issued.key)


class OneScheme:
    """A signer that makes signatures of one scheme only."""

    def __init__(self, inner: Any, scheme: int) -> None:
        self.schemes = (scheme,)
        self.sign = inner.sign


def signing_with(issued: Issued, scheme: SignatureScheme) -> Credentials:
    """Credentials that sign with this scheme and no other that the key could make."""
    made = credentials(issued)
    return replace(made, signer=OneScheme(made.signer, scheme))


class Meeting:
    """Makes connections with one column's peer. Unless told otherwise, both sides are healthy and the client has no
    certificate."""

    def __init__(self, column: Column, files: Files) -> None:
        self.column = column
        self.files = files

    @property
    def tls12(self) -> bool:
        """Whether TLS 1.2 is spoken."""
        return self.column.tls == "1.2"

    def __call__(
        self,
        ours: dict[str, Any] | None = None,
        theirs: dict[str, Any] | None = None,
        *,
        after_start: Callable[[Any], object] | None = None,
        **doing: Any,
    ) -> tuple[Outcome, TheirOutcome]:
        """``ours`` goes into our configuration, ``theirs`` into their options, ``doing`` into our endpoint's options.

        ``after_start`` is called with the peer once both sides are on their way; our side must then be a server.
        """
        ours = ours or {}
        theirs = theirs or {}
        if self.tls12 and self.column.peer.name in CHOOSING_NO_VERSION:
            ours = {"versions": (ProtocolVersion.TLS12,), **ours}
        elif self.tls12:
            theirs = {"version": "1.2", **theirs}
        if self.tls12 and self.column.peer.name in WITHOUT_EXTENDED_MAIN_SECRET:
            ours = {"require_extended_main_secret": False, **ours}
        try:
            if self.column.is_client:
                return self._with_their_client(ours, theirs, after_start, doing)
            return self._with_their_server(ours, theirs, after_start, doing)
        except Cannot as reason:
            cannot(str(reason))
            raise

    def _with_their_client(
        self, ours: dict[str, Any], theirs: dict[str, Any], after_start: Any, doing: dict[str, Any]
    ) -> tuple[Outcome, TheirOutcome]:
        config = ServerConfig(**{"credentials": (credentials(certificates.server()),), **ours})
        talk = {"expect_bytes": 1, "send": RESPONSE, "timeout": OUR_LIMIT, **doing}
        if self.column.peer.closes_first:  # type: ignore[union-attr]
            talk.setdefault("shutdown", Shutdown.FOLLOW)
        their_options = TheirOptions(**{"trust": self.files.roots(certificates.ca()), **theirs})
        count = their_options.connections
        with Listening(Options(config=config, listen=ANY_PORT, count=count, **talk)) as us:
            with self.column.peer(us.port, their_options) as them:  # type: ignore[call-arg, arg-type]
                if after_start is not None:
                    after_start(them)
                their_outcome = them.outcome()
            return us.outcome(), their_outcome

    def _with_their_server(
        self, ours: dict[str, Any], theirs: dict[str, Any], after_start: Any, doing: dict[str, Any]
    ) -> tuple[Outcome, TheirOutcome]:
        config = ClientConfig(**{"verifier": trusting(), **ours})
        talk = {"server_name": "localhost", "send": REQUEST, "expect_bytes": 1, "timeout": OUR_LIMIT, **doing}
        identity = {} if "certificate" in theirs else self.files.identity(certificates.server())
        with self.column.peer(TheirOptions(**identity, **theirs)) as them:  # type: ignore[call-arg, arg-type]
            if after_start is not None:
                after_start(them)
            address = Address(LOCALHOST, them.port)
            for _ in range(theirs.get("connections", 1) - 1):
                first = Options(config=config, connect=address, **{**talk, "early_data": b"", "send": REQUEST})
                run(first)
            mine = run(Options(config=config, connect=address, **talk))
            return mine, them.outcome()


def heard(theirs: TheirOutcome, alert: AlertDescription) -> bool:
    """Whether a peer says that it received this alert: by OpenSSL's name for it, or by its number, as GnuTLS does."""
    text = re.sub(r"[_\W]+", " ", theirs.text.lower())
    number = int(alert)
    name = alert.name.replace("_", " ")
    in_nss = IN_NSS.get(alert, "not said by nss")
    spellings = (
        rf"alert (?:received )?{name}",
        rf"alert ?(?:received )?{name.replace(' ', '')}",
        rf"received alert {number} ",
        rf"alert 2 {number} .* was received",
        in_nss,
    )
    return not theirs.ok and any(re.search(spelling, text) for spelling in spellings)


# NSS names some alerts in words of its own.
IN_NSS = {
    AlertDescription.unknown_ca: "does not recognize and trust the ca that issued your certificate",
    AlertDescription.certificate_required: "rx certificate required alert",
    AlertDescription.certificate_expired: "rejected your certificate as expired",
    AlertDescription.bad_certificate: "peer cannot verify your certificate",
    AlertDescription.handshake_failure: "no common encryption algorithm|unable to negotiate an acceptable set",
    AlertDescription.protocol_version: "incompatible or unsupported protocol version",
}


def said(theirs: TheirOutcome, *words: str) -> bool:
    """Whether a peer says that it failed, and says one of these, if there are any."""
    text = theirs.text.lower().replace("_", " ")
    return not theirs.ok and (not words or any(word.lower() in text for word in words))


def refused(mine: Outcome, code: str, alert: AlertDescription, *words: str, encrypted: bool | None = None) -> bool:
    """Whether our side ended the connection with this code, these words and this alert."""
    assert mine.error is not None, mine
    assert mine.alert is not None, mine
    assert encrypted in {None, mine.alert.encrypted}, mine.alert
    assert all(word in mine.error.text for word in words), mine.error.text
    return (mine.code, mine.alert.name, mine.alert.direction) == (code, alert.name, "sent")


def they_refused(meet: Meeting, mine: Outcome, theirs: TheirOutcome, ways: Mapping[str, Way]) -> None:
    """Asserts that a peer refused in its own way: with its alert, or by ending the connection, and with its words."""
    name = meet.column.peer.name
    names = [f"{name} 1.2", name, "openssl 1.2", "openssl"] if meet.tls12 else [name, "openssl"]
    alert, *words = next(ways[one] for one in names if one in ways)
    if alert is None or (mine.alert is None and name in LOSING_ALERTS):
        assert mine.alert is None, mine
        assert mine.code in {"closed_early", "unexpected_eof", "eof_in_handshake", "reset"}, mine
    else:
        alerts = alert if isinstance(alert, tuple) else (alert,)
        assert any(was_refused(mine, one) for one in alerts), mine
    assert said(theirs, *words), theirs


def was_refused(mine: Outcome, alert: AlertDescription, *, encrypted: bool | None = None) -> bool:
    """Whether our side received this alert and ended for it."""
    assert mine.alert is not None, mine
    assert encrypted in {None, mine.alert.encrypted}, mine.alert
    return (mine.code, mine.alert.name, mine.alert.direction) == (alert.name, alert.name, "received")
