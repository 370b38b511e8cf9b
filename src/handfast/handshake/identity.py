"""Proving who we are and checking who the peer is, the same in both roles. RFC 9846 4.5.

Possession of the key is checked here and now, in the engine, whenever a certificate is shown: no mode, option or
verifier skips it. What the chain is worth is the verifier's to say, later, once the peer's Finished has come. Only
``judge_identity`` makes a ``VerifiedPeer``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from handfast import limits
from handfast.config.asked import CertificateWanted, HelloSeen
from handfast.connection_info import CHECKED, UnverifiedPeer, VerifiedPeer
from handfast.crypto import signatures
from handfast.errors import BadMessage, PeerMisbehaved
from handfast.events import CertificateChosen, PeerJudged
from handfast.handshake import negotiate
from handfast.handshake.extension_rules import check_extensions
from handfast.handshake.selection import Choice, choose_client_credentials, client_schemes
from handfast.keys.transcript import proof_content
from handfast.registry import (
    SCHEMES,
    CertificateCompressionAlgorithm,
    CertificateStatusType,
    ExtensionType,
    SignatureScheme,
)
from handfast.roles import Role
from handfast.trust.presented import PresentedChain
from handfast.verdict import refuse
from handfast.wire.compression import compress, decompress
from handfast.wire.extensions import (
    CertificateCompressionAlgorithms,
    CertificateStatus,
    CertificateStatusRequest,
    CertificateStatusRequestCertificateRequest,
    ExtensionBody,
    Extensions,
    SignedCertificateTimestampList,
    SignedCertificateTimestampRequest,
)
from handfast.wire.messages import (
    Certificate,
    CertificateEntry,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    CompressedCertificate,
    HandshakeMessage,
)
from handfast.x509.purpose import Purpose

if TYPE_CHECKING:
    from handfast.config.config import ClientAuth
    from handfast.credentials.credentials import Credentials
    from handfast.crypto.provider import Verify
    from handfast.crypto.signatures import PublicKey
    from handfast.handshake.context import ClientHandshake, HandshakeContext, ServerHandshake, Step
    from handfast.trust.verifiers import Verifier
    from handfast.verdict import Verdict

# The message that a Certificate answers.
Asking: TypeAlias = ClientHello | CertificateRequest


# Proving


def candidates(
    hs: HandshakeContext, asked: Callable[[], HelloSeen | CertificateWanted]
) -> Generator[Step, Any, Sequence[Credentials]]:
    """Our credentials to choose from: those of the configuration, or what its function gives for what was asked."""
    if callable(hs.config.credentials):
        return (yield from hs.resolve(hs.config.credentials, asked()))
    return [handle.current for handle in hs.config.credentials]


def client_choice(
    hs: ClientHandshake,
    wanted: CertificateWanted,
    schemes_of: Callable[[Credentials], Iterable[SignatureScheme]] = client_schemes,
) -> Generator[Step, Any, Choice]:
    """Who we are to a server that asked. It has proven itself by now, so what must be asked may be."""
    ours = yield from candidates(hs, lambda: replace(wanted, server_name=hs.info.server_name))
    anyway = hs.config.when_no_certificate_matches == "send_anyway"
    allowed = hs.config.signing_schemes
    return choose_client_credentials(ours, wanted, at=_now(hs), anyway=anyway, schemes_of=schemes_of, allowed=allowed)


def prove_identity(
    hs: HandshakeContext, choice: Choice, form: negotiate.CertificateForm, context: bytes = b""
) -> Generator[Step, Any, None]:
    """Say who we are with Certificate and, unless it is empty, CertificateVerify. RFC 9846 4.5.1 and 4.5.2.

    ``form`` and ``context`` are those of the message that this answers.
    """
    credentials, scheme = choice.credentials, choice.scheme
    chain = () if credentials is None else credentials.chain
    if hs.watch.active:
        tell_chosen(hs, choice, hs.info.ca_names if hs.role is Role.CLIENT else None)
    if hs.role is Role.CLIENT:
        hs.info.own_objections = choice.objections
    if credentials is None or scheme is None:
        hs.send(Certificate(context, ()))
        return
    hs.send_encoded(encoded_certificate(credentials, context, form))
    content = proof_content(hs.role, hs.transcript.digest())
    signature = yield from hs.sign(credentials, scheme, content)
    sent = hs.send(CertificateVerify(scheme, signature)).signature
    if hs.watch.active:
        ok = signatures.verify(credentials.public_key, scheme, sent, content)
        hs.checked(hs.role.sends, "CertificateVerify", content, b"", sent, ok)
    hs.info.certificate_sent, hs.info.own_chain = True, chain
    hs.info.own_scheme = scheme


def tell_chosen(hs: HandshakeContext, choice: Choice, hints: tuple[bytes, ...] | None) -> None:
    """Tell the observers what is shown, and why; ``hints`` are the CA names of the request that it answers."""
    hs.watch.emit(
        CertificateChosen(
            time=hs.watch.clock(),
            direction=hs.role.sends,
            chain=() if choice.credentials is None else choice.credentials.chain,
            scheme=choice.scheme,
            reason=choice.reason,
            hints=hints,
            considered=choice.considered,
        )
    )


def certificate_message(
    credentials: Credentials, context: bytes, form: negotiate.CertificateForm
) -> Certificate | CompressedCertificate:
    """Our chain in a form that its receiver accepts, compressed if that is smaller. RFC 9846 4.5.1, RFC 8879 4."""
    leaf, *others = credentials.chain
    entries = [CertificateEntry(leaf, _staple(credentials, form)), *map(CertificateEntry, others)]
    certificate = Certificate(context, tuple(entries))
    return certificate if form.compression is None else compress(certificate, form.compression) or certificate


def encoded_certificate(credentials: Credentials, context: bytes, form: negotiate.CertificateForm) -> bytes:
    """Our chain as an encoded message. In a handshake the context is empty, and the message is made once."""
    raw = b"" if context else credentials.encoded.get(form, b"")
    if not raw:
        raw = certificate_message(credentials, context, form).encode()
        if not context:
            credentials.encoded[form] = raw
    return raw


def _staple(credentials: Credentials, form: negotiate.CertificateForm) -> Extensions:
    """What stands beside the leaf. RFC 9846 4.5.1.1, RFC 6962 3.3."""
    bodies: list[ExtensionBody] = []
    if form.ocsp_response and credentials.ocsp_response:
        bodies.append(CertificateStatus(CertificateStatusType.ocsp, credentials.ocsp_response))
    if form.timestamps and credentials.sct_list:
        bodies.append(SignedCertificateTimestampList(credentials.sct_list))
    return Extensions.of(*bodies)


def _context(asking: Asking) -> bytes:
    return asking.certificate_request_context if isinstance(asking, CertificateRequest) else b""


# Asking


def certificate_request_extensions(hs: HandshakeContext, *, compression: bool = True) -> list[ExtensionBody]:
    """What our ClientHello or CertificateRequest says of the Certificate that shall answer it."""
    bodies: list[ExtensionBody] = []
    config = hs.config
    if config.certificate_compression and compression:
        bodies.append(CertificateCompressionAlgorithms(tuple(config.certificate_compression)))
    if config.asks_for_ocsp_response:
        client = hs.role is Role.CLIENT
        bodies.append(CertificateStatusRequest() if client else CertificateStatusRequestCertificateRequest())
    if config.ask_for_timestamps:
        bodies.append(SignedCertificateTimestampRequest())
    return bodies


def certificate_kinds(asking: Asking) -> tuple[type[HandshakeMessage], ...]:
    """The messages that may bring the Certificate that answers ``asking``."""
    return (Certificate, CompressedCertificate) if negotiate.compression_offered(asking) else (Certificate,)


def receive_certificate(hs: HandshakeContext, asking: Asking) -> Generator[Step, Any, Certificate]:
    """Wait for the Certificate that answers ``asking``, compressed or not. RFC 9846 4.5.1, RFC 8879 4."""
    offered = negotiate.compression_offered(asking)
    if offered:
        message = yield from hs.expect(Certificate, CompressedCertificate)
    else:
        message = yield from hs.expect(Certificate)
    if isinstance(message, CompressedCertificate):
        if message.algorithm not in offered:
            algorithm = CertificateCompressionAlgorithm.describe(message.algorithm)
            raise PeerMisbehaved("compression_not_offered", algorithm=algorithm)
        message = decompress(message)
    if message.certificate_request_context != _context(asking):
        raise PeerMisbehaved("certificate_context", message="Certificate")
    return message


# Checking


@dataclass(slots=True)
class ProvenChain:
    """A chain whose leaf's key the peer proved to hold. Nothing more is known of it yet."""

    chain: tuple[bytes, ...] = field(repr=False)
    ocsp_response: bytes = field(default=b"", repr=False)
    asked_for_ocsp_response: bool = False


def read_certificate_verify(
    hs: HandshakeContext, certificate: Certificate, offered: Collection[int], requested: Collection[int]
) -> Generator[Step, Any, ProvenChain]:
    """Wait for the proof that the peer holds the key of the certificate it showed, and check it. RFC 9846 4.5.2.

    ``offered`` are the signature schemes we named, ``requested`` the extensions that its certificates may answer.
    """
    chain = tuple([entry.cert_data for entry in certificate.certificate_list])
    record_peer_chain(hs, chain)
    for entry in certificate.certificate_list:
        # Most have none.
        if entry.extensions:
            check_extensions(entry, requested)
    ocsp_response = _note_staple(hs, certificate.certificate_list[0])
    content = proof_content(hs.role.peer, hs.transcript.digest())
    proof = yield from hs.expect(CertificateVerify)
    ok = verify_possession(hs.crypto.verify, chain[0], proof, content, offered)
    if hs.watch.active:
        hs.checked(hs.role.peer.sends, "CertificateVerify", content, b"", proof.signature, ok)
    if not ok:
        raise PeerMisbehaved("bad_signature", message="CertificateVerify")
    hs.info.peer_scheme = SCHEMES[proof.algorithm]
    return ProvenChain(chain, ocsp_response, ExtensionType.status_request in requested)


def record_peer_chain(hs: HandshakeContext, chain: tuple[bytes, ...]) -> None:
    """Keep the chain that the peer shows, whatever becomes of it; at most so many certificates."""
    hs.info.peer_chain = chain
    if len(chain) > limits.MAX_PRESENTED_CERTIFICATES:
        words = f"{len(chain)} certificates were presented; at most {limits.MAX_PRESENTED_CERTIFICATES} are read"
        raise refuse("too_many_certificates", words).error()


def _note_staple(hs: HandshakeContext, leaf: CertificateEntry) -> bytes:
    """Keep what the peer presented beside this leaf, and nothing of an earlier one; the OCSP response is returned."""
    status = leaf.find(CertificateStatus)
    if status is not None and status.status_type != CertificateStatusType.ocsp:
        raise BadMessage("bad_value", message="Certificate", field="status_type", value=status.status_type)
    timestamps = leaf.find(SignedCertificateTimestampList)
    hs.info.ocsp_response = b"" if status is None else status.response
    hs.info.signed_certificate_timestamps = () if timestamps is None else timestamps.sct_list
    return hs.info.ocsp_response


def verify_possession(
    verify: Verify, certificate: bytes, proof: CertificateVerify, content: bytes, offered: Collection[int]
) -> bool:
    """Whether the signature is one of ``content`` by the certificate's key, under a scheme that may be used here."""
    if proof.algorithm not in offered:
        scheme, ours = SignatureScheme.describe(proof.algorithm), SignatureScheme.describe_all(offered)
        raise PeerMisbehaved("scheme_not_offered", message="CertificateVerify", scheme=scheme, ours=ours)
    if proof.algorithm in signatures.CERTIFICATE_ONLY:
        raise PeerMisbehaved("scheme_forbidden", scheme=SignatureScheme.describe(proof.algorithm))
    key = leaf_key(certificate)
    if not signatures.scheme_fits(key, proof.algorithm):
        scheme = SignatureScheme.describe(proof.algorithm)
        raise PeerMisbehaved("scheme_for_other_key", message="CertificateVerify", scheme=scheme, key=key.name)
    return verify(key, proof.algorithm, proof.signature, content)


def leaf_key(certificate: bytes) -> PublicKey:
    """The key of the certificate that the peer shows, if it can be computed with at a bounded cost."""
    try:
        return signatures.certificate_public_key(certificate)
    except signatures.UnusableKey as error:
        words = f"the presented certificate is unusable: {error}"
        raise refuse(error.code, words, certificate_index=0).error() from None


def judge_identity(
    hs: HandshakeContext, proven: ProvenChain, verifier: Verifier | None, *, server_name: str | None, enforce: bool
) -> Generator[Step, Any, VerifiedPeer | UnverifiedPeer]:
    """Ask the verifier about a proven chain; with ``enforce`` its refusal ends the connection."""
    verdict = yield from _verdict(hs, proven, verifier, server_name)
    if hs.watch.active:
        hs.watch.emit(
            PeerJudged(time=hs.watch.clock(), direction=hs.role.peer.sends, chain=proven.chain, verdict=verdict)
        )
    if verdict.accepted:
        return VerifiedPeer(proven.chain, verdict, CHECKED)
    hs.info.peer = UnverifiedPeer(proven.chain, verdict)
    if hs.role is Role.SERVER:
        hs.info.client_cert_error = verdict.explanation
    if enforce:
        raise verdict.error()
    return hs.info.peer


def judge_client(
    hs: ServerHandshake, client_auth: ClientAuth, proven: ProvenChain | None
) -> Generator[Step, Any, None]:
    """What becomes of a client that showed this chain, or none, when it was asked under this mode.

    Like every verdict it comes after the client's Finished. RFC 9846 4.5.1.
    """
    if proven is not None:
        hs.info.client_cert_error = ""
        hs.info.peer = yield from judge_identity(
            hs, proven, hs.config.verifier, server_name=None, enforce=client_auth.enforces_verdict
        )
    elif client_auth.requires_certificate:
        verdict = refuse(
            "certificate_required",
            "the client sent no certificate, and this server requires one",
            advice="the client needs a certificate and its key",
        )
        hs.info.client_cert_error = verdict.explanation
        raise verdict.error()


def judge_restored(
    hs: HandshakeContext, proven: ProvenChain, verifier: Verifier | None, *, server_name: str | None
) -> Generator[Step, Any, VerifiedPeer | UnverifiedPeer]:
    """Ask the verifier about the chain of a session: it was proven when the session began, and is judged as of today.

    So is the OCSP response that came then. Nothing is told of it before the session is really resumed:
    ``adopt_resumed_peer`` does that.
    """
    verdict = yield from _verdict(hs, proven, verifier, server_name, restored=True)
    return VerifiedPeer(proven.chain, verdict, CHECKED) if verdict.accepted else UnverifiedPeer(proven.chain, verdict)


def adopt_resumed_peer(
    hs: HandshakeContext,
    peer: VerifiedPeer | UnverifiedPeer | None,
    ocsp_response: bytes = b"",
    timestamps: tuple[bytes, ...] = (),
) -> None:
    """The session is resumed, and with it the peer that stood at its other end, and what had come beside its leaf.

    For after the peer's Finished alone: until then a hello, or a whole flight, may be one that somebody recorded.
    """
    hs.info.resumed = True
    hs.info.ocsp_response, hs.info.signed_certificate_timestamps = ocsp_response, timestamps
    hs.info.peer = peer
    if peer is None:
        return
    hs.info.peer_chain = peer.chain
    if hs.role is Role.SERVER and not peer.verdict.accepted:
        hs.info.client_cert_error = peer.verdict.explanation
    if hs.watch.active:
        hs.tell(PeerJudged(time=hs.watch.clock(), direction=hs.role.peer.sends, chain=peer.chain, verdict=peer.verdict))


def _verdict(
    hs: HandshakeContext,
    proven: ProvenChain,
    verifier: Verifier | None,
    server_name: str | None,
    *,
    restored: bool = False,
) -> Generator[Step, Any, Verdict]:
    if verifier is None:
        return refuse("no_roots", "no verifier is configured, so nothing vouches for this certificate")
    purpose = Purpose.SERVER if hs.role is Role.CLIENT else Purpose.CLIENT
    presented = PresentedChain(
        chain=proven.chain,
        purpose=purpose,
        server_name=server_name,
        at=_now(hs),
        ocsp_response=proven.ocsp_response,
        asked_for_ocsp_response=proven.asked_for_ocsp_response,
        restored=restored,
    )
    return (yield from hs.judge(verifier, presented))


def _now(hs: HandshakeContext) -> datetime:
    return datetime.fromtimestamp(hs.seams.clock(), UTC)


def automatic_ca_names(names: Iterable[bytes]) -> tuple[bytes, ...]:
    """The CA names of a trust store as hints, or none at all where they would make the request too large."""
    names = tuple(names)
    return names if sum(map(len, names)) <= limits.MAX_AUTOMATIC_CA_NAMES else ()
